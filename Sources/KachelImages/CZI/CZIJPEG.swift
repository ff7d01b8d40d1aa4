// SPDX-License-Identifier: Apache-2.0
private import CTurboJPEG
private import KachelPixels

/// Pixels that were decoded elsewhere and may have another size than the sub-block.
struct CZIDecodedPixels {
  var width: Int
  var height: Int
  /// Bytes from one row to the next, and all rows; further bytes may follow.
  var stride: Int
  var bytes: UnsafeMutableRawBufferPointer

  /// Puts the pixels at the top left of a sub-block; what they lack is 0, what they have too much is left out
  /// (resolution protocol of the libCZI documentation).
  func copy(into output: UnsafeMutableRawBufferPointer, width target: Int, bytesPerPixel: Int) {
    let rowBytes = target * bytesPerPixel
    let present = min(width, target) * bytesPerPixel
    if present < rowBytes || height * rowBytes < output.count {
      output.initializeMemory(as: UInt8.self, repeating: 0)
    }
    for row in 0..<min(height, output.count / rowBytes) {
      UnsafeMutableRawBufferPointer(rebasing: output[row * rowBytes..<row * rowBytes + present])
        .copyMemory(from: .init(rebasing: bytes[row * stride..<row * stride + present]))
    }
  }

  /// Whether a size that encoded data say is near enough to a sub-block's to be worth the memory.
  static func isPlausible(width: Int, height: Int, of block: CZISubBlock) -> Bool {
    func isNear(_ size: Int, _ stored: Int32) -> Bool { size > 0 && size <= 2 * Int(stored) + 64 }
    return isNear(width, block.storedWidth) && isNear(height, block.storedHeight)
  }
}

/// Lossy JPEG of 8 bits, by libjpeg-turbo.
enum CZIJPEG {
  /// Decodes into tight rows of gray or of blue, green, red.
  ///
  /// - Parameter output: as large as the sub-block's pixels.
  /// - Returns: what is wrong, or `nil`.
  static func decode(
    _ data: UnsafeRawBufferPointer, of block: CZISubBlock, type: CZIPixelType,
    into output: UnsafeMutableRawBufferPointer
  ) -> String? {
    guard let decoder = tjInitDecompress() else { return "libjpeg-turbo: no memory" }
    defer { tjDestroy(decoder) }
    func problem() -> String { "JPEG: \(String(cString: tjGetErrorStr2(decoder)))" }
    let bytes = data.assumingMemoryBound(to: UInt8.self)
    var width: Int32 = 0, height: Int32 = 0, subsampling: Int32 = 0, colors: Int32 = 0
    guard
      tjDecompressHeader3(decoder, bytes.baseAddress, UInt(data.count), &width, &height, &subsampling, &colors) == 0
    else { return problem() }
    guard CZIDecodedPixels.isPlausible(width: Int(width), height: Int(height), of: block) else {
      return "JPEG of \(width) x \(height) pixels in a sub-block of \(block.storedWidth) x \(block.storedHeight)"
    }
    // Every square of 8 x 8 pixels has at least a bit.
    guard Int(width) * Int(height) / 512 <= data.count else {
      return "\(data.count) bytes of JPEG for \(width) x \(height) pixels"
    }
    let format = type == .gray8 ? TJPF_GRAY : TJPF_BGR
    // A damaged file is an error and not a picture that is half gray; files with more than 500 scans are made to
    // take long.
    let flags = TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS
    func decompress(_ target: UnsafeMutableRawBufferPointer, stride: Int) -> Bool {
      tjDecompress2(
        decoder, bytes.baseAddress, UInt(data.count), target.baseAddress?.assumingMemoryBound(to: UInt8.self), width,
        Int32(stride), height, Int32(format.rawValue), Int32(flags)) == 0
    }
    let stride = Int(width) * type.bytesPerPixel
    if width == block.storedWidth, height == block.storedHeight {
      return decompress(output, stride: stride) ? nil : problem()
    }
    let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: stride * Int(height), alignment: 64)
    defer { whole.deallocate() }
    guard decompress(whole, stride: stride) else { return problem() }
    CZIDecodedPixels(width: Int(width), height: Int(height), stride: stride, bytes: whole)
      .copy(into: output, width: Int(block.storedWidth), bytesPerPixel: type.bytesPerPixel)
    return nil
  }
}
