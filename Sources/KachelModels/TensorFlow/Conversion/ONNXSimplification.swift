// SPDX-License-Identifier: Apache-2.0
private import Foundation

/// Brings normalisations and factors behind a convolution into its weights, and padding before it into its own.
struct ONNXSimplification {
  private var builder: ONNXBuilder
  private let outputs: Set<String>
  private var uses: [String: Int] = [:]

  private init(_ builder: ONNXBuilder, outputs: Set<String>) {
    (self.builder, self.outputs) = (builder, outputs)
    for node in builder.nodes {
      for input in node.inputs { uses[input, default: 0] += 1 }
    }
    for output in outputs { uses[output, default: 0] += 1 }
  }

  static func simplified(_ builder: ONNXBuilder, outputs: Set<String>) throws(ModelError) -> ONNXBuilder {
    var simplification = Self(builder, outputs: outputs)
    try simplification.run()
    return simplification.builder
  }

  private mutating func run() throws(ModelError) {
    var nodes: [ONNXBuilder.Node] = []
    /// The places of nodes by the values that they give.
    var producers: [String: Int] = [:]
    for node in builder.nodes {
      var node = node
      if node.operation == "Conv", let source = producers[node.inputs[0]] { node = padded(node, nodes[source]) }
      if let (place, affine) = try affine(node, producers, nodes) {
        try absorb(affine, into: &nodes[place])
        // The convolution now gives what the normalisation gave.
        nodes[place].outputs = node.outputs
        producers[node.outputs[0]] = place
      } else {
        for output in node.outputs { producers[output] = nodes.count }
        nodes.append(node)
      }
    }
    builder.nodes = nodes
    removeUnused()
  }

  // MARK: Padding

  private func padded(_ convolution: ONNXBuilder.Node, _ pad: ONNXBuilder.Node) -> ONNXBuilder.Node {
    guard pad.operation == "Pad", pad.inputs.count == 2,
      pad.attributes.contains(where: { $0.name == "mode" && $0.s.elementsEqual("constant".utf8) }),
      let constant = builder.initializers[pad.inputs[1]]?.constant, case .bytes = constant.source,
      let pads = try? constant.integers(), pads.count == 8, pads[0...1] + pads[4...5] == [0, 0, 0, 0],
      pads.allSatisfy({ $0 >= 0 && $0 < 1 << 16 }),
      !convolution.attributes.contains(where: { $0.name == "auto_pad" })
    else { return convolution }
    var result = convolution
    let own = convolution.attributes.first { $0.name == "pads" }?.ints.map { Int($0) } ?? [0, 0, 0, 0]
    let sum = zip(own, pads[2...3] + pads[6...7]).map { $0 + $1 }
    result.attributes.removeAll { $0.name == "pads" }
    if sum.contains(where: { $0 != 0 }) { result.attributes.append(.init("pads", sum)) }
    result.inputs[0] = pad.inputs[0]
    return result
  }

  // MARK: Factors and summands

  /// What a node does to every channel of the convolution that it follows, and where that one is.
  private func affine(
    _ node: ONNXBuilder.Node, _ producers: [String: Int], _ nodes: [ONNXBuilder.Node]
  ) throws(ModelError) -> (Int, ChannelAffine)? {
    guard ["BatchNormalization", "Mul", "Add", "Sub", "Div"].contains(node.operation) else { return nil }
    for index in [0, 1] where index == 0 || node.operation == "Mul" || node.operation == "Add" {
      guard uses[node.inputs[index]] == 1, let place = producers[node.inputs[index]],
        nodes[place].operation == "Conv" || nodes[place].operation == "ConvTranspose",
        let channels = channels(nodes[place]),
        let numbers = try numbers(node, besides: index, channels: channels)
      else { continue }
      let ones = Array(repeating: 1.0, count: channels), zeros = Array(repeating: 0.0, count: channels)
      switch node.operation {
      case "Mul": return (place, ChannelAffine(factors: numbers[0], summands: zeros))
      case "Div": return (place, ChannelAffine(factors: numbers[0].map { 1 / $0 }, summands: zeros))
      case "Add": return (place, ChannelAffine(factors: ones, summands: numbers[0]))
      case "Sub": return (place, ChannelAffine(factors: ones, summands: numbers[0].map { -$0 }))
      default:
        let epsilon = node.attributes.first { $0.name == "epsilon" }?.f ?? 1e-5
        return (
          place,
          ChannelAffine(
            gamma: numbers[0], beta: numbers[1], mean: numbers[2], variance: numbers[3], epsilon: Double(epsilon))
        )
      }
    }
    return nil
  }

  /// The constants of a node, one number for every channel.
  private func numbers(
    _ node: ONNXBuilder.Node, besides input: Int, channels: Int
  ) throws(ModelError) -> [[Double]]? {
    var numbers: [[Double]] = []
    for index in node.inputs.indices where index != input {
      guard let initializer = builder.initializers[node.inputs[index]], initializer.constant.type == .float,
        // Only axes of size 1 may have changed places.
        initializer.constant.count == 1 || initializer.constant.count == channels
      else { return nil }
      let shape = initializer.shape
      let isPerChannel =
        node.operation == "BatchNormalization"
        ? shape == [channels]
        : initializer.constant.count == 1 && shape.count <= 4
          || shape == [channels, 1, 1] || shape == [1, channels, 1, 1]
      guard isPerChannel else { return nil }
      let found = try initializer.constant.floats()
      numbers.append(found.count == 1 ? Array(repeating: found[0], count: channels) : found)
    }
    return numbers
  }

  /// How many channels a convolution with constant weights gives.
  private func channels(_ node: ONNXBuilder.Node) -> Int? {
    guard let weights = builder.initializers[node.inputs[1]], weights.constant.type == .float,
      node.inputs.count < 3 || builder.initializers[node.inputs[2]] != nil
    else { return nil }
    return weights.shape[node.operation == "Conv" ? 0 : 1]
  }

  private mutating func absorb(_ affine: ChannelAffine, into node: inout ONNXBuilder.Node) throws(ModelError) {
    guard var weights = builder.initializers[node.inputs[1]] else { return }
    if affine.factors.contains(where: { $0 != 1 }) {
      let axis = node.operation == "Conv" ? 0 : 1
      weights.scale = (
        axis, zip(weights.scale?.factors ?? affine.factors.map { _ in 1 }, affine.factors).map { $0 * $1 }
      )
      // Other convolutions may have the same weights.
      let name = builder.unique("\(node.name)/weights")
      builder.initializers[name] = weights
      node.inputs[1] = name
    }
    var bias = affine.summands
    if node.inputs.count > 2, let before = try builder.initializers[node.inputs[2]]?.constant.floats() {
      bias = bias.indices.map { before[$0] * affine.factors[$0] + bias[$0] }
    }
    guard node.inputs.count > 2 || bias.contains(where: { $0 != 0 }) else { return }
    let constant = builder.constant(
      ConstantTensor.packed(bias, as: .float), .float, [bias.count], "\(node.name)/bias")
    node.inputs = Array(node.inputs.prefix(2)) + [builder.initializer(constant)]
  }

  // MARK: What is left over

  private mutating func removeUnused() {
    var needed = outputs
    var kept: [ONNXBuilder.Node] = []
    for node in builder.nodes.reversed() where node.outputs.contains(where: needed.contains) {
      needed.formUnion(node.inputs)
      kept.append(node)
    }
    builder.nodes = kept.reversed()
    builder.initializers = builder.initializers.filter { needed.contains($0.key) }
  }
}
