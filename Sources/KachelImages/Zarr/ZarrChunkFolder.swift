// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
import KachelPixels

/// The chunks of a Zarr array that is being written, a file each. Chunks that are not stored are zeros, the fill value.
final class ZarrChunkFolder: TileStore {
  private let array: ZarrArrayFolder
  private let codec: ZstandardTiles

  init(_ array: ZarrArrayFolder, codec: ZstandardTiles) {
    self.array = array
    self.codec = codec
  }

  func store(_ pixels: PixelBuffer, at index: TileIndex) throws(ImageError) {
    let file = array.file(index)
    try array.makeFolders(for: file)
    try OutputFolder.write(codec.encode(pixels), to: file)
  }

  func load(_ index: TileIndex, into pixels: PixelBuffer) throws(ImageError) {
    let file = array.file(index)
    let bytes = try ImageError.wrapping { () throws(BytesError) in
      let source = try ByteSource(path: file)
      return try source.read(at: 0, count: source.count)
    }
    try codec.decode(bytes, into: pixels)
  }
}

/// The chunks of a Zarr array that is being written, many in each file (a shard, of the codec `sharding_indexed`). They
/// wait in a spool until all have come, so that a shard's bytes do not depend on the order in which its chunks come.
final class ZarrShardFolder: TileStore {
  private let array: ZarrArrayFolder
  private let codec: ZstandardTiles
  /// `nil` when the shards are written.
  private var spool: TileSpool?
  /// How many chunks a shard has on either axis.
  private let chunks: Size
  /// Where the chunks lie: in the spool, and in their shards when those are written.
  private var places: [TileIndex: (offset: Int, count: Int)] = [:]

  /// - Parameter spool: of this array alone.
  init(_ array: ZarrArrayFolder, chunks: Size, spool: TileSpool, codec: ZstandardTiles) {
    self.array = array
    self.chunks = chunks
    self.spool = spool
    self.codec = codec
  }

  private func shard(of index: TileIndex) -> TileIndex {
    TileIndex(plane: index.plane, row: index.row / chunks.height, column: index.column / chunks.width)
  }

  func store(_ pixels: PixelBuffer, at index: TileIndex) throws(ImageError) {
    guard let spool else { preconditionFailure("a chunk came after the last one") }
    let bytes = codec.encode(pixels)
    places[index] = (try spool.append(bytes), bytes.count)
  }

  func load(_ index: TileIndex, into pixels: PixelBuffer) throws(ImageError) {
    guard let place = places[index] else {
      pixels.fill(byte: 0)
      return
    }
    if let spool { return try codec.decode(spool.read(at: place.offset, count: place.count), into: pixels) }
    let file = array.file(shard(of: index))
    let bytes = try ImageError.wrapping { () throws(BytesError) in
      try ByteSource(path: file).read(at: place.offset, count: place.count)
    }
    try codec.decode(bytes, into: pixels)
  }

  func finish() throws(ImageError) {
    guard let spool else { return }
    for shard in Set(places.keys.map(shard)).sorted() { try write(shard, from: spool) }
    self.spool = nil
  }

  private func write(_ shard: TileIndex, from spool: TileSpool) throws(ImageError) {
    let path = array.file(shard)
    try array.makeFolders(for: path)
    let file = try SequentialFile(path)
    // Both numbers of a chunk that is missing are 2^64 - 1.
    var index = [UInt64](repeating: .max, count: 2 * chunks.area)
    for entry in 0..<chunks.area {
      let chunk = TileIndex(
        plane: shard.plane, row: shard.row * chunks.height + entry / chunks.width,
        column: shard.column * chunks.width + entry % chunks.width)
      guard let place = places[chunk] else { continue }
      let start = file.count
      try file.append(spool.read(at: place.offset, count: place.count))
      (index[2 * entry], index[2 * entry + 1]) = (UInt64(start), UInt64(place.count))
      places[chunk] = (start, place.count)
    }
    let table = index.flatMap { number in withUnsafeBytes(of: number.littleEndian) { Array($0) } }
    let checksum = CRC32C.checksum(table)
    try file.append(table + withUnsafeBytes(of: checksum.littleEndian) { Array($0) })
    try file.close()
  }
}
