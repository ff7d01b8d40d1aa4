// SPDX-License-Identifier: Apache-2.0
import KachelTesting
import Testing

@testable import KachelModels

/// Networks without the softmax at their end.
@Suite struct FinalSoftmaxTests {
  struct Ending: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var opset: Int64 = 13
    var isChannelsFirst = false
    var add: @Sendable (inout NetworkFixture) -> Void
  }

  private func graph(_ ending: Ending) throws -> ModelGraph {
    var network = NetworkFixture(input: [nil, nil, nil, 2])
    network.transpose(toFirst: true)
    network.distinctConvolution(inputs: 2, outputs: 3)
    ending.add(&network)
    return try network.graph(
      output: ending.isChannelsFirst ? [nil, 3, nil, nil] : [nil, nil, nil, 3], opset: ending.opset)
  }

  @Test(arguments: [
    Ending(testDescription: "last") {
      $0.transpose(toFirst: false)
      $0.add("Softmax")
    },
    Ending(testDescription: "named", opset: 11) {
      $0.transpose(toFirst: false)
      $0.add("Softmax", int: ["axis": 3])
    },
    Ending(testDescription: "moved and copied") {
      $0.add("Softmax", int: ["axis": 1])
      $0.transpose(toFirst: false)
      $0.add("Identity")
    },
    Ending(testDescription: "moved twice") {
      $0.transpose(toFirst: false)
      $0.add("Softmax", int: ["axis": -1])
      $0.transpose(toFirst: true)
      $0.transpose(toFirst: false)
    },
    Ending(testDescription: "channels first", isChannelsFirst: true) { $0.add("Softmax", int: ["axis": 1]) },
    Ending(testDescription: "written out, the sum's axis moved by a reshape", opset: 12) {
      let powers = $0.addPowers(axis: 1)
      $0.transpose(toFirst: false)
      let turned = $0.last
      $0.add("ReduceSum", first: powers, ints: ["axes": [1]], int: ["keepdims": 1])
      let sum = $0.add("Reshape", [$0.integers([1, 6, 9, 1])])
      $0.add("Div", [sum], first: turned)
    },
    Ending(testDescription: "written out, the sum turned") {
      let powers = $0.addPowers(axis: -3)
      $0.transpose(toFirst: false)
      let turned = $0.last
      $0.add("ReduceSum", [$0.integers([1])], first: powers)
      $0.transpose(toFirst: false)
      let sum = $0.last
      $0.add("Div", [sum], first: turned)
    },
    Ending(testDescription: "written out, channels last") {
      $0.transpose(toFirst: false)
      let powers = $0.addPowers(axis: 3)
      let sum = $0.add("ReduceSum", [$0.integers([-1])])
      $0.add("Div", [sum], first: powers)
    },
    Ending(testDescription: "written out without the highest, channels first", isChannelsFirst: true) {
      let powers = $0.add("Exp")
      let sum = $0.add("ReduceSum", [$0.integers([1])])
      $0.add("Div", [sum], first: powers)
    },
  ]) func logitsAreLeft(ending: Ending) throws {
    let graph = try graph(ending)
    let logits = try #require(try graph.editing.removingFinalSoftmax())
    let operations = try logits.facts(file: "f").operations
    #expect(["Softmax", "Div", "Exp", "ReduceSum", "ReduceMax", "Reshape"].allSatisfy { operations[$0] == nil })
    #expect(try logits.onnx.graph.output == graph.onnx.graph.output)
    let image = PlainImage([1, 6, 9, 2])
    func run(_ graph: ModelGraph) throws -> PlainImage {
      let result = try graph.run(image)
      return ending.isChannelsFirst ? result.channelsLast : result
    }
    #expect(try run(logits).after(.softmax).difference(run(graph)) <= 1e-6)
    #expect(try run(logits).difference(run(graph)) > 0.1)
    #expect(try !logits.editing.endsWithSoftmax)
  }

  @Test(arguments: [
    Ending(testDescription: "none") { $0.transpose(toFirst: false) },
    Ending(testDescription: "over the rows") {
      $0.transpose(toFirst: false)
      $0.add("Softmax", int: ["axis": 1])
    },
    Ending(testDescription: "over columns, then moved") {
      $0.add("Softmax", int: ["axis": 3])
      $0.transpose(toFirst: false)
    },
    Ending(testDescription: "over all axes from channels on, as before version 13", opset: 12) {
      $0.add("Softmax", int: ["axis": 1])
      $0.transpose(toFirst: false)
    },
    Ending(testDescription: "used besides") {
      $0.transpose(toFirst: false)
      let scores = $0.add("Softmax")
      $0.add("Add", [scores])
    },
    Ending(testDescription: "changed afterwards") {
      $0.transpose(toFirst: false)
      $0.add("Softmax")
      $0.add("Relu")
    },
    Ending(testDescription: "written out over the rows") {
      $0.transpose(toFirst: false)
      let powers = $0.addPowers(axis: 3)
      let sum = $0.add("ReduceSum", [$0.integers([1])])
      $0.add("Div", [sum], first: powers)
    },
    Ending(testDescription: "written out, by another sum") {
      $0.transpose(toFirst: false)
      let logits = $0.last, powers = $0.addPowers(axis: 3)
      $0.add("Exp", first: logits)
      let sum = $0.add("ReduceSum", [$0.integers([3])])
      $0.add("Div", [sum], first: powers)
    },
    Ending(testDescription: "powers divided by a number") {
      $0.transpose(toFirst: false)
      let powers = $0.addPowers(axis: 3)
      $0.add("Div", [$0.floats([2])], first: powers)
    },
    Ending(testDescription: "another one's operation") {
      $0.transpose(toFirst: false)
      $0.add("Softmax", domain: "com.example")
    },
  ]) func theOthersStay(ending: Ending) throws {
    #expect(try !graph(ending).editing.endsWithSoftmax)
  }

  /// Real networks, as ONNX and as SavedModels with their functions.
  @Test(arguments: [
    "example/nuclei.czann", "example/nuclei.czmodel", "models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel",
    "models/tf/unet_rgb/unet_rgb.czmodel",
  ]) func realNetworks(path: String) throws {
    let graph = try ModelGraph.packaged(path)
    let logits = try #require(try graph.editing.removingFinalSoftmax())
    let shape = try graph.facts(file: path).inputs.first?.shape ?? []
    let image = PlainImage([1, shape[1] ?? 64, shape[2] ?? 64, try #require(shape[3])])
    let expected = try graph.run(image), found = try logits.run(image)
    #expect(found.after(.softmax).difference(expected) <= 1e-5)
    #expect(found.difference(expected) > 0.1)
  }
}

extension NetworkFixture {
  /// exp(x - max(x))
  fileprivate mutating func addPowers(axis: Int64) -> String {
    let logits = last, highest = add("ReduceMax", ints: ["axes": [axis]], int: ["keepdims": 1])
    add("Sub", [highest], first: logits)
    return add("Exp")
  }
}

extension GraphEditing {
  fileprivate var endsWithSoftmax: Bool {
    get throws { try removingFinalSoftmax() != nil }
  }
}
