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
  ]) func logitsAreLeft(ending: Ending) throws {
    let graph = try graph(ending)
    let logits = try #require(try graph.editing.removingFinalSoftmax())
    #expect(try logits.facts(file: "f").operations["Softmax"] == nil)
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

extension GraphEditing {
  fileprivate var endsWithSoftmax: Bool {
    get throws { try removingFinalSoftmax() != nil }
  }
}
