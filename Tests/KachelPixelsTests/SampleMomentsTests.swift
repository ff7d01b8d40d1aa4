// SPDX-License-Identifier: Apache-2.0
import KachelPixels
import KachelTesting
import Testing

@Suite struct SampleMomentsTests {
  /// The mean and variance in whole numbers as far as that goes.
  private func expected(_ values: [Int]) -> (mean: Double, variance: Double) {
    let sum = values.reduce(Int128(0)) { $0 + Int128($1) }, count = Int128(values.count)
    let squares = values.reduce(Int128(0)) { $0 + Int128($1) * Int128($1) }
    return (
      Double(sum) / Double(count), Double(count * squares - sum * sum) / (Double(count) * Double(count))
    )
  }

  private func buffer<S: FixedWidthInteger & Sample>(_ values: [S], width: Int, samples: Int) -> PixelBuffer {
    let pixels = PixelBuffer(
      width: width, height: values.count / width / samples, samples: samples, type: S.pixelType)
    for (index, value) in values.enumerated() { pixels.values(as: S.self)[index] = value }
    return pixels
  }

  private func integers<S: FixedWidthInteger & Sample>(_: S.Type) {
    var random = SeededRandom(seed: 7)
    for samples in [1, 3] {
      let (width, height) = (37, 23)
      let values = (0..<width * height * samples).map { _ in S.random(in: .min ... .max, using: &random) }
      let pixels = buffer(values, width: width, samples: samples)
      let region = Region(x: 3, y: 2, width: 31, height: 20)
      for sample in 0..<samples {
        var sums = ExactSums()
        let isAdded = sums.add(pixels, sample: sample, in: region)
        let chosen = (region.y..<region.maxY).flatMap { y in
          (region.x..<region.maxX).map { Int(values[(y * width + $0) * samples + sample]) }
        }
        let (mean, variance) = expected(chosen)
        #expect(isAdded && sums.count == chosen.count && sums.mean == mean && sums.variance == variance)
      }
    }
  }

  @Test func integersAreExact() {
    integers(UInt8.self)
    integers(UInt16.self)
    integers(Int8.self)
    integers(Int16.self)
    var sums = ExactSums()
    let isAdded = sums.add(
      buffer([1, 2] as [UInt32], width: 2, samples: 1), sample: 0, in: Region(x: 0, y: 0, width: 2, height: 1))
    #expect(!isAdded && sums.count == 0)
  }

  /// A deviation of less than one among values of 65535, over more pixels than float32 counts.
  @Test func largeValuesOverManyPixelsKeepTheirDeviation() {
    var values = [UInt16](repeating: 65535, count: 512 * 512)
    for index in stride(from: 0, to: values.count, by: 5) { values[index] = 65534 }
    let pixels = buffer(values, width: 512, samples: 1)
    var block = ExactSums()
    _ = block.add(pixels, sample: 0, in: Region(pixels.size))
    var all = ExactSums()
    for _ in 0..<100_000 { all += block }
    #expect(all.count == 100_000 * 512 * 512)
    #expect(all.mean == block.mean && abs(all.variance - block.variance) < 1e-15)
    let share = Double((512 * 512 + 4) / 5) / Double(512 * 512)
    #expect(abs(block.variance - share * (1 - share)) < 1e-12)
  }

  @Test func floatsAreStable() {
    var random = SeededRandom(seed: 3)
    let (width, height) = (61, 40)
    let values = (0..<width * height).map { _ in 65504 + Float.random(in: 0..<0.5, using: &random) }
    let inside = Region(x: 2, y: 3, width: 57, height: 30)
    let chosen = (inside.y..<inside.maxY).flatMap { y in (inside.x..<inside.maxX).map { Double(values[y * width + $0]) }
    }
    let mean = chosen.reduce(0) { $0 + ($1 - 65504) } / Double(chosen.count) + 65504
    let variance = chosen.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(chosen.count)
    values.withUnsafeBufferPointer { values in
      guard let start = values.baseAddress else { return }
      var whole = FloatMoments()
      whole.add(start, width: width, in: inside)
      #expect(whole.count == chosen.count && abs(whole.mean - mean) < 1e-10)
      #expect(abs(whole.variance - variance) < 1e-12)
      var parts = FloatMoments()
      for part in [Region(x: 2, y: 3, width: 20, height: 30), Region(x: 22, y: 3, width: 37, height: 30)] {
        parts.add(start, width: width, in: part)
      }
      #expect(parts.count == whole.count && abs(parts.mean - mean) < 1e-10 && abs(parts.variance - variance) < 1e-12)
      let constant = [Float](repeating: 0.1, count: 64)
      var flat = FloatMoments()
      constant.withUnsafeBufferPointer {
        flat.add($0.baseAddress!, width: 8, in: Region(x: 0, y: 0, width: 8, height: 8))
      }
      #expect(flat.mean == Double(Float(0.1)) && flat.variance == 0)
    }
  }

  @Test func valuesAreStandardized() {
    var values: [Float] = [1, 10, 2, 20, 3, 30]
    values.withUnsafeMutableBufferPointer {
      TensorChannel(values: $0.baseAddress!, channel: 1, channels: 2).standardize(count: 3, scale: 0.5, center: 20)
    }
    #expect(values == [1, -5, 2, 0, 3, 5])
    values.withUnsafeMutableBufferPointer {
      TensorChannel(values: $0.baseAddress!, channel: 0, channels: 1).standardize(count: 6, scale: 2, center: 1)
    }
    #expect(values == [0, -12, 2, -2, 4, 8])
  }
}
