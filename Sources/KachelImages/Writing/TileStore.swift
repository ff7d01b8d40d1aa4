// SPDX-License-Identifier: Apache-2.0
import KachelPixels

/// A tile of one resolution of a scene: the plane's number and the tile's place in the plane.
struct TileIndex: Hashable, Comparable {
  var plane: Int
  var row: Int
  var column: Int

  static func < (a: Self, b: Self) -> Bool { (a.plane, a.row, a.column) < (b.plane, b.row, b.column) }
}

/// Keeps the tiles of a ``TiledPlanes``, encoded, in files.
protocol TileStore: AnyObject {
  /// Keeps a tile; one that is there already is replaced.
  func store(_ pixels: PixelBuffer, at index: TileIndex) throws(ImageError)
  /// Gives a stored tile back into a buffer of its shape.
  func load(_ index: TileIndex, into pixels: PixelBuffer) throws(ImageError)
  /// Is called when all tiles of the resolution have come.
  func finish() throws(ImageError)
}

extension TileStore {
  /// Most stores have nothing to complete.
  func finish() {}
}
