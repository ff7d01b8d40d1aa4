// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
import KachelPixels

/// Where a chunk of one plane lies: the position along every dimension, joined by `/`.
struct ZarrChunkPath {
  let folder: String
  let file: String

  init(folder array: String, shape: [Int], plane: Int, row: Int, column: Int) {
    var folder = array
    var rest = plane
    var parts: [Int] = []
    for count in shape.dropLast(2).reversed() {
      parts.append(rest % max(1, count))
      rest /= max(1, count)
    }
    for part in parts.reversed() { folder += "/\(part)" }
    self.folder = folder + "/\(row)"
    file = self.folder + "/\(column)"
  }
}

/// The content of a chunk's file: one zstd frame.
enum ZarrChunk {
  static func write(_ pixels: PixelBuffer, to file: String) throws(ImageError) {
    try OutputFolder.write(Zstandard.compress(UnsafeRawBufferPointer(pixels.bytes)), to: file)
  }

  /// Reads a chunk into a buffer of its shape.
  static func read(_ file: String, into pixels: PixelBuffer) throws(ImageError) {
    do {
      let source = try ByteSource(path: file)
      guard source.count <= pixels.byteCount + 1 << 16 else {
        throw ImageError(.damaged, file: file, "is larger than a chunk can be")
      }
      let bytes = try source.read(at: 0, count: source.count)
      if let problem = bytes.withUnsafeBytes({ Zstandard.decompress($0, into: pixels.bytes) }) {
        throw ImageError(.damaged, file: file, problem)
      }
    } catch let error as ImageError {
      throw error
    } catch let error as BytesError {
      throw ImageError(.damaged, file: file, error.reason)
    } catch {
      throw ImageError(.damaged, file: file, "\(error)")
    }
  }
}
