// SPDX-License-Identifier: Apache-2.0

/// What is done to an image before the network sees it, as part of the network. The image is float32 with the axes
/// batch, height, width, channels.
///
/// The mathematics are those of the layers of ZEISS' package czmodel, which made such networks first, if nothing else is
/// said.
public enum Preprocessing: Sendable, Hashable {
  /// Reverses the order of all channels, however many there are. One channel stays as it is.
  case rgbToBGR
  /// Reverses the order of the first three of four channels.
  case rgbaToBGRA
  /// `(x - m) / max(s, 1 / sqrt(N))` with the mean `m` and the standard deviation `s` of all `N` numbers of an image.
  case perImageStandardization
  /// `(x - m) / (s + epsilon)` with the same mean and standard deviation: `zero_mean_unit_variance` of bioimage.io.
  case zeroMeanUnitVariance(epsilon: Double)
  /// `(x - mean) / standardDeviation`, each one number, or one per channel.
  case normalization(mean: [Double], standardDeviation: [Double])
  /// Channel `i` of the result is channel `order[i]` of the image. All numbers from 0 on, each once.
  case transposeChannels([Int])
  /// `x + shift`, one number or one per channel.
  case shift([Double])
  /// `x * scale`, one number or one per channel.
  case scale([Double])
}

/// What is done to a network's result, as part of the network.
public enum Postprocessing: Sendable, Hashable {
  /// Makes two classes from one probability `p`: `p` itself, then `1 - p`.
  case sigmoidToSoftmaxScores
  /// `1 / (1 + exp(-x))` of every number.
  case sigmoid
  /// `exp(x)` of each channel, divided by the sum over all channels of the pixel.
  case softmax
}

/// A preprocessing as operations that every format of graphs has.
enum PixelStep: Equatable {
  enum Arithmetic { case add, subtract, multiply, divide }

  case channels([Int])
  /// With one number, or one per channel.
  case arithmetic(Arithmetic, [Float])
  case standardization(Divisor)

  /// By what the differences from the mean are divided.
  enum Divisor: Equatable {
    /// The deviation, and no less than 1 by the root of how many numbers there are.
    case deviationOrLeast
    case deviation(plus: Float)
  }
}

extension Preprocessing {
  /// What to do, in this order, to an image of so many channels.
  ///
  /// - Throws: a sentence that says why that cannot be done.
  func steps(channels: Int) throws(Misfit) -> [PixelStep] {
    switch self {
    case .rgbToBGR: return channels == 1 ? [] : [.channels((0..<channels).reversed())]
    case .rgbaToBGRA:
      guard channels == 4 else { throw Misfit("rgba-to-bgra takes 4 channels, but the network takes \(channels)") }
      return [.channels([2, 1, 0, 3])]
    case .perImageStandardization: return [.standardization(.deviationOrLeast)]
    case .zeroMeanUnitVariance(let epsilon):
      guard epsilon >= 0, Float(epsilon).isFinite else {
        throw Misfit("the epsilon of zero-mean-unit-variance is \(epsilon); 0 or more is needed")
      }
      return [.standardization(.deviation(plus: Float(epsilon)))]
    case .normalization(let mean, let deviation):
      let divisors = try Self.numbers(deviation, "the standard deviation of normalization", channels)
      guard divisors.allSatisfy({ $0 > 0 }) else {
        throw Misfit("a standard deviation of normalization is not above 0, so that nothing can be divided by it")
      }
      return [
        .arithmetic(.subtract, try Self.numbers(mean, "the mean of normalization", channels)),
        .arithmetic(.divide, divisors),
      ]
    case .transposeChannels(let order):
      guard Set(order) == Set(0..<order.count) else {
        throw Misfit(
          "transpose-channels lists \(order): each number from 0 to \(max(0, order.count - 1)) is needed once")
      }
      guard order.count == channels else {
        throw Misfit("transpose-channels lists \(order.count) channels, but the network takes \(channels)")
      }
      return order == Array(0..<channels) ? [] : [.channels(order)]
    case .shift(let shift): return [.arithmetic(.add, try Self.numbers(shift, "shift", channels))]
    case .scale(let scale): return [.arithmetic(.multiply, try Self.numbers(scale, "scale", channels))]
    }
  }

  /// Why a preprocessing does not go with a network.
  struct Misfit: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
  }

  private static func numbers(_ numbers: [Double], _ what: String, _ channels: Int) throws(Misfit) -> [Float] {
    guard numbers.count == 1 || numbers.count == channels else {
      throw Misfit(
        "\(what) has \(numbers.count) numbers: one is needed, or one for each of the network's channels, "
          + "which are \(channels)")
    }
    let floats = numbers.map { Float($0) }
    guard floats.allSatisfy(\.isFinite) else { throw Misfit("\(what) has a number that float32 does not hold") }
    return floats
  }
}
