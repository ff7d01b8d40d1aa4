// SPDX-License-Identifier: Apache-2.0
private import Foundation

/// Other axes for the same numbers.
extension GraphTranslation {
  mutating func reshaped(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor {
    let input = try tensor(0, inputs, operation)
    let argument = inputs.count > 1 ? try known(inputs[1])?.elements : nil
    let target = Self.targetShape(operation, input.shape, argument)
    switch operation.kind {
    case "Squeeze":
      guard let target else { throw unsupported(operation, "which axes it takes away is not known") }
      let axes = operation.integers("squeeze_dims").map { $0 < 0 ? $0 + input.rank : $0 }
      let gone = axes.isEmpty ? Set(input.shape.indices.filter { input.shape[$0].number == 1 }) : Set(axes)
      guard gone.count == input.rank - target.count else {
        throw damaged("the node \(operation.name) has no such axis")
      }
      guard !gone.isEmpty else { return input }
      let places = gone.map { input.place(of: $0) }.sorted()
      return input.without(
        gone, builder.add("Squeeze", input.name, axes: places, inputFrom: 13, operation.name))
    case "ExpandDims":
      guard let target, let axis = argument?.first?.number else {
        throw damaged("the node \(operation.name) has no such axis")
      }
      let new = axis < 0 ? axis + input.rank + 1 : axis
      let place = new == 0 ? 0 : input.place(of: new - 1) + 1
      var order = input.order.map { $0 >= new ? $0 + 1 : $0 }
      order.insert(new, at: place)
      let name = builder.add("Unsqueeze", input.name, axes: [place], inputFrom: 13, operation.name)
      return GraphTensor(name, input.type, target, order: order)
    default: break
    }
    if let target { return try reshaped(input, to: target, operation) }
    if let argument {
      return try reshaped(input, to: argument.map { $0.number == -1 ? nil : $0 }, operation)
    }
    let shape = try tensor(1, inputs, operation)
    guard shape.rank == 1, let rank = shape.shape[0].number, rank <= 16 else {
      throw unsupported(operation, "its number of axes is not known")
    }
    let sizes = shape.type == .int64 ? shape : cast(shape, .int64, "\(operation.name)/cast")
    return GraphTensor(
      builder.add("Reshape", [builder.inOrder(input).name, sizes.name], operation.name), input.type,
      Array(repeating: nil, count: rank), order: Array(0..<rank))
  }

  private mutating func reshaped(
    _ input: GraphTensor, to target: [Dimension?], _ operation: TensorFlowOperation
  ) throws(ModelError) -> GraphTensor {
    guard target.allSatisfy({ ($0?.number ?? 1) > 0 }) else {
      throw damaged("the node \(operation.name) makes nothing")
    }
    if target == input.shape { return input }
    var input = input
    var order = Array(target.indices)
    if !input.isInOrder {
      if let kept = Self.order(after: input, target) { order = kept } else { input = builder.inOrder(input) }
    }
    // Where a picture is one pixel, it costs nothing to have its channels where convolutions need them.
    if target.count == 4, target[1]?.number == 1, target[2]?.number == 1 { order = GraphTensor.channelsFirst }
    let before = input.laidOut, after = order.map { target[$0] }
    var numbers: [Int] = [], open = 0
    for (place, size) in after.enumerated() {
      if let number = size?.number {
        numbers.append(number)
      } else if let size, before.indices.contains(place), before[place] == size {
        numbers.append(0)
      } else {
        numbers.append(-1)
        open += 1
      }
    }
    let known = after.compactMap { $0 }
    guard open <= 1 || known.count == after.count else {
      throw unsupported(operation, "its shape is not known before the network runs")
    }
    let shape =
      open <= 1
      ? builder.integers(numbers, "\(operation.name)/shape") : builder.vector(known, "\(operation.name)/shape")
    return GraphTensor(builder.add("Reshape", [input.name, shape], operation.name), input.type, target, order: order)
  }

  /// The order of the target's axes when the axes of the input stay in the order that they have; `nil` where axes would
  /// be joined that do not lie beside each other.
  private static func order(after input: GraphTensor, _ target: [Dimension?]) -> [Int]? {
    let known = target.compactMap { $0 }
    guard known.count == target.count, let groups = groups(input.shape, known) else { return nil }
    let laidOut = input.order.filter { input.shape[$0].number != 1 }
    var order: [Int] = [], last: [Int] = []
    for group in groups where !group.from.contains(where: { input.shape[$0].number != 1 }) { last += group.to }
    var place = 0
    while place < laidOut.count {
      guard let group = groups.first(where: { $0.from.contains(laidOut[place]) }) else { return nil }
      let axes = group.from.filter { input.shape[$0].number != 1 }
      guard laidOut.count - place >= axes.count, Array(laidOut[place..<place + axes.count]) == axes else { return nil }
      order += group.to
      place += axes.count
    }
    return order + last
  }

  /// Runs of axes before and after a change of shape that hold the same numbers.
  private static func groups(_ before: [Dimension], _ after: [Dimension]) -> [(from: Range<Int>, to: Range<Int>)]? {
    var groups: [(from: Range<Int>, to: Range<Int>)] = []
    var i = 0, j = 0
    while i < before.count || j < after.count {
      let start = (i, j)
      var (one, other) = (Dimension(1), Dimension(1))
      func takeBefore() -> Bool {
        guard i < before.count, let product = one * before[i] else { return false }
        (one, i) = (product, i + 1)
        return true
      }
      func takeAfter() -> Bool {
        guard j < after.count, let product = other * after[j] else { return false }
        (other, j) = (product, j + 1)
        return true
      }
      _ = takeBefore()
      _ = takeAfter()
      while one != other {
        let isShort = other.divided(exactlyBy: one) != nil
        guard isShort ? takeBefore() : takeAfter() else { return nil }
      }
      groups.append((start.0..<i, start.1..<j))
    }
    return groups
  }

  // MARK: Products of matrices

  mutating func product(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor? {
    switch operation.kind {
    case "MatMul", "BatchMatMul", "BatchMatMulV2":
      let names = operation.kind == "MatMul" ? ["transpose_a", "transpose_b"] : ["adj_x", "adj_y"]
      let a = try factor(0, inputs, operation, isTransposed: operation.flag(names[0]))
      let b = try factor(1, inputs, operation, isTransposed: operation.flag(names[1]))
      let rank = max(a.rank, b.rank)
      var shape: [Dimension?] = []
      for axis in 0..<rank - 2 {
        let sizes = [a, b].compactMap { $0.rank - rank + axis >= 0 ? $0.shape[$0.rank - rank + axis] : nil }
          .filter { $0.number != 1 }
        shape.append(sizes.allSatisfy { $0 == sizes[0] } ? sizes.first ?? Dimension(1) : nil)
      }
      shape += [a.shape[a.rank - 2], b.shape[b.rank - 1]]
      return GraphTensor(
        builder.add("MatMul", [a.name, b.name], operation.name), a.type, shape, order: Array(0..<rank))
    case "Einsum":
      guard let equation = operation.text("equation"), let output = equation.components(separatedBy: "->").last,
        equation.contains("->"), !equation.contains(".")
      else { throw unsupported(operation, "its equation is not translated") }
      var names: [String] = [], sizes: [Character: Dimension] = [:]
      let terms = equation.prefix { $0 != "-" }.split(separator: ",", omittingEmptySubsequences: false)
      guard terms.count == inputs.count else { throw damaged("the node \(operation.name) does not fit its inputs") }
      for (index, term) in terms.enumerated() {
        let operand = builder.inOrder(try tensor(index, inputs, operation))
        let letters = term.filter { $0 != " " }
        guard letters.count == operand.rank else { throw damaged("the node \(operation.name) does not fit its inputs") }
        for (letter, size) in zip(letters, operand.shape) {
          sizes[letter] = Dimension.simpler(sizes[letter] ?? size, size)
        }
        names.append(operand.name)
      }
      let shape = output.filter { $0 != " " }.map { sizes[$0] }
      return GraphTensor(
        builder.add("Einsum", names, operation.name, [.init("equation", equation)]),
        try tensor(0, inputs, operation).type, shape, order: Array(shape.indices))
    default: return nil
    }
  }

  private mutating func factor(
    _ index: Int, _ inputs: [GraphValue], _ operation: TensorFlowOperation, isTransposed: Bool
  ) throws(ModelError) -> GraphTensor {
    var tensor = try tensor(index, inputs, operation)
    guard tensor.rank >= 2 else { throw damaged("an input of the node \(operation.name) is no matrix") }
    guard isTransposed else { return builder.inOrder(tensor) }
    let (row, column) = (tensor.rank - 2, tensor.rank - 1)
    tensor.shape.swapAt(row, column)
    tensor.order = tensor.order.map { $0 == row ? column : $0 == column ? row : $0 }
    return builder.inOrder(tensor)
  }
}
