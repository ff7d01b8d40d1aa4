// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
public import KachelPixels

/// An image of any format that Kachel reads: a CZI, TIFF (also OME-TIFF and ImageJ's), PNG or JPEG file or a whole slide,
/// recognised by its content and never by its name (but for MIRAX slides, which have no other mark), or the folder of an
/// OME-Zarr image or Zarr array, also on a web server.
public struct Image: ImageSource {
  private static let formats =
    "images are read in the formats CZI, TIFF, OME-TIFF, OME-Zarr, PNG and JPEG, whole slides by OpenSlide"
  private let source: any ImageSource

  /// Opens an image and reads what it holds, no pixels.
  ///
  /// - Parameters:
  ///   - path: the file or folder, or the `https://` or `http://` address of an OME-Zarr's folder. A query (of a signed
  ///     address), user name and password in it are used and not shown again: they are not part of ``path``. Reading from
  ///     a server blocks the calling thread, which must not be one of NIO's event loops.
  ///   - cacheBytes: how many bytes of decoded blocks are kept in memory; of a whole slide OpenSlide keeps 32 MB.
  /// - Throws: `notAnImage` where the file cannot be opened or is of no known format, `unsupported` where it has
  ///   something that is not read, `missingLibrary` where it is a whole slide and OpenSlide is not installed, `damaged`
  ///   where it contradicts itself, `unreachable` where a server does not answer.
  public init(at path: String, cacheBytes: Int = 64 << 20) throws(ImageError) {
    if RemoteAddress.isAddress(path) {
      let store = HTTPZarrStore(try RemoteAddress(path))
      source = try OMEZarrImage(store, path: store.name, cacheBytes: cacheBytes)
      return
    }
    let folder = LocalZarrStore(folder: path)
    if OMEZarrImage.isZarr(folder) {
      source = try OMEZarrImage(folder, path: path, cacheBytes: cacheBytes)
      return
    }
    let (bytes, start) = try ImageError.wrapping { () throws(BytesError) in
      let bytes = try ByteSource(path: path)
      return (bytes, try bytes.read(at: 0, count: min(bytes.count, 4096)))
    }
    if let slide = SlideFormat(bytes, start: start) {
      source = try WholeSlideImage(bytes, slide, OpenSlideLibrary.ofThisProcess)
      return
    }
    switch ImageFormat(start) {
    case .czi: source = try CZIImage(bytes, cacheBytes: cacheBytes)
    case .png: source = try PNGImage(bytes)
    case .tiff: source = try TIFFImage(bytes, cacheBytes: cacheBytes)
    case .omeXML: source = try TIFFImage(companion: bytes, cacheBytes: cacheBytes)
    case .jpeg: source = try JPEGImage(bytes)
    case .other(let name):
      throw ImageError(.notAnImage, file: path, "is \(name); \(Self.formats)")
    case nil:
      throw ImageError(
        .notAnImage, file: path,
        bytes.count == 0
          ? "the file is empty" : "is of no known image format; \(Self.formats)")
    }
  }

  /// Whether a file or folder begins as an image of a format that is read; what follows may still be damaged.
  public static func isImage(at path: String) -> Bool {
    if OMEZarrImage.isZarr(LocalZarrStore(folder: path)) { return true }
    guard let bytes = try? ByteSource(path: path), let start = try? bytes.read(at: 0, count: min(bytes.count, 4096))
    else { return false }
    if let slide = SlideFormat(bytes, start: start) { return slide.isCertain }
    return switch ImageFormat(start) {
    case .czi, .png, .tiff, .omeXML, .jpeg: true
    case .other, nil: false
    }
  }

  public var path: String { source.path }
  public var files: [String] { source.files }
  public var description: ImageDescription { source.description }
  public var cacheBytes: Int { source.cacheBytes }

  public func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws {
    try source.read(region, of: plane, into: pixels)
  }

  public func hasPixels(in region: Region, of plane: PlaneIndex) -> Bool {
    source.hasPixels(in: region, of: plane)
  }

  public func coveredRegions(in region: Region, of plane: PlaneIndex) -> [Region] {
    source.coveredRegions(in: region, of: plane)
  }

  public func attachment(_ index: Int) throws -> [UInt8] { try source.attachment(index) }

  public func chunkFiles(ofScenes scenes: [Int]) throws -> ChunkFiles? { try source.chunkFiles(ofScenes: scenes) }
}

/// A file format as its first bytes tell it.
enum ImageFormat {
  case czi
  case png
  case tiff
  /// The companion of a set of OME-TIFF files.
  case omeXML
  case jpeg
  /// Recognised, but not read: what it is, in words.
  case other(String)

  init?(_ start: [UInt8]) {
    func begins(_ signature: some Sequence<UInt8>) -> Bool { start.starts(with: signature) }
    if begins(CZIHeader.signature) {
      self = .czi
    } else if begins([0x89] + "PNG\r\n\u{1A}\n".utf8) {
      self = .png
    } else if [[0x49, 0x49, 0x2A, 0], [0x4D, 0x4D, 0, 0x2A], [0x49, 0x49, 0x2B, 0], [0x4D, 0x4D, 0, 0x2B]]
      .contains(where: begins)
    {
      self = .tiff
    } else if begins([0xFF, 0xD8, 0xFF]) {
      self = .jpeg
    } else if OMEXML.isDocument(start) {
      self = .omeXML
    } else if begins([0x49, 0x49, 0xBC]) {
      self = .other("a JPEG-XR file")
    } else if begins("PK\u{3}\u{4}".utf8) {
      self = .other("a zip archive (as are .czmodel and .czann packages)")
    } else if begins([0x89] + "HDF\r\n".utf8) {
      self = .other("an HDF5 file")
    } else if begins("GIF8".utf8) {
      self = .other("a GIF file")
    } else if begins("BM".utf8) {
      self = .other("a BMP file")
    } else {
      return nil
    }
  }
}
