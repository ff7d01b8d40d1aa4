// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
import KachelPixels

/// Pixels in Zstandard frames, which CZI compresses better as two halves: the low bytes of 16-bit samples, then the
/// high ones.
enum CZIZstandard {
  /// Fills `output` with the pixels of one frame.
  ///
  /// - Parameter isPacked: whether the frame holds 16-bit samples in HiLo packing.
  /// - Returns: what is wrong, or `nil`.
  static func decompress(
    _ frame: UnsafeRawBufferPointer, isPacked: Bool, into output: UnsafeMutableRawBufferPointer
  ) -> String? {
    guard isPacked else { return Zstandard.decompress(frame, into: output) }
    return Scratch.withBytes(output.count) { packed in
      if let problem = Zstandard.decompress(frame, into: packed) { return problem }
      HiLo.unpack(UnsafeRawBufferPointer(packed), into: output)
      return nil
    }
  }
}

/// Sub-blocks as they are written: Zstd1, with HiLo packing for Gray16 alone, as libCZI reads it wrongly in Bgr48.
struct CZITileCodec: TileCodec {
  /// What the tiles are called in errors.
  let file: String

  /// The header of a frame: its length and, where there is more, option 1 with bit 0 for HiLo packing.
  private static func header(isPacked: Bool) -> [UInt8] { isPacked ? [3, 1, 1] : [1] }

  /// Labels become smaller and are written faster than at the levels 2 to 4; intensities become hardly larger.
  private static let level: Int32 = 1

  private static func isPacked(_ pixels: PixelBuffer) -> Bool { pixels.type == .uint16 && pixels.samples == 1 }

  func encode(_ pixels: PixelBuffer) -> [UInt8] {
    let bytes = UnsafeRawBufferPointer(pixels.bytes)
    guard Self.isPacked(pixels) else {
      return Self.header(isPacked: false) + Zstandard.compress(bytes, level: Self.level)
    }
    return Scratch.withBytes(bytes.count) { packed in
      HiLo.pack(bytes, into: packed)
      return Self.header(isPacked: true) + Zstandard.compress(UnsafeRawBufferPointer(packed), level: Self.level)
    }
  }

  func decode(_ bytes: [UInt8], into pixels: PixelBuffer) throws(ImageError) {
    let isPacked = Self.isPacked(pixels)
    let problem = bytes.withUnsafeBytes { bytes in
      CZIZstandard.decompress(
        UnsafeRawBufferPointer(rebasing: bytes[Self.header(isPacked: isPacked).count...]), isPacked: isPacked,
        into: pixels.bytes)
    }
    if let problem { throw ImageError(.damaged, file: file, problem) }
  }
}
