// SPDX-License-Identifier: Apache-2.0

/// How one channel of a network's input comes from the samples of a pixel.
public enum SampleMix: Sendable, Hashable {
  case sample(Int)
  /// ITU-R BT.601: 0.299 red + 0.587 green + 0.114 blue, of the samples at these places.
  case luminance(red: Int, green: Int, blue: Int)

  /// The sample's place in a pixel, where it is a single one.
  public var place: Int? { if case .sample(let place) = self { place } else { nil } }
}

/// One channel of a tensor in NHWC layout with batch 1.
public struct TensorChannel<Value> {
  /// `height * width * channels` values.
  public let values: UnsafeMutablePointer<Value>
  public let channel: Int
  public let channels: Int

  public init(values: UnsafeMutablePointer<Value>, channel: Int, channels: Int) {
    self.values = values
    self.channel = channel
    self.channels = channels
  }

  /// Fills the channel with a value for every pixel.
  ///
  /// - Parameters:
  ///   - pixels: the image's pixels `columns.pixels` x `rows.pixels`.
  ///   - columns, rows: where the tensor's columns and rows come from.
  ///   - value: of a pixel, given its first sample.
  @inline(__always)
  private func fill<S: Sample>(
    from pixels: PixelBuffer, _ columns: ReflectedAxis, _ rows: ReflectedAxis,
    _ value: (UnsafeMutablePointer<S>) -> Value
  ) {
    guard let source = pixels.values(as: S.self).baseAddress else { return }
    let left = columns.pixels.lowerBound, top = rows.pixels.lowerBound
    let samples = pixels.samples
    for y in 0..<rows.count {
      let row = source + (rows.pixel(at: y) - top) * pixels.width * samples
      let inside = row + (columns.origin - left) * samples
      let output = values + y * columns.count * channels + channel
      if samples == 1 && channels == 1 {
        // The common case apart, so that it is compiled to vector instructions.
        for x in 0..<columns.inside { output[x] = value(inside + x) }
      } else {
        for x in 0..<columns.inside { output[x * channels] = value(inside + x * samples) }
      }
      for x in columns.inside..<columns.count {
        output[x * channels] = value(row + (columns.pixel(at: x) - left) * samples)
      }
    }
  }
}

extension TensorChannel where Value: Sample {
  /// Fills the channel with a sample of pixels of its type, as it is.
  ///
  /// - Parameters:
  ///   - place: the sample's place in a pixel.
  ///   - pixels: the image's pixels `columns.pixels` x `rows.pixels`.
  ///   - columns, rows: where the tensor's columns and rows come from.
  public func copy(sample place: Int, of pixels: PixelBuffer, columns: ReflectedAxis, rows: ReflectedAxis) {
    fill(from: pixels, columns, rows) { (pixel: UnsafeMutablePointer<Value>) in pixel[place] }
  }
}

extension TensorChannel<Float> {
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
      let divisor = divisor
      switch mix {
      case .sample(let place):
        channel.fill(from: pixels, columns, rows) { (pixel: UnsafeMutablePointer<S>) in pixel[place].asFloat / divisor }
      case .luminance(let red, let green, let blue):
        channel.fill(from: pixels, columns, rows) { (pixel: UnsafeMutablePointer<S>) in
          (0.299 * pixel[red].asFloat + 0.587 * pixel[green].asFloat + 0.114 * pixel[blue].asFloat) / divisor
        }
      }
    }
  }
}
