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

  @Test(arguments: [1, 2, 3, 5, 20], [1, 7, 15, 16, 17, 40])
  func decidesAsOnePixelAtATime(classes: Int, width: Int) {
    let tile = Size(width: width + 9, height: 6)
    let core = Region(x: 5, y: 1, width: width, height: 4)
    let scores = Self.scores(tile.area * classes)
    let labels = (0..<classes).map { UInt16($0 * 3 + 1) }
    for (type, minimum) in [(PixelType.uint8, Float(-1)), (.uint16, 0.6)] {
      let output = PixelBuffer(width: 0, height: 0, type: type)
      let confidence = PixelBuffer(width: 0, height: 0, type: .uint8)
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
          #expect(confidence.values(as: UInt8.self)[place] == UInt8(best * 255 + 0.5))
          (lowest, highest) = (min(lowest, best), max(highest, best))
        }
      }
      #expect(report.lowest == lowest)
      #expect(report.highest == highest)
    }
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func tellsScoresThatAreNoNumbers(bad: Float) {
    for place in [0, 33, 63] {
      var scores = Self.scores(64)
      scores[place] = bad
      let output = PixelBuffer(width: 0, height: 0, type: .uint8)
      let confidence = PixelBuffer(width: 0, height: 0, type: .uint8)
      let report = scores.withUnsafeBufferPointer {
        ArgMax(labels: [1, 2]).decide(
          $0.baseAddress!, width: 32, core: Region(x: 0, y: 0, width: 32, height: 1), into: output, type: .uint8,
          confidence: confidence)
      }
      #expect(!report.isFinite)
    }
  }
}
