// SPDX-License-Identifier: Apache-2.0

/// How one axis of a plane is cut into tiles of equal length whose origins lie on the network's stride.
///
/// Where results must match ZEN's, the axis is cut as ``ZenAxis`` tells instead.
///
/// A tile decides its core; the rest of what it sees, its halo, belongs to its neighbours. At the ends of the axis a
/// core reaches the end, so that the network pads there by itself as in a run over the whole axis. The last tile is
/// moved inward until it ends flush with the axis, which is extended to the next multiple of the stride.
public struct AxisGrid: Sendable, Hashable {
  /// Pixels of the axis.
  public let length: Int
  /// Pixels of a tile.
  public let tile: Int
  /// Pixels on either side of a core that it needs to see; a multiple of the stride.
  public let halo: Int
  public let stride: Int
  /// Where the tiles end: `length` and what is added by reflection.
  public let extended: Int
  /// From one origin to the next.
  public let step: Int
  /// How many tiles.
  public let count: Int
  /// ZEN's cut, where that is taken.
  private let zen: ZenAxis?

  /// - Returns: `nil` where the tile has no room for a core: unless the axis fits into one tile, at least one stride
  ///   must be left between two halos.
  public init?(length: Int, tile: Int, halo: Int, stride: Int) {
    guard length > 0, tile > 0, halo >= 0, stride > 0 else { return nil }
    self.length = length
    self.tile = tile
    self.stride = stride
    self.halo = Self.roundUp(halo, to: stride)
    zen = nil
    if length <= tile {
      (extended, step, count) = (tile, tile, 1)
    } else {
      extended = tile + Self.roundUp(length - tile, to: stride)
      step = (tile - 2 * self.halo) / stride * stride
      guard tile > 2 * self.halo, step > 0 else { return nil }
      count = 1 + (extended - tile + step - 1) / step
    }
  }

  /// The axis as ZEN cuts it. An axis shorter than a tile is extended at its end, as always: what ZEN does with one is not
  /// known.
  public init(zen: ZenAxis) {
    (length, tile, halo, stride) = (zen.length, zen.tile, zen.border, 1)
    (extended, step, count) = (max(zen.length, zen.tile), zen.tile, zen.count)
    self.zen = zen
  }

  /// The first pixel that a tile sees; a multiple of the stride, but for ZEN's cut.
  public func origin(_ index: Int) -> Int {
    if let zen { return max(0, zen.origin(index)) }
    return min(index * step, extended - tile)
  }

  /// The pixels that a tile decides. The cores of all tiles are the whole axis, each pixel once.
  public func core(_ index: Int) -> Range<Int> {
    if let zen { return zen.core(index) }
    let start = index == 0 ? 0 : index * step + halo
    return start..<(index == count - 1 ? length : (index + 1) * step + halo)
  }

  /// The tiles whose cores have any of the pixels.
  public func indices(deciding pixels: Range<Int>) -> Range<Int> {
    let last = index(deciding: min(pixels.upperBound, length) - 1)
    return index(deciding: max(0, pixels.lowerBound))..<last + 1
  }

  private func index(deciding pixel: Int) -> Int {
    guard let zen else { return count == 1 ? 0 : min(count - 1, max(0, (pixel - halo) / step)) }
    var (low, high) = (0, count - 1)
    while low < high {
      let middle = (low + high + 1) / 2
      if zen.core(middle).lowerBound <= pixel { low = middle } else { high = middle - 1 }
    }
    return low
  }

  static func roundUp(_ value: Int, to multiple: Int) -> Int { (value + multiple - 1) / multiple * multiple }
}
