// SPDX-License-Identifier: Apache-2.0
private import CTurboJPEG
package import KachelBytes
package import KachelPixels

/// A JPEG file, gray or RGB with 8 bits. The first read decodes the whole image and keeps it, as JPEG can only be read
/// from its start. An orientation in EXIF data is not applied: pixels stand as the file stores them.
package final class JPEGImage: ImageSource {
  /// The most bytes that a decoded image may have.
  package static let mostBytes = 2 << 30

  package let description: ImageDescription
  private let source: ByteSource
  private let whole: WholeImage

  package var path: String { source.path }
  /// The whole image, which is decoded at the first read.
  package var cacheBytes: Int { whole.cacheBytes }

  package init(_ source: ByteSource) throws(ImageError) {
    self.source = source
    let decoder = try JPEGDecoder(source)
    let (size, layout) = (decoder.size, decoder.layout)
    whole = WholeImage(path: source.path, format: "JPEG", size: size, layout: layout, type: .uint8) {
      () throws(ImageError) in try JPEGDecoder(source).decode()
    }
    description = ImageDescription(
      format: "JPEG", scenes: [.init(index: 0, box: Region(size))],
      channels: [.init(name: layout == .gray ? "Gray" : "RGB", pixelType: .uint8, layout: layout)],
      compressions: ["JPEG"])
  }

  package func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws {
    try whole.read(region, of: plane, into: pixels)
  }

  package func hasPixels(in region: Region, of plane: PlaneIndex) -> Bool { whole.hasPixels(in: region, of: plane) }

  package func coveredRegions(in region: Region, of plane: PlaneIndex) -> [Region] {
    whole.coveredRegions(in: region, of: plane)
  }
}

/// TurboJPEG on the bytes of one file.
private final class JPEGDecoder {
  let size: Size
  let layout: SampleLayout
  private let source: ByteSource
  private let handle: tjhandle

  init(_ source: ByteSource) throws(ImageError) {
    self.source = source
    guard source.count <= 1 << 30 else {
      throw ImageError(.unsupported, file: source.path, "a JPEG file of more than 1 GiB is not read")
    }
    guard let handle = tjInitDecompress() else {
      throw ImageError(.damaged, file: source.path, "there is no memory to read JPEG")
    }
    self.handle = handle
    do throws(ImageError) {
      (size, layout) = try Self.header(source, handle)
    } catch {
      tjDestroy(handle)
      throw error
    }
  }

  deinit { tjDestroy(handle) }

  /// Size and samples, from the file's start alone where that is enough: metadata may stand before them.
  private static func header(
    _ source: ByteSource, _ handle: tjhandle
  ) throws(ImageError) -> (Size, SampleLayout) {
    var (width, height, subsampling, colors): (Int32, Int32, Int32, Int32) = (0, 0, 0, 0)
    for count in [min(source.count, 1 << 18), source.count] {
      let bytes = try ImageError.wrapping { () throws(BytesError) in try source.read(at: 0, count: count) }
      if tjDecompressHeader3(handle, bytes, UInt(count), &width, &height, &subsampling, &colors) == 0 { break }
      if count == source.count {
        throw ImageError(.damaged, file: source.path, "JPEG: \(String(cString: tjGetErrorStr2(handle)))")
      }
    }
    let size = Size(width: Int(width), height: Int(height))
    let layout: SampleLayout = colors == Int32(TJCS_GRAY.rawValue) ? .gray : .rgb
    if colors == Int32(TJCS_CMYK.rawValue) || colors == Int32(TJCS_YCCK.rawValue) {
      throw ImageError(.unsupported, file: source.path, "JPEG with CMYK colours, which are not read; save it as RGB")
    }
    guard size.width > 0, size.height > 0 else {
      throw ImageError(.damaged, file: source.path, "JPEG: the file holds no image")
    }
    guard size.width <= JPEGImage.mostBytes / size.height / layout.samples else {
      throw ImageError(
        .unsupported, file: source.path, "\(size) pixels of JPEG need more than 2 GiB; save the image as tiled TIFF")
    }
    // Every square of 8 x 8 pixels has at least a bit.
    guard size.area / 512 <= source.count else {
      throw ImageError(
        .damaged, file: source.path,
        "\(size) pixels cannot be stored in \(source.count) bytes; the file is incomplete")
    }
    return (size, layout)
  }

  func decode() throws(ImageError) -> [UInt8] {
    let count = size.area * layout.samples
    let format = layout == .gray ? TJPF_GRAY : TJPF_RGB
    let bytes = try ImageError.wrapping { () throws(BytesError) in try source.read(at: 0, count: source.count) }
    var code: Int32 = 0
    let pixels = [UInt8](unsafeUninitializedCapacity: count) { output, initialized in
      output.initialize(repeating: 0)
      code = tjDecompress2(
        handle, bytes, UInt(bytes.count), output.baseAddress, Int32(size.width), 0, Int32(size.height),
        Int32(format.rawValue), Int32(TJFLAG_LIMITSCANS))
      initialized = count
    }
    guard code != 0 else { return pixels }
    let reason = String(cString: tjGetErrorStr2(handle))
    // Bytes too many between two parts harm no pixel; an incomplete file is never taken for a complete one.
    if tjGetErrorCode(handle) == Int32(TJERR_WARNING.rawValue), reason.contains("extraneous bytes") { return pixels }
    throw ImageError(.damaged, file: source.path, "JPEG: \(reason)")
  }
}
