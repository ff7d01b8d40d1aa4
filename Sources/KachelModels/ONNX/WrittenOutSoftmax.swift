// SPDX-License-Identifier: Apache-2.0

/// A softmax as Keras wrote it for images before it became an operation: exp(x - max(x)) / sum(exp(x - max(x))). What else
/// reads a part of it does not matter, as nothing but the division leads to the network's only output.
extension ONNXEditor {
  /// A value's origin: the operation that makes it but for turns of its axes.
  private struct Origin {
    let place: Int
    /// For each axis of the value that of the operation's result.
    var order = [0, 1, 2, 3]
  }

  /// Takes a division away that completes a softmax over the classes of a pixel, so that its logits are left.
  ///
  /// - Parameter axis: that of the classes.
  /// - Returns: whether it is one.
  mutating func removeWrittenOutSoftmax(endingAt place: Int, axis: Int) -> Bool {
    let division = node(place)
    guard division.input.count == 2, let powers = origin(of: division.input[0]),
      node(powers.place).opType == "Exp", let exponent = node(powers.place).input.first,
      isSum(division.input[1], of: powers, axis: axis)
    else { return false }
    let classes = powers.order[axis], power = node(powers.place).output[0]
    let logits = difference(exponent, fromHighestAlong: classes) ?? exponent
    guard producer(of: logits) != nil else { return false }
    let isLast = division.output == [outputName] && division.input[0] == power
    remove(at: place, source: division.input[0])
    guard let place = producer(of: isLast ? outputName : power) else { return false }
    remove(at: place, source: logits)
    removeUnread()
    return true
  }

  /// Whether a divisor is the sum of the powers of a pixel's classes, laid out as they are.
  private func isSum(_ divisor: String, of powers: Origin, axis: Int) -> Bool {
    guard var sum = origin(of: divisor) else { return false }
    if node(sum.place).opType == "Reshape", sum.order == [0, 1, 2, 3] {
      // The axis of length 1 moves over others, whose order stays: no number moves.
      let others = powers.order.indices.filter { $0 != axis }.map { powers.order[$0] }
      guard others == others.sorted(), node(sum.place).input.count == 2,
        let shape = numbers(node(sum.place).input[1]), shape.count == 4, shape[axis] == 1,
        let origin = origin(of: node(sum.place).input[0]), origin.order == [0, 1, 2, 3]
      else { return false }
      sum = Origin(place: origin.place, order: powers.order)
    }
    return sum.order == powers.order && reduces(sum.place, "ReduceSum", along: powers.order[axis])
      && node(sum.place).input.first == node(powers.place).output[0]
  }

  /// - Returns: `x`, where a value is x - max(x).
  private func difference(_ value: String, fromHighestAlong axis: Int) -> String? {
    guard let place = producer(of: value), node(place).opType == "Sub", node(place).input.count == 2,
      let highest = producer(of: node(place).input[1]),
      reduces(highest, "ReduceMax", along: axis), node(highest).input.first == node(place).input[0]
    else { return nil }
    return node(place).input[0]
  }

  private func reduces(_ place: Int, _ operation: String, along axis: Int) -> Bool {
    let node = node(place)
    guard node.opType == operation, node.attribute.first(where: { $0.name == "keepdims" }).map({ $0.i == 1 }) ?? true
    else { return false }
    // The axes became an input in later versions.
    let axes =
      node.attribute.first { $0.name == "axes" }.map { $0.ints.map(Double.init) }
      ?? (node.input.count == 2 ? numbers(node.input[1]) : nil)
    return axes == [Double(axis)] || axes == [Double(axis - 4)]
  }

  private func origin(of value: String) -> Origin? {
    var (value, order) = (value, [0, 1, 2, 3])
    for _ in document.model.graph.node {
      guard let place = producer(of: value) else { return nil }
      let node = node(place)
      switch node.opType {
      case "Identity", "Transpose":
        guard let source = node.input.first else { return nil }
        if node.opType == "Transpose" {
          guard let turn = node.attribute.first(where: { $0.name == "perm" })?.ints.map({ Int(clamping: $0) }),
            turn.sorted() == [0, 1, 2, 3]
          else { return nil }
          order = order.map { turn[$0] }
        }
        value = source
      default: return Origin(place: place, order: order)
      }
    }
    return nil
  }

  private func node(_ place: Int) -> ONNX_NodeProto { document.model.graph.node[place] }

  /// The operation of ONNX itself that makes a value and nothing else.
  private func producer(of value: String) -> Int? {
    document.model.graph.node.firstIndex { $0.output == [value] && $0.isStandard }
  }

  private func numbers(_ constant: String) -> [Double]? { document.tensor(constant).flatMap(ONNXElementType.numbers) }
}
