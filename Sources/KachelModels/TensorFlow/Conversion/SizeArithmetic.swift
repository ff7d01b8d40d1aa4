// SPDX-License-Identifier: Apache-2.0

/// Integers that are computed from sizes: evaluated as formulas while the graph is translated, so that what TensorFlow
/// computes around every convolution of a network of any size leaves nothing behind.
extension GraphTranslation {
  private static let mostElements = 1024

  /// The integers that a value is, where they are known as numbers or formulas.
  func known(_ value: GraphValue) throws(ModelError) -> SizeTensor? {
    switch value {
    case .sizes(let sizes): return sizes
    case .constant(let constant) where constant.type.isInteger && constant.count <= Self.mostElements:
      return SizeTensor(
        elements: try constant.integers().map { Dimension($0) }, shape: constant.shape, type: constant.type)
    default: return nil
    }
  }

  /// The integers that a value is, where they are known as numbers.
  func integers(_ value: GraphValue) throws(ModelError) -> [Int]? {
    guard let sizes = try known(value) else { return nil }
    let numbers = sizes.elements.compactMap(\.number)
    return numbers.count == sizes.elements.count ? numbers : nil
  }

  /// The outputs of an operation on sizes; `nil` where it is none, or where not enough is known.
  mutating func sizes(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> [GraphValue]? {
    switch operation.kind {
    case "Shape", "Size", "Rank":
      guard inputs.count == 1, let shape = try shape(of: inputs[0]) else { return nil }
      let type = operation.type("out_type") ?? .int32
      if operation.kind == "Shape" { return [.sizes(SizeTensor(elements: shape, shape: [shape.count], type: type))] }
      let number = operation.kind == "Rank" ? Dimension(shape.count) : Dimension.product(shape)
      return number.map { [.sizes(SizeTensor(elements: [$0], shape: [], type: type))] }
    case "Pack", "ConcatV2", "AddV2", "Add", "Sub", "Mul", "FloorDiv", "FloorMod", "Maximum", "Minimum", "Neg", "Prod",
      "Sum", "Reshape", "Squeeze", "ExpandDims", "StridedSlice", "GatherV2", "Cast", "Range", "Fill", "Unpack":
      var operands: [SizeTensor] = []
      for input in inputs {
        guard let operand = try known(input) else { return nil }
        operands.append(operand)
      }
      guard !operands.isEmpty else { return nil }
      if operation.kind == "Unpack" {
        let elements = operands[0].shape.count == 1 ? operands[0].elements : []
        guard !elements.isEmpty else { return nil }
        return elements.map { .sizes(SizeTensor(elements: [$0], shape: [], type: operands[0].type)) }
      }
      guard let result = evaluate(operation, operands), result.elements.count <= Self.mostElements else { return nil }
      return [.sizes(result)]
    default: return nil
    }
  }

  /// A value's shape in TensorFlow's order.
  private func shape(of value: GraphValue) throws(ModelError) -> [Dimension]? {
    switch value {
    case .tensor(let tensor): tensor.shape
    case .constant(let constant): constant.shape.map { Dimension($0) }
    case .sizes(let sizes): sizes.shape.map { Dimension($0) }
    case .variable, .blocks: nil
    }
  }

  private func evaluate(_ operation: TensorFlowOperation, _ inputs: [SizeTensor]) -> SizeTensor? {
    let first = inputs[0]
    switch operation.kind {
    case "AddV2", "Add": return combine(inputs) { $0 + $1 }
    case "Sub": return combine(inputs) { $0 - $1 }
    case "Mul": return combine(inputs) { $0 * $1 }
    case "FloorDiv": return combine(inputs) { a, b in b.number.flatMap { a / $0 } ?? a.divided(exactlyBy: b) }
    case "FloorMod": return combine(inputs) { a, b in b.number.flatMap { a.remainder(by: $0) } }
    case "Maximum": return combine(inputs) { Self.larger($0, $1) }
    case "Minimum": return combine(inputs) { a, b in Self.larger(a, b).map { $0 == a ? b : a } }
    case "Neg": return combine([SizeTensor(elements: [Dimension(0)], shape: [], type: first.type), first]) { $0 - $1 }
    case "Prod", "Sum":
      // Of all elements, as of a shape.
      guard inputs.count == 2, first.shape.count == 1, inputs[1].elements.count <= 1 else { return nil }
      if inputs[1].elements.isEmpty { return first }
      let zero = Optional(Dimension(0))
      let total =
        operation.kind == "Prod"
        ? Dimension.product(first.elements) : first.elements.reduce(zero) { sum, next in sum.flatMap { $0 + next } }
      return total.map { SizeTensor(elements: [$0], shape: operation.flag("keep_dims") ? [1] : [], type: first.type) }
    case "Cast":
      guard let type = operation.type("DstT"), type == .int32 || type == .int64 else { return nil }
      return SizeTensor(elements: first.elements, shape: first.shape, type: type)
    case "Pack": return packed(inputs, axis: operation.integer("axis"))
    case "ConcatV2":
      let parts = inputs.dropLast()
      guard !parts.isEmpty, let axis = inputs.last?.elements.first?.number, axis == 0 || axis == -parts[0].shape.count,
        parts.allSatisfy({ !$0.shape.isEmpty && $0.shape.dropFirst() == parts[0].shape.dropFirst() })
      else { return nil }
      let count = parts.reduce(0) { $0 + $1.shape[0] }
      return SizeTensor(
        elements: parts.flatMap(\.elements), shape: [count] + parts[0].shape.dropFirst(), type: first.type)
    case "Reshape", "Squeeze", "ExpandDims": return reshaped(operation, inputs)
    case "StridedSlice":
      guard inputs.count == 4, let plan = SlicePlan(operation, inputs, shape: first.shape.map { Dimension($0) }) else {
        return nil
      }
      return plan.apply(to: first)
    case "GatherV2":
      guard inputs.count == 3, first.shape.count == 1, inputs[2].elements.first?.number == 0 else { return nil }
      let picked = inputs[1].elements.compactMap { index in
        index.number.flatMap { first.elements.indices.contains($0) ? first.elements[$0] : nil }
      }
      guard picked.count == inputs[1].elements.count else { return nil }
      return SizeTensor(elements: picked, shape: inputs[1].shape, type: first.type)
    case "Range":
      guard inputs.count == 3, let start = first.elements.first?.number, let end = inputs[1].elements.first?.number,
        let step = inputs[2].elements.first?.number, step != 0,
        [start, end, step].allSatisfy({ $0.magnitude < 1 << 40 }), abs(end - start) / abs(step) < Self.mostElements
      else { return nil }
      let numbers = stride(from: start, to: end, by: step).map { Dimension($0) }
      return SizeTensor(elements: numbers, shape: [numbers.count], type: first.type)
    case "Fill":
      let shape = first.elements.compactMap(\.number)
      guard inputs.count == 2, shape.count == first.elements.count, let number = inputs[1].elements.first,
        let count = VariableBundle.count(shape), count <= Self.mostElements
      else { return nil }
      return SizeTensor(elements: Array(repeating: number, count: count), shape: shape, type: inputs[1].type)
    default: return nil
    }
  }

  private func combine(_ inputs: [SizeTensor], _ body: (Dimension, Dimension) -> Dimension?) -> SizeTensor? {
    guard inputs.count == 2 else { return nil }
    let (a, b) = (inputs[0], inputs[1])
    guard a.shape == b.shape || a.elements.count == 1 || b.elements.count == 1 else { return nil }
    let shape =
      a.elements.count != b.elements.count
      ? (a.elements.count > b.elements.count ? a.shape : b.shape) : (a.shape.count > b.shape.count ? a.shape : b.shape)
    let count = min(a.elements.count, b.elements.count) == 0 ? 0 : max(a.elements.count, b.elements.count)
    var elements: [Dimension] = []
    for index in 0..<count {
      guard
        let element = body(
          a.elements[a.elements.count == 1 ? 0 : index], b.elements[b.elements.count == 1 ? 0 : index])
      else { return nil }
      elements.append(element)
    }
    return SizeTensor(elements: elements, shape: shape, type: a.type)
  }

  /// The larger of two sizes, where it does not depend on unknown ones.
  private static func larger(_ a: Dimension, _ b: Dimension) -> Dimension? {
    guard let difference = (a - b)?.number else { return nil }
    return difference >= 0 ? a : b
  }

  private func packed(_ inputs: [SizeTensor], axis: Int) -> SizeTensor? {
    let shape = inputs[0].shape
    let axis = axis < 0 ? axis + shape.count + 1 : axis
    guard inputs.allSatisfy({ $0.shape == shape }), (0...shape.count).contains(axis) else { return nil }
    let inner = shape[axis...].reduce(1, *)
    let outer = shape[..<axis].reduce(1, *)
    let elements = (0..<outer).flatMap { row in inputs.flatMap { $0.elements[row * inner..<(row + 1) * inner] } }
    return SizeTensor(
      elements: elements, shape: shape[..<axis] + [inputs.count] + shape[axis...], type: inputs[0].type)
  }

  private func reshaped(_ operation: TensorFlowOperation, _ inputs: [SizeTensor]) -> SizeTensor? {
    let first = inputs[0]
    let dimensions = first.shape.map { Dimension($0) }
    guard
      let shape = Self.targetShape(
        operation, dimensions, inputs.count > 1 ? inputs[1].elements : nil)?.compactMap(\.number),
      VariableBundle.count(shape) == first.elements.count
    else { return nil }
    return SizeTensor(elements: first.elements, shape: shape, type: first.type)
  }

  /// The shape that `Reshape`, `Squeeze` or `ExpandDims` gives; `nil` where it is impossible or not known.
  static func targetShape(
    _ operation: TensorFlowOperation, _ shape: [Dimension], _ argument: [Dimension]?
  ) -> [Dimension]? {
    switch operation.kind {
    case "Reshape":
      guard var target = argument, target.count <= 16 else { return nil }
      guard let open = target.firstIndex(where: { $0.number == -1 }) else { return target }
      target[open] = Dimension(1)
      // Sizes that stay as they are need not be multiplied and divided.
      var before = shape, after = target
      for size in target where size.number != 1 {
        guard let index = before.firstIndex(of: size), let other = after.firstIndex(of: size) else { continue }
        before.remove(at: index)
        after.remove(at: other)
      }
      guard let total = Dimension.product(before), let others = Dimension.product(after), others.number != 0,
        let rest = total.divided(exactlyBy: others)
      else { return nil }
      target[open] = rest
      return target
    case "Squeeze":
      let axes = operation.integers("squeeze_dims")
      if axes.isEmpty {
        // Which axes are left depends on sizes that are not known.
        return shape.allSatisfy { $0.number != nil } ? shape.filter { $0.number != 1 } : nil
      }
      let places = Set(axes.map { $0 < 0 ? $0 + shape.count : $0 })
      return shape.indices.filter { !places.contains($0) }.map { shape[$0] }
    default:
      guard let axis = argument?.first?.number, argument?.count == 1 else { return nil }
      let place = axis < 0 ? axis + shape.count + 1 : axis
      guard (0...shape.count).contains(place) else { return nil }
      return shape[..<place] + [Dimension(1)] + shape[place...]
    }
  }
}
