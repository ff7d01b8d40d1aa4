// SPDX-License-Identifier: Apache-2.0

/// Operations that bring numbers to other places.
extension GraphTranslation {
  mutating func moved(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> [GraphTensor]? {
    switch operation.kind {
    case "Reshape", "Squeeze", "ExpandDims": return [try reshaped(operation, inputs)]
    case "Transpose": return [try transposed(operation, inputs)]
    case "ConcatV2": return [try concatenated(operation, inputs)]
    case "Pack": return [try packed(operation, inputs)]
    case "Split", "SplitV", "Unpack": return try split(operation, inputs)
    case "StridedSlice", "Slice": return [try sliced(operation, inputs)]
    case "ReverseV2": return [try reversed(operation, inputs)]
    case "Pad", "PadV2", "MirrorPad": return [try padded(operation, inputs)]
    case "Tile": return [try tiled(operation, inputs)]
    case "BroadcastTo", "Fill": return [try expanded(operation, inputs)]
    case "GatherV2": return [try gathered(operation, inputs)]
    case "Range":
      var names: [String] = []
      for index in 0..<3 { names.append(try tensor(index, inputs, operation).name) }
      let type = try tensor(0, inputs, operation).type
      return [GraphTensor(builder.add("Range", names, operation.name), type, [nil], order: [0])]
    default: return nil
    }
  }

  private mutating func transposed(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor {
    var tensor = try tensor(0, inputs, operation)
    let permutation = try integers(1, inputs, operation)
    guard permutation.sorted() == Array(0..<tensor.rank) else {
      throw damaged("the node \(operation.name) does not permute the axes of its input")
    }
    // Nothing moves: only what the axes are called changes, until an operation needs them elsewhere.
    let shape = tensor.shape
    tensor.shape = permutation.map { shape[$0] }
    tensor.order = tensor.order.map { axis in permutation.firstIndex(of: axis) ?? axis }
    return tensor
  }

  private mutating func concatenated(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor {
    guard inputs.count > 1 else { throw damaged("the node \(operation.name) lacks an input") }
    var parts: [GraphTensor] = []
    for value in inputs.dropLast() { parts.append(try tensor(value, operation)) }
    // Empty parts of shapes that are computed may have no size.
    guard let axis = try integers(inputs.count - 1, inputs, operation).first else {
      throw damaged("the node \(operation.name) has no axis")
    }
    let rank = parts[0].rank
    let place = try place(axis, rank: rank, operation)
    guard parts.allSatisfy({ $0.rank == rank && $0.type == parts[0].type }) else {
      throw damaged("the inputs of the node \(operation.name) do not fit each other")
    }
    let order = parts.first { !$0.isInOrder }?.order ?? Array(0..<rank)
    let names = parts.map { builder.arranged($0, order).name }
    let name = builder.add("Concat", names, operation.name, [.init("axis", order.firstIndex(of: place) ?? place)])
    var shape: [Dimension?] = parts[0].shape
    for axis in 0..<rank where axis != place {
      shape[axis] = parts.dropFirst().reduce(parts[0].shape[axis]) { Dimension.simpler($0, $1.shape[axis]) }
    }
    shape[place] = parts.reduce(Dimension(0)) { sum, part in sum.flatMap { $0 + part.shape[place] } }
    return GraphTensor(name, parts[0].type, shape, order: order)
  }

  private mutating func packed(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor {
    var parts: [GraphTensor] = []
    for value in inputs { parts.append(builder.inOrder(try tensor(value, operation))) }
    guard let first = parts.first, parts.allSatisfy({ $0.rank == first.rank && $0.type == first.type }) else {
      throw damaged("the inputs of the node \(operation.name) do not fit each other")
    }
    let axis = try place(operation.integer("axis"), rank: first.rank + 1, operation)
    let names = parts.map {
      builder.add("Unsqueeze", $0.name, axes: [axis], inputFrom: 13, "\(operation.name)/unsqueeze")
    }
    let shape = first.shape[..<axis] + [Dimension(parts.count)] + first.shape[axis...]
    return GraphTensor(
      builder.add("Concat", names, operation.name, [.init("axis", axis)]), first.type, Array(shape),
      order: Array(shape.indices))
  }

  private mutating func split(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> [GraphTensor] {
    let isPlain = operation.kind == "Split", isUnpack = operation.kind == "Unpack"
    let input = try tensor(isPlain ? 1 : 0, inputs, operation)
    let axis =
      isUnpack ? operation.integer("axis") : try integers(isPlain ? 0 : 2, inputs, operation).first ?? 0
    let place = try place(axis, rank: input.rank, operation)
    guard let total = input.shape[place].number else {
      throw unsupported(operation, "the size that is split is not known")
    }
    var sizes: [Int]
    if operation.kind == "SplitV" {
      sizes = try integers(1, inputs, operation)
      guard sizes.count <= 4096, sizes.allSatisfy({ $0 >= -1 && $0 <= Int32.max }) else {
        throw damaged("the node \(operation.name) does not split its input")
      }
      if let open = sizes.firstIndex(of: -1) { sizes[open] = total - sizes.reduce(1, +) }
    } else {
      let count = operation.integer(isUnpack ? "num" : "num_split")
      guard count > 0, count <= 4096, total % count == 0 else {
        throw damaged("the node \(operation.name) splits unevenly")
      }
      sizes = Array(repeating: total / count, count: count)
    }
    guard !sizes.isEmpty, sizes.count <= 4096, sizes.allSatisfy({ $0 > 0 }), sizes.reduce(0, +) == total else {
      throw damaged("the node \(operation.name) does not split its input")
    }
    let attribute = ONNX_AttributeProto("axis", input.place(of: place))
    let outputs =
      builder.opset >= 13
      ? builder.emit(
        "Split", [input.name, builder.integers(sizes, "\(operation.name)/sizes")], operation.name, [attribute],
        outputs: sizes.count)
      : builder.emit("Split", [input.name], operation.name, [attribute, .init("split", sizes)], outputs: sizes.count)
    return zip(outputs, sizes).map { output, size in
      if isUnpack {
        let name = builder.add(
          "Squeeze", output, axes: [input.place(of: place)], inputFrom: 13, "\(operation.name)/squeeze")
        return input.without([place], name)
      }
      var part = input.named(output)
      part.shape[place] = Dimension(size)
      return part
    }
  }

  private mutating func tiled(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor {
    let input = try tensor(0, inputs, operation)
    guard let factors = try known(self.input(1, inputs, operation))?.elements, factors.count == input.rank else {
      throw unsupported(operation, "how often it repeats is not known before the network runs")
    }
    if factors.allSatisfy({ $0.number == 1 }) { return input }
    let repeats = builder.vector(input.order.map { factors[$0] }, "\(operation.name)/repeats")
    return GraphTensor(
      builder.add("Tile", [input.name, repeats], operation.name), input.type,
      zip(input.shape, factors).map { $0 * $1 }, order: input.order)
  }

  private mutating func expanded(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor {
    let isFill = operation.kind == "Fill"
    let value = builder.inOrder(try tensor(isFill ? 1 : 0, inputs, operation))
    guard let shape = try known(input(isFill ? 0 : 1, inputs, operation))?.elements, shape.count >= value.rank else {
      throw unsupported(operation, "its shape is not known before the network runs")
    }
    let sizes = builder.vector(shape, "\(operation.name)/shape")
    return GraphTensor(
      builder.add("Expand", [value.name, sizes], operation.name), value.type, shape, order: Array(shape.indices))
  }

  private mutating func gathered(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor {
    let input = builder.inOrder(try tensor(0, inputs, operation))
    let indices = builder.inOrder(try tensor(1, inputs, operation))
    let axis = inputs.count > 2 ? try integers(2, inputs, operation).first ?? 0 : 0
    guard operation.integer("batch_dims") == 0 else { throw unsupported(operation, "it gathers within batches") }
    let place = try place(axis, rank: input.rank, operation)
    let shape = input.shape[..<place] + indices.shape + input.shape[(place + 1)...]
    let name = builder.add("Gather", [input.name, indices.name], operation.name, [.init("axis", place)])
    return GraphTensor(name, input.type, Array(shape), order: Array(shape.indices))
  }
}
