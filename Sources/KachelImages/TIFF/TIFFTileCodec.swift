// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
import KachelPixels

/// Tiles of TIFF files as Deflate makes them small (compression 8), little-endian, of integers on request with
/// ``HorizontalDifferences`` (predictor 2). The predictor of floating point (3) is not used: Bio-Formats and so Fiji and
/// QuPath do not read it.
struct TIFFTileCodec: TileCodec {
  let hasDifferences: Bool
  private let compressor: ZlibCompressor
  /// What the bytes are called in errors.
  private let file: String

  /// - Parameter isLabels: what the pixels are; it decides how they are compressed.
  init(_ type: PixelType, isLabels: Bool, file: String) {
    // Measured: differences make labels larger, and intensities hardly get smaller at higher levels.
    hasDifferences = !isLabels && !type.isFloatingPoint
    compressor = ZlibCompressor(level: isLabels ? 6 : 1)
    self.file = file
  }

  func encode(_ pixels: PixelBuffer) -> [UInt8] {
    guard hasDifferences else { return compressor.compress(UnsafeRawBufferPointer(pixels.bytes)) }
    let differences = [UInt8](unsafeUninitializedCapacity: pixels.byteCount) { buffer, initialized in
      HorizontalDifferences.take(
        of: UnsafeRawBufferPointer(pixels.bytes),
        into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[0..<pixels.byteCount]),
        bytesPerRow: pixels.bytesPerRow, samples: pixels.samples, size: pixels.type.size)
      initialized = pixels.byteCount
    }
    return differences.withUnsafeBytes { compressor.compress($0) }
  }

  func decode(_ bytes: [UInt8], into pixels: PixelBuffer) throws(ImageError) {
    if let problem = bytes.withUnsafeBytes({ Zlib.decompress($0, into: pixels.bytes) }) {
      throw ImageError(.damaged, file: file, problem)
    }
    guard hasDifferences else { return }
    HorizontalDifferences.undo(
      pixels.bytes, bytesPerRow: pixels.bytesPerRow, samples: pixels.samples, size: pixels.type.size)
  }
}
