// SPDX-License-Identifier: Apache-2.0

/// Which dimension of an array is which of an image.
struct OMEZarrDimensions: Sendable, Hashable {
  struct Axis: Sendable, Hashable {
    var name: String
    var type: String?
    var unit: String?
  }

  /// How many dimensions the array has.
  let count: Int
  private(set) var y = -1
  private(set) var x = -1
  private(set) var z: Int?
  private(set) var channel: Int?
  private(set) var time: Int?
  /// Dimensions of other kinds, by name.
  private(set) var further: [Further] = []
  let units: [String?]

  struct Further: Sendable, Hashable {
    var name: String
    var axis: Int
  }

  /// - Returns: `nil` where the axes are not those of an image.
  init?(_ axes: [Axis]) {
    count = axes.count
    units = axes.map(\.unit)
    let isSpace = axes.map { axis in
      axis.type.map { $0.lowercased() == "space" } ?? ["z", "y", "x"].contains(axis.name.lowercased())
    }
    var space = axes.indices.filter { isSpace[$0] }
    func take(_ name: String) -> Int? {
      guard let place = space.firstIndex(where: { axes[$0].name.lowercased() == name }) else { return nil }
      return space.remove(at: place)
    }
    if let y = take("y"), let x = take("x") {
      (self.y, self.x) = (y, x)
    } else {
      // By other names, their order tells.
      space = axes.indices.filter { isSpace[$0] }
      guard space.count >= 2 else { return nil }
      x = space.removeLast()
      y = space.removeLast()
    }
    guard space.count <= 1 else { return nil }
    z = space.first
    for (index, axis) in axes.enumerated() where !isSpace[index] {
      switch axis.type?.lowercased() ?? axis.name.lowercased() {
      case "time" where time == nil, "t" where time == nil && axis.type == nil: time = index
      case "channel" where channel == nil, "c" where channel == nil && axis.type == nil: channel = index
      case "time", "channel": return nil
      default: further.append(Further(name: axis.name, axis: index))
      }
    }
    guard further.count <= 1 else { return nil }
  }

  /// The dimensions of an array without description: the last ones of t, c, z, y and x.
  init(plain count: Int) {
    self.count = count
    units = [String?](repeating: nil, count: count)
    (x, y) = (count - 1, count - 2)
    z = count > 2 ? count - 3 : nil
    channel = count > 3 ? count - 4 : nil
    time = count > 4 ? count - 5 : nil
  }

  /// Micrometres in the unit of a dimension; `nil` where that is unknown or no length.
  func micrometers(of axis: Int) -> Double? {
    switch units[axis]?.lowercased() {
    case "micrometer", "micrometre", "micron", "um", "µm", "μm": 1
    case "nanometer", "nanometre", "nm": 1e-3
    case "angstrom": 1e-4
    case "picometer", "picometre", "pm": 1e-6
    case "millimeter", "millimetre", "mm": 1e3
    case "centimeter", "centimetre", "cm": 1e4
    case "decimeter", "decimetre", "dm": 1e5
    case "meter", "metre", "m": 1e6
    case "kilometer", "kilometre", "km": 1e9
    case "inch": 25_400
    case "foot": 304_800
    case "yard": 914_400
    default: nil
    }
  }

  /// How many positions an array of that shape has along a dimension; 1 where it has no such dimension.
  func size(_ axis: Int?, _ shape: [Int]) -> Int { axis.map { shape[$0] } ?? 1 }
}
