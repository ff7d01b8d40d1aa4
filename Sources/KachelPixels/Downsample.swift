// SPDX-License-Identifier: Apache-2.0

/// Halving the sides of a picture: every output pixel stands for 2 x 2 pixels, for fewer at an odd right or bottom edge.
public enum Downsample {
  /// The most frequent of the values; of equally frequent ones the first in reading order. For labels, which must never
  /// be averaged.
  public static func mode(_ input: PixelBuffer, into output: PixelBuffer) {
    input.type.apply(Mode(input: input, output: output))
  }

  /// The mean of the values; integers are rounded half up.
  public static func mean(_ input: PixelBuffer, into output: PixelBuffer) {
    input.type.apply(Mean(input: input, output: output))
  }

  private struct Mode: SampleOperation {
    let input: PixelBuffer
    let output: PixelBuffer
    func run<S: Sample>(_: S.Type) {
      halve(S.self, input, output) { a, b, c, d in
        // With a partner a is as frequent as any other; without one b, then c, need a partner of their own.
        if a == b || a == c || a == d { return a }
        if b == c || b == d { return b }
        return c == d ? c : a
      }
    }
  }

  private struct Mean: SampleOperation {
    let input: PixelBuffer
    let output: PixelBuffer
    func run<S: Sample>(_: S.Type) { halve(S.self, input, output, S.mean) }
  }

  /// Calls `combine` with top left, top right, bottom left, bottom right of every sample; an edge repeats its last pixel.
  @inline(__always)
  private static func halve<Value>(
    _: Value.Type, _ input: PixelBuffer, _ output: PixelBuffer, _ combine: (Value, Value, Value, Value) -> Value
  ) {
    let width = (input.width + 1) / 2, height = (input.height + 1) / 2, samples = input.samples
    output.reshape(width: width, height: height, samples: samples, type: input.type)
    guard let source = input.values(as: Value.self).baseAddress, let target = output.values(as: Value.self).baseAddress
    else { return }
    for y in 0..<height {
      let upper = source + 2 * y * input.width * samples
      let lower = 2 * y + 1 < input.height ? upper + input.width * samples : upper
      let row = target + y * width * samples
      if samples == 1 {
        for x in 0..<input.width / 2 {
          row[x] = combine(upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1])
        }
      } else {
        for x in 0..<input.width / 2 {
          for sample in x * samples..<(x + 1) * samples {
            let left = sample + x * samples, right = left + samples
            row[sample] = combine(upper[left], upper[right], lower[left], lower[right])
          }
        }
      }
      if input.width % 2 == 1 {
        for sample in 0..<samples {
          let x = (input.width - 1) * samples + sample
          row[(width - 1) * samples + sample] = combine(upper[x], upper[x], lower[x], lower[x])
        }
      }
    }
  }
}
