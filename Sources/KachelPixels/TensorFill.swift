// SPDX-License-Identifier: Apache-2.0

/// How one channel of a network's input comes from the samples of a pixel.
public enum SampleMix: Sendable, Hashable {
  case sample(Int)
  /// ITU-R BT.601: 0.299 red + 0.587 green + 0.114 blue, of the samples at these places.
  case luminance(red: Int, green: Int, blue: Int)
}

/// One channel of a float32 tensor in NHWC layout with batch 1.
public struct TensorChannel {
  /// `height * width * channels` values.
  public let values: UnsafeMutablePointer<Float>
  public let channel: Int
  public let channels: Int

  public init(values: UnsafeMutablePointer<Float>, channel: Int, channels: Int) {
    self.values = values
    self.channel = channel
    self.channels = channels
  }

  /// Fills the channel from pixels, each value divided by `divisor` in float32.
  ///
  /// - Parameters:
  ///   - pixels: the image's pixels `columns.pixels` x `rows.pixels`.
  ///   - columns, rows: where the tensor's columns and rows come from.
  public func fill(
    from pixels: PixelBuffer, mix: SampleMix, columns: ReflectedAxis, rows: ReflectedAxis, dividedBy divisor: Float
  ) {
    pixels.type.apply(
      Fill(channel: self, pixels: pixels, mix: mix, columns: columns, rows: rows, divisor: divisor))
  }

  private struct Fill: SampleOperation {
    let channel: TensorChannel
    let pixels: PixelBuffer
    let mix: SampleMix
    let columns: ReflectedAxis
    let rows: ReflectedAxis
    let divisor: Float

    func run<S: Sample>(_: S.Type) {
      guard let source = pixels.values(as: S.self).baseAddress else { return }
      let left = columns.pixels.lowerBound, top = rows.pixels.lowerBound
      let samples = pixels.samples, channels = channel.channels
      for y in 0..<rows.count {
        let row = source + (rows.pixel(at: y) - top) * pixels.width * samples
        let inside = row + (columns.origin - left) * samples
        let output = channel.values + y * columns.count * channels + channel.channel
        switch mix {
        case .sample(let place):
          copy(inside + place, samples, to: output, columns.inside)
          for x in columns.inside..<columns.count {
            output[x * channels] = row[(columns.pixel(at: x) - left) * samples + place].asFloat / divisor
          }
        case .luminance(let red, let green, let blue):
          func value(_ pixel: UnsafeMutablePointer<S>) -> Float {
            (0.299 * pixel[red].asFloat + 0.587 * pixel[green].asFloat + 0.114 * pixel[blue].asFloat) / divisor
          }
          for x in 0..<columns.inside { output[x * channels] = value(inside + x * samples) }
          for x in columns.inside..<columns.count {
            output[x * channels] = value(row + (columns.pixel(at: x) - left) * samples)
          }
        }
      }
    }

    private func copy<S: Sample>(
      _ source: UnsafeMutablePointer<S>, _ samples: Int, to output: UnsafeMutablePointer<Float>, _ count: Int
    ) {
      let channels = channel.channels
      if samples == 1 && channels == 1 {
        // The common case apart, so that it is compiled to vector instructions.
        for x in 0..<count { output[x] = source[x].asFloat / divisor }
      } else {
        for x in 0..<count { output[x * channels] = source[x * samples].asFloat / divisor }
      }
    }
  }
}
