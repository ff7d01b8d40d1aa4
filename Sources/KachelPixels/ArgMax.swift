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

  private typealias Lanes = SIMD16<Float>

  private func decide<Label: FixedWidthInteger & UnsignedInteger & SIMDScalar>(
    _ scores: UnsafePointer<Float>, _ width: Int, _ core: Region, _ output: UnsafeMutableBufferPointer<Label>,
    _ confidence: PixelBuffer?
  ) -> Report {
    let classes = labels.count
    let table = labels.map(Int32.init)
    let minimum = Lanes(repeating: minimumScore)
    let confidences = confidence?.values(as: UInt8.self)
    var lowest = Lanes(repeating: .infinity), highest = Lanes(repeating: -.infinity), zeros = Lanes()
    for y in 0..<core.height {
      let row = scores + ((core.y + y) * width + core.x) * classes
      var x = 0
      while x < core.width {
        // The last group of a row overlaps the one before it.
        if core.width >= 16 { x = min(x, core.width - 16) }
        let count = min(16, core.width - x)
        let pixels = row + x * classes
        var best = load(pixels, classes, count)
        var label = SIMD16<Int32>(repeating: table[0])
        // Stays 0 unless a score is infinite or not a number.
        zeros += best * 0
        for index in 1..<max(1, classes) {
          let next = load(pixels + index, classes, count)
          let isHigher = next .> best
          best.replace(with: next, where: isHigher)
          label.replace(with: table[index], where: isHigher)
          zeros += next * 0
        }
        lowest = pointwiseMin(lowest, best)
        highest = pointwiseMax(highest, best)
        label.replace(with: 0, where: best .< minimum)
        let start = y * core.width + x
        store(SIMD16<Label>(truncatingIfNeeded: label), count, at: start, in: output)
        if let confidences {
          // Adding a half and truncating rounds.
          let scaled = pointwiseMax(Lanes(), pointwiseMin(Lanes(repeating: 1), best)) * 255 + 0.5
          store(SIMD16<UInt8>(truncatingIfNeeded: SIMD16<Int32>(scaled)), count, at: start, in: confidences)
        }
        x += 16
      }
    }
    return Report(lowest: lowest.min(), highest: highest.max(), isFinite: zeros.sum() == 0)
  }

  /// One class' scores of `count` neighbouring pixels; lanes beyond them repeat the first, so that they change nothing.
  @inline(__always)
  private func load(_ scores: UnsafePointer<Float>, _ classes: Int, _ count: Int) -> Lanes {
    var lanes = Lanes()
    if count == 16 {
      for lane in 0..<16 { lanes[lane] = scores[lane * classes] }
    } else {
      for lane in 0..<16 { lanes[lane] = scores[lane < count ? lane * classes : 0] }
    }
    return lanes
  }

  @inline(__always)
  private func store<Value>(
    _ lanes: SIMD16<Value>, _ count: Int, at start: Int, in output: UnsafeMutableBufferPointer<Value>
  ) {
    if count == 16 {
      UnsafeMutableRawBufferPointer(output).storeBytes(
        of: lanes, toByteOffset: start * MemoryLayout<Value>.size, as: SIMD16<Value>.self)
    } else {
      for lane in 0..<count { output[start + lane] = lanes[lane] }
    }
  }
}
