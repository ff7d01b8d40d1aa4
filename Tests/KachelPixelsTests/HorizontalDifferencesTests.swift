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

  @Test(arguments: 1...5, [1, 2, 17, 128]) func sums(_ samples: Int, _ width: Int) {
    check(UInt8.self, samples: samples, width: width)
    check(UInt16.self, samples: samples, width: width)
    check(UInt32.self, samples: samples, width: width)
    check(UInt64.self, samples: samples, width: width)
  }

  @Test(arguments: [1, 2, 4, 8], [1, 3, 4]) func thereAndBack(_ size: Int, _ samples: Int) {
    for width in [1, 2, 37] {
      let row = width * samples * size
      var random = SeededRandom(seed: 1)
      let bytes = (0..<3 * row).map { _ in UInt8.random(in: 0...255, using: &random) }
      var differences = [UInt8](repeating: 77, count: bytes.count)
      bytes.withUnsafeBytes { bytes in
        differences.withUnsafeMutableBytes {
          HorizontalDifferences.take(of: bytes, into: $0, bytesPerRow: row, samples: samples, size: size)
        }
      }
      /// The little-endian number at a place among the samples.
      func number(_ bytes: [UInt8], _ index: Int) -> UInt64 {
        (0..<size).reduce(0) { $0 | UInt64(bytes[index * size + $1]) << UInt64(8 * $1) }
      }
      for index in 0..<3 * width * samples {
        let before = index % (width * samples) < samples ? 0 : number(bytes, index - samples)
        let mask = UInt64.max >> UInt64(64 - 8 * size)
        #expect(number(differences, index) == (number(bytes, index) &- before) & mask)
      }
      differences.withUnsafeMutableBytes {
        HorizontalDifferences.undo($0, bytesPerRow: row, samples: samples, size: size)
      }
      #expect(differences == bytes)
    }
  }
}
