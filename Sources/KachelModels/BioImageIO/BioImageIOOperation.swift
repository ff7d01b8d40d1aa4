// SPDX-License-Identifier: Apache-2.0
private import Foundation

/// What a bioimage.io package does to a tensor before or after the network.
///
/// Source: the processing descriptions of `bioimageio.spec` 0.5, which those of 0.4 are read as.
public enum BioImageIOOperation: Sendable, Hashable {
  /// What a mean or a percentile is taken over.
  public enum Statistics: Sendable, Hashable {
    /// These axes of one sample.
    case sample(axes: [String])
    /// All samples that the model is ever run on, which a single image does not tell.
    case dataset
  }

  /// A limit: a number, or a percentile (0 to 100) of the values.
  public enum Bound: Sendable, Hashable {
    case value(Double)
    case percentile(Double)
  }

  /// 1 where a value is above the threshold, else 0; one threshold, or one for each position along the axis.
  case binarize(thresholds: [Double], axis: String?)
  case clip(minimum: Bound?, maximum: Bound?, statistics: Statistics)
  case ensureType(String)
  /// `x * gain + offset`; one number, or one for each position along the axis.
  case scaleLinear(gain: [Double], offset: [Double], axis: String?)
  case sigmoid
  case softmax(axis: String)
  /// `(x - mean) / (deviation + epsilon)`, with the deviation of the whole population.
  case zeroMeanUnitVariance(Statistics, epsilon: Double)
  /// The same with given numbers; one, or one for each position along the axis.
  case fixedZeroMeanUnitVariance(mean: [Double], deviation: [Double], axis: String?)
  /// `(x - low) / (high - low + epsilon)` between two percentiles, without clipping.
  case scaleRange(Statistics, minimum: Double, maximum: Double, epsilon: Double, reference: String?)
  /// Gives the values the mean and deviation of another tensor.
  case scaleMeanVariance(Statistics, epsilon: Double, reference: String)
  /// One that is not read, as one in Python.
  case unknown(name: String)

  /// What ``fixedZeroMeanUnitVariance(mean:deviation:axis:)`` adds to the deviation.
  static let fixedEpsilon = 1e-6

  /// Its name in descriptions.
  public var name: String {
    switch self {
    case .binarize: "binarize"
    case .clip: "clip"
    case .ensureType: "ensure_dtype"
    case .scaleLinear: "scale_linear"
    case .sigmoid: "sigmoid"
    case .softmax: "softmax"
    case .zeroMeanUnitVariance: "zero_mean_unit_variance"
    case .fixedZeroMeanUnitVariance: "fixed_zero_mean_unit_variance"
    case .scaleRange: "scale_range"
    case .scaleMeanVariance: "scale_mean_variance"
    case .unknown(let name): name
    }
  }

  /// Why an operation cannot be done.
  public struct Failure: Error, Sendable {
    /// The operation's name, and what it needs.
    public let reason: String
  }

  /// Does the operation to a tensor.
  ///
  /// Statistics of a dataset are taken over the tensor, as the zoo's own test does with the first sample.
  ///
  /// - Parameter axes: the names of the tensor's axes.
  public func apply(to tensor: inout NumberTensor, axes: [String]) throws(Failure) {
    switch self {
    case .ensureType(let type): try convert(&tensor, type)
    case .binarize(let thresholds, let axis):
      try map(&tensor, axes, axis, thresholds) { value, threshold, _ in value > threshold ? 1 : 0 }
    case .scaleLinear(let gain, let offset, let axis):
      try map(&tensor, axes, axis, gain, offset) { value, gain, offset in value * gain + offset }
    case .fixedZeroMeanUnitVariance(let mean, let deviation, let axis):
      try map(&tensor, axes, axis, mean, deviation) { value, mean, deviation in
        (value - mean) / (deviation + Self.fixedEpsilon)
      }
    case .sigmoid: for index in tensor.values.indices { tensor.values[index] = 1 / (1 + exp(-tensor.values[index])) }
    case .softmax(let axis):
      let groups = try Groups(tensor, over: .sample(axes: [axis]), axes, name)
      let largest = groups.reduce(tensor, -.infinity) { max($0, $1) }
      groups.map(&tensor) { value, group in exp(value - largest[group]) }
      let sums = groups.reduce(tensor, 0) { $0 + $1 }
      groups.map(&tensor) { value, group in value / sums[group] }
    case .zeroMeanUnitVariance(let statistics, let epsilon):
      let groups = try Groups(tensor, over: statistics, axes, name)
      let count = Double(groups.size)
      let means = groups.reduce(tensor, 0) { $0 + $1 }.map { $0 / count }
      var squares = tensor
      groups.map(&squares) { value, group in (value - means[group]) * (value - means[group]) }
      let deviations = groups.reduce(squares, 0) { $0 + $1 }.map { ($0 / count).squareRoot() }
      groups.map(&tensor) { value, group in (value - means[group]) / (deviations[group] + epsilon) }
    case .scaleRange(let statistics, let minimum, let maximum, let epsilon, nil):
      let groups = try Groups(tensor, over: statistics, axes, name)
      let sorted = groups.sorted(tensor)
      let low = sorted.map { Self.percentile($0, minimum) }, high = sorted.map { Self.percentile($0, maximum) }
      groups.map(&tensor) { value, group in (value - low[group]) / (high[group] - low[group] + epsilon) }
    case .clip(let minimum, let maximum, let statistics):
      let groups = try Groups(tensor, over: statistics, axes, name)
      let needsOrder = [minimum, maximum].contains { if case .percentile? = $0 { true } else { false } }
      let sorted = needsOrder ? groups.sorted(tensor) : []
      func limit(_ bound: Bound?, _ group: Int, _ none: Double) -> Double {
        switch bound {
        case .value(let value): value
        // NumPy's inverted_cdf: an element, not a mean of two.
        case .percentile(let percent):
          sorted[group][
            max(0, min(groups.size - 1, Int((Double(groups.size) * percent / 100).rounded(.up)) - 1))]
        case nil: none
        }
      }
      let low = (0..<groups.count).map { limit(minimum, $0, -.infinity) }
      let high = (0..<groups.count).map { limit(maximum, $0, .infinity) }
      groups.map(&tensor) { value, group in max(low[group], min(high[group], value)) }
    case .scaleRange, .scaleMeanVariance:
      throw Failure(reason: "\(name) takes its statistics from another tensor, which is not done")
    case .unknown: throw Failure(reason: "\(name) is not known")
    }
  }

  private func convert(_ tensor: inout NumberTensor, _ type: String) throws(Failure) {
    switch type {
    case "float32", "float64": break
    case "uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "uint64", "bool":
      for index in tensor.values.indices { tensor.values[index] = tensor.values[index].rounded(.towardZero) }
    default: throw Failure(reason: "ensure_dtype to \(type) is not known")
    }
  }

  /// Linear between the two nearest, as NumPy does by default.
  private static func percentile(_ sorted: [Double], _ percent: Double) -> Double {
    guard let last = sorted.last else { return 0 }
    let place = max(0, min(100, percent)) / 100 * Double(sorted.count - 1)
    let index = Int(place)
    guard index + 1 < sorted.count else { return last }
    return sorted[index] + (sorted[index + 1] - sorted[index]) * (place - Double(index))
  }

  /// Changes every element by numbers that are one for all, or one for each position along an axis.
  private func map(
    _ tensor: inout NumberTensor, _ axes: [String], _ axis: String?, _ first: [Double], _ second: [Double] = [0],
    _ change: (Double, Double, Double) -> Double
  ) throws(Failure) {
    var (stride, count) = (1, 1)
    if first.count > 1 || second.count > 1 {
      guard let place = axes.firstIndex(of: axis ?? "channel"), tensor.shape.indices.contains(place),
        [1, tensor.shape[place]].contains(first.count), [1, tensor.shape[place]].contains(second.count)
      else { throw Failure(reason: "\(name) has not one number for each position along \(axis ?? "channel")") }
      (stride, count) = (tensor.strides[place], tensor.shape[place])
    }
    for index in tensor.values.indices {
      let position = index / stride % count
      tensor.values[index] = Float(
        change(
          Double(tensor.values[index]), first[first.count > 1 ? position : 0],
          second[second.count > 1 ? position : 0]))
    }
  }
}

/// The elements of a tensor that are summed up together.
private struct Groups {
  let count: Int
  /// Elements of one group.
  let size: Int
  private let shape: [Int]
  private let strides: [Int]

  init(
    _ tensor: NumberTensor, over statistics: BioImageIOOperation.Statistics, _ axes: [String], _ name: String
  ) throws(BioImageIOOperation.Failure) {
    let reduced: [String]
    switch statistics {
    case .dataset: reduced = axes
    case .sample(let own): reduced = own
    }
    guard axes.count == tensor.shape.count, reduced.allSatisfy(axes.contains), !tensor.values.isEmpty else {
      throw BioImageIOOperation.Failure(reason: "\(name) names an axis that the tensor does not have")
    }
    shape = tensor.shape
    var (strides, count) = (Array(repeating: 0, count: shape.count), 1)
    for axis in shape.indices.reversed() where !reduced.contains(axes[axis]) {
      strides[axis] = count
      count *= shape[axis]
    }
    (self.strides, self.count) = (strides, count)
    size = tensor.values.count / count
  }

  /// Calls with the place of every element, in order, and the group that it belongs to.
  private func forEach(_ body: (Int, Int) -> Void) {
    var position = Array(repeating: 0, count: shape.count)
    var group = 0
    for index in 0..<count * size {
      body(index, group)
      var axis = shape.count - 1
      while axis >= 0 {
        position[axis] += 1
        group += strides[axis]
        if position[axis] < shape[axis] { break }
        group -= strides[axis] * shape[axis]
        position[axis] = 0
        axis -= 1
      }
    }
  }

  func reduce(_ tensor: NumberTensor, _ start: Double, _ combine: (Double, Double) -> Double) -> [Double] {
    var results = Array(repeating: start, count: count)
    forEach { index, group in results[group] = combine(results[group], Double(tensor.values[index])) }
    return results
  }

  func map(_ tensor: inout NumberTensor, _ change: (Double, Int) -> Double) {
    forEach { index, group in tensor.values[index] = Float(change(Double(tensor.values[index]), group)) }
  }

  func sorted(_ tensor: NumberTensor) -> [[Double]] {
    var groups = Array(repeating: [Double](), count: count)
    for index in groups.indices { groups[index].reserveCapacity(size) }
    forEach { index, group in groups[group].append(Double(tensor.values[index])) }
    return groups.map { $0.sorted() }
  }
}
