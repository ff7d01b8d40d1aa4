// SPDX-License-Identifier: Apache-2.0
public import KachelPixels

/// Where tiles lie.
public enum Tiling: String, Codable, Sendable, Hashable, CaseIterable {
  /// On the network's stride, counted from the plane's origin, so that the result does not depend on the cut.
  case aligned
  /// As ZEN and napari-czann-segment cut images, for results that must match theirs; see ``ZenAxis``.
  case zen
}

/// What the tiles of a network must respect.
public struct TileRules: Sendable {
  /// The network's total stride in pixels.
  public var stride: Size
  /// What a core must see on every side, in pixels.
  public var halo: Size
  /// The tile's size where the network, its package or the user fixes it.
  public var fixed: Size?
  /// Whether a plane smaller than the tile gets a tile of its own width or height: true on an axis of which the network
  /// takes any length, as it pads at the image's edge by itself there.
  public var shrinks: (width: Bool, height: Bool)
  public var tiling: Tiling

  public init(
    stride: Size, halo: Size, fixed: Size? = nil, shrinks: (width: Bool, height: Bool) = (true, true),
    tiling: Tiling = .aligned
  ) {
    self.stride = stride
    self.halo = halo
    self.fixed = fixed
    self.shrinks = shrinks
    self.tiling = tiling
  }

  /// The grid over a plane for tiles of at most this size.
  ///
  /// - Returns: `nil` where such tiles have no room for a core between their halos.
  public func grid(plane: Size, tile: Size) -> PlaneGrid? {
    func axis(_ length: Int, _ tile: Int, _ halo: Int, _ stride: Int, _ shrinks: Bool) -> AxisGrid? {
      if tiling == .zen { return ZenAxis(length: length, tile: tile, border: halo).map { AxisGrid(zen: $0) } }
      let own = AxisGrid.roundUp(length, to: stride)
      return AxisGrid(length: length, tile: shrinks ? min(tile, own) : tile, halo: halo, stride: stride)
    }
    guard let x = axis(plane.width, tile.width, halo.width, stride.width, shrinks.width),
      let y = axis(plane.height, tile.height, halo.height, stride.height, shrinks.height)
    else { return nil }
    return PlaneGrid(x: x, y: y)
  }

  /// The grid over a plane whose tiles have at most `pixels` pixels and together the least work.
  ///
  /// - Returns: `nil` where no tile of so few pixels has room for a core.
  public func grid(plane: Size, tilePixels pixels: Int) -> PlaneGrid? {
    if let fixed { return grid(plane: plane, tile: fixed) }
    let widest = min(Self.longestSide, AxisGrid.roundUp(plane.width, to: stride.width))
    let highest = min(Self.longestSide, AxisGrid.roundUp(plane.height, to: stride.height))
    var best: (grid: PlaneGrid, work: Double)?
    for width in Swift.stride(from: stride.width, through: widest, by: stride.width) {
      let height = min(highest, pixels / width / stride.height * stride.height)
      guard height > 0, let rough = grid(plane: plane, tile: Size(width: width, height: height)) else { continue }
      // The same number of tiles, each no larger than it must be.
      let tight = Size(width: Self.tighten(rough.x), height: Self.tighten(rough.y))
      guard let grid = grid(plane: plane, tile: tight) else { continue }
      let work = Double(grid.x.count * grid.x.tile) * Double(grid.y.count * grid.y.tile)
      if let best, best.work <= work { continue }
      best = (grid, work)
    }
    return best?.grid
  }

  /// Beyond this a larger tile saves next to nothing.
  private static let longestSide = 4096

  /// The smallest tile with which the axis needs no more tiles.
  private static func tighten(_ axis: AxisGrid) -> Int {
    let needed = axis.extended + 2 * axis.halo * (axis.count - 1)
    return AxisGrid.roundUp((needed + axis.count - 1) / axis.count, to: axis.stride)
  }
}
