// SPDX-License-Identifier: Apache-2.0
private import CBlosc
private import CLZ4
private import CZlib
import KachelBytes

/// One step that turns stored bytes back into the bytes that were stored.
enum ZarrCodec: Sendable, Hashable {
  /// - Parameter compressor: the compression inside, as the metadata names it; the bytes themselves decide.
  case blosc(compressor: String)
  case zstd
  /// Both zlib's own format and gzip's, told apart by their first bytes.
  case deflate(name: String)
  /// An LZ4 block after its decoded size in four bytes, as numcodecs writes it.
  case lz4
  case crc32c

  /// A codec by the name that it has in Zarr 2 (`id`) and Zarr 3; `nil` where it is not read.
  init?(name: String, configuration: JSONValue?) {
    // zarr-python stores codecs of version 2 in version 3 under a prefix.
    switch name.hasPrefix("numcodecs.") ? String(name.dropFirst(10)) : name {
    case "blosc": self = .blosc(compressor: configuration?["cname"]?.string ?? "")
    case "zstd": self = .zstd
    case "zlib": self = .deflate(name: "zlib")
    case "gzip": self = .deflate(name: "gzip")
    case "lz4": self = .lz4
    case "crc32c" where name == "crc32c": self = .crc32c
    default: return nil
    }
  }

  /// How the compression is called; `nil` for a checksum.
  var compression: String? {
    switch self {
    case .blosc(let compressor): compressor.isEmpty ? "blosc" : "blosc \(compressor)"
    case .zstd: "zstd"
    case .deflate(let name): name
    case .lz4: "lz4"
    case .crc32c: nil
    }
  }

  /// Why bytes could not be decoded.
  struct Failure: Error {
    var reason: String
  }

  /// The bytes that `input` stands for.
  ///
  /// - Parameter limit: how many they may be; more of them is a failure.
  func decode(_ input: [UInt8], limit: Int) throws(Failure) -> [UInt8] {
    switch self {
    case .blosc: return try Self.blosc(input, limit: limit)
    case .zstd: return try Self.zstd(input, limit: limit)
    case .deflate: return try Self.inflate(input, limit: limit)
    case .lz4: return try Self.lz4(input, limit: limit)
    case .crc32c:
      guard input.count >= 4 else { throw Failure(reason: "crc32c: the checksum is missing") }
      guard CRC32C.checksum(input.dropLast(4)) == CRC32C.stored(input.suffix(4)) else {
        throw Failure(reason: "crc32c: the checksum differs")
      }
      return Array(input.dropLast(4))
    }
  }

  /// Room for `count` bytes that a C function fills; it returns how many it wrote, or why it could not.
  private static func output(
    _ count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Result<Int, Failure>
  ) throws(Failure) -> [UInt8] {
    var failure: Failure?
    let bytes = [UInt8](unsafeUninitializedCapacity: max(1, count)) { buffer, initialized in
      switch fill(UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[0..<count])) {
      case .success(let written): initialized = written
      case .failure(let error): failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  private static func blosc(_ input: [UInt8], limit: Int) throws(Failure) -> [UInt8] {
    // c-blosc trusts the size in its header; `blosc_cbuffer_validate` compares it with what is there.
    var size = 0
    let isValid = input.withUnsafeBytes { blosc_cbuffer_validate($0.baseAddress, $0.count, &size) } == 0
    guard isValid, size >= 0 else { throw Failure(reason: "blosc: the header is damaged") }
    guard size <= limit else { throw Failure(reason: "blosc: \(size) bytes are more than \(limit)") }
    return try output(size) { buffer in
      let written = input.withUnsafeBytes { blosc_decompress_ctx($0.baseAddress, buffer.baseAddress, buffer.count, 1) }
      return Int(written) == size ? .success(size) : .failure(Failure(reason: "blosc: the data are damaged"))
    }
  }

  private static func zstd(_ input: [UInt8], limit: Int) throws(Failure) -> [UInt8] {
    let declared = input.withUnsafeBytes { Zstandard.contentSize(of: $0) }
    if let declared, declared > limit { throw Failure(reason: "zstd: \(declared) bytes are more than \(limit)") }
    return try output(limit) { buffer in
      input.withUnsafeBytes { Zstandard.decompress($0, upTo: buffer) }.mapError { Failure(reason: $0.reason) }
    }
  }

  private static func lz4(_ input: [UInt8], limit: Int) throws(Failure) -> [UInt8] {
    guard input.count > 4 else { throw Failure(reason: "lz4: the size is missing") }
    let size = Int(CRC32C.stored(input.prefix(4)))
    guard size <= min(limit, Int(LZ4_MAX_INPUT_SIZE)), input.count <= Int(Int32.max) else {
      throw Failure(reason: "lz4: \(size) bytes are more than \(limit)")
    }
    return try output(size) { buffer in
      let written = input.withUnsafeBytes { bytes in
        LZ4_decompress_safe(
          bytes.baseAddress?.advanced(by: 4).assumingMemoryBound(to: CChar.self),
          buffer.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(bytes.count - 4), Int32(size))
      }
      return Int(written) == size ? .success(size) : .failure(Failure(reason: "lz4: the data are damaged"))
    }
  }

  private static func inflate(_ input: [UInt8], limit: Int) throws(Failure) -> [UInt8] {
    guard input.count <= Int(UInt32.max), limit <= Int(UInt32.max) else { throw Failure(reason: "deflate: too large") }
    return try output(limit) { buffer in
      input.withUnsafeBytes { bytes in
        var stream = z_stream()
        // 32 recognises both formats; 15 is the largest window.
        guard
          inflateInit2_(&stream, 15 + 32, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
        else { return .failure(Failure(reason: "deflate: no memory")) }
        defer { inflateEnd(&stream) }
        stream.next_in = UnsafeMutablePointer(mutating: bytes.bindMemory(to: UInt8.self).baseAddress)
        stream.avail_in = UInt32(bytes.count)
        stream.next_out = buffer.bindMemory(to: UInt8.self).baseAddress
        stream.avail_out = UInt32(buffer.count)
        var written = 0
        while true {
          let result = CZlib.inflate(&stream, Z_FINISH)
          guard result == Z_STREAM_END else {
            let reason =
              result == Z_BUF_ERROR || result == Z_OK
              ? (stream.avail_out == 0 ? "there are more than \(limit) bytes" : "the data end early")
              : "the data are damaged"
            return .failure(Failure(reason: "deflate: \(reason)"))
          }
          written = buffer.count - Int(stream.avail_out)
          // A gzip file may be several one after the other.
          guard stream.avail_in > 2, stream.next_in[0] == 0x1F, stream.next_in[1] == 0x8B else { break }
          guard inflateReset(&stream) == Z_OK else { break }
        }
        return .success(written)
      }
    }
  }
}
