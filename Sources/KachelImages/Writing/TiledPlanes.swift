// SPDX-License-Identifier: Apache-2.0
import KachelPixels

/// Gathers the pixels of planes into tiles, in bounded memory.
///
/// Regions may come in any order and need not match the tiles. A tile goes to the store when the last of its pixels has
/// come; a limit holds for the memory of those that still wait, beyond which the one that has waited longest goes to the
/// store early and is taken back when needed. Tiles of zeros are not stored. Not for several threads at once.
final class TiledPlanes {
  /// What a tile at the right or bottom edge of a plane holds.
  enum Edge {
    /// As many pixels as the others; those outside the plane are 0.
    case filled
    /// The pixels inside the plane.
    case cropped
  }

  struct Shape {
    var planes: Int
    var size: Size
    var tile: Size
    var samples = 1
    var type: PixelType
    var edge: Edge

    /// How many tiles a plane has on either axis.
    var grid: Size {
      Size(width: (size.width + tile.width - 1) / tile.width, height: (size.height + tile.height - 1) / tile.height)
    }
  }

  let shape: Shape
  var size: Size { shape.size }
  var grid: Size { shape.grid }
  let store: any TileStore
  private let cacheBytes: Int
  private var waiting: [TileIndex: WaitingTile] = [:]
  /// Pixels that a tile in the store still lacks, for tiles that left memory early.
  private var missingInStore: [TileIndex: Int] = [:]
  private var stored: [Int: Set<TileIndex>] = [:]
  private var clock = 0
  private var spare: [PixelBuffer] = []

  private struct WaitingTile {
    var pixels: PixelBuffer
    /// Pixels that have not come yet.
    var missing: Int
    var lastUse: Int
  }

  /// - Parameter cacheBytes: the memory for tiles that wait for pixels.
  init(_ shape: Shape, store: any TileStore, cacheBytes: Int) {
    self.shape = shape
    self.store = store
    self.cacheBytes = cacheBytes
  }

  /// Takes pixels of a plane.
  ///
  /// - Parameters:
  ///   - pixels: of the planes' type and samples.
  ///   - region: where they go; of the buffer's size and inside the plane. No pixel may come twice.
  func write(_ pixels: PixelBuffer, at region: Region, of plane: Int) throws(ImageError) {
    precondition(pixels.size == region.size && Region(size).contains(region))
    precondition(pixels.type == shape.type && pixels.samples == shape.samples && (0..<shape.planes).contains(plane))
    for index in tiles(of: plane, in: region) {
      let place = self.region(of: index)
      let part = place.intersection(region)
      if part == region && part == place && bufferSize(of: place) == pixels.size {
        // A whole tile comes at once; nothing of it can have come before.
        try keep(pixels, index)
        continue
      }
      try change(index, by: part.area) { tile in
        tile.copy(part.offsetBy(x: -region.x, y: -region.y), of: pixels, toX: part.x - place.x, y: part.y - place.y)
      }
    }
  }

  /// Stores all tiles that still wait; the pixels that did not come are 0.
  func finish() throws(ImageError) {
    for (index, tile) in waiting.sorted(by: { $0.key < $1.key }) { try keep(tile.pixels, index) }
    waiting = [:]
    missingInStore = [:]
    spare = []
    try store.finish()
  }

  /// Reads back a region of finished planes.
  ///
  /// - Parameter region: inside the plane; `pixels` is reshaped to its size.
  func read(_ region: Region, of plane: Int, into pixels: PixelBuffer) throws(ImageError) {
    pixels.reshape(width: region.width, height: region.height, samples: shape.samples, type: shape.type)
    let touched = tiles(of: plane, in: region)
    if !touched.allSatisfy(isStored) { pixels.fill(byte: 0) }
    let tile = PixelBuffer(width: 0, height: 0, type: shape.type)
    for index in touched where isStored(index) {
      let place = self.region(of: index)
      shapeBuffer(tile, for: place)
      try store.load(index, into: tile)
      let part = place.intersection(region)
      pixels.copy(part.offsetBy(x: -place.x, y: -place.y), of: tile, toX: part.x - region.x, y: part.y - region.y)
    }
  }

  /// The tiles of a plane that hold anything but 0, in reading order.
  func storedTiles(of plane: Int) -> [TileIndex] { (stored[plane] ?? []).sorted() }

  /// The planes that hold anything but 0.
  var storedPlanes: [Int] { stored.keys.sorted() }

  func isStored(_ index: TileIndex) -> Bool { stored[index.plane]?.contains(index) == true }

  /// A tile's part of the plane.
  func region(of index: TileIndex) -> Region {
    Region(
      x: index.column * shape.tile.width, y: index.row * shape.tile.height, width: shape.tile.width,
      height: shape.tile.height
    ).intersection(Region(size))
  }

  /// The tiles that a region touches, in reading order.
  func tiles(of plane: Int, in region: Region) -> [TileIndex] {
    guard !region.isEmpty else { return [] }
    var indices: [TileIndex] = []
    for row in region.y / shape.tile.height...(region.maxY - 1) / shape.tile.height {
      for column in region.x / shape.tile.width...(region.maxX - 1) / shape.tile.width {
        indices.append(TileIndex(plane: plane, row: row, column: column))
      }
    }
    return indices
  }

  /// The size of the buffer of a tile that lies at `place`.
  private func bufferSize(of place: Region) -> Size { shape.edge == .cropped ? place.size : shape.tile }

  private func shapeBuffer(_ pixels: PixelBuffer, for place: Region) {
    let size = bufferSize(of: place)
    pixels.reshape(width: size.width, height: size.height, samples: shape.samples, type: shape.type)
  }

  private func change(_ index: TileIndex, by area: Int, _ body: (PixelBuffer) -> Void) throws(ImageError) {
    var tile: WaitingTile
    if let known = waiting.removeValue(forKey: index) { tile = known } else { tile = try newTile(index) }
    body(tile.pixels)
    tile.missing -= area
    if tile.missing <= 0 {
      try keep(tile.pixels, index)
      spare.append(tile.pixels)
      return
    }
    clock += 1
    tile.lastUse = clock
    waiting[index] = tile
    let tileBytes = shape.tile.area * shape.samples * shape.type.size
    if waiting.count * tileBytes > cacheBytes, waiting.count > 1,
      let oldest = waiting.min(by: { $0.value.lastUse < $1.value.lastUse })
    {
      waiting[oldest.key] = nil
      try keep(oldest.value.pixels, oldest.key)
      missingInStore[oldest.key] = oldest.value.missing
      spare.append(oldest.value.pixels)
    }
  }

  private func newTile(_ index: TileIndex) throws(ImageError) -> WaitingTile {
    let pixels = spare.popLast() ?? PixelBuffer(width: 0, height: 0, type: shape.type)
    let place = region(of: index)
    shapeBuffer(pixels, for: place)
    if isStored(index) { try store.load(index, into: pixels) } else { pixels.fill(byte: 0) }
    return WaitingTile(
      pixels: pixels, missing: missingInStore.removeValue(forKey: index) ?? place.area, lastUse: clock)
  }

  private func keep(_ pixels: PixelBuffer, _ index: TileIndex) throws(ImageError) {
    guard isStored(index) || !pixels.isZero else { return }
    try store.store(pixels, at: index)
    stored[index.plane, default: []].insert(index)
  }
}
