// SPDX-License-Identifier: Apache-2.0

/// How many numbers there were, their sum and the sum of their squares, exactly, so that their order does not matter.
public struct ExactSums: Sendable, Hashable {
  public private(set) var count = 0
  private var sum = 0
  private var squares: UInt128 = 0

  public init() {}

  /// Adds one sample of the pixels of a region.
  ///
  /// - Returns: `false` where the samples are not of 8 or 16 bits.
  public mutating func add(_ pixels: PixelBuffer, sample: Int, in region: Region) -> Bool {
    let part: (sum: Int, squares: UInt64)
    switch pixels.type {
    case .uint8: part = Self.sums(UInt8.self, pixels, sample, region)
    case .uint16: part = Self.sums(UInt16.self, pixels, sample, region)
    case .int8: part = Self.sums(Int8.self, pixels, sample, region)
    case .int16: part = Self.sums(Int16.self, pixels, sample, region)
    default: return false
    }
    count += region.area
    sum += part.sum
    squares += UInt128(part.squares)
    return true
  }

  public static func += (sums: inout Self, other: Self) {
    sums.count += other.count
    sums.sum += other.sum
    sums.squares += other.squares
  }

  public var mean: Double { Double(sum) / Double(count) }

  /// The mean of the squared differences from the mean. Sums of 16-bit numbers stay below 2^127 for 10^12 of them.
  public var variance: Double {
    let deviation = UInt128(count) * squares - UInt128(Int128(sum) * Int128(sum))
    return Double(deviation) / (Double(count) * Double(count))
  }

  /// A region has at most 2^31 pixels, as the squares' sum must fit.
  @inline(__always)
  private static func sums<S: FixedWidthInteger & BitwiseCopyable>(
    _: S.Type, _ pixels: PixelBuffer, _ sample: Int, _ region: Region
  ) -> (sum: Int, squares: UInt64) {
    precondition(Region(pixels.size).contains(region) && (0..<pixels.samples).contains(sample) && region.area < 1 << 31)
    guard let start = pixels.values(as: S.self).baseAddress else { return (0, 0) }
    let step = pixels.samples
    var (sum, squares) = (0, 0 as UInt64)
    for y in region.y..<region.maxY {
      let row = start + (y * pixels.width + region.x) * step + sample
      if step == 1 {
        // The common case apart, so that it is compiled to vector instructions.
        for x in 0..<region.width { add(row[x], &sum, &squares) }
      } else {
        for x in 0..<region.width { add(row[x * step], &sum, &squares) }
      }
    }
    return (sum, squares)
  }

  @inline(__always)
  private static func add<S: FixedWidthInteger>(_ value: S, _ sum: inout Int, _ squares: inout UInt64) {
    if S.isSigned {
      let value = Int32(truncatingIfNeeded: value)
      sum &+= Int(value)
      squares &+= UInt64(UInt32(bitPattern: value &* value))
    } else {
      let value = UInt32(truncatingIfNeeded: value)
      sum &+= Int(value)
      squares &+= UInt64(value &* value)
    }
  }
}

/// How many numbers there were, their mean and the sum of the squared differences from it.
public struct FloatMoments: Sendable, Hashable {
  public private(set) var count = 0
  public private(set) var mean = 0.0
  private var squares = 0.0

  public init() {}

  /// The mean of the squared differences from the mean.
  public var variance: Double { max(0, squares / Double(count)) }

  /// Adds the numbers in a region of `rows` of `width` numbers each: their mean first, then what they differ from it. The
  /// same numbers, regions and order of regions give the same bits.
  public mutating func add(_ rows: UnsafePointer<Float>, width: Int, in region: Region) {
    guard !region.isEmpty else { return }
    func total(_ part: (UnsafePointer<Float>) -> Double) -> Double {
      var sum = 0.0
      for y in region.y..<region.maxY { sum += part(rows + y * width + region.x) }
      return sum
    }
    var other = Self()
    other.count = region.area
    let center = total { Self.sum($0, region.width) { $0 } } / Double(region.area)
    let rest = total { Self.sum($0, region.width) { $0 - center } }
    let squares = total { Self.sum($0, region.width) { ($0 - center) * ($0 - center) } }
    other.mean = center + rest / Double(region.area)
    other.squares = squares - rest * rest / Double(region.area)
    self += other
  }

  /// Four sums side by side.
  @inline(__always)
  private static func sum(_ row: UnsafePointer<Float>, _ count: Int, _ change: (Double) -> Double) -> Double {
    var (a, b, c, d) = (0.0, 0.0, 0.0, 0.0)
    var x = 0
    while x + 4 <= count {
      a += change(Double(row[x]))
      b += change(Double(row[x + 1]))
      c += change(Double(row[x + 2]))
      d += change(Double(row[x + 3]))
      x += 4
    }
    while x < count {
      a += change(Double(row[x]))
      x += 1
    }
    return (a + b) + (c + d)
  }

  /// Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979).
  public static func += (moments: inout Self, other: Self) {
    guard other.count > 0 else { return }
    let count = moments.count + other.count, difference = other.mean - moments.mean
    let share = Double(other.count) / Double(count)
    moments.mean += difference * share
    moments.squares += other.squares + difference * difference * Double(moments.count) * share
    moments.count = count
  }
}

extension TensorChannel<Float> {
  /// Makes every value `scale * (value - center)`, computed in double precision.
  public func standardize(count: Int, scale: Double, center: Double) {
    if channels == 1 {
      for index in 0..<count { values[index] = Float(scale * (Double(values[index]) - center)) }
    } else {
      for index in 0..<count {
        let place = index * channels + channel
        values[place] = Float(scale * (Double(values[place]) - center))
      }
    }
  }
}
