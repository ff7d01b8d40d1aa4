// SPDX-License-Identifier: Apache-2.0
private import Foundation

/// From the scores of a tile to labels: the class with the highest score, the first of equals.
public struct ArgMax: Sendable {
  /// The label of every class.
  public let labels: [UInt16]
  /// Pixels whose highest score, or probability, is lower than this get the label 0.
  public let minimumScore: Float
  /// Whether scores are the logarithms of probabilities that are not yet made to add up to 1. The probability of the class
  /// with the highest is then 1 / sum(exp(logit - highest)), the softmax.
  public let areLogits: Bool

  public init(labels: [UInt16], minimumScore: Float = -.infinity, areLogits: Bool = false) {
    self.labels = labels
    self.minimumScore = minimumScore
    self.areLogits = areLogits
  }

  /// The softmax of a pixel's logits.
  public static func probabilities(ofLogits logits: [Float]) -> [Float] {
    let highest = logits.max() ?? 0
    let parts = logits.map { exp($0 - highest) }, sum = parts.reduce(0, +)
    return parts.map { $0 / sum }
  }

  /// What was seen among the scores.
  public struct Report: Sendable {
    /// Of the highest scores, or probabilities, of pixels; infinite where neither a confidence nor a least one is asked for.
    public var lowest = Float.infinity
    public var highest = -Float.infinity
    /// Whether no score is infinite or not a number. A logit may be that of the probability 0.
    public var isFinite = true
  }

  /// Decides the pixels of `core`.
  ///
  /// - Parameters:
  ///   - scores: `height * width * labels.count` values, class fastest.
  ///   - width: the tile's width in pixels.
  ///   - core: the region to decide, in the tile.
  ///   - output: reshaped to the core's size; `uint8` or `uint16` as its type says.
  ///   - confidence: where given, reshaped to the core's size and filled with round(255 x highest score).
  public func decide(
    _ scores: UnsafePointer<Float>, width: Int, core: Region, into output: PixelBuffer, type: PixelType,
    confidence: PixelBuffer? = nil
  ) -> Report {
    output.reshape(width: core.width, height: core.height, samples: 1, type: type)
    confidence?.reshape(width: core.width, height: core.height, samples: 1, type: .uint8)
    return type == .uint8
      ? decide(scores, width, core, output.values(as: UInt8.self), confidence)
      : decide(scores, width, core, output.values(as: UInt16.self), confidence)
  }

  /// Decides the pixels of `core` as ``decide(_:width:core:into:type:confidence:)``, where the classes are chosen already.
  ///
  /// - Parameters:
  ///   - classes: a number for each of the tile's pixels: its class's place among ``labels``, or `none` where its scores are
  ///     not numbers.
  ///   - none: not the place of a label.
  public func decide(
    classes: UnsafePointer<UInt8>, none: UInt8, width: Int, core: Region, into output: PixelBuffer, type: PixelType
  ) -> Report {
    output.reshape(width: core.width, height: core.height, samples: 1, type: type)
    return type == .uint8
      ? look(up: classes, none, width, core, output.values(as: UInt8.self))
      : look(up: classes, none, width, core, output.values(as: UInt16.self))
  }

  private func look<Label: FixedWidthInteger & UnsignedInteger>(
    up classes: UnsafePointer<UInt8>, _ none: UInt8, _ width: Int, _ core: Region,
    _ output: UnsafeMutableBufferPointer<Label>
  ) -> Report {
    // Any byte has a place, so that what a device gives cannot reach beyond the table.
    let table = (0...255).map { $0 < labels.count ? Label(truncatingIfNeeded: labels[$0]) : 0 }
    var report = Report()
    table.withUnsafeBufferPointer { table in
      for y in 0..<core.height {
        let row = classes + (core.y + y) * width + core.x, decided = y * core.width
        for x in 0..<core.width {
          output[decided + x] = table[Int(row[x])]
          report.isFinite = report.isFinite && row[x] != none
        }
      }
    }
    return report
  }

  private func decide<Label: FixedWidthInteger & UnsignedInteger>(
    _ scores: UnsafePointer<Float>, _ width: Int, _ core: Region, _ output: UnsafeMutableBufferPointer<Label>,
    _ confidence: PixelBuffer?
  ) -> Report {
    let table = labels.map { Label(truncatingIfNeeded: $0) }
    var report = Report()
    var largest: UInt32 = 0
    for y in 0..<core.height {
      let row = scores + ((core.y + y) * width + core.x) * table.count
      let decided = UnsafeMutableBufferPointer(rebasing: output[y * core.width..<(y + 1) * core.width])
      if let confidence {
        let certain = confidence.values(as: UInt8.self)[y * core.width..<(y + 1) * core.width]
        decide(row, table, decided, UnsafeMutableBufferPointer(rebasing: certain), &report, &largest)
      } else if minimumScore > -.infinity {
        decide(row, table, decided, nil, &report, &largest)
      } else if table.count == 2 {
        chooseOfTwo(row, table[0], table[1], decided, &largest)
      } else {
        choose(row, table, decided, &largest)
      }
    }
    report.isFinite = largest < Self.infinity || (areLogits && haveProbabilities(scores, width, core))
    return report
  }

  /// What an infinite number's bits are without its sign. Those of other numbers are less, and those of what is no number
  /// more. Integers, as the compiler handles several pixels at once only where their order does not matter.
  private static let infinity = Float.infinity.bitPattern

  private static func magnitude(_ score: Float) -> UInt32 { score.bitPattern & ~(1 << 31) }

  private func chooseOfTwo<Label: FixedWidthInteger & UnsignedInteger>(
    _ row: UnsafePointer<Float>, _ first: Label, _ second: Label, _ output: UnsafeMutableBufferPointer<Label>,
    _ largest: inout UInt32
  ) {
    var most = largest
    for place in output.indices {
      let (a, b) = (row[2 * place], row[2 * place + 1])
      most = max(most, max(Self.magnitude(a), Self.magnitude(b)))
      output[place] = b > a ? second : first
    }
    largest = most
  }

  private func choose<Label: FixedWidthInteger & UnsignedInteger>(
    _ row: UnsafePointer<Float>, _ table: [Label], _ output: UnsafeMutableBufferPointer<Label>, _ largest: inout UInt32
  ) {
    var (pixel, most) = (row, largest)
    table.withUnsafeBufferPointer { table in
      for place in output.indices {
        var best = pixel[0], label = table[0]
        most = max(most, Self.magnitude(best))
        var index = 1
        while index < table.count {
          let next = pixel[index]
          most = max(most, Self.magnitude(next))
          let isHigher = next > best
          best = isHigher ? next : best
          label = isHigher ? table[index] : label
          index += 1
        }
        output[place] = label
        pixel += table.count
      }
    }
    largest = most
  }

  /// As ``choose(_:_:_:_:)``, and how sure that is.
  private func decide<Label: FixedWidthInteger & UnsignedInteger>(
    _ row: UnsafePointer<Float>, _ table: [Label], _ output: UnsafeMutableBufferPointer<Label>,
    _ confidence: UnsafeMutableBufferPointer<UInt8>?, _ report: inout Report, _ largest: inout UInt32
  ) {
    choose(row, table, output, &largest)
    let (classes, minimum) = (table.count, minimumScore)
    var pixel = row
    for place in output.indices {
      var best = pixel[0]
      for index in 1..<max(1, classes) where pixel[index] > best { best = pixel[index] }
      if areLogits {
        var sum: Float = 0
        for index in 0..<classes { sum += exp(pixel[index] - best) }
        best = 1 / sum
      }
      report.lowest = best < report.lowest ? best : report.lowest
      report.highest = best > report.highest ? best : report.highest
      if best < minimum { output[place] = 0 }
      // Adding a half and truncating rounds. What is no number is not above 0.
      confidence?[place] = best > 0 ? UInt8(min(1, best) * 255 + 0.5) : 0
      pixel += classes
    }
  }

  /// Whether a softmax makes numbers of all logits.
  private func haveProbabilities(_ scores: UnsafePointer<Float>, _ width: Int, _ core: Region) -> Bool {
    for y in core.y..<core.maxY {
      let row = UnsafeBufferPointer(
        start: scores + (y * width + core.x) * labels.count, count: core.width * labels.count)
      for start in stride(from: 0, to: row.count, by: labels.count) {
        let pixel = row[start..<start + labels.count]
        guard pixel.allSatisfy({ $0 < .infinity }), pixel.contains(where: { $0 > -.infinity }) else { return false }
      }
    }
    return true
  }
}
