// SPDX-License-Identifier: Apache-2.0
private import Foundation

/// Which values are shown as black and as white, and how those between.
public struct Tone: Sendable, Hashable {
  /// The values that are shown as black and as white.
  public var range: ClosedRange<Float>
  /// The exponent of what lies between, brought to 0...1.
  public var gamma: Float

  public init(_ range: ClosedRange<Float>, gamma: Float = 1) {
    self.range = range
    self.gamma = gamma
  }

  /// Stretches the contrast of a picture: the darkest and the brightest pixels are cut off.
  ///
  /// - Parameters:
  ///   - share: how many of the values, of either kind.
  ///   - planes: the samples, which get one range together; 0 and NaN do not count.
  public init(stretching planes: [[Float]], cutting share: Double) {
    let range = Self.range(of: planes.joined(), cutting: share)
    // One value alone is seen beside nothing.
    let isFlat = range.lowerBound == range.upperBound
    self.init(isFlat ? min(0, range.lowerBound)...max(0, range.upperBound) : range)
  }

  /// The brightness of a value, 0 to 1; 0 where it is no number, and for all values of a range without extent.
  public func brightness(_ value: Float) -> Float {
    // In double precision the span of two floats is neither 0 nor infinite.
    let low = Double(range.lowerBound), span = Double(range.upperBound) - low
    guard span > 0, !value.isNaN else { return 0 }
    let share = Float(max(0, min(1, (Double(value) - low) / span)))
    return gamma == 1 ? share : pow(share, gamma)
  }

  /// The values below and above which the given share of values lies, those left out that are exactly 0, as gaps are, or
  /// no number; equal where there is nothing to see.
  static func range(of values: some Sequence<Float>, cutting share: Double) -> ClosedRange<Float> {
    var lowest = Float.infinity, highest = -Float.infinity
    let values = values.lazy.filter { $0 != 0 && $0.isFinite }
    for value in values {
      lowest = min(lowest, value)
      highest = max(highest, value)
    }
    guard lowest < highest else { return lowest == highest ? lowest...lowest : 0...0 }
    var range = lowest...highest
    // A few values far away leave the others in few bins; then these are cut into bins again.
    for _ in 0..<16 {
      let (next, isFine) = narrowed(range, of: values, cutting: share)
      // What only differs in less than what is cut off is not cut off.
      guard next.lowerBound < next.upperBound else { return lowest...highest }
      range = next
      if isFine { break }
    }
    return range
  }

  /// The range without the bins that are cut off, and whether that needs no finer bins.
  private static func narrowed(
    _ range: ClosedRange<Float>, of values: some Sequence<Float>, cutting share: Double
  ) -> (ClosedRange<Float>, isFine: Bool) {
    // In double precision the span of two floats is neither 0 nor infinite.
    let first = Double(range.lowerBound), span = Double(range.upperBound) - first
    var counts = [Int](repeating: 0, count: 4096)
    let last = Double(counts.count - 1)
    var below = 0, above = 0, total = 0
    for value in values {
      total += 1
      if value < range.lowerBound {
        below += 1
      } else if value > range.upperBound {
        above += 1
      } else {
        counts[Int(max(0, min(last, (Double(value) - first) / span * last)))] += 1
      }
    }
    let cut = Int(Double(total) * share)
    var low = 0, high = counts.count - 1
    while low < high, below + counts[low] <= cut {
      below += counts[low]
      low += 1
    }
    while high > low, above + counts[high] <= cut {
      above += counts[high]
      high -= 1
    }
    func edge(_ bin: Int) -> Float {
      max(range.lowerBound, min(range.upperBound, Float(first + Double(bin) / last * span)))
    }
    return (edge(low)...edge(high + 1), high - low >= 256)
  }
}
