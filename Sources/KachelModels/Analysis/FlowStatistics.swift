// SPDX-License-Identifier: Apache-2.0

/// One number, or one for each channel, that a network takes of its whole input before anything else, as to standardise
/// it. In tiles it must be the whole image's: then the network is exact.
package struct InputStatistic: Sendable, Hashable {
  package enum Reduction: Sendable, Hashable { case mean, sum, minimum, maximum }
  package enum Quantity: Sendable, Hashable {
    case pixels
    case squares
    /// Of the differences from the mean of all pixels.
    case squaredDeviations
  }

  package var reduction: Reduction
  package var quantity: Quantity
  /// Whether each channel has its own.
  package var isPerChannel: Bool
  /// The operation that takes it, the node's name and output, and the function that the node is in (empty: none).
  package var operation: String
  package var node: String
  package var result: String
  package var function: String
  /// Of which value's pixels it is taken: the input, or what comes out of the node of that name, which is the input with
  /// constants added, multiplied or channels in another order. Squares and deviations are taken from there on.
  package var source: String
}

extension FlowAnalysis {
  /// What is known of the numbers in a value: how they follow from the pixels of the value with that number, which are the
  /// input's up to constants and the order of channels.
  enum Content: Hashable {
    case pixels(Int)
    case deviations(Int)
    case squares(Int)
    case squaredDeviations(Int)
    case mean(Int)
    /// A number for the whole image, computed from statistics.
    case statistic
  }

  /// What is known of a value that a node made.
  func content(_ node: Flow.Node, _ inputs: [Value?], _ axes: [Axis], _ output: Int) -> Content? {
    let found = unchecked(node, inputs, output)
    switch found {
    case .mean, .statistic: return axes.contains(where: \.isSpatial) ? nil : found
    case .pixels, .deviations, .squares, .squaredDeviations: return isWhole(axes) ? found : nil
    case nil: return nil
    }
  }

  private func content(_ node: Flow.Node, input: Int) -> Content? {
    guard node.inputs.indices.contains(input), contents.indices.contains(node.inputs[input]) else { return nil }
    return contents[node.inputs[input]]
  }

  private func unchecked(_ node: Flow.Node, _ inputs: [Value?], _ output: Int) -> Content? {
    let first = content(node, input: 0)
    switch node.step {
    case .same, .cast, .transpose, .reshape, .squeeze, .unsqueeze: return first
    case .pointwise(let function):
      if function == .square { return squared(first) }
      return isStatistic(first) ? .statistic : nil
    case .elementwise(let arithmetic): return combined(node, arithmetic, inputs, output)
    case .reverse, .gather, .slice, .stridedSlice, .split:
      if case .pixels = first { return .pixels(output) }
      return nil
    case .concatenate(_, let count):
      for input in 0..<min(count, node.inputs.count) {
        guard case .pixels = content(node, input: input) else { return nil }
      }
      return .pixels(output)
    case .reduce, .globalPool:
      return statistic(node, inputs).map { statistic in
        if statistic.reduction == .mean, case .pixels(let source) = first { .mean(source) } else { .statistic }
      }
    default: return nil
    }
  }

  private func isStatistic(_ content: Content?) -> Bool {
    switch content {
    case .mean, .statistic: true
    default: false
    }
  }

  private func squared(_ content: Content?) -> Content? {
    switch content {
    case .pixels(let source): .squares(source)
    case .deviations(let source): .squaredDeviations(source)
    case .mean, .statistic: .statistic
    default: nil
    }
  }

  private func combined(
    _ node: Flow.Node, _ arithmetic: Step.Arithmetic?, _ inputs: [Value?], _ output: Int
  ) -> Content? {
    var isKnown: [Bool] = [], all: [Content?] = []
    for index in node.inputs.indices {
      if case .known? = inputs[index] { isKnown.append(true) } else { isKnown.append(false) }
      all.append(content(node, input: index))
    }
    if zip(all, isKnown).allSatisfy({ $1 || isStatistic($0) }) { return .statistic }
    guard let arithmetic, all.count == 2 else { return nil }
    switch (arithmetic, all[0], all[1]) {
    case (.add, .pixels, _) where isKnown[1], (.subtract, .pixels, _) where isKnown[1],
      (.multiply, .pixels, _) where isKnown[1], (.divide, .pixels, _) where isKnown[1],
      (.add, _, .pixels) where isKnown[0], (.subtract, _, .pixels) where isKnown[0],
      (.multiply, _, .pixels) where isKnown[0]:
      return .pixels(output)
    case (.subtract, .pixels(let a), .mean(let b)) where a == b, (.subtract, .mean(let a), .pixels(let b)) where a == b:
      return .deviations(a)
    case (.squaredDifference, .pixels(let a), .mean(let b)) where a == b,
      (.squaredDifference, .mean(let a), .pixels(let b)) where a == b:
      return .squaredDeviations(a)
    case (.multiply, let factor, _) where node.inputs[0] == node.inputs[1]: return squared(factor)
    case (.power, let base, _):
      guard case .known(let exponent)? = inputs[1], exponent.elements?.map({ $0?.number }) == [2] else { return nil }
      return squared(base)
    default: return nil
    }
  }

  /// Whether a value has one element for every pixel of the input, at its place.
  func isWhole(_ axes: [Axis]) -> Bool {
    let spatial = axes.filter(\.isSpatial)
    return spatial.count == 2
      && spatial.allSatisfy { $0.pitch == 1 && $0.block == 1 && $0.reach == .own && $0.extent == whole($0.role) }
  }

  /// The statistic that a node takes of the input, if it takes one that is understood.
  func statistic(_ node: Flow.Node, _ inputs: [Value?]) -> InputStatistic? {
    guard case .image(let axes)? = inputs.first else { return nil }
    let (source, quantity): (Int, InputStatistic.Quantity)
    switch content(node, input: 0) {
    case .pixels(let value): (source, quantity) = (value, .pixels)
    case .squares(let value): (source, quantity) = (value, .squares)
    case .squaredDeviations(let value): (source, quantity) = (value, .squaredDeviations)
    default: return nil
    }
    let kind: Step.Reduction?, places: Set<Int>
    switch node.step {
    case .reduce(let reduction, let numbers, _, let isNothing):
      guard let found = self.places(axes, numbers, isNothing, inputs) else { return nil }
      (kind, places) = (reduction, found)
    case .globalPool(let reduction): (kind, places) = (reduction, Set(axes.indices.filter { axes[$0].isSpatial }))
    default: return nil
    }
    guard axes.indices.allSatisfy({ !axes[$0].isSpatial || places.contains($0) }) else { return nil }
    let reduction: InputStatistic.Reduction
    switch (kind, quantity) {
    case (.mean, _): reduction = .mean
    case (.sum, .squaredDeviations): reduction = .sum
    case (.minimum, .pixels): reduction = .minimum
    case (.maximum, .pixels): reduction = .maximum
    default: return nil
    }
    let isPerChannel = axes.indices.contains { place in
      place > 0 && !places.contains(place) && axes[place].size != 1
    }
    let place = producer[source].map { flow.nodes[$0].place.result } ?? flow.inputName
    return InputStatistic(
      reduction: reduction, quantity: quantity, isPerChannel: isPerChannel, operation: node.operation,
      node: node.place.name, result: node.place.result, function: node.place.function, source: place)
  }
}
