// SPDX-License-Identifier: Apache-2.0

/// A value that does not depend on pixels, but perhaps on how many there are.
struct Known: Sendable {
  var shape: [Int]?
  /// The elements of a small tensor, the last axis running fastest.
  var elements: [Extent?]?
  /// Whether its type is one of whole numbers, of which quotients are rounded.
  var isWhole = false
  /// Whether the image's size was computed with, so that a tile gives another number than the whole image may.
  var isFromSizes = false
  var differsInTiles: Bool {
    isFromSizes && elements?.allSatisfy { $0?.number != nil } != true
  }

  /// Most elements that are kept: shapes and what is computed from them have no more.
  static let mostElements = 64

  init(shape: [Int]? = nil, elements: [Extent?]? = nil, isWhole: Bool = false) {
    self.shape = shape
    self.elements = elements
    self.isWhole = isWhole
  }

  init(_ numbers: [Double], shape: [Int]? = nil, isWhole: Bool = false) {
    self.init(
      shape: shape ?? [numbers.count], elements: numbers.map { Extent(constant: $0) }, isWhole: isWhole)
  }
}

/// A number of pixels: `y` times the image's height and `x` times its width, and a constant.
///
/// Sizes that a network leaves free are taken for multiples of its stride and large, as those of tiles are: so a half of
/// the height is whole, and more than any constant.
struct Extent: Hashable, Sendable {
  var y = 0.0
  var x = 0.0
  var constant = 0.0

  /// The number, where it does not depend on the image's size.
  var number: Double? { y == 0 && x == 0 ? constant : nil }
  var integer: Int? { number.flatMap { Int(exactly: $0) } }

  static func + (a: Self, b: Self) -> Self {
    Self(y: a.y + b.y, x: a.x + b.x, constant: a.constant + b.constant)
  }

  static func - (a: Self, b: Self) -> Self { a + b * -1 }

  static func * (a: Self, factor: Double) -> Self {
    Self(y: a.y * factor, x: a.x * factor, constant: a.constant * factor)
  }

  static func + (a: Self, b: Int) -> Self { a + Self(constant: Double(b)) }

  func divided(by divisor: Int, _ rule: FloatingPointRoundingRule) -> Self {
    (self * (1 / Double(divisor))).rounded(rule)
  }

  func rounded(_ rule: FloatingPointRoundingRule) -> Self {
    // Factors as a third are not exact.
    let nearest = constant.rounded()
    let isWhole = abs(constant - nearest) < 1e-6
    return Self(y: y, x: x, constant: isWhole ? nearest : constant.rounded(rule))
  }

  /// The rest of a division; what depends on the image's size divides without one.
  func remainder(of divisor: Double) -> Double { constant - (constant / divisor).rounded(.down) * divisor }

  /// How many times as large as another one; `nil` where that depends on the image's size.
  func ratio(to other: Self) -> Double? {
    if let divisor = other.number { return divisor == 0 ? nil : number.map { $0 / divisor } }
    let ratio = other.y != 0 ? y / other.y : x / other.x
    let rest = self - other * ratio
    return max(abs(rest.y), abs(rest.x), abs(rest.constant)) < 1e-9 ? ratio : nil
  }

  /// Whether it is at most another one; `nil` where that depends on the image's size.
  func isAtMost(_ other: Self) -> Bool? {
    let rest = other - self
    if rest.y == 0, rest.x == 0 { return rest.constant >= 0 }
    if rest.y >= 0, rest.x >= 0 { return true }
    return rest.y <= 0 && rest.x <= 0 ? false : nil
  }
}
