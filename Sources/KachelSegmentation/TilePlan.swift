// SPDX-License-Identifier: Apache-2.0
private import Foundation
private import KachelBytes
public import KachelPixels

/// How the planes of a run are cut into tiles: a pure function of the image's sizes, the network's needs and the pixels
/// that a tile may have.
public struct TilePlan: Sendable {
  /// What the tiles respect.
  public let rules: TileRules
  /// The grid of the planes of each scene, in the order of ``PlaneSelection/scenes``.
  public let grids: [PlaneGrid]

  /// All planes get the tiles that suit the largest one, so that the network is prepared once; only smaller planes have
  /// tiles of their own.
  ///
  /// - Parameter tilePixels: the most that a tile may have where its size is free.
  /// - Returns: `nil` where tiles of so few pixels have no room for a core between their halos.
  public init?(planes: [Size], rules: TileRules, tilePixels: Int) {
    guard let largest = planes.max(by: { $0.area < $1.area }),
      let grid = rules.grid(plane: largest, tilePixels: tilePixels)
    else { return nil }
    let tile = Size(width: grid.x.tile, height: grid.y.tile)
    var grids: [PlaneGrid] = []
    for plane in planes {
      guard let grid = rules.grid(plane: plane, tile: rules.fixed ?? tile) else { return nil }
      grids.append(grid)
    }
    self.rules = rules
    self.grids = grids
  }

  /// The pixels of the largest tile.
  var largestTile: Int { grids.map { $0.x.tile * $0.y.tile }.max() ?? 0 }

  /// Names the plan: the first 16 digits of the SHA-256 of its numbers.
  public var identifier: String {
    var text = "stride \(rules.stride) halo \(rules.halo)" + (rules.tiling == .zen ? " zen" : "")
    for grid in grids {
      text += "\nplane \(grid.x.length) x \(grid.y.length) tile \(grid.x.tile) x \(grid.y.tile)"
    }
    return String(Array(text.utf8).withUnsafeBytes { SHA256.hex(of: $0) }.prefix(16))
  }
}
