// SPDX-License-Identifier: Apache-2.0

/// A softmax at a network's end makes probabilities of its logits, and the most probable class is the one with the highest
/// logit. Engines take long for it where a pixel's classes lie side by side: OpenVINO 2026.4 two thirds of a small network's
/// time.
extension GraphEditing {
  /// Takes a softmax over the classes of a pixel away with which the network ends, so that it gives logits.
  ///
  /// - Returns: `nil` where it does not end with one, or where it cannot be edited.
  /// - Throws: ``ModelError``, `damaged`.
  package func removingFinalSoftmax() throws(ModelError) -> ModelGraph? {
    var isRemoved = false
    do throws(ModelError) {
      let graph = try edited { editor throws(ModelError) in isRemoved = try editor.removeFinalSoftmax() }
      return isRemoved ? graph : nil
    } catch  where error.kind == .unsupported {
      return nil
    }
  }
}

extension ONNXEditor {
  mutating func removeFinalSoftmax() throws(ModelError) -> Bool {
    let nodes = document.model.graph.node
    var (value, axis) = (outputName, outputLayout == .channelsFirst ? 1 : 3)
    for _ in nodes {
      let readers = nodes.reduce(0) { count, node in count + ONNXNames.read(by: node).count { $0 == value } }
      guard readers == (value == outputName ? 0 : 1), let place = nodes.firstIndex(where: { $0.output == [value] }),
        let source = nodes[place].input.first, nodes[place].isStandard
      else { return false }
      let node = nodes[place]
      switch node.opType {
      case "Identity": break
      case "Transpose":
        guard let order = node.attribute.first(where: { $0.name == "perm" })?.ints, order.count == 4,
          let moved = Int(exactly: order[axis]), 0..<4 ~= moved
        else { return false }
        axis = moved
      case "Softmax":
        let given = node.attribute.first { $0.name == "axis" }.map { Int(clamping: $0.i) } ?? (opset >= 13 ? -1 : 1)
        // Before version 13 the axes from this one on are taken together.
        guard (given < 0 ? given + 4 : given) == axis, axis == 3 || opset >= 13,
          nodes.contains(where: { $0.output.contains(source) })
        else { return false }
        remove(at: place, source: source)
        return true
      case "Div": return removeWrittenOutSoftmax(endingAt: place, axis: axis)
      default: return false
      }
      value = source
    }
    return false
  }
}

extension SavedModelEditor {
  /// Calls and copies in a row that are followed.
  private static let mostSteps = 64

  mutating func removeFinalSoftmax() throws(ModelError) -> Bool {
    let library = meta.graphDef.library.function
    var (function, reference) = (nil as Int?, outputReference)
    for step in 0..<Self.mostSteps {
      let (nodes, name) = (nodes(of: function), nodeName(reference))
      let results = function.map { Array(library[$0].ret.values) } ?? []
      let readers = (nodes.flatMap(\.input) + results).count { !$0.hasPrefix("^") && nodeName($0) == name }
      guard readers == (step == 0 ? 0 : 1), let node = nodes.first(where: { $0.name == name }) else { return false }
      let source = node.input.first { !$0.hasPrefix("^") }
      if node.op == "Identity", let source {
        reference = source
      } else if node.op == "Softmax", step > 0 {
        try bypass([.init(node: name, function: function.map { library[$0].signature.name } ?? "", input: 0)])
        return true
      } else if let called = node.attr["f"].flatMap({ SavedModelGraph.functionNames($0).first }),
        let index = library.firstIndex(where: { $0.signature.name == called }),
        nodes.count(where: { $0.attr["f"].map(SavedModelGraph.functionNames) == [called] }) == 1,
        case let outputs = library[index].signature.outputArg,
        case let parts = reference.split(separator: ":"),
        let output = parts.count > 1 ? Int(parts[parts.count - 1]) : 0,
        outputs.indices.contains(output), let result = library[index].ret[outputs[output].name]
      {
        (function, reference) = (index, result)
      } else {
        return false
      }
    }
    return false
  }
}
