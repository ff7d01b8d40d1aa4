// SPDX-License-Identifier: Apache-2.0

/// Operations that make one number of many, and the normalisation that is made of such numbers.
extension GraphTranslation {
  private static let reductions: [String: String] = [
    "Mean": "ReduceMean", "Sum": "ReduceSum", "Max": "ReduceMax", "Min": "ReduceMin", "Prod": "ReduceProd",
    "EuclideanNorm": "ReduceL2", "All": "ReduceMin", "Any": "ReduceMax",
  ]

  mutating func reduced(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor? {
    let name = operation.name
    switch operation.kind {
    case "Mean", "Sum", "Max", "Min", "Prod", "EuclideanNorm", "All", "Any":
      var input = try tensor(0, inputs, operation)
      let axes = try integers(1, inputs, operation)
      var places: [Int] = []
      for axis in axes { places.append(try place(axis, rank: input.rank, operation)) }
      guard !places.isEmpty else { return input }
      let isTruth = input.type == .bool
      if isTruth { input = cast(input, .int32, "\(name)/cast") }
      let kind = Self.reductions[operation.kind] ?? ""
      let result = reduced(kind, input, Set(places), keepsAxes: operation.flag("keep_dims"), name)
      return isTruth ? cast(result, .bool, "\(name)/truth") : result
    case "ArgMax", "ArgMin":
      let input = try tensor(0, inputs, operation)
      guard let axis = try integers(1, inputs, operation).first else { throw damaged("the node \(name) has no axis") }
      let place = try place(axis, rank: input.rank, operation)
      let output = builder.add(
        operation.kind, [input.name], name, [.init("axis", input.place(of: place)), .init("keepdims", 0)])
      var result = input.without([place], output)
      result.type = .int64
      let type = operation.type("output_type") ?? .int64
      return type == .int64 ? result : cast(result, type, "\(name)/cast")
    default: return nil
    }
  }

  mutating func cast(_ tensor: GraphTensor, _ type: ElementType, _ name: String) -> GraphTensor {
    var result = tensor
    result.name = builder.add("Cast", [tensor.name], name, [.init("to", Int(type.rawValue))])
    result.type = type
    return result
  }

  private mutating func reduced(
    _ kind: String, _ input: GraphTensor, _ axes: Set<Int>, keepsAxes: Bool, _ name: String
  ) -> GraphTensor {
    let places = axes.map { input.place(of: $0) }.sorted()
    let output = builder.add(
      kind, input.name, axes: places, inputFrom: kind == "ReduceSum" ? 13 : 18, name,
      [.init("keepdims", keepsAxes ? 1 : 0)])
    guard keepsAxes else { return input.without(axes, output) }
    var result = input.named(output)
    for axis in axes { result.shape[axis] = Dimension(1) }
    return result
  }

  // MARK: Normalisation

  mutating func normalization(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor {
    let name = operation.name
    let epsilon = operation.number("epsilon", 0.0001)
    let input = try tensor(0, inputs, operation)
    guard input.rank == 4, inputs.count >= 3 else { throw damaged("the node \(name) does not fit its input") }
    let channel = operation.isChannelsFirst ? 1 : 3
    guard operation.node.attr["is_training"]?.b == false else {
      return try batchNormalization(operation, inputs, input, channel: channel, epsilon: Double(epsilon))
    }
    guard inputs.count == 5 else { throw damaged("the node \(name) lacks an input") }
    // ONNX has channels second; elsewhere the normalisation is a factor and a summand.
    if input.place(of: channel) == 1 {
      var names = [input.name]
      for input in inputs.dropFirst() { names.append(try tensor(input, operation).name) }
      return input.named(builder.add("BatchNormalization", names, name, [.init("epsilon", epsilon)]))
    }
    var numbers: [[Double]] = []
    for input in inputs.dropFirst() {
      guard case .constant(let constant) = input, constant.type == .float, constant.count <= 1 << 20 else {
        throw unsupported(operation, "its statistics are no constants")
      }
      numbers.append(try constant.floats())
    }
    guard numbers.allSatisfy({ $0.count == numbers[0].count }) else {
      throw damaged("the statistics of the node \(name) do not fit each other")
    }
    let affine = ChannelAffine(
      gamma: numbers[0], beta: numbers[1], mean: numbers[2], variance: numbers[3], epsilon: Double(epsilon))
    func constant(_ numbers: [Double], _ part: String, _ translation: inout Self) -> GraphValue {
      .constant(
        translation.builder.constant(
          ConstantTensor.packed(numbers, as: .float), .float,
          Array([numbers.count, 1, 1].prefix(channel == 1 ? 3 : 1)), "\(name)/\(part)"))
    }
    let scaled = try combine(
      "Mul", operation, [.tensor(input), constant(affine.factors, "factor", &self)], name: "\(name)/scaled")
    return try combine("Add", operation, [.tensor(scaled), constant(affine.summands, "summand", &self)])
  }

  /// Normalisation by the statistics of the batch itself, as which layer normalisation is written.
  private mutating func batchNormalization(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue], _ input: GraphTensor, channel: Int, epsilon: Double
  ) throws(ModelError) -> GraphTensor {
    let name = operation.name
    let axes = Set(0..<4).subtracting([channel])
    let mean = reduced("ReduceMean", input, axes, keepsAxes: true, "\(name)/mean")
    let centered = try combine("Sub", operation, [.tensor(input), .tensor(mean)], name: "\(name)/centered")
    let variance = reduced("ReduceMean", square(centered, "\(name)/square"), axes, keepsAxes: true, "\(name)/variance")
    let deviation = unary("Sqrt", number("Add", variance, epsilon, "\(name)/sum"), "\(name)/deviation")
    let normalized = try combine(
      "Div", operation, [.tensor(centered), .tensor(deviation)], name: "\(name)/normalized")
    var learned: [GraphValue] = []
    for input in inputs[1...2] {
      let vector = try tensor(input, operation)
      guard vector.rank == 1 else { throw damaged("the node \(name) does not fit its input") }
      if channel == 3 {
        learned.append(.tensor(vector))
      } else {
        var column = vector
        column.name = builder.add(
          "Unsqueeze", vector.name, axes: [1, 2], inputFrom: 13, "\(vector.name)/unsqueeze")
        column.shape += [Dimension(1), Dimension(1)]
        column.order = [0, 1, 2]
        learned.append(.tensor(column))
      }
    }
    let scaled = try combine("Mul", operation, [.tensor(normalized), learned[0]], name: "\(name)/scaled")
    return try combine("Add", operation, [.tensor(scaled), learned[1]])
  }
}

/// A normalisation with fixed statistics, as a factor and a summand for every channel.
struct ChannelAffine {
  var factors: [Double]
  var summands: [Double]

  init(factors: [Double], summands: [Double]) { (self.factors, self.summands) = (factors, summands) }

  init(gamma: [Double], beta: [Double], mean: [Double], variance: [Double], epsilon: Double) {
    let factors = zip(gamma, variance).map { $0 / ($1 + epsilon).squareRoot() }
    self.factors = factors
    summands = beta.indices.map { beta[$0] - mean[$0] * factors[$0] }
  }
}
