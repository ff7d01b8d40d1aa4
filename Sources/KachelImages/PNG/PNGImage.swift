// SPDX-License-Identifier: Apache-2.0
private import CSpng
package import KachelBytes
package import KachelPixels

/// A PNG file. PNG can only be read from its start, so the first read decodes the whole image and keeps it.
///
/// Palettes become RGB, or RGBA where entries are transparent; gray of 1, 2 and 4 bits becomes 8 bits, with white at
/// 255. Transparent colours of images without palette and gamma are not applied: samples are what the file stores.
package final class PNGImage: ImageSource {
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
    let decoder = try PNGDecoder(source)
    let (size, layout) = (decoder.size, decoder.layout)
    whole = WholeImage(path: source.path, format: "PNG", size: size, layout: layout, type: decoder.type) {
      () throws(ImageError) in try PNGDecoder(source).decode()
    }
    description = ImageDescription(
      format: "PNG", scenes: [.init(index: 0, box: Region(size))],
      channels: [.init(name: layout.samples < 3 ? "Gray" : "RGB", pixelType: decoder.type, layout: layout)],
      compressions: ["Deflate"])
  }

  package func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws {
    try whole.read(region, of: plane, into: pixels)
  }

  package func hasPixels(in region: Region, of plane: PlaneIndex) -> Bool { whole.hasPixels(in: region, of: plane) }

  package func coveredRegions(in region: Region, of plane: PlaneIndex) -> [Region] {
    whole.coveredRegions(in: region, of: plane)
  }
}

/// One pass of libspng over a file.
private struct PNGDecoder {
  let size: Size
  let layout: SampleLayout
  let type: PixelType
  private let stream: PNGStream
  private let format: spng_format

  init(_ source: ByteSource) throws(ImageError) {
    stream = try PNGStream(source)
    var header = spng_ihdr()
    var transparency = spng_trns()
    try stream.check(spng_get_ihdr(stream.context, &header))
    let isTransparent = header.color_type == 3 && spng_get_trns(stream.context, &transparency) == 0
    size = Size(width: Int(header.width), height: Int(header.height))
    type = header.bit_depth == 16 ? .uint16 : .uint8
    (layout, format) =
      switch header.color_type {
      case 0: (.gray, header.bit_depth == 16 ? SPNG_FMT_PNG : SPNG_FMT_G8)
      case 2: (.rgb, SPNG_FMT_PNG)
      case 3: isTransparent ? (.rgba, SPNG_FMT_RGBA8) : (.rgb, SPNG_FMT_RGB8)
      case 4: (.grayAlpha, SPNG_FMT_PNG)
      default: (.rgba, SPNG_FMT_PNG)
      }
    let bits = Int(header.bit_depth) * (header.color_type == 3 ? 1 : layout.samples)
    try Self.check(size, bytesPerPixel: layout.samples * type.size, bits: bits, source)
  }

  /// Bounds the memory before it is allocated. Deflate cannot pack better than 1032 to 1.
  private static func check(
    _ size: Size, bytesPerPixel: Int, bits: Int, _ source: ByteSource
  ) throws(ImageError) {
    guard size.width > 0, size.height > 0, size.width <= PNGImage.mostBytes / size.height / bytesPerPixel else {
      throw ImageError(
        .unsupported, file: source.path,
        "\(size) pixels of PNG need more than 2 GiB; PNG cannot be read in parts, convert the image to CZI")
    }
    let stored = size.height * ((size.width * bits + 7) / 8)
    guard stored / 1032 <= source.count else {
      throw ImageError(
        .damaged, file: source.path, "\(size) pixels cannot be stored in \(source.count) bytes; the file is incomplete")
    }
  }

  func decode() throws(ImageError) -> [UInt8] {
    let count = size.area * layout.samples * type.size
    var code: Int32 = 0
    let flags = layout == .rgba && format == SPNG_FMT_RGBA8 ? SPNG_DECODE_TRNS.rawValue : 0
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { output, initialized in
      code = spng_decode_image(stream.context, output.baseAddress, count, Int32(format.rawValue), Int32(flags))
      initialized = code == 0 ? count : 0
    }
    try stream.check(code)
    // Also the end of the file is read, so that an incomplete file is never taken for a complete one.
    try stream.check(spng_decode_chunks(stream.context))
    return bytes
  }
}

/// A decoder of libspng and the file that it reads piece by piece.
private final class PNGStream {
  let context: OpaquePointer
  private let source: ByteSource
  private var position = 0
  private var failure: BytesError?

  init(_ source: ByteSource) throws(ImageError) {
    guard let context = spng_ctx_new(0) else {
      throw ImageError(.damaged, file: source.path, "there is no memory to read PNG")
    }
    self.source = source
    self.context = context
    spng_set_chunk_limits(context, 64 << 20, 64 << 20)
    spng_set_crc_action(context, Int32(SPNG_CRC_ERROR.rawValue), Int32(SPNG_CRC_DISCARD.rawValue))
    // The context keeps no reference; this object frees it and so lives longer.
    try check(
      spng_set_png_stream(
        context,
        { _, user, destination, length in
          guard let user, let destination else { return SPNG_IO_ERROR.rawValue }
          return Unmanaged<PNGStream>.fromOpaque(user).takeUnretainedValue().read(into: destination, length)
        }, Unmanaged.passUnretained(self).toOpaque()))
  }

  deinit { spng_ctx_free(context) }

  func read(into destination: UnsafeMutableRawPointer, _ count: Int) -> Int32 {
    do throws(BytesError) {
      try source.read(at: position, into: .init(start: destination, count: count))
      position += count
      return 0
    } catch {
      failure = error
      return error.kind == .truncated ? SPNG_IO_EOF.rawValue : SPNG_IO_ERROR.rawValue
    }
  }

  func check(_ code: Int32) throws(ImageError) {
    guard code != 0 else { return }
    if let failure {
      throw ImageError(.damaged, file: failure.file, offset: failure.offset, "the PNG is incomplete: \(failure.reason)")
    }
    throw ImageError(.damaged, file: source.path, offset: position, "PNG: \(String(cString: spng_strerror(code)))")
  }
}
