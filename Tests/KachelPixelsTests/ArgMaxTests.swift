// SPDX-License-Identifier: Apache-2.0
import KachelPixels
import Testing

@Suite struct ArgMaxTests {
  /// Scores from a fixed sequence, with equals among them.
  private static func scores(_ count: Int) -> [Float] {
    var state: UInt64 = 88_172_645_463_325_252
    return (0..<count).map { _ in
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return Float(state % 97) / 96
    }
  }

  @Test(arguments: [PixelType.uint8, .uint16]) func classesThatAreChosenAlready(type: PixelType) {
    let tile = Size(width: 40, height: 6), core = Region(x: 5, y: 1, width: 30, height: 4)
    let labels: [UInt16] = type == .uint8 ? [7, 1, 200] : [7, 1, 40_000]
    var classes = (0..<tile.area).map { UInt8($0 * 7 % 3) }
    func decide() -> (ArgMax.Report, [UInt16]) {
      let output = PixelBuffer(width: 0, height: 0, type: type)
      let report = classes.withUnsafeBufferPointer {
        ArgMax(labels: labels).decide(
          classes: $0.baseAddress!, none: 255, width: tile.width, core: core, into: output, type: type)
      }
      return (
        report, type == .uint8 ? output.values(as: UInt8.self).map(UInt16.init) : Array(output.values(as: UInt16.self))
      )
    }
    let expected = (core.y..<core.maxY).flatMap { y in
      (core.x..<core.maxX).map { x in labels[Int(classes[y * tile.width + x])] }
    }
    #expect(decide().1 == expected && decide().0.isFinite)
    // Beside the core nobody asks.
    classes[0] = 255
    #expect(decide().0.isFinite)
    classes[2 * tile.width + 8] = 255
    #expect(!decide().0.isFinite && decide().1[33] == 0)
    // No class of the network.
    classes[2 * tile.width + 8] = 3
    #expect(decide().1[33] == 0)
  }

  @Test(arguments: [1, 2, 3, 5, 20], [1, 7, 15, 16, 17, 40])
  func decidesAsOnePixelAtATime(classes: Int, width: Int) {
    let tile = Size(width: width + 9, height: 6)
    let core = Region(x: 5, y: 1, width: width, height: 4)
    let scores = Self.scores(tile.area * classes)
    let labels = (0..<classes).map { UInt16($0 * 3 + 1) }
    for (type, minimum) in [(PixelType.uint8, Float(-1)), (.uint16, 0.6)] {
      let output = PixelBuffer(width: 0, height: 0, type: type), plain = PixelBuffer(width: 0, height: 0, type: type)
      let confidence = PixelBuffer(width: 0, height: 0, type: .uint8)
      _ = scores.withUnsafeBufferPointer {
        ArgMax(labels: labels).decide($0.baseAddress!, width: tile.width, core: core, into: plain, type: type)
      }
      let report = scores.withUnsafeBufferPointer {
        ArgMax(labels: labels, minimumScore: minimum).decide(
          $0.baseAddress!, width: tile.width, core: core, into: output, type: type, confidence: confidence)
      }
      #expect(report.isFinite)
      var (lowest, highest) = (Float.infinity, -Float.infinity)
      for y in 0..<core.height {
        for x in 0..<core.width {
          let start = ((core.y + y) * tile.width + core.x + x) * classes
          let values = scores[start..<start + classes]
          let best = values.max() ?? 0
          let expected = best < minimum ? 0 : labels[(values.firstIndex(of: best) ?? 0) - start]
          let place = y * core.width + x
          let got =
            type == .uint8 ? UInt16(output.values(as: UInt8.self)[place]) : output.values(as: UInt16.self)[place]
          #expect(got == expected)
          let without =
            type == .uint8 ? UInt16(plain.values(as: UInt8.self)[place]) : plain.values(as: UInt16.self)[place]
          #expect(without == labels[(values.firstIndex(of: best) ?? 0) - start])
          #expect(confidence.values(as: UInt8.self)[place] == UInt8(best * 255 + 0.5))
          (lowest, highest) = (min(lowest, best), max(highest, best))
        }
      }
      #expect(report.lowest == lowest)
      #expect(report.highest == highest)
    }
  }

  @Test(arguments: [2, 3, 7], [PixelType.uint8, .uint16])
  func logitsAreDecidedAsTheirProbabilities(classes: Int, type: PixelType) {
    let width = 33, region = Region(x: 2, y: 0, width: 30, height: 3)
    let logits = Self.scores(width * 3 * classes).map { $0 * 20 - 10 }
    let labels = (0..<classes).map { UInt16($0 * 3 + 1) }
    func decide(_ minimum: Float, _ confidence: PixelBuffer?) -> (report: ArgMax.Report, labels: [Int]) {
      let output = PixelBuffer(width: 0, height: 0, type: type)
      let report = logits.withUnsafeBufferPointer {
        ArgMax(labels: labels, minimumScore: minimum, areLogits: true).decide(
          $0.baseAddress!, width: width, core: region, into: output, type: type, confidence: confidence)
      }
      let values =
        type == .uint8 ? output.values(as: UInt8.self).map(Int.init) : output.values(as: UInt16.self).map(Int.init)
      return (report, values)
    }
    let certain = PixelBuffer(width: 0, height: 0, type: .uint8)
    let plain = decide(-.infinity, nil), withConfidence = decide(-.infinity, certain), sure = decide(0.8, nil)
    #expect(plain.report.isFinite && withConfidence.report.isFinite)
    #expect(plain.labels == withConfidence.labels)
    var unsure = 0
    for place in 0..<region.area {
      let pixel = place / region.width * width + place % region.width + region.x
      let own = Array(logits[pixel * classes..<(pixel + 1) * classes])
      let probabilities = ArgMax.probabilities(ofLogits: own), best = probabilities.max() ?? 0
      #expect(abs(probabilities.reduce(0, +) - 1) < 1e-6)
      #expect(plain.labels[place] == Int(labels[own.firstIndex(of: own.max() ?? 0) ?? 0]))
      #expect(abs(Float(certain.values(as: UInt8.self)[place]) - best * 255) <= 0.501)
      guard abs(best - 0.8) > 1e-6 else { continue }
      #expect(sure.labels[place] == (best < 0.8 ? 0 : plain.labels[place]))
      unsure += best < 0.8 ? 1 : 0
    }
    #expect(unsure > 0 && unsure < region.area)
  }

  private static let impossible: [([Float], Bool)] = [
    ([-.infinity, 1], true), ([1, -.infinity], true), ([-.infinity, -.infinity], false), ([.infinity, 1], false),
    ([.nan, 1], false), ([1, -.nan], false),
  ]

  /// A class may be impossible, but there must be one that is not.
  @Test(arguments: impossible) func logitsOfImpossibleClasses(pixel: [Float], isFinite: Bool) {
    let logits = Array(repeating: 3, count: 40) + pixel + [0, 0]
    for confidence in [nil, PixelBuffer(width: 0, height: 0, type: .uint8)] {
      let report = logits.withUnsafeBufferPointer {
        ArgMax(labels: [1, 2], areLogits: true).decide(
          $0.baseAddress!, width: 22, core: Region(x: 0, y: 0, width: 22, height: 1),
          into: PixelBuffer(width: 0, height: 0, type: .uint8), type: .uint8, confidence: confidence)
      }
      #expect(report.isFinite == isFinite)
    }
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func tellsScoresThatAreNoNumbers(bad: Float) {
    for place in [0, 33, 63] {
      var scores = Self.scores(64)
      scores[place] = bad
      let output = PixelBuffer(width: 0, height: 0, type: .uint8)
      for confidence in [nil, PixelBuffer(width: 0, height: 0, type: .uint8)] {
        let report = scores.withUnsafeBufferPointer {
          ArgMax(labels: [1, 2]).decide(
            $0.baseAddress!, width: 32, core: Region(x: 0, y: 0, width: 32, height: 1), into: output, type: .uint8,
            confidence: confidence)
        }
        #expect(!report.isFinite)
      }
    }
  }
}
