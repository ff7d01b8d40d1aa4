// SPDX-License-Identifier: Apache-2.0

/// A width and a height in pixels.
public struct Size: Hashable, Sendable, CustomStringConvertible {
  public var width: Int
  public var height: Int

  public init(width: Int, height: Int) {
    self.width = width
    self.height = height
  }

  /// `width x height`, in pixels. Callers bound both sides before they multiply: a side is at most 2^31.
  public var area: Int { width * height }
  public var description: String { "\(width) x \(height)" }
}

/// A rectangle of pixels: the half-open ranges `x ..< x + width` and `y ..< y + height`.
public struct Region: Hashable, Sendable, CustomStringConvertible {
  public var x: Int
  public var y: Int
  public var width: Int
  public var height: Int

  public init(x: Int, y: Int, width: Int, height: Int) {
    self.x = x
    self.y = y
    self.width = width
    self.height = height
  }

  public init(_ size: Size) { self.init(x: 0, y: 0, width: size.width, height: size.height) }

  /// The region between two edges on either axis.
  public init(x: Range<Int>, y: Range<Int>) {
    self.init(x: x.lowerBound, y: y.lowerBound, width: x.count, height: y.count)
  }

  public var maxX: Int { x + width }
  public var maxY: Int { y + height }
  public var size: Size { Size(width: width, height: height) }
  public var area: Int { width * height }
  public var isEmpty: Bool { width <= 0 || height <= 0 }
  public var description: String { "\(x),\(y),\(width),\(height)" }

  /// The pixels that both regions have; empty (width or height 0) where they have none.
  public func intersection(_ other: Region) -> Region {
    let left = max(x, other.x), top = max(y, other.y)
    return Region(
      x: left, y: top, width: max(0, min(maxX, other.maxX) - left), height: max(0, min(maxY, other.maxY) - top))
  }

  /// The smallest region that holds both; an empty region adds nothing.
  public func union(_ other: Region) -> Region {
    if isEmpty { return other }
    if other.isEmpty { return self }
    return Region(x: min(x, other.x)..<max(maxX, other.maxX), y: min(y, other.y)..<max(maxY, other.maxY))
  }

  public func intersects(_ other: Region) -> Bool { !intersection(other).isEmpty }
  public func contains(_ other: Region) -> Bool { other.isEmpty || intersection(other) == other }

  public func offsetBy(x dx: Int, y dy: Int) -> Region {
    Region(x: x + dx, y: y + dy, width: width, height: height)
  }
}
