// SPDX-License-Identifier: Apache-2.0

extension GraphTranslation {
  /// The values of an operation's outputs.
  mutating func translate(
    _ operation: TensorFlowOperation, _ arguments: [GraphValue]
  ) throws(ModelError) -> [GraphValue] {
    switch operation.kind {
    case "Identity", "IdentityN", "StopGradient", "PreventGradient", "Snapshot", "CheckNumerics", "EnsureShape",
      "PlaceholderWithDefault":
      guard !arguments.isEmpty else { throw damaged("the node \(operation.name) lacks an input") }
      return arguments
    case "Const": return [.constant(try constant(operation))]
    case "Placeholder": throw unsupported("it has the further input \(operation.name)")
    default: break
    }
    var inputs: [GraphValue] = []
    for argument in arguments {
      if case .variable(let reference) = argument {
        inputs.append(try value(of: reference, operation))
      } else {
        inputs.append(argument)
      }
    }
    if operation.kind == "ReadVariableOp" { return inputs }
    for input in inputs {
      if case .blocks(let blocks) = input { return [try onBlocks(operation, inputs, blocks)] }
    }
    if let result = try sizes(operation, inputs) { return result }
    if let result = try folded(operation, inputs) { return [.constant(result)] }
    if let result = try pointwise(operation, inputs) { return [.tensor(result)] }
    if let result = try window(operation, inputs) { return [result] }
    if let result = try resized(operation, inputs) { return [.tensor(result)] }
    if let result = try reduced(operation, inputs) { return [.tensor(result)] }
    if let result = try moved(operation, inputs) { return result.map { .tensor($0) } }
    if let result = try product(operation, inputs) { return [.tensor(result)] }
    throw unsupported(operation)
  }

  private mutating func constant(_ operation: TensorFlowOperation) throws(ModelError) -> ConstantTensor {
    guard let tensor = operation.node.attr["value"]?.tensor, let stored = StoredType(rawValue: tensor.dtype) else {
      throw unsupported(operation, "it is no number")
    }
    guard let shape = SavedModelGraph.shape(tensor.tensorShape)?.compactMap({ $0 }), shape.count <= 16,
      shape.count == tensor.tensorShape.dim.count, let count = VariableBundle.count(shape),
      let bytes = ConstantTensor.bytes(of: tensor, type: stored, count: count)
    else { throw damaged("the constant \(operation.name) contradicts itself") }
    try take(bytes.count)
    return builder.constant(ConstantTensor.widened(bytes, stored), ElementType(stored), shape, operation.name)
  }

  /// Counts what constants of the graph need in memory.
  mutating func take(_ bytes: Int) throws(ModelError) {
    remainingConstantBytes -= bytes
    guard remainingConstantBytes >= 0 else { throw unsupported("its constants need more than 2 GB") }
  }

  // MARK: Inputs of operations

  /// A value as one of the ONNX graph.
  mutating func tensor(_ value: GraphValue, _ operation: TensorFlowOperation) throws(ModelError) -> GraphTensor {
    switch value {
    case .tensor(let tensor): return tensor
    case .constant(let constant):
      return GraphTensor(
        name: builder.initializer(constant), type: constant.type, shape: constant.shape.map { Dimension($0) },
        order: Array(constant.shape.indices))
    case .sizes(let sizes): return tensor(sizes, operation)
    case .variable, .blocks: throw unsupported(operation, "its input is not translated")
    }
  }

  private mutating func tensor(_ sizes: SizeTensor, _ operation: TensorFlowOperation) -> GraphTensor {
    let shape = sizes.shape.map { Dimension($0) }
    var tensor = GraphTensor(name: "", type: sizes.type, shape: shape, order: Array(shape.indices))
    let numbers = sizes.elements.compactMap(\.number)
    if numbers.count == sizes.elements.count, let bytes = ConstantTensor.packed(numbers, as: sizes.type) {
      tensor.name = builder.initializer(
        builder.constant(bytes, sizes.type, sizes.shape, "\(operation.name)/sizes"))
      return tensor
    }
    tensor.name = builder.vector(sizes.elements, "\(operation.name)/sizes")
    if sizes.shape.count != 1 {
      tensor.name = builder.add(
        "Reshape", [tensor.name, builder.integers(sizes.shape, "\(operation.name)/shape")], "\(operation.name)/sizes")
    }
    if sizes.type != .int64 {
      tensor.name = builder.add(
        "Cast", [tensor.name], "\(operation.name)/sizes", [.init("to", Int(sizes.type.rawValue))])
    }
    return tensor
  }

  func input(_ index: Int, _ inputs: [GraphValue], _ operation: TensorFlowOperation) throws(ModelError) -> GraphValue {
    guard inputs.indices.contains(index) else { throw damaged("the node \(operation.name) lacks an input") }
    return inputs[index]
  }

  mutating func tensor(
    _ index: Int, _ inputs: [GraphValue], _ operation: TensorFlowOperation
  ) throws(ModelError) -> GraphTensor { try tensor(input(index, inputs, operation), operation) }

  /// Integers of an input that must be known.
  func integers(
    _ index: Int, _ inputs: [GraphValue], _ operation: TensorFlowOperation
  ) throws(ModelError) -> [Int] {
    guard let numbers = try integers(input(index, inputs, operation)) else {
      throw unsupported(operation, "its input \(index) is not known before the network runs")
    }
    return numbers
  }

  /// An axis that may be counted from the end.
  func place(_ axis: Int, rank: Int, _ operation: TensorFlowOperation) throws(ModelError) -> Int {
    let place = axis < 0 ? axis + rank : axis
    guard (0..<rank).contains(place) else { throw damaged("the node \(operation.name) names the axis \(axis)") }
    return place
  }
}
