// SPDX-License-Identifier: Apache-2.0

/// Which pixels of an axis stand at the positions of a tile that may reach beyond the axis' far end.
///
/// Positions inside are themselves. Beyond the end the axis is reflected without repeating its last pixel
/// (`… L-2 L-1 | L-2 L-3 …`, NumPy's `reflect`), again and again where the tile is much longer than the axis.
public struct ReflectedAxis: Sendable, Hashable {
  /// The tile's first position; at least 0 and less than `length`.
  public let origin: Int
  /// Positions in the tile.
  public let count: Int
  /// Pixels of the axis.
  public let length: Int

  public init(origin: Int, count: Int, length: Int) {
    self.origin = origin
    self.count = count
    self.length = length
  }

  /// How many of the tile's first positions lie inside the axis.
  public var inside: Int { min(count, length - origin) }

  /// The pixel that stands at a position counted from the tile's origin.
  public func pixel(at position: Int) -> Int {
    let place = origin + position
    if place < length { return place }
    if length == 1 { return 0 }
    let period = 2 * (length - 1)
    let phase = place % period
    return phase < length ? phase : period - phase
  }

  /// The pixels that the tile needs.
  public var pixels: Range<Int> {
    var lowest = origin
    for position in inside..<max(inside, min(count, inside + 2 * length)) { lowest = min(lowest, pixel(at: position)) }
    return lowest..<min(origin + count, length)
  }
}
