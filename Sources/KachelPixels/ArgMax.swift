// SPDX-License-Identifier: Apache-2.0

/// From the scores of a tile to labels: the class with the highest score, the first of equals.
public struct ArgMax: Sendable {
  /// The label of every class.
  public let labels: [UInt16]
  /// Pixels whose highest score is lower than this get the label 0.
  public let minimumScore: Float

  public init(labels: [UInt16], minimumScore: Float = -.infinity) {
    self.labels = labels
    self.minimumScore = minimumScore
  }

  /// What was seen among the highest scores.
  public struct Report: Sendable {
    public var lowest = Float.infinity
    public var highest = -Float.infinity
    /// Whether no score is infinite or not a number.
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

  /// One pixel after the other: the compiler keeps all that in registers, which it did not for groups of sixteen pixels.
  private func decide<Label: FixedWidthInteger & UnsignedInteger>(
    _ scores: UnsafePointer<Float>, _ width: Int, _ core: Region, _ output: UnsafeMutableBufferPointer<Label>,
    _ confidence: PixelBuffer?
  ) -> Report {
    let classes = labels.count, minimum = minimumScore
    let confidences = confidence?.values(as: UInt8.self)
    var lowest = Float.infinity, highest = -Float.infinity, zeros: Float = 0
    labels.map { Label(truncatingIfNeeded: $0) }.withUnsafeBufferPointer { table in
      for y in 0..<core.height {
        var pixel = scores + ((core.y + y) * width + core.x) * classes
        for place in y * core.width..<(y + 1) * core.width {
          var best = pixel[0], label = table[0]
          // Stays 0 unless a score is infinite or not a number.
          zeros += best * 0
          var index = 1
          while index < classes {
            let next = pixel[index]
            let isHigher = next > best
            best = isHigher ? next : best
            label = isHigher ? table[index] : label
            zeros += next * 0
            index += 1
          }
          lowest = best < lowest ? best : lowest
          highest = best > highest ? best : highest
          output[place] = best < minimum ? 0 : label
          // Adding a half and truncating rounds. What is no number is not above 0.
          if let confidences { confidences[place] = best > 0 ? UInt8(min(1, best) * 255 + 0.5) : 0 }
          pixel += classes
        }
      }
    }
    return Report(lowest: lowest, highest: highest, isFinite: zeros == 0)
  }
}
