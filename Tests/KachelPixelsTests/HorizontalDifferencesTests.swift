// SPDX-License-Identifier: Apache-2.0
import KachelPixels
import KachelTesting
import Testing

@Suite struct HorizontalDifferencesTests {
  /// Rows of random numbers, each sum computed from the row's start.
  func check<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type, samples: Int, width: Int) {
    var random = SeededRandom(seed: UInt64(samples * 100 + width))
    let differences = (0..<3 * width * samples).map { _ in T.random(in: .min ... .max, using: &random) }
    var rows = differences
    let size = MemoryLayout<T>.size
    rows.withUnsafeMutableBytes {
      HorizontalDifferences.undo($0, bytesPerRow: width * samples * size, samples: samples, size: size)
    }
    for (index, value) in rows.enumerated() {
      let (row, column) = (index / (width * samples), index % (width * samples))
      let parts = stride(from: column % samples, through: column, by: samples)
      #expect(value == parts.reduce(0) { $0 &+ differences[row * width * samples + $1] })
    }
  }

  @Test(arguments: 1...5, [1, 2, 17]) func sums(_ samples: Int, _ width: Int) {
    check(UInt8.self, samples: samples, width: width)
    check(UInt16.self, samples: samples, width: width)
    check(UInt32.self, samples: samples, width: width)
    check(UInt64.self, samples: samples, width: width)
  }
}
