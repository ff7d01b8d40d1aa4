// SPDX-License-Identifier: Apache-2.0
private import CTIFF
import KachelBytes
private import KachelPixels
private import Synchronization

#if canImport(Glibc)
  private import Glibc
#else
  private import Darwin
#endif

/// The open handles of libtiff on one file. A handle serves one thread at a time, so there is one per concurrent
/// reader; those that rest are kept for the next.
final class TIFFHandlePool: Sendable {
  private static let mostResting = 16
  private let source: ByteSource
  private let resting = Mutex<[TIFFHandle]>([])

  init(_ source: ByteSource) { self.source = source }

  /// Lends a handle, preferably one that has the page at `offset` open.
  func withHandle<Result>(
    page offset: UInt64, _ body: (TIFFHandle) throws(ImageError) -> Result
  ) throws(ImageError) -> Result {
    let kept = resting.withLock { handles -> TIFFHandle? in
      if let place = handles.lastIndex(where: { $0.page == offset }) { return handles.remove(at: place) }
      return handles.popLast()
    }
    let handle: TIFFHandle
    if let kept { handle = kept } else { handle = try TIFFHandle(source) }
    // A handle that failed is not used again: what libtiff keeps of the page may be damaged.
    let result = try body(handle)
    resting.withLock { if $0.count < Self.mostResting { $0.append(handle) } }
    return result
  }
}

/// libtiff's view of a file, used for decoding strips and tiles. It reads through a ``ByteSource`` and prints nothing.
///
/// `@unchecked Sendable`: it wraps a handle of libtiff, which has one user at a time; ``TIFFHandlePool`` sees to that.
final class TIFFHandle: @unchecked Sendable {
  /// The most bytes of a decoded block, and of any single thing that libtiff allocates.
  static let mostBytes = 1_000_000_000

  private let stream: TIFFStream
  private let tiff: OpaquePointer
  /// The offset of the directory that is open.
  private(set) var page: UInt64 = 0

  init(_ source: ByteSource) throws(ImageError) {
    let stream = TIFFStream(source)
    let tiff = stream.openTIFF(mostBytes: Self.mostBytes + 1 << 20) { options, user in
      // Reading, without memory map, first page not opened, strips as they are, tables read entry by entry.
      TIFFClientOpenExt(
        source.path, "rmhcO", user,
        { user, bytes, count in
          guard let user, let bytes else { return -1 }
          return tmsize_t(Unmanaged<TIFFStream>.fromOpaque(user).takeUnretainedValue().read(into: bytes, Int(count)))
        },
        { _, _, _ in -1 },
        { user, offset, origin in
          guard let user else { return .max }
          return Unmanaged<TIFFStream>.fromOpaque(user).takeUnretainedValue().seek(offset, origin)
        },
        { _ in 0 },
        { user in
          guard let user else { return 0 }
          return toff_t(Unmanaged<TIFFStream>.fromOpaque(user).takeUnretainedValue().source.count)
        },
        { _, _, _ in 0 }, { _, _, _ in }, options)
    }
    guard let tiff else {
      throw ImageError(.damaged, file: source.path, "TIFF: \(stream.takeProblem() ?? "the header is damaged")")
    }
    (self.stream, self.tiff) = (stream, tiff)
  }

  deinit { TIFFClose(tiff) }

  /// Decodes a strip or tile: samples in the machine's byte order, predictors undone, YCbCr of JPEG as RGB.
  ///
  /// - Parameter bytes: room for what the decoded block has; at most ``mostBytes``.
  func decode(
    block: Int, of directory: TIFFDirectory, into bytes: UnsafeMutableRawBufferPointer
  ) throws(ImageError) {
    _ = stream.takeProblem()
    try open(directory)
    let number = UInt32(block)
    let problem: ImageError? = {
      let known = directory.isTiled ? TIFFTileSize64(tiff) : UInt64(bytes.count)
      guard (TIFFIsTiled(tiff) != 0) == directory.isTiled, known == bytes.count,
        number < (directory.isTiled ? TIFFNumberOfTiles(tiff) : TIFFNumberOfStrips(tiff))
      else { return failure("block \(block) does not have the size that the page says", directory) }
      return nil
    }()
    if let problem { throw problem }
    // What a codec leaves out when it fails is never what the memory held before.
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    let got =
      directory.isTiled
      ? TIFFReadEncodedTile(tiff, number, bytes.baseAddress, tmsize_t(bytes.count))
      : TIFFReadEncodedStrip(tiff, number, bytes.baseAddress, tmsize_t(bytes.count))
    guard got == bytes.count else {
      throw failure("\(directory.isTiled ? "tile" : "strip") \(block) cannot be decoded", directory)
    }
    if Self.undoesDifferences(of: directory) {
      let samples = directory.isPlanar ? 1 : directory.samples
      let width = directory.isTiled ? directory.tileWidth ?? 0 : directory.width
      HorizontalDifferences.undo(
        bytes, bytesPerRow: width * samples * directory.bits / 8, samples: samples, size: directory.bits / 8)
    }
  }

  private func open(_ directory: TIFFDirectory) throws(ImageError) {
    guard page != directory.offset else { return }
    page = 0
    guard TIFFSetSubDirectory(tiff, directory.offset) != 0 else {
      throw failure("the page cannot be read", directory)
    }
    if directory.compression == TIFFCompression.jpeg.rawValue, directory.photometric == 6 {
      _ = withVaList([Int32(JPEGCOLORMODE_RGB)]) { TIFFVSetField(tiff, UInt32(TIFFTAG_JPEGCOLORMODE), $0) }
    }
    if Self.undoesDifferences(of: directory) {
      _ = withVaList([Int32(PREDICTOR_NONE)]) { TIFFVSetField(tiff, UInt32(TIFFTAG_PREDICTOR), $0) }
    }
    page = directory.offset
  }

  /// Whether libtiff is told that there is no predictor, and it is undone here: libtiff takes several times as long.
  private static func undoesDifferences(of directory: TIFFDirectory) -> Bool {
    guard directory.predictor == 2, [8, 16, 32, 64].contains(directory.bits) else { return false }
    return switch TIFFCompression(rawValue: directory.compression) {
    case .lzw, .deflate, .oldDeflate, .zstandard: true
    default: false
    }
  }

  private func failure(_ what: String, _ directory: TIFFDirectory) -> ImageError {
    let detail = stream.takeProblem().map { " (libtiff: \($0))" } ?? ""
    return ImageError(
      .damaged, file: stream.source.path, offset: Int(clamping: directory.offset), "TIFF: \(what)\(detail)")
  }
}

/// The file that libtiff reads from.
private final class TIFFStream: TIFFClient {
  let source: ByteSource
  private var position: UInt64 = 0

  init(_ source: ByteSource) { self.source = source }

  func read(into bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
    guard count > 0, position < UInt64(source.count) else { return 0 }
    let available = min(count, source.count - Int(position))
    do throws(BytesError) {
      try source.read(at: Int(position), into: .init(start: bytes, count: available))
    } catch {
      note(error.reason)
      return -1
    }
    position += UInt64(available)
    return available
  }

  func seek(_ offset: UInt64, _ origin: Int32) -> UInt64 {
    // Offsets are unsigned, but mean negative ones too.
    switch origin {
    case SEEK_CUR: position &+= offset
    case SEEK_END: position = UInt64(source.count) &+ offset
    default: position = offset
    }
    return position
  }
}
