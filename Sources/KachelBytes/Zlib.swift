// SPDX-License-Identifier: Apache-2.0
private import CDeflate

/// Streams of zlib (RFC 1950), by libdeflate.
public enum Zlib {
  /// Decompresses a stream into exactly `output.count` bytes.
  ///
  /// - Returns: what is wrong, or `nil`: the stream is damaged, or holds more or fewer bytes than `output`.
  public static func decompress(_ stream: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> String?
  {
    guard let decompressor = libdeflate_alloc_decompressor() else { return "zlib: there is no memory to decompress" }
    defer { libdeflate_free_decompressor(decompressor) }
    return
      switch libdeflate_zlib_decompress(
        decompressor, stream.baseAddress, stream.count, output.baseAddress, output.count, nil)
    {
    case LIBDEFLATE_SUCCESS: nil
    case LIBDEFLATE_SHORT_OUTPUT: "zlib: fewer than \(output.count) bytes"
    case LIBDEFLATE_INSUFFICIENT_SPACE: "zlib: more than \(output.count) bytes"
    default: "zlib: the data are damaged"
    }
  }
}

/// Makes streams of zlib. Not for several threads at once.
public final class ZlibCompressor {
  private let compressor: OpaquePointer

  /// - Parameter level: 1 is fast, 12 makes the smallest streams.
  public init(level: Int32) {
    guard let compressor = libdeflate_alloc_compressor(level) else {
      preconditionFailure("there is no memory to compress, or no level \(level)")
    }
    self.compressor = compressor
  }

  deinit { libdeflate_free_compressor(compressor) }

  /// Compresses into one stream. The same bytes come out for the same input and level.
  public func compress(_ input: UnsafeRawBufferPointer) -> [UInt8] {
    let bound = libdeflate_zlib_compress_bound(compressor, input.count)
    return [UInt8](unsafeUninitializedCapacity: bound) { buffer, initialized in
      initialized = libdeflate_zlib_compress(compressor, input.baseAddress, input.count, buffer.baseAddress, bound)
      // Fails only where the output is smaller than the bound.
      precondition(initialized > 0)
    }
  }
}
