// SPDX-License-Identifier: Apache-2.0
private import CTIFF
import KachelPixels

#if canImport(Glibc)
  private import Glibc
#else
  private import Darwin
#endif

/// A little-endian TIFF file that libtiff writes from its start to its end, out of tiles that are compressed already.
///
/// For every page: ``begin(_:)``, all tiles in reading order, ``endPage()``. Its smaller resolutions follow as pages.
final class TIFFWriter {
  struct Page {
    var size: Size
    /// Both sides are multiples of 16.
    var tile: Size
    var type: PixelType
    /// Samples are in the order red, green, blue.
    var layout: SampleLayout
    /// Whether tiles hold ``HorizontalDifferences``.
    var hasDifferences: Bool
    /// In micrometres.
    var pixelWidth: Double?
    var pixelHeight: Double?
    /// How many of the pages that follow are smaller resolutions of this one, which become its SubIFDs.
    var levels = 0
    /// Whether this is such a smaller resolution.
    var isReduced = false
    var description: String?
  }

  private let file: String
  private let stream: TIFFOutputStream
  private var tiff: OpaquePointer?
  private var tile: UInt32 = 0

  /// - Parameters:
  ///   - path: a file that does not exist yet.
  ///   - file: what the file is called in errors.
  ///   - isBig: whether the file is a BigTIFF, which may have more than 4 GiB.
  init(path: String, calling file: String, isBig: Bool) throws(ImageError) {
    self.file = file
    stream = try TIFFOutputStream(path: path, calling: file)
    tiff = stream.openTIFF { options, user in
      TIFFClientOpenExt(
        file, isBig ? "w8l" : "w4l", user,
        { user, bytes, count in
          guard let user, let bytes else { return -1 }
          return tmsize_t(TIFFOutputStream.of(user).read(into: bytes, Int(count)))
        },
        { user, bytes, count in
          guard let user, let bytes else { return -1 }
          return tmsize_t(TIFFOutputStream.of(user).write(bytes, Int(count)))
        },
        { user, offset, origin in
          guard let user else { return .max }
          return toff_t(TIFFOutputStream.of(user).seek(Int(bitPattern: UInt(offset)), origin))
        },
        { _ in 0 },
        { user in
          guard let user else { return 0 }
          return toff_t(TIFFOutputStream.of(user).count)
        },
        { _, _, _ in 0 }, { _, _, _ in }, options)
    }
    guard tiff != nil else { throw failure() }
  }

  deinit { if let tiff { TIFFClose(tiff) } }

  func begin(_ page: Page) throws(ImageError) {
    tile = 0
    try set(TIFFTAG_SUBFILETYPE, page.isReduced ? FILETYPE_REDUCEDIMAGE : 0)
    try set(TIFFTAG_IMAGEWIDTH, UInt32(page.size.width))
    try set(TIFFTAG_IMAGELENGTH, UInt32(page.size.height))
    try set(TIFFTAG_TILEWIDTH, UInt32(page.tile.width))
    try set(TIFFTAG_TILELENGTH, UInt32(page.tile.height))
    try set(TIFFTAG_SAMPLESPERPIXEL, Int32(page.layout.samples))
    try set(TIFFTAG_BITSPERSAMPLE, Int32(8 * page.type.size))
    try set(TIFFTAG_SAMPLEFORMAT, page.type.sampleFormat)
    try set(TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG)
    try set(TIFFTAG_PHOTOMETRIC, page.layout.isRGB ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK)
    if page.layout == .grayAlpha || page.layout == .rgba {
      try withUnsafePointer(to: UInt16(EXTRASAMPLE_UNASSALPHA)) { alpha in
        Result { () throws(ImageError) in try set(TIFFTAG_EXTRASAMPLES, Int32(1), alpha) }
      }.get()
    }
    try set(TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE)
    if page.hasDifferences { try set(TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL) }
    if let x = resolution(page.pixelWidth), let y = resolution(page.pixelHeight) {
      try set(TIFFTAG_RESOLUTIONUNIT, RESUNIT_CENTIMETER)
      try set(TIFFTAG_XRESOLUTION, x)
      try set(TIFFTAG_YRESOLUTION, y)
    }
    if let description = page.description {
      try set(TIFFTAG_SOFTWARE, "Kachel")
      try set(TIFFTAG_IMAGEDESCRIPTION, description)
    }
    if page.levels > 0 {
      // libtiff puts the places of the pages that follow into it.
      try [UInt64](repeating: 0, count: page.levels).withUnsafeBufferPointer { places in
        Result { () throws(ImageError) in try set(TIFFTAG_SUBIFD, Int32(page.levels), places.baseAddress!) }
      }.get()
    }
  }

  /// Writes the page's next tile.
  func write(tile bytes: [UInt8]) throws(ImageError) {
    var bytes = bytes
    let written = bytes.withUnsafeMutableBytes { TIFFWriteRawTile(tiff, tile, $0.baseAddress, tmsize_t($0.count)) }
    guard written == bytes.count else { throw failure() }
    tile += 1
  }

  func endPage() throws(ImageError) { guard TIFFWriteDirectory(tiff) != 0 else { throw failure() } }

  /// Ends the file, which is complete then.
  func close() throws(ImageError) {
    if let tiff { TIFFClose(tiff) }
    tiff = nil
    if let problem = stream.takeProblem() ?? stream.end() { throw failure(problem) }
  }

  /// Pixels per centimetre; `nil` where TIFF's fractions of 32 bits cannot say it.
  private func resolution(_ micrometers: Double?) -> Double? {
    guard let micrometers, micrometers > 0, case let value = 1e4 / micrometers, (1e-3...4e9).contains(value) else {
      return nil
    }
    return value
  }

  private func set(_ tag: Int32, _ text: String) throws(ImageError) {
    try text.withCString { text in Result { () throws(ImageError) in try set(tag, text) } }.get()
  }

  /// Sets a tag to what libtiff expects for it as further arguments of a C function.
  private func set(_ tag: Int32, _ values: any CVarArg...) throws(ImageError) {
    guard withVaList(values, { TIFFVSetField(tiff, UInt32(tag), $0) }) != 0 else { throw failure() }
  }

  private func failure(_ problem: String? = nil) -> ImageError {
    ImageError(.cannotWrite, file: file, "cannot be written: \(problem ?? stream.takeProblem() ?? "libtiff failed")")
  }
}

extension PixelType {
  /// TIFF's code for the kind of number.
  fileprivate var sampleFormat: Int32 {
    switch self {
    case .uint8, .uint16, .uint32, .uint64: SAMPLEFORMAT_UINT
    case .int8, .int16, .int32, .int64: SAMPLEFORMAT_INT
    case .float32, .float64: SAMPLEFORMAT_IEEEFP
    }
  }
}

/// The file that libtiff writes to; it reads back what links pages.
private final class TIFFOutputStream: TIFFClient {
  private var descriptor: Int32
  private var position = 0
  private(set) var count = 0

  init(path: String, calling file: String) throws(ImageError) {
    descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw ImageError(.cannotWrite, file: file, "cannot be created: \(String(cString: strerror(errno)))")
    }
  }

  deinit { _ = end() }

  static func of(_ user: UnsafeMutableRawPointer) -> TIFFOutputStream {
    Unmanaged<TIFFOutputStream>.fromOpaque(user).takeUnretainedValue()
  }

  func read(into bytes: UnsafeMutableRawPointer, _ size: Int) -> Int {
    var done = 0
    while done < size {
      let got = pread(descriptor, bytes + done, size - done, off_t(position))
      if got < 0 && errno == EINTR { continue }
      guard got > 0 else {
        if got < 0 { note(String(cString: strerror(errno))) }
        break
      }
      done += got
      position += got
    }
    return done
  }

  func write(_ bytes: UnsafeMutableRawPointer, _ size: Int) -> Int {
    var done = 0
    while done < size {
      let written = pwrite(descriptor, bytes + done, size - done, off_t(position))
      if written < 0 && errno == EINTR { continue }
      guard written > 0 else {
        note(String(cString: strerror(errno)))
        return -1
      }
      done += written
      position += written
      count = max(count, position)
    }
    return done
  }

  func seek(_ offset: Int, _ origin: Int32) -> Int {
    switch origin {
    case SEEK_CUR: position += offset
    case SEEK_END: position = count + offset
    default: position = offset
    }
    return position
  }

  /// - Returns: what the system says if what was written did not reach the disk.
  func end() -> String? {
    guard descriptor >= 0 else { return nil }
    defer { descriptor = -1 }
    return close(descriptor) == 0 ? nil : String(cString: strerror(errno))
  }
}
