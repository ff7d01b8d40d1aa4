// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import KachelTesting
import SwiftProtobuf
import Testing

/// Edited networks give what the separate steps give.
@Suite struct GraphEditingTests {
  /// Networks of three channels: ONNX of opset 12 and 18, and a SavedModel.
  static let networks = [
    "models/tf/v510/unet_transposechannels.czann", "models/torch/torch_from_json.czann",
    "models/tf/unet_rgb/unet_rgb.czmodel",
  ]
  static let layers: [[Preprocessing]] = [
    [.rgbToBGR], [.perImageStandardization], [.zeroMeanUnitVariance(epsilon: 0.125)], [.transposeChannels([1, 2, 0])],
    [.shift([0.25])], [.scale([2, 0.5, 1.5])],
    [.normalization(mean: [0.5], standardDeviation: [0.25])],
    [.normalization(mean: [0.5, 0.4, 0.3], standardDeviation: [0.2, 0.3, 0.25])],
    [
      .rgbToBGR, .perImageStandardization, .shift([0.1, 0.2, 0.3]), .transposeChannels([2, 0, 1]), .scale([3]),
      .normalization(mean: [0.1, 0, 0.2], standardDeviation: [2]),
    ],
  ]

  private func inputShape(_ graph: ModelGraph) throws -> [Int] {
    let facts = try graph.facts(file: "network")
    return [1] + (facts.inputs[0].shape ?? []).dropFirst().map { $0 ?? 64 }
  }

  @Test(arguments: networks, layers) func layersBefore(path: String, layers: [Preprocessing]) throws {
    let graph = try ModelGraph.packaged(path)
    let edited = try graph.editing.prepending(layers)
    let (before, after) = (try graph.facts(file: "network"), try edited.facts(file: "network"))
    #expect(before.inputs == after.inputs && before.outputs == after.outputs)
    let shape = try inputShape(graph)
    // A constant image has no deviation to divide by.
    let constant = PlainImage(shape: shape, values: Array(repeating: 0.5, count: shape.reduce(1, *)))
    for image in [PlainImage(shape)] + (layers == [.perImageStandardization] ? [constant] : []) {
      let expected = try graph.run(layers.reduce(image) { $0.after($1) })
      #expect(try edited.run(image).difference(expected) <= 1e-5)
    }
  }

  @Test(arguments: [12, 18] as [Int64], [ImageLayout.channelsLast, .channelsFirst])
  func bothLayouts(opset: Int64, layout: ImageLayout) throws {
    let isFirst = layout == .channelsFirst
    var fixture = NetworkFixture(input: isFirst ? [nil, 4, nil, nil] : [nil, nil, nil, 4])
    if !isFirst { fixture.transpose(toFirst: true) }
    fixture.distinctConvolution(inputs: 4, outputs: 1)
    if !isFirst { fixture.transpose(toFirst: false) }
    let graph = try fixture.graph(output: isFirst ? [nil, 1, nil, nil] : [nil, nil, nil, 1], opset: opset)
    let layers: [Preprocessing] = [
      .rgbaToBGRA, .perImageStandardization, .transposeChannels([3, 0, 1, 2]), .shift([1, 2, 3, 4]), .scale([0.5]),
    ]
    let edited = try graph.editing.prepending(layers).editing.appending(.sigmoidToSoftmaxScores)
      .editing.settingSpatialDimensions(height: 10, width: 14).editing.settingBatch(2)
    let image = PlainImage([2, 10, 14, 4])
    func run(_ graph: ModelGraph, _ image: PlainImage) throws -> PlainImage {
      isFirst ? try graph.run(image.channelsFirst).channelsLast : try graph.run(image)
    }
    let expected = try run(graph, layers.reduce(image) { $0.after($1) }).after(.sigmoidToSoftmaxScores)
    #expect(try run(edited, image).difference(expected) <= 2e-5)
    let facts = try edited.facts(layout: layout, file: "network")
    #expect(facts.inputs.map(\.shape) == [isFirst ? [2, 4, 10, 14] : [2, 10, 14, 4]])
    #expect(facts.outputs.map(\.shape) == [isFirst ? [2, 2, 10, 14] : [2, 10, 14, 2]])
    #expect(facts.outputs.map(\.name) == [fixture.last] && facts.inputs.map(\.name) == ["input"])

    let turned = try edited.editing.withChannelsLast()
    #expect(try turned.run(image).difference(expected) <= 2e-5)
    #expect(try turned.facts(file: "network").inputs.map(\.shape) == [[2, 10, 14, 4]])
    #expect(try turned.facts(file: "network").outputs.map(\.shape) == [[2, 10, 14, 2]])
    #expect(try turned.onnx == turned.editing.withChannelsLast().onnx)
    if !isFirst { #expect(try turned.onnx == edited.onnx) }
  }

  /// A network that turns its axes at the border as an exporter does needs no more turning.
  @Test func turnsCancel() throws {
    var fixture = NetworkFixture(input: [1, 3, 16, 16])
    fixture.transpose(toFirst: false)
    fixture.add("Relu")
    fixture.transpose(toFirst: true)
    fixture.distinctConvolution(inputs: 3, outputs: 2)
    fixture.transpose(toFirst: false)
    fixture.add("Sigmoid")
    fixture.transpose(toFirst: true)
    let graph = try fixture.graph(output: [1, 2, 16, 16])
    let turned = try graph.editing.withChannelsLast()
    let operations = try turned.onnx.graph.node.map(\.opType)
    #expect(operations == ["Relu", "Transpose", "Conv", "Transpose", "Sigmoid"])
    let image = PlainImage([1, 16, 16, 3])
    #expect(try turned.run(image).difference(graph.run(image.channelsFirst).channelsLast) <= 1e-6)
  }

  @Test(arguments: networks, [Postprocessing.sigmoid, .softmax])
  func scoresBehind(path: String, layer: Postprocessing) throws {
    let graph = try ModelGraph.packaged(path), edited = try graph.editing.appending(layer)
    let image = try PlainImage(inputShape(graph))
    #expect(try edited.run(image).difference(graph.run(image).after(layer)) <= 1e-6)
    #expect(try edited.facts(file: "network").outputs == graph.facts(file: "network").outputs)
  }

  @Test func aProbabilityBecomesTwoClasses() throws {
    let path = "models/sebi06/simple_regmodel.czann"
    let graph = try ModelGraph.packaged(path).editing.settingSpatialDimensions(height: 64, width: 96)
    let edited = try graph.editing.appending(.sigmoidToSoftmaxScores)
    let image = PlainImage([1, 64, 96, 1])
    #expect(try edited.run(image).difference(graph.run(image).after(.sigmoidToSoftmaxScores)) <= 1e-6)
    #expect(try edited.facts(file: "network").outputs.map(\.shape) == [[nil, 64, 96, 2]])
  }

  @Test(arguments: ["example/nuclei.czann", "example/nuclei.czmodel"]) func theRestStaysAndBytesRepeat(path: String)
    throws
  {
    let graph = try ModelGraph.packaged(path)
    func edit() throws -> ModelGraph {
      try graph.editing.prepending([.perImageStandardization, .scale([2])])
        .editing.settingSpatialDimensions(height: 64, width: 96)
    }
    switch (graph, try edit(), try edit()) {
    case (.onnx, .onnx(let one), .onnx(let other)):
      #expect(one == other)
      let (before, after) = (try graph.onnx.graph, try ONNX_ModelProto(serializedBytes: one).graph)
      let weights = Dictionary(uniqueKeysWithValues: after.initializer.map { ($0.name, $0) })
      let isKept = before.initializer.allSatisfy { weights[$0.name] == $0 }
      #expect(isKept)
    case (.savedModel(let before), .savedModel(let one), .savedModel(let other)):
      #expect(try one.graphBytes() == other.graphBytes())
      for name in before.files.keys where name.hasPrefix("variables/") {
        #expect(try one.read(name, limit: .max) == before.read(name, limit: .max))
      }
      // Nothing is left that would give the network as it was.
      #expect(before.files["keras_metadata.pb"] != nil && one.files["keras_metadata.pb"] == nil)
      let objects = try SavedModelGraph(one).meta.objectGraphDef.nodes
      let children = try #require(objects.first).children
      #expect(children.contains { $0.localName == "signatures" } && !children.contains { $0.localName == "__call__" })
    default: Issue.record("the format changed")
    }
  }

  @Test func damagedGraphsAreRefused() throws {
    var fixture = NetworkFixture(input: [1, 16, 16, 1])
    fixture.add("Reshape", [fixture.integers([1, 1, 16, 16])])
    fixture.distinctConvolution(inputs: 1, outputs: 2)
    fixture.transpose(toFirst: false)
    guard case .onnx(let bytes) = try fixture.graph(output: [1, 16, 16, 2]) else { return }
    var refused = 0
    for bytes in Mutations(of: bytes, count: 800, seed: 5) {
      let editing = GraphEditing(.onnx(bytes), file: "network")
      do {
        _ = try editing.prepending([.rgbToBGR, .perImageStandardization])
        _ = try editing.settingSpatialDimensions(height: 32, width: 48)
        _ = try editing.withChannelsLast()
        _ = try editing.settingBatch(nil)
      } catch {
        #expect(!error.reason.isEmpty)
        refused += 1
      }
    }
    #expect(refused > 50)
  }
}
