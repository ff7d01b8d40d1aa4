// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import KachelTesting
import Testing

/// Networks that are given another size, and those that cannot be.
@Suite struct GraphSizeTests {
  /// Fixed sizes in Reshape's constants, in the sizes of transposed convolutions, or only at the border; free sizes too.
  @Test(arguments: [
    "models/sebi06/simple_nuclei_segmodel.czann", "models/tf/v510/nuclei_seg.czann", "models/tf/v510/regression.czann",
    "models/tf/v510/unet_transposechannels.czann", "models/torch/torch_legacy.czmodel",
    "models/tf/unet_rgb/unet_rgb.czmodel", "models/tf/normalization/DNNModel.czmodel", "example/nuclei.czann",
    "example/nuclei.czmodel",
  ])
  func anotherSize(path: String) throws {
    let graph = try ModelGraph.packaged(path)
    let facts = try graph.facts(file: path)
    let old = try #require(facts.inputs[0].shape).map { $0 ?? 128 }
    let channels = old[3]
    let border = try #require(facts.neededBorder)
    // Larger along one axis, smaller along the other.
    let (height, width) = (old[1] + 32, max(old[2] - 32, 64))
    let edited = try graph.editing.settingSpatialDimensions(height: height, width: width)
    let after = try edited.facts(file: path)
    let shape = try #require(facts.inputs[0].shape)
    #expect(after.inputs.map(\.shape) == [[shape[0], height, width, channels]])
    #expect(after.outputs.map(\.shape) == [[facts.outputs[0].shape?[0], height, width, facts.outputs[0].shape?[3]]])
    #expect(after.stride == facts.stride)

    let image = PlainImage([1, height, max(width, old[2]), channels])
    let result = try edited.run(image.corner(height: height, width: width))
    let expected = try graph.run(image.corner(height: old[1], width: old[2]))
    // The network sees the edges where they were and where they are; away from both nothing changes.
    let (common, kept) = ((min(height, old[1]), min(width, old[2])), border)
    let (rows, columns) = (common.0 - kept.y, common.1 - kept.x)
    #expect(rows > 0 && columns > 0)
    #expect(
      result.corner(height: rows, width: columns).difference(expected.corner(height: rows, width: columns)) <= 1e-5)
    if case .onnx = edited {
      let model = try edited.onnx.graph
      #expect(model.valueInfo.isEmpty)
      let read = Set(model.node.flatMap { ONNXNames.read(by: $0) })
      #expect(model.initializer.allSatisfy { read.contains($0.name) })
    }
    // And back.
    let back = try edited.editing.settingSpatialDimensions(height: old[1], width: old[2])
    let again = try back.run(image.corner(height: old[1], width: old[2]))
    #expect(again.difference(expected) <= 1e-6)
  }

  /// Sizes from one constant that others read too, from a Constant node, and put together of a part of the shape.
  @Test(arguments: ["shared", "node", "partial", "resize"]) func waysOfBakingSizes(way: String) throws {
    var fixture = NetworkFixture(input: [nil, 16, 24, 1])
    switch way {
    case "shared":
      let shape = fixture.integers([-1, 1, 16, 24])
      fixture.add("Reshape", [shape])
      fixture.distinctConvolution(inputs: 1, outputs: 1)
      fixture.add("Reshape", [shape])
    case "node":
      let value = fixture.integers([-1, 1, 16, 24])
      fixture.add("Reshape", [fixture.constantNode(value)])
    case "partial":
      let input = fixture.last
      let shape = fixture.add("Shape")
      let batch = fixture.add("Gather", [fixture.integers([0])], first: shape)
      let whole = fixture.add("Concat", [fixture.integers([1, 16, 24])], first: batch, int: ["axis": 0])
      fixture.add("Reshape", [whole], first: input)
    default:
      fixture.transpose(toFirst: true)
      fixture.convolution(outputs: 1, inputs: 1, stride: 2)
      fixture.add("Resize", ["", "", fixture.integers([1, 1, 16, 24])], text: ["mode": "nearest"])
    }
    fixture.distinctConvolution(inputs: 1, outputs: 2)
    fixture.transpose(toFirst: false)
    let graph = try fixture.graph(output: [nil, 16, 24, 2])
    let edited = try graph.editing.settingSpatialDimensions(height: 20, width: 16)
    let image = PlainImage([1, 20, 24, 1])
    let result = try edited.run(image.corner(height: 20, width: 16))
    let expected = try graph.run(image.corner(height: 16, width: 24))
    #expect(result.shape == [1, 20, 16, 2])
    #expect(result.corner(height: 10, width: 10).difference(expected.corner(height: 10, width: 10)) <= 1e-5)
  }

  @Test func batches() throws {
    var fixture = NetworkFixture(input: [1, 16, 16, 1])
    fixture.add("Reshape", [fixture.integers([1, 1, 16, 16])])
    fixture.distinctConvolution(inputs: 1, outputs: 2)
    fixture.transpose(toFirst: false)
    let graph = try fixture.graph(output: [1, 16, 16, 2])
    let image = PlainImage([3, 16, 16, 1])
    let single = try graph.run(image.corner(height: 16, width: 16).first)
    for edited in [try graph.editing.settingBatch(nil), try graph.editing.settingBatch(3)] {
      #expect(try edited.run(image).first.difference(single) <= 1e-6)
    }
    #expect(try graph.editing.settingBatch(nil).facts(file: "f").inputs.map(\.shape) == [[nil, 16, 16, 1]])
    let path = "models/tf/unet_rgb/unet_rgb.czmodel"
    let savedModel = try ModelGraph.packaged(path).editing.settingBatch(2)
    #expect(try savedModel.facts(file: path).inputs[0].shape?[0] == 2)
    #expect(try savedModel.facts(file: path).outputs[0].shape?[0] == 2)
  }

  // MARK: Refusals

  private func refusal(_ edit: () throws -> ModelGraph) -> ModelError? {
    do {
      _ = try edit()
      return nil
    } catch {
      return error as? ModelError
    }
  }

  @Test func sizesThatDoNotGoWithTheStride() throws {
    for (path, height, width, hint) in [
      ("models/sebi06/simple_regmodel.czann", 510, 512, "height 510 does not go with the network's stride of 4"),
      ("models/sebi06/simple_regmodel.czann", 510, 512, "508 and 512"),
      ("models/tf/unet_rgb/unet_rgb.czmodel", 64, 97, "96 and 100"), ("example/nuclei.czann", 4, 8, "the nearest 8"),
      ("models_large/PGC_20X_nucleus_detector.czseg", 1024, 1000, "992 and 1024"),
    ] {
      let graph = try ModelGraph.packaged(path)
      let error = refusal { try graph.editing.settingSpatialDimensions(height: height, width: width) }
      #expect(error?.kind == .mismatch && error?.reason.contains(hint) == true, "\(String(describing: error))")
    }
    let graph = try ModelGraph.packaged("example/nuclei.czann")
    for (height, width) in [(0, 8), (8, -8), (70_000, 8), (8, .max)] {
      #expect(refusal { try graph.editing.settingSpatialDimensions(height: height, width: width) }?.kind == .mismatch)
    }
    #expect(refusal { try graph.editing.settingBatch(0) }?.kind == .mismatch)
  }

  @Test func sizesThatCannotBeChanged() throws {
    func error(_ build: (inout NetworkFixture) -> Void) throws -> ModelError? {
      var fixture = NetworkFixture(input: [nil, 16, 24, 4])
      fixture.transpose(toFirst: true)
      fixture.convolution()
      build(&fixture)
      fixture.transpose(toFirst: false)
      let graph = try fixture.graph(output: [nil, 16, 24, 4])
      return refusal { try graph.editing.settingSpatialDimensions(height: 32, width: 24) }
    }
    // The network by itself is no problem.
    #expect(try error { _ in } == nil)
    let flattened = try error {
      $0.add("Reshape", [$0.integers([-1, 4, 16 * 24])])
      $0.add("Reshape", [$0.integers([-1, 4, 16, 24])])
    }
    #expect(flattened?.kind == .unsupported && flattened?.reason.contains("Reshape") == true)
    let stretched = try error {
      let image = $0.last
      $0.add("GlobalAveragePool")
      $0.add("Resize", ["", "", $0.integers([1, 4, 16, 24])])
      $0.add("Add", [image])
    }
    #expect(stretched?.reason.contains("mean of the whole image") == true)
    let cut = try error {
      $0.add("Pad", [$0.integers([0, 0, 0, 0, 0, 0, 8, 8])])
      $0.add("Slice", [$0.integers([0, 0]), $0.integers([16, 24]), $0.integers([2, 3])])
    }
    #expect(cut?.reason.contains("cuts the image off at pixel 16") == true)
    let unknown = try error { $0.add("Einsum") }
    #expect(unknown?.reason.contains("Einsum") == true && unknown?.reason.contains("is not understood") == true)
  }

  @Test func layersThatDoNotFit() throws {
    let rgb = try ModelGraph.packaged("models/tf/unet_rgb/unet_rgb.czmodel")
    let gray = try ModelGraph.packaged("models/tf/v510/nuclei_seg.czann")
    for (graph, layer, hint) in [
      (rgb, .rgbaToBGRA, "takes 4 channels, but the network takes 3"),
      (rgb, .transposeChannels([0, 2]), "each number from 0 to 1"),
      (rgb, .transposeChannels([0, -1, 2]), "each number from 0 to 2"),
      (rgb, .transposeChannels([1, 0]), "lists 2 channels, but the network takes 3"),
      (gray, .transposeChannels([2, 1, 0]), "lists 3 channels"), (gray, .transposeChannels([]), "lists 0 channels"),
      (rgb, .shift([1, 2]), "shift has 2 numbers"), (rgb, .scale([]), "scale has 0 numbers"),
      (gray, .scale([.nan]), "float32"), (gray, .shift([1e300]), "float32"),
      (rgb, .normalization(mean: [1], standardDeviation: [1, 0, 1]), "not above 0"),
      (rgb, .normalization(mean: [1, 2], standardDeviation: [1]), "mean of normalization has 2"),
    ] as [(ModelGraph, Preprocessing, String)] {
      let error = refusal { try graph.editing.prepending([layer]) }
      #expect(
        error?.kind == .mismatch && error?.reason.contains(hint) == true, "\(layer): \(String(describing: error))")
      #expect(error?.file == "network")
    }
    let twice = refusal { try rgb.editing.appending(.sigmoidToSoftmaxScores) }
    #expect(twice?.kind == .mismatch && twice?.reason.contains("1 output channel") == true)
    // One channel has no order, so that a list of layers for colours goes with it.
    #expect(refusal { try gray.editing.prepending([.rgbToBGR]) } == nil)
  }

  @Test func networksThatAreNotEdited() throws {
    func error(_ graph: ModelGraph) -> ModelError? { refusal { try graph.editing.settingBatch(1) } }
    #expect(error(.classical(description: "forest"))?.kind == .unsupported)
    #expect(error(.onnx([1, 2, 3]))?.kind == .damaged)
    let cases: [(String, [UInt8])] = try [
      ("2 inputs", PackageFixture.network { $0.graph.input.append(NetworkFixture.value("second", [1, 2])) }),
      ("float16", PackageFixture.network(elementType: 10)), ("5 axes", PackageFixture.network(rank: 5)),
      ("opset before 7", PackageFixture.network { $0.opsetImport[0].version = 6 }),
    ]
    for (hint, bytes) in cases {
      let error = error(.onnx(bytes))
      #expect(error?.kind == .unsupported && error?.reason.contains(hint) == true)
    }
  }
}

extension PlainImage {
  /// The first image of several.
  fileprivate var first: Self {
    let count = values.count / shape[0]
    return Self(shape: [1] + shape.dropFirst(), values: Array(values.prefix(count)))
  }
}
