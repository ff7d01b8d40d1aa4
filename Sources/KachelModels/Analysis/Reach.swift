// SPDX-License-Identifier: Apache-2.0

/// Which pixels of the input the elements of a value see along one axis.
///
/// Element `i` of a value whose neighbours are `pitch` pixels apart lies at the pixel `i * pitch`. It sees nothing before
/// `first` and nothing after `last`, which are distances from there. Where a value was made larger, they differ from
/// element to element in a period; each phase has its own, so that the result is no more than what is really seen.
struct Reach: Hashable {
  /// For each phase. A phase that sees nothing has infinity and minus infinity.
  private(set) var first: [Double]
  private(set) var last: [Double]
  var period: Int { first.count }

  /// Each pixel sees itself.
  static let own = Reach(first: [0], last: [0])
  /// Beyond that the furthest of all phases counts for each, which is more than is seen, never less.
  static let mostPhases = 64

  private init(first: [Double], last: [Double]) { (self.first, self.last) = (first, last) }

  /// - Parameter see: gives a phase's number and what it sees: the other element, and how far that lies away.
  private init(period: Int, _ see: (Int, _ element: (Int, Double) -> Void) -> Void, of other: Self) {
    let isKept = period <= Self.mostPhases
    first = Array(repeating: .infinity, count: isKept ? period : 1)
    last = Array(repeating: -.infinity, count: isKept ? period : 1)
    for phase in 0..<period {
      var (low, high) = (Double.infinity, -Double.infinity)
      see(phase) { element, distance in
        let source = Self.modulo(element, other.period)
        low = min(low, distance + other.first[source])
        high = max(high, distance + other.last[source])
      }
      let place = isKept ? phase : 0
      first[place] = min(first[place], low)
      last[place] = max(last[place], high)
    }
  }

  // MARK: Steps. The pitch is that of the value before the step.

  /// What a window's output sees: element `j` reads the elements `stride * j + k * dilation - before`.
  ///
  /// - Parameter afford: told how much work it is; on `false` there is no result.
  func window(
    kernel: Int, stride: Int, dilation: Int, before: Int, pitch: Double, afford: (Int) -> Bool
  ) -> Self? {
    let count = period / Self.commonDivisor(period, stride)
    guard afford(count * 2 * min(kernel, period)) else { return nil }
    return Self(
      period: count,
      { phase, see in
        // Phases come again after a period, each time further away.
        for tap in Self.ends(kernel, period) {
          let offset = tap * dilation - before
          see(stride * phase + offset, Double(offset) * pitch)
        }
      }, of: self)
  }

  /// What a transposed window's output sees: element `j` reads the elements `i` with `j = stride * i + k * dilation -
  /// before`.
  func transposedWindow(
    kernel: Int, stride: Int, dilation: Int, before: Int, pitch: Double, afford: (Int) -> Bool
  ) -> Self? {
    let count = stride * period
    guard afford(count * 2 * min(kernel, count)) else { return nil }
    let own = pitch / Double(stride)
    return Self(
      period: count,
      { phase, see in
        for tap in Self.ends(kernel, count) {
          let offset = before - tap * dilation
          guard Self.modulo(phase + offset, stride) == 0 else { continue }
          see((phase + offset - Self.modulo(phase + offset, stride)) / stride, Double(offset) * own)
        }
      }, of: self)
  }

  /// What a resized image sees, `up` times as large and a `down`th of it.
  func resized(
    up: Int, down: Int, _ resize: Step.Resize, pitch: Double, afford: (Int) -> Bool
  ) -> Self? {
    let count = up * (period / Self.commonDivisor(period, down))
    guard count <= 1 << 20 else { return nil }
    let own = pitch * Double(down) / Double(up)
    let spread = resize.isAntialiased && down > up ? Double(down) / Double(up) : 1
    guard afford(count * (4 + 4 * Int(spread))) else { return nil }
    return Self(
      period: count,
      { phase, see in
        for element in Self.taps(phase, up, down, resize, spread) {
          see(element, Double(element) * pitch - Double(phase) * own)
        }
      }, of: self)
  }

  /// The elements that element `j` of a resized image is made of. Fractions are counted in `2 * up`ths, to be exact.
  private static func taps(
    _ j: Int, _ up: Int, _ down: Int, _ resize: Step.Resize, _ spread: Double
  ) -> ClosedRange<Int> {
    let one = 2 * up
    let place =
      switch resize.place {
      case .centers: (2 * j + 1) * down - up
      case .corners: 2 * j * down
      case .centersInCorners: (2 * j + 1) * down
      }
    func floor(_ number: Int) -> Int { (number - modulo(number, one)) / one }
    func ceiling(_ number: Int) -> Int { -floor(-number) }
    switch resize.filter {
    case .floor: return floor(place)...floor(place)
    case .ceiling: return ceiling(place)...ceiling(place)
    case .roundHalfDown: return ceiling(place - up)...ceiling(place - up)
    case .roundHalfUp: return floor(place + up)...floor(place + up)
    case .linear, .cubic:
      let radius = (resize.filter == .cubic ? 2 : 1) * spread
      // A pixel at the radius has the weight 0; so have all but one for a pixel that lies on another.
      if spread == 1, modulo(place, one) == 0 { return floor(place)...floor(place) }
      let reach = Int((radius * Double(one)).rounded(.up))
      return floor(place - reach) + 1...max(floor(place - reach) + 1, ceiling(place + reach) - 1)
    }
  }

  /// What is left when `start` elements are taken away in front (added where negative), and then every `step`th is kept.
  func cut(start: Int, step: Int = 1, pitch: Double) -> Self {
    if start == 0, step == 1 { return self }
    let distance = Double(start) * pitch
    return Self(
      period: period / Self.commonDivisor(period, step), { phase, see in see(step * phase + start, distance) }, of: self
    )
  }

  /// What is seen by one or the other.
  func union(_ other: Self, afford: (Int) -> Bool) -> Self? {
    if self == other { return self }
    let count = period / Self.commonDivisor(period, other.period) * other.period
    guard afford(count) else { return nil }
    let isKept = count <= Self.mostPhases
    let phases = 0..<(isKept ? count : 1)
    func least(_ phase: Int) -> Double {
      isKept ? min(first[phase % period], other.first[phase % other.period]) : min(first.min()!, other.first.min()!)
    }
    func most(_ phase: Int) -> Double {
      isKept ? max(last[phase % period], other.last[phase % other.period]) : max(last.max()!, other.last.max()!)
    }
    return Self(first: phases.map(least), last: phases.map(most))
  }

  // MARK: Result

  /// How far a pixel of the output sees at most, to the side where that is more.
  var influence: Double {
    max(0, -(first.min() ?? 0), last.max() ?? 0)
  }

  /// How far a tile must see around a core that starts and ends at multiples of the stride.
  func border(stride: Int) -> Double {
    let count = period / Self.commonDivisor(period, stride) * stride
    return (0..<count).reduce(0.0) { most, place in
      let inCore = Double(place % stride)
      return max(most, -(inCore + first[place % period]), inCore + last[place % period] - Double(stride - 1))
    }
  }

  // MARK: Numbers

  /// The first and the last numbers below `count`, at most `most` of each.
  private static func ends(_ count: Int, _ most: Int) -> some Sequence<Int> {
    let head = 0..<min(count, most)
    let tail = max(head.upperBound, count - most)..<count
    return [head, tail].joined()
  }

  private static func modulo(_ number: Int, _ divisor: Int) -> Int {
    let rest = number % divisor
    return rest < 0 ? rest + divisor : rest
  }

  static func commonDivisor(_ a: Int, _ b: Int) -> Int {
    var (a, b) = (a, b)
    while b != 0 { (a, b) = (b, a % b) }
    return a
  }
}
