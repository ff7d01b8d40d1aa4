// SPDX-License-Identifier: Apache-2.0

/// Parts of tensors, and tensors with something around them.
extension GraphTranslation {
  mutating func sliced(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor {
    let input = try tensor(0, inputs, operation)
    guard var begins = try known(self.input(1, inputs, operation)),
      var ends = try known(self.input(2, inputs, operation))
    else { throw unsupported(operation, "what it takes is not known before the network runs") }
    var steps = SizeTensor(elements: begins.elements.map { _ in Dimension(1) }, shape: begins.shape, type: .int32)
    if operation.kind == "StridedSlice" {
      guard let given = try known(self.input(3, inputs, operation)) else {
        throw unsupported(operation, "what it takes is not known before the network runs")
      }
      steps = given
    } else {
      // `Slice` says sizes, of which -1 is all that is left.
      guard begins.elements.count == input.rank, ends.elements.count == input.rank else {
        throw damaged("the node \(operation.name) does not fit its input")
      }
      for axis in 0..<input.rank {
        guard
          let end = ends.elements[axis].number == -1 ? input.shape[axis] : begins.elements[axis] + ends.elements[axis]
        else { throw unsupported(operation, "what it takes is not known before the network runs") }
        ends.elements[axis] = end
      }
      begins.shape = [input.rank]
    }
    guard let plan = SlicePlan(operation, begins: begins, ends: ends, steps: steps, shape: input.shape) else {
      throw unsupported(operation, "what it takes is not known before the network runs")
    }
    return try sliced(input, plan, operation)
  }

  private mutating func sliced(
    _ input: GraphTensor, _ plan: SlicePlan, _ operation: TensorFlowOperation
  ) throws(ModelError) -> GraphTensor {
    let name = operation.name
    var result = input
    let cut = plan.axes.indices.filter { !plan.axes[$0].isWhole }
    if !cut.isEmpty {
      let slices = cut.map { axis in
        let slice = plan.axes[axis]
        guard slice.isElement else {
          return (
            slice.begin ?? Dimension(slice.step > 0 ? 0 : -1),
            slice.end ?? Dimension(slice.step > 0 ? Int(Int32.max) : Int(Int32.min))
          )
        }
        let begin = slice.begin ?? Dimension(0)
        return (begin, begin.number == -1 ? Dimension(Int(Int32.max)) : (begin + Dimension(1)) ?? begin)
      }
      var names = [
        input.name, builder.vector(slices.map(\.0), "\(name)/starts"), builder.vector(slices.map(\.1), "\(name)/ends"),
        builder.integers(cut.map { input.place(of: $0) }, "\(name)/axes"),
      ]
      let steps = cut.map { plan.axes[$0].step }
      if steps.contains(where: { $0 != 1 }) { names.append(builder.integers(steps, "\(name)/steps")) }
      var shape: [Dimension?] = input.shape
      for axis in cut {
        shape[axis] = plan.axes[axis].isElement ? Dimension(1) : plan.size(of: axis, input.shape[axis])
      }
      result = GraphTensor(builder.add("Slice", names, name), input.type, shape, order: input.order)
    }
    let elements = Set(plan.axes.indices.filter { plan.axes[$0].isElement })
    if !elements.isEmpty {
      let places = elements.map { result.place(of: $0) }.sorted()
      let squeezed = builder.add("Squeeze", result.name, axes: places, inputFrom: 13, "\(name)/squeeze")
      result = result.without(elements, squeezed)
    }
    let new = plan.parts.indices.filter { plan.parts[$0] == .new }
    guard !new.isEmpty else { return result }
    result = builder.inOrder(result)
    result.name = builder.add("Unsqueeze", result.name, axes: new, inputFrom: 13, "\(name)/unsqueeze")
    for axis in new { result.shape.insert(Dimension(1), at: axis) }
    result.order = Array(result.shape.indices)
    return result
  }

  mutating func reversed(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor {
    let input = try tensor(0, inputs, operation)
    var places: [Int] = []
    for axis in try integers(1, inputs, operation) {
      places.append(input.place(of: try place(axis, rank: input.rank, operation)))
    }
    guard !places.isEmpty else { return input }
    let name = operation.name
    let names = [
      input.name, builder.integers(places.map { _ in -1 }, "\(name)/starts"),
      builder.integers(places.map { _ in Int(Int32.min) }, "\(name)/ends"), builder.integers(places, "\(name)/axes"),
      builder.integers(places.map { _ in -1 }, "\(name)/steps"),
    ]
    return input.named(builder.add("Slice", names, name))
  }

  mutating func padded(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor {
    let input = try tensor(0, inputs, operation)
    guard let padding = try known(self.input(1, inputs, operation)), padding.shape == [input.rank, 2] else {
      throw unsupported(operation, "its paddings are not known before the network runs")
    }
    let begins = input.order.map { padding.elements[$0 * 2] }
    let ends = input.order.map { padding.elements[$0 * 2 + 1] }
    let shape = (0..<input.rank).map { axis in
      (input.shape[axis] + padding.elements[axis * 2]).flatMap { $0 + padding.elements[axis * 2 + 1] }
    }
    if operation.text("mode") == "SYMMETRIC" {
      return try mirrored(input, begins, ends, shape, operation)
    }
    let pads = builder.vector(begins + ends, "\(operation.name)/pads")
    var names = [input.name, pads]
    if operation.kind == "PadV2" {
      let value = try tensor(2, inputs, operation)
      guard value.rank == 0 else { throw damaged("the node \(operation.name) pads with something else than a number") }
      names.append(value.name)
    }
    let mode = operation.kind == "MirrorPad" ? "reflect" : "constant"
    return GraphTensor(
      builder.add("Pad", names, operation.name, [.init("mode", mode)]), input.type, shape, order: input.order)
  }

  /// Padding that repeats the pixels at the edge, which ONNX does not have: its parts, turned round, are put beside it.
  private mutating func mirrored(
    _ input: GraphTensor, _ begins: [Dimension], _ ends: [Dimension], _ shape: [Dimension?],
    _ operation: TensorFlowOperation
  ) throws(ModelError) -> GraphTensor {
    let name = operation.name
    var last = input.name
    for place in 0..<input.rank where begins[place].number != 0 || ends[place].number != 0 {
      guard let begin = begins[place].number, let end = ends[place].number, begin >= 0, end >= 0 else {
        throw unsupported(operation, "its paddings are not known before the network runs")
      }
      func part(_ start: Int, _ stop: Int, _ builder: inout ONNXBuilder) -> String {
        let numbers = [[start], [stop], [place], [-1]]
        return builder.add(
          "Slice", [last] + numbers.map { builder.integers($0, "\(name)/slice") }, "\(name)/mirrored")
      }
      var parts = [last]
      if begin > 0 { parts.insert(part(begin - 1, Int(Int32.min), &builder), at: 0) }
      if end > 0 { parts.append(part(-1, -1 - end, &builder)) }
      last = builder.add("Concat", parts, name, [.init("axis", place)])
    }
    return GraphTensor(last, input.type, shape, order: input.order)
  }
}
