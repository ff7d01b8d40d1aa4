// SPDX-License-Identifier: Apache-2.0

/// What is known of the pixels of one channel of a network's input.
package struct ChannelMoments: Sendable, Hashable {
  /// How many pixels were taken.
  package var count: Int
  package var mean: Double
  /// The mean of the squared differences from the mean.
  package var variance: Double

  package init(count: Int, mean: Double, variance: Double) {
    (self.count, self.mean, self.variance) = (count, mean, variance)
  }
}

/// What a standardisation does to the values of a channel: `scale * (x - center)`.
package struct ChannelMap: Sendable, Hashable {
  package var scale: Double
  package var center: Double

  package init(scale: Double = 1, center: Double = 0) { (self.scale, self.center) = (scale, center) }

  package func callAsFunction(_ value: Double) -> Double { scale * (value - center) }

  /// Sums and products of the result with numbers are such maps again, unless the scale is 0.
  fileprivate static func + (map: Self, number: Double) -> Self {
    Self(scale: map.scale, center: map.center - number / map.scale)
  }
  fileprivate static func * (map: Self, factor: Double) -> Self {
    Self(scale: map.scale * factor, center: map.center)
  }
}

/// How a network standardises its input, taken out of its graph: the operations from the input's statistics to what is
/// subtracted and what is divided by, to be done with the statistics of more than one tile.
package struct InputStandardization: Sendable, Hashable {
  /// One operation; the numbers are those of earlier operations.
  enum Operation: Sendable, Hashable {
    /// The network's input, of which channel `i` is the channel `i` of the moments.
    case input
    /// One number, or one for each of several places.
    case numbers([Double])
    /// How many elements some axes have.
    case sizes([Axis])
    /// Channels or numbers by their places.
    case picked(Int, [Int])
    case joined([Int])
    case mean(Int, ofEachChannel: Bool)
    case sum(Int, ofEachChannel: Bool)
    /// All numbers, multiplied.
    case product(Int)
    case square(Int)
    case squareRoot(Int)
    case reciprocal(Int)
    case arithmetic(Arithmetic, Int, Int)
    /// One by the root of how many numbers the image has.
    case leastDeviation
  }

  enum Axis: Sendable, Hashable {
    case rows, columns
    case other(Int)
  }

  enum Arithmetic: Sendable, Hashable {
    case add, subtract, multiply, divide, power, maximum, minimum, squaredDifference
  }

  /// Channels of the network's input.
  package let channels: Int
  /// Whether each channel has its own statistics.
  package let isPerChannel: Bool
  let operations: [Operation]

  /// The value of an operation.
  private enum Value {
    case pixels([Pixel])
    case squares([Pixel])
    case numbers([Double])
  }

  /// What one channel of a value is.
  private struct Pixel {
    var channel: Int
    var map: ChannelMap
  }

  /// What becomes of each channel of the input.
  ///
  /// - Parameter moments: for each channel of the input, all of the same number of pixels.
  /// - Returns: `nil` where the network has no such value, as where it divides a plane of one value by its deviation, 0.
  package func maps(of moments: [ChannelMoments]) -> [ChannelMap]? {
    guard moments.count == channels, let count = moments.first?.count, count > 0 else { return nil }
    return maps(of: moments, rows: Double(count), columns: 1)
  }

  /// Whether the result follows from the number of pixels only, not from how high or wide the image is, and whether there
  /// is one at all.
  var isSound: Bool {
    let moments = (0..<channels).map { ChannelMoments(count: 6000, mean: 7 + Double($0), variance: 3 + Double($0)) }
    guard let flat = maps(of: moments, rows: 6000, columns: 1), let high = maps(of: moments, rows: 1, columns: 6000)
    else { return false }
    return zip(flat, high).allSatisfy {
      abs($0.scale - $1.scale) <= 1e-12 * abs($0.scale) && abs($0.center - $1.center) <= 1e-12 * abs($0.center)
    }
  }

  private func maps(of moments: [ChannelMoments], rows: Double, columns: Double) -> [ChannelMap]? {
    var values: [Value] = []
    for operation in operations {
      guard let value = evaluate(operation, values, moments, rows, columns) else { return nil }
      values.append(value)
    }
    guard case .pixels(let pixels)? = values.last else { return nil }
    var maps: [ChannelMap?] = Array(repeating: nil, count: channels)
    for pixel in pixels {
      guard maps.indices.contains(pixel.channel), pixel.map.scale.isFinite, pixel.map.center.isFinite,
        pixel.map.scale != 0, maps[pixel.channel] == nil || maps[pixel.channel] == pixel.map
      else { return nil }
      maps[pixel.channel] = pixel.map
    }
    // The network does not look at the other channels.
    return maps.map { $0 ?? ChannelMap() }
  }

  private func evaluate(
    _ operation: Operation, _ values: [Value], _ moments: [ChannelMoments], _ rows: Double, _ columns: Double
  ) -> Value? {
    switch operation {
    case .input: return .pixels(moments.indices.map { Pixel(channel: $0, map: ChannelMap()) })
    case .numbers(let numbers): return .numbers(numbers)
    case .sizes(let axes):
      return .numbers(
        axes.map { axis in
          switch axis {
          case .rows: rows
          case .columns: columns
          case .other(let size): Double(size)
          }
        })
    case .picked(let source, let places):
      switch values[source] {
      case .pixels(let pixels): return .pixels(places.map { pixels[$0] })
      case .squares(let pixels): return .squares(places.map { pixels[$0] })
      case .numbers(let numbers): return .numbers(places.map { numbers[$0] })
      }
    case .joined(let sources):
      var all: [Pixel] = []
      for source in sources {
        guard case .pixels(let pixels) = values[source] else { return nil }
        all += pixels
      }
      return .pixels(all)
    case .mean(let source, let isOfEach): return mean(values[source], moments, isOfEach).map { .numbers($0) }
    case .sum(let source, let isOfEach):
      guard let means = mean(values[source], moments, isOfEach) else { return nil }
      let count = rows * columns * Double(isOfEach ? 1 : self.count(values[source]))
      return .numbers(means.map { $0 * count })
    case .product(let source):
      guard case .numbers(let numbers) = values[source] else { return nil }
      return .numbers([numbers.reduce(1, *)])
    case .square(let source):
      switch values[source] {
      case .pixels(let pixels): return .squares(pixels)
      case .numbers(let numbers): return .numbers(numbers.map { $0 * $0 })
      case .squares: return nil
      }
    case .squareRoot(let source): return numbers(values[source]) { $0.squareRoot() }
    case .reciprocal(let source): return numbers(values[source]) { 1 / $0 }
    case .arithmetic(let arithmetic, let a, let b): return combine(arithmetic, values[a], values[b])
    case .leastDeviation: return .numbers([1 / (rows * columns * Double(channels)).squareRoot()])
    }
  }

  private func count(_ value: Value) -> Int {
    switch value {
    case .pixels(let pixels), .squares(let pixels): pixels.count
    case .numbers(let numbers): numbers.count
    }
  }

  private func numbers(_ value: Value, _ change: (Double) -> Double) -> Value? {
    guard case .numbers(let numbers) = value else { return nil }
    return .numbers(numbers.map(change))
  }

  /// The mean of a value over all pixels, of each channel or of all together.
  private func mean(_ value: Value, _ moments: [ChannelMoments], _ isOfEach: Bool) -> [Double]? {
    let means: [Double]
    switch value {
    case .pixels(let pixels): means = pixels.map { $0.map(moments[$0.channel].mean) }
    case .squares(let pixels):
      means = pixels.map { pixel in
        let center = pixel.map(moments[pixel.channel].mean)
        return pixel.map.scale * pixel.map.scale * moments[pixel.channel].variance + center * center
      }
    case .numbers: return nil
    }
    return isOfEach || means.isEmpty ? means : [means.reduce(0, +) / Double(means.count)]
  }

  private func combine(_ arithmetic: Arithmetic, _ a: Value, _ b: Value) -> Value? {
    switch (a, b) {
    case (.numbers(let a), .numbers(let b)):
      guard a.count == b.count || a.count == 1 || b.count == 1 else { return nil }
      return .numbers(
        (0..<max(a.count, b.count)).map { index in
          Self.combine(arithmetic, a[a.count == 1 ? 0 : index], b[b.count == 1 ? 0 : index])
        })
    case (.pixels(let pixels), .numbers(let numbers)):
      guard numbers.count == 1 || numbers.count == pixels.count else { return nil }
      var result = pixels
      for (index, pixel) in pixels.enumerated() {
        let number = numbers[numbers.count == 1 ? 0 : index]
        switch arithmetic {
        case .add: result[index].map = pixel.map + number
        case .subtract, .squaredDifference: result[index].map = pixel.map + -number
        case .multiply: result[index].map = pixel.map * number
        case .divide: result[index].map = pixel.map * (1 / number)
        case .power, .maximum, .minimum: return nil
        }
      }
      return arithmetic == .squaredDifference ? .squares(result) : .pixels(result)
    case (.numbers, .pixels):
      switch arithmetic {
      case .add, .multiply, .squaredDifference: return combine(arithmetic, b, a)
      case .subtract:
        // n - x = -x + n
        guard case .pixels(let pixels)? = combine(.multiply, b, .numbers([-1])) else { return nil }
        return combine(.add, .pixels(pixels), a)
      case .divide, .power, .maximum, .minimum: return nil
      }
    default: return nil
    }
  }

  private static func combine(_ arithmetic: Arithmetic, _ a: Double, _ b: Double) -> Double {
    switch arithmetic {
    case .add: a + b
    case .subtract: a - b
    case .multiply: a * b
    case .divide: a / b
    case .power: b == 2 ? a * a : b == 0.5 ? a.squareRoot() : b == -0.5 ? 1 / a.squareRoot() : .nan
    case .maximum: max(a, b)
    case .minimum: min(a, b)
    case .squaredDifference: (a - b) * (a - b)
    }
  }
}
