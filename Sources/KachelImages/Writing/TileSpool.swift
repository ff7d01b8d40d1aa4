// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelPixels

#if canImport(Glibc)
  private import Glibc
#else
  private import Darwin
#endif

/// A temporary file of encoded tiles, for formats whose files can only be written from start to end. It has no name, so
/// that it vanishes with the process however that ends.
final class TileSpool {
  /// What the output is called in errors.
  private let output: String
  private let descriptor: Int32
  private(set) var count = 0

  convenience init(for output: PendingOutput) throws(ImageError) {
    try self.init(for: output.path, at: output.temporaryPath)
  }

  /// - Parameters:
  ///   - output: what the tiles are meant for, as errors call it.
  ///   - temporaryPath: where it lies until it is complete; the spool lies beside it, on the same disk.
  init(for output: String, at temporaryPath: String) throws(ImageError) {
    self.output = output
    let path = temporaryPath + ".tiles"
    descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw ImageError(.cannotWrite, file: output, "cannot be created: \(String(cString: strerror(errno)))")
    }
    unlink(path)
  }

  deinit { close(descriptor) }

  /// Adds bytes at the end and returns where they stand.
  func append(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> Int {
    let start = count
    let code = FileDescriptor.write(bytes, to: descriptor, at: start)
    guard code == 0 else {
      throw ImageError(.cannotWrite, file: output, "its tiles cannot be written: \(String(cString: strerror(code)))")
    }
    count += bytes.count
    return start
  }

  /// The bytes that stand at an offset.
  func read(at offset: Int, count: Int) throws(ImageError) -> [UInt8] {
    var failure: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      while initialized < count {
        let got = pread(descriptor, buffer.baseAddress! + initialized, count - initialized, off_t(offset + initialized))
        if got < 0 && errno == EINTR { continue }
        guard got > 0 else {
          failure = got == 0 ? EIO : errno
          return
        }
        initialized += got
      }
    }
    guard failure == 0 else {
      throw ImageError(
        .cannotWrite, file: output, "its tiles cannot be read back: \(String(cString: strerror(failure)))")
    }
    return bytes
  }

  func append(_ bytes: [UInt8]) throws(ImageError) -> Int {
    // `withUnsafeBytes` cannot pass on an error of a known type.
    try bytes.withUnsafeBytes { bytes in Result { () throws(ImageError) in try append(bytes) } }.get()
  }
}

/// How a tile's pixels become bytes in a file.
protocol TileCodec {
  func encode(_ pixels: PixelBuffer) throws(ImageError) -> [UInt8]
  /// Fills a buffer of the tile's shape.
  func decode(_ bytes: [UInt8], into pixels: PixelBuffer) throws(ImageError)
}

/// The tiles of one resolution in a spool.
final class SpooledTiles: TileStore {
  private let spool: TileSpool
  private let codec: any TileCodec
  private var places: [TileIndex: (offset: Int, count: Int)] = [:]

  init(in spool: TileSpool, codec: any TileCodec) {
    self.spool = spool
    self.codec = codec
  }

  /// How many tiles are stored.
  var count: Int { places.count }

  /// The encoded bytes of all tiles together.
  var byteCount: Int { places.values.reduce(0) { $0 + $1.count } }

  func store(_ pixels: PixelBuffer, at index: TileIndex) throws(ImageError) {
    let bytes = try codec.encode(pixels)
    places[index] = (try spool.append(bytes), bytes.count)
  }

  func load(_ index: TileIndex, into pixels: PixelBuffer) throws(ImageError) {
    guard let bytes = try encoded(index) else {
      pixels.fill(byte: 0)
      return
    }
    try codec.decode(bytes, into: pixels)
  }

  /// A tile's bytes as they were encoded; `nil` where it is not stored, being all 0.
  func encoded(_ index: TileIndex) throws(ImageError) -> [UInt8]? {
    guard let place = places[index] else { return nil }
    return try spool.read(at: place.offset, count: place.count)
  }
}

/// Zstandard frames of tight rows.
final class ZstandardTiles: TileCodec {
  /// What the bytes are called in errors.
  private let file: String
  private let compressor: ZstandardCompressor
  var level: Int32 { compressor.level }

  init(file: String, level: Int32 = 1) {
    self.file = file
    compressor = ZstandardCompressor(level: level)
  }

  func encode(_ pixels: PixelBuffer) -> [UInt8] { compressor.compress(UnsafeRawBufferPointer(pixels.bytes)) }

  func decode(_ bytes: [UInt8], into pixels: PixelBuffer) throws(ImageError) {
    if let problem = bytes.withUnsafeBytes({ Zstandard.decompress($0, into: pixels.bytes) }) {
      throw ImageError(.damaged, file: file, problem)
    }
  }
}
