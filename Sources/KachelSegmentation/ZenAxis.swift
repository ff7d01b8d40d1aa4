// SPDX-License-Identifier: Apache-2.0

/// How ZEN cuts an axis into tiles: cores of almost equal length, tiles of one length, and at least a border between a
/// core and its tile's edge, except at the ends of the axis. This is the rule of the package cztile 2.0.0,
/// `AlmostEqualBorderFixedTotalLengthStrategy1D`, whose order of floating-point operations decides where some cores
/// begin.
///
/// The cut depends on the axis' whole length, so that an image that is one pixel longer has other tiles everywhere.
public struct ZenAxis: Sendable, Hashable {
  /// Pixels of the axis, of a tile, and the least between a core and its tile's edge.
  public let length: Int
  public let tile: Int
  public let border: Int
  /// How many tiles.
  public let count: Int
  /// What lies between two neighbours' cores and edges, on average and not rounded.
  private let share: Double

  /// - Returns: `nil` where two borders leave no room for a core, whatever the axis' length.
  public init?(length: Int, tile: Int, border: Int) {
    guard length > 0, tile > 0, border >= 0, 2 * border < tile else { return nil }
    (self.length, self.tile, self.border) = (length, tile, border)
    guard length > tile else {
      (count, share) = (1, 0)
      return
    }
    let edge = tile - border, interior = tile - 2 * border
    let rest = max(0, length - 2 * edge)
    count = (rest + interior - 1) / interior + 2
    let borders = 2 * count - 2
    let excess = Double(2 * edge + (count - 2) * interior - length)
    share = excess / Double(borders) + Double(border)
  }

  /// The pixels of the first borders together.
  private func borders(_ number: Int) -> Int { Int((Double(number) * share).rounded(.down)) }

  /// Where a core begins; the axis' end for the number of cores.
  private func boundary(_ index: Int) -> Int {
    index == 0 ? 0 : index == count ? length : index * tile - borders(2 * index - 1)
  }

  /// The pixels that a tile decides. The cores of all tiles are the whole axis, each pixel once.
  public func core(_ index: Int) -> Range<Int> { boundary(index)..<boundary(index + 1) }

  /// The first pixel that a tile sees. Negative where the axis is shorter than a tile: it lies in the tile's middle.
  public func origin(_ index: Int) -> Int {
    if length < tile { return -((tile - length) / 2) }
    let left =
      index == 0 ? 0 : index == count - 1 ? tile - core(index).count : borders(2 * index) - borders(2 * index - 1)
    return boundary(index) - left
  }
}
