// SPDX-License-Identifier: Apache-2.0
private import CZstd

/// Zstandard frames (RFC 8878), by libzstd.
public enum Zstandard {
  /// Decompresses one frame into exactly `output.count` bytes.
  ///
  /// - Returns: what is wrong, or `nil`: the frame is damaged, or holds more or fewer bytes than `output`.
  public static func decompress(_ frame: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> String?
  {
    switch decompress(frame, upTo: output) {
    case .failure(let failure): failure.reason
    case .success(output.count): nil
    case .success(let got): "zstd: \(got) bytes instead of \(output.count)"
    }
  }

  /// Why bytes could not be decompressed.
  public struct Failure: Error {
    public let reason: String
  }

  /// Decompresses all frames into the start of `output`, and tells how many bytes they hold.
  public static func decompress(
    _ frames: UnsafeRawBufferPointer, upTo output: UnsafeMutableRawBufferPointer
  ) -> Result<Int, Failure> {
    let got = ZSTD_decompress(output.baseAddress, output.count, frames.baseAddress, frames.count)
    if ZSTD_isError(got) != 0 { return .failure(Failure(reason: "zstd: \(String(cString: ZSTD_getErrorName(got)))")) }
    return .success(got)
  }

  /// How many bytes the frame says it holds; `nil` where it does not say or is no frame.
  public static func contentSize(of frame: UnsafeRawBufferPointer) -> Int? {
    // The two largest values mean that the size is unknown, and that this is no frame.
    Int(exactly: ZSTD_getFrameContentSize(frame.baseAddress, frame.count))
  }

  /// Compresses into one frame that carries its content's size. The same bytes come out for the same input and level.
  public static func compress(_ input: UnsafeRawBufferPointer, level: Int32 = 3) -> [UInt8] {
    ZstandardCompressor(level: level).compress(input)
  }
}

/// Compresses again and again, which saves making the tables anew. Not for several threads at once.
public final class ZstandardCompressor {
  public let level: Int32
  private let context: OpaquePointer

  public init(level: Int32) {
    self.level = level
    // Fails only without memory.
    guard let context = ZSTD_createCCtx() else { preconditionFailure("no memory for Zstandard") }
    self.context = context
  }

  deinit { ZSTD_freeCCtx(context) }

  /// One frame that carries its content's size. The same bytes come out for the same input and level.
  public func compress(_ input: UnsafeRawBufferPointer) -> [UInt8] {
    let bound = ZSTD_compressBound(input.count)
    return [UInt8](unsafeUninitializedCapacity: bound) { buffer, initialized in
      // Fails only where the output is smaller than the bound, or without memory.
      let size = ZSTD_compressCCtx(context, buffer.baseAddress, bound, input.baseAddress, input.count, level)
      precondition(ZSTD_isError(size) == 0, String(cString: ZSTD_getErrorName(size)))
      initialized = size
    }
  }
}
