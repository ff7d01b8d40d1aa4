// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
import KachelPixels

/// The chunks of a Zarr version 2 array that is being written, a file each. Chunks that are not stored are zeros, the
/// fill value.
final class ZarrChunkFolder: TileStore {
  private let folder: String
  private let shape: [Int]
  private var madeFolders: Set<String> = []

  /// - Parameters:
  ///   - folder: created; what it already holds is neither read nor removed.
  ///   - shape: of the array; the last two sizes are height and width.
  init(_ folder: String, shape: [Int], chunk: Size, type: PixelType) throws(ImageError) {
    self.folder = folder
    self.shape = shape
    let chunks = [Int](repeating: 1, count: shape.count - 2) + [chunk.height, chunk.width]
    try OutputFolder.create(folder)
    try OutputFolder.write(json: ZarrArrayMetadata(shape: shape, chunks: chunks, type: type), to: folder + "/.zarray")
  }

  func store(_ pixels: PixelBuffer, at index: TileIndex) throws(ImageError) {
    let path = path(index)
    if madeFolders.insert(path.folder).inserted { try OutputFolder.create(path.folder) }
    try OutputFolder.write(Zstandard.compress(UnsafeRawBufferPointer(pixels.bytes)), to: path.file)
  }

  func load(_ index: TileIndex, into pixels: PixelBuffer) throws(ImageError) {
    let file = path(index).file
    let bytes = try ImageError.wrapping { () throws(BytesError) in
      let source = try ByteSource(path: file)
      return try source.read(at: 0, count: source.count)
    }
    if let problem = bytes.withUnsafeBytes({ Zstandard.decompress($0, into: pixels.bytes) }) {
      throw ImageError(.damaged, file: file, problem)
    }
  }

  /// Where a chunk lies: the position along every dimension, joined by `/`.
  private func path(_ index: TileIndex) -> (folder: String, file: String) {
    var folder = folder
    var rest = index.plane
    var parts: [Int] = []
    for count in shape.dropLast(2).reversed() {
      parts.append(rest % count)
      rest /= count
    }
    for part in parts.reversed() { folder += "/\(part)" }
    folder += "/\(index.row)"
    return (folder, folder + "/\(index.column)")
  }
}
