// SPDX-License-Identifier: Apache-2.0
private import CKachelJXR
private import KachelPixels

/// The header of a JPEG XR file (ITU-T T.832, annex A) and of the image in it (section 8.3).
///
/// It is read here before jxrlib sees the file, so that only images of the expected size and type reach the decoder,
/// which trusts what files say.
struct JPEGXRHeader: Equatable {
  /// The last byte of the pixel format's identifier.
  var pixelFormat: UInt8
  var width: Int
  var height: Int

  /// `II`, 0xBC, version 1.
  static let signature: [UInt8] = [0x49, 0x49, 0xBC, 1]

  /// What a file says, or why it is not read.
  struct Refusal: Error { let reason: String }

  /// The first 15 bytes of all pixel formats that occur in CZI files.
  private static let formatPrefix: [UInt8] = [
    0x24, 0xC3, 0xDD, 0x6F, 0x03, 0x4E, 0xFE, 0x4B, 0xB1, 0x85, 0x3D, 0x77, 0x76, 0x8D, 0xC9,
  ]

  /// The pixel format, colour format and bit depth of the images that hold pixels of a type.
  static func codes(of type: CZIPixelType) -> (format: UInt8, color: UInt8, depth: UInt8)? {
    switch type {
    case .gray8: (0x08, 0, 1)
    case .gray16: (0x0B, 0, 2)
    case .gray32Float: (0x11, 0, 7)
    case .bgr24: (0x0C, 7, 1)
    case .bgr48: (0x15, 7, 2)
    case .gray32, .gray64Float, .bgr96Float, .bgra32: nil
    }
  }

  init(_ data: UnsafeRawBufferPointer, of type: CZIPixelType) throws(Refusal) {
    func number(_ at: Int, _ size: Int) throws(Refusal) -> Int {
      guard at >= 0, at <= data.count - size else { throw Refusal(reason: "its header is cut off") }
      return (0..<size).reduce(0) { $0 | Int(data[at + $1]) << (8 * $1) }
    }
    guard data.starts(with: Self.signature) else { throw Refusal(reason: "it does not begin as JPEG-XR does") }
    guard let codes = Self.codes(of: type) else { throw Refusal(reason: "it cannot hold \(type)") }

    let directory = try number(4, 4)
    let count = try number(directory, 2)
    var values: [Int: Int] = [:]
    var format: [UInt8]?
    for index in 0..<count {
      let entry = directory + 2 + 12 * index
      let (tag, kind, length) = (try number(entry, 2), try number(entry + 2, 2), try number(entry + 4, 4))
      switch tag {
      case 0xBC01:
        let at = try number(entry + 8, 4)
        guard length == 16, at <= data.count - 16 else { throw Refusal(reason: "its pixel format is cut off") }
        format = Array(data[at..<at + 16])
      // Width, height, position and size of the image and of its alpha plane: 8, 16 or 32 bits.
      case 0xBC80, 0xBC81, 0xBCC0, 0xBCC1, 0xBCC2, 0xBCC3:
        let sizes = [1: 1, 3: 2, 4: 4]
        guard length == 1, let size = sizes[kind] else { throw Refusal(reason: "field \(tag) of its header is wrong") }
        values[tag] = try number(entry + 8, size)
      // Colour profiles and descriptions are not needed, and jxrlib would follow where they point.
      default:
        guard [0xBC02, 0xBC03, 0xBC04, 0xBC05, 0xBC82, 0xBC83, 0xEA1C].contains(tag) || length <= 4 else {
          throw Refusal(reason: "field \(tag) of its header is not known")
        }
      }
    }
    guard let format, format.dropLast() == Self.formatPrefix[...], format[15] == codes.format else {
      throw Refusal(reason: "its pixel format is not that of \(type)")
    }
    guard values[0xBCC2] ?? 0 == 0, values[0xBCC3] ?? 0 == 0 else { throw Refusal(reason: "it has an alpha plane") }
    guard let width = values[0xBC80], let height = values[0xBC81], let start = values[0xBCC0],
      let length = values[0xBCC1]
    else { throw Refusal(reason: "its header lacks a field") }
    // Encoders count the image's bytes loosely: 0 means up to the end.
    guard start <= data.count, length <= data.count - start else { throw Refusal(reason: "the image in it is cut off") }
    (pixelFormat, self.width, self.height) = (codes.format, width, height)
    try Self.check(UnsafeRawBufferPointer(rebasing: data[start...]), width: width, height: height, codes: codes)
  }

  /// Checks the header of the coded image, in big-endian bits.
  private static func check(
    _ image: UnsafeRawBufferPointer, width: Int, height: Int, codes: (format: UInt8, color: UInt8, depth: UInt8)
  ) throws(Refusal) {
    guard image.count >= 20, image.starts(with: Array("WMPHOTO\0".utf8)) else {
      throw Refusal(reason: "the image in it does not begin as it should")
    }
    let flags = image[9], more = image[10]
    guard image[8] & 0xF0 == 0x10 else { throw Refusal(reason: "the image in it is of another version") }
    guard flags & 0x38 == 0 else { throw Refusal(reason: "the image in it is turned") }
    guard more & 1 == 0 else { throw Refusal(reason: "it has an alpha plane") }
    guard image[11] == codes.color << 4 | codes.depth else {
      throw Refusal(reason: "the image in it is of another type than its header")
    }
    func big(_ at: Int, _ size: Int) -> Int { (0..<size).reduce(0) { $0 << 8 | Int(image[at + $1]) } }
    let size = more & 0x80 != 0 ? 2 : 4
    guard big(12, size) + 1 == width, big(12 + size, size) + 1 == height else {
      throw Refusal(reason: "the image in it has another size than its header")
    }
  }
}

/// JPEG XR, by jxrlib.
enum CZIJPEGXR {
  /// Decodes into tight rows of gray or of blue, green, red.
  ///
  /// - Parameter output: as large as the sub-block's pixels.
  /// - Returns: what is wrong, or `nil`.
  static func decode(
    _ data: UnsafeRawBufferPointer, of block: CZISubBlock, type: CZIPixelType,
    into output: UnsafeMutableRawBufferPointer
  ) -> String? {
    let header: JPEGXRHeader
    do { header = try JPEGXRHeader(data, of: type) } catch { return "JPEG-XR: \(error.reason)" }
    guard CZIDecodedPixels.isPlausible(width: header.width, height: header.height, of: block) else {
      return "JPEG-XR of \(header.width) x \(header.height) pixels in a sub-block of "
        + "\(block.storedWidth) x \(block.storedHeight)"
    }
    func decode(into target: UnsafeMutableRawBufferPointer) -> String? {
      kachel_jxr_decode(
        data.baseAddress, data.count, header.pixelFormat, Int32(header.width), Int32(header.height),
        Int32(type.bytesPerPixel), target.baseAddress
      ).map { "JPEG-XR: \(String(cString: $0))" }
    }
    if header.width == Int(block.storedWidth), header.height == Int(block.storedHeight) {
      if let problem = decode(into: output) { return problem }
    } else {
      let stride = header.width * type.bytesPerPixel
      let (count, tooLarge) = stride.multipliedReportingOverflow(by: header.height)
      guard !tooLarge, count <= CZIDecoder.mostBytes else { return "JPEG-XR: it is too large" }
      let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
      defer { whole.deallocate() }
      if let problem = decode(into: whole) { return problem }
      CZIDecodedPixels(width: header.width, height: header.height, stride: stride, bytes: whole)
        .copy(into: output, width: Int(block.storedWidth), bytesPerPixel: type.bytesPerPixel)
    }
    // 16-bit colours are the only ones that JPEG-XR stores as red, green, blue.
    if type == .bgr48 { swapRedAndBlue(output) }
    return nil
  }

  private static func swapRedAndBlue(_ pixels: UnsafeMutableRawBufferPointer) {
    let samples = pixels.bindMemory(to: UInt16.self)
    for pixel in stride(from: 0, to: samples.count - 2, by: 3) { samples.swapAt(pixel, pixel + 2) }
  }
}
