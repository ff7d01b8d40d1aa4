// SPDX-License-Identifier: Apache-2.0
import KachelTesting
import SwiftProtobuf
import Testing

@testable import KachelModels

/// Networks of which an engine gives a pixel other bits in tiles of another size.
@Suite struct SizeDependenceTests {
  private func dependence(_ graph: ModelGraph) throws -> SizeDependence { try graph.sizeDependence(file: "f") }

  private func reason(_ graph: ModelGraph) throws -> String? { try dependence(graph).ofOpenVINO }

  private func isSame(_ graph: ModelGraph) throws -> Bool {
    let found = try dependence(graph)
    return found.ofOpenVINO == nil && found.ofONNXRuntime == nil
  }

  /// A network of one operation between transpositions, of two channels.
  private func graph(_ build: (inout NetworkFixture) -> Void) throws -> ModelGraph {
    var network = NetworkFixture(input: [nil, nil, nil, 2])
    network.transpose(toFirst: true)
    build(&network)
    network.transpose(toFirst: false)
    return try network.graph(output: [nil, nil, nil, 2], opset: 13)
  }

  @Test func theExampleDoesNot() throws {
    #expect(try isSame(.packaged("example/nuclei.czann")) && isSame(.packaged("example/nuclei.czmodel")))
  }

  @Test(arguments: [
    ([2, 2, 3, 3], 2, 1, true), ([2, 2, 2, 4], 2, 1, true), ([2, 2, 4, 2], 2, 1, false), ([2, 2, 2, 2], 2, 1, false),
    ([2, 1, 3, 3], 2, 2, false), ([2, 2, 3, 3], 1, 1, true),
  ]) func overlaps(weights: [Int], stride: Int64, groups: Int64, depends: Bool) throws {
    let graph = try graph { network in
      let kernel = network.weights(weights)
      network.add("ConvTranspose", [kernel], ints: ["strides": [stride, stride]], int: ["group": groups])
    }
    #expect(
      try reason(graph) == (depends ? "its operation ConvTranspose (ConvTranspose_3) has windows that overlap" : nil))
  }

  @Test(
    arguments: [
      ([1, 1, 1, 1], nil, false), ([2, 2, 0, 0], nil, false), ([0, 2, 0, 1], nil, true), ([2, 0, 2, 0], nil, false),
      ([0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 1, 1], false), ([0, 0, 0, 0], [0, 0, 0, 2, 0, 0, 0, 1], true),
      ([0, 1, 0, 0], [0, 0, 0, 1, 0, 0, 0, 1], true), ([0, .max, 0, 1], nil, true),
      ([1, 3, 1, -1], nil, true), ([0, 0, 0, 0], [.min, 0, 0, 2, .min, 0, 0, 1], true),
    ] as [([Int64], [Int64]?, Bool)])
  func moreColumns(pads: [Int64], zeros: [Int64]?, depends: Bool) throws {
    for mode in ["constant", "reflect"] {
      let graph = try graph { network in
        if let zeros {
          let amounts = network.integers(zeros)
          network.add("Pad", [amounts], text: ["mode": mode])
        }
        let kernel = network.weights([2, 2, 3, 3])
        network.add("Conv", [kernel], ints: ["pads": pads])
      }
      let isWide = depends && (zeros == nil || mode == "constant")
      #expect(try reason(graph)?.hasSuffix("gives more columns than it gets") == (isWide ? true : nil))
    }
  }

  /// OpenVINO makes zeros part of a convolution through what leaves pixels as they are, and whatever padding that has.
  @Test(arguments: ["SAME_UPPER", "SAME_LOWER", "NOTSET"], [[], ["Cast"], ["Identity", "Dropout"], ["Relu"]])
  func zerosBefore(name: String, between: [String]) throws {
    let graph = try graph { network in
      let zeros = network.constantNode(network.integers([0, 0, 1, 1, 0, 0, 2, 2]))
      network.add("Pad", [zeros])
      for operation in between { network.add(operation, int: operation == "Cast" ? ["to": 1] : [:]) }
      let kernel = network.constantNode(network.weights([2, 2, 3, 3]))
      network.add("Conv", [kernel], text: ["auto_pad": name])
    }
    #expect(try reason(graph)?.hasSuffix("gives more columns than it gets") == (between == ["Relu"] ? nil : true))
  }

  /// A convolution pads by its name, whatever numbers stand beside that.
  @Test(arguments: [
    ("SAME_UPPER", [0, 0, 0, 0], true), ("SAME_LOWER", [0, 0, 0, 0], true), ("VALID", [1, 2, 1, 2], false),
  ])
  func numbersBesideAName(name: String, pads: [Int64], depends: Bool) throws {
    let graph = try graph { network in
      network.add("Pad", [network.constantNode(network.integers([0, 0, 0, 0, 0, 0, 0, 1]))])
      let kernel = network.constantNode(network.weights([2, 2, 3, 3]))
      network.add("Conv", [kernel], ints: ["pads": pads], text: ["auto_pad": name])
    }
    #expect(try reason(graph)?.hasSuffix("gives more columns than it gets") == (depends ? true : nil))
  }

  /// Numbers of no network are no trap.
  @Test(arguments: [Int64.min, .max, -5, 0]) func absurdNumbers(number: Int64) throws {
    for place in 0..<8 {
      var zeros = [Int64](repeating: 0, count: 8)
      zeros[place] = number
      zeros[(place + 4) % 8] = number
      let graph = try graph { network in
        let amounts = network.integers(zeros)
        network.add("Pad", [amounts])
        let kernel = network.weights([2, 2, 3, 3])
        network.add(
          "Conv", [kernel],
          ints: [
            "pads": [number, number, number, number], "dilations": [number, number], "kernel_shape": [3, number],
          ])
      }
      _ = try reason(graph)
    }
  }

  /// Paddings that are computed may be any.
  @Test func computedPadding() throws {
    let graph = try graph { network in
      let start = network.last
      let shape = network.add("Shape")
      network.add("Concat", [shape], first: shape, int: ["axis": 0])
      network.add("Pad", [network.last], first: start)
      let kernel = network.weights([2, 2, 3, 3])
      network.add("Conv", [kernel])
    }
    #expect(try reason(graph)?.hasSuffix("is padded by numbers that are not known") == true)
  }

  @Test(arguments: [
    ("Elu", "", true), ("Softplus", "", true), ("Sin", "", true), ("Relu", "", false), ("Elu", "other", false),
  ])
  func functionsOfONNXRuntime(operation: String, domain: String, depends: Bool) throws {
    let found = try dependence(graph { $0.add(operation, domain: domain) })
    #expect(found.ofOpenVINO == nil && (found.ofONNXRuntime != nil) == depends)
    var network = SavedModelFixture()
    let output = network.add(operation)
    let saved = try dependence(.savedModel(network.files(output: output)))
    #expect(saved.ofOpenVINO == nil && (saved.ofONNXRuntime != nil) == (operation != "Relu"))
    guard case .savedModel = saved.graph else {
      Issue.record("it was converted for nothing")
      return
    }
  }

  private func convolution(_ weights: [Int], dilations: [Int64], groups: Int64 = 1, domain: String = "") throws
    -> ModelGraph
  {
    let channels = weights[1] * Int(groups)
    var network = NetworkFixture(input: [nil, nil, nil, channels])
    network.transpose(toFirst: true)
    let kernel = network.tensor(weights, type: 1) {
      $0.floatData = Array(repeating: 0.1, count: weights.reduce(1, *))
    }
    let pads = dilations.enumerated().map { $1 * Int64(weights[2 + $0] / 2) }
    network.add(
      "Conv", [kernel], domain: domain, ints: ["dilations": dilations, "pads": pads + pads], int: ["group": groups])
    network.transpose(toFirst: false)
    return try network.graph(output: [nil, nil, nil, weights[0]], opset: 13)
  }

  @Test(arguments: [[3, 3], [8, 4], [1, 12]] as [[Int64]]) func wideDilations(dilations: [Int64]) throws {
    #expect(
      try reason(convolution([8, 4, 3, 3], dilations: dilations))
        == "its operation Conv (Conv_3) has a dilation of \(dilations[1])")
    #expect(try reason(convolution([8, 4, 1, 3], dilations: dilations)) != nil)
    #expect(try reason(convolution([8, 2, 3, 3], dilations: dilations, groups: 2)) != nil)
    // One channel each, one column, another operation.
    #expect(try isSame(convolution([8, 1, 3, 3], dilations: dilations, groups: 8)))
    #expect(try isSame(convolution([8, 4, 3, 1], dilations: dilations)))
    #expect(try isSame(convolution([8, 4, 3, 3], dilations: dilations, domain: "other")))
  }

  /// Both ways in which TensorFlow writes it.
  @Test(arguments: [1, 2, 3]) func dilationsOfASavedModel(dilation: Int) throws {
    func graph(_ build: (inout SavedModelFixture) -> String) throws -> ModelGraph {
      var network = SavedModelFixture()
      let output = build(&network)
      return .savedModel(try network.files(output: output))
    }
    let attribute = try graph { network in
      network.add(
        "Conv2D", ["x", network.weights([3, 3, 2, 4])],
        [
          "strides": .ints([1, 1, 1, 1]), "padding": .text("SAME"), "data_format": .text("NHWC"),
          "dilations": .ints([1, dilation, dilation, 1]),
        ])
    }
    let blocks = try graph { network in
      let sizes = network.integers([dilation, dilation])
      let pads = network.integers(Array(repeating: dilation, count: 4), shape: [2, 2])
      let cut = network.add("SpaceToBatchND", ["x", sizes, pads])
      let convolved = network.add(
        "Conv2D", [cut, network.weights([3, 3, 2, 4])],
        ["strides": .ints([1, 1, 1, 1]), "padding": .text("VALID"), "data_format": .text("NHWC")])
      return network.add("BatchToSpaceND", [convolved, sizes, network.integers([0, 0, 0, 0], shape: [2, 2])])
    }
    for graph in [attribute, blocks] {
      #expect(try isSame(graph) == (dilation < 3))
      #expect(try reason(graph)?.hasSuffix("has a dilation of \(dilation)") == (dilation < 3 ? nil : true))
    }
  }

  /// ONNX Runtime takes no padding by name where a convolution is dilated.
  @Test(
    arguments: [
      ("SAME_UPPER", [4, 7, 4, 8]), ("SAME_LOWER", [4, 8, 4, 7]), ("VALID", nil),
    ] as [(String, [Int64]?)])
  func paddingIsWrittenOut(name: String, pads: [Int64]?) throws {
    // Numbers that stand beside the name, by chance the right ones.
    for beside in [[0, 0, 0, 0], pads ?? [1, 1, 1, 1]] {
      var network = NetworkFixture(input: [nil, nil, nil, 2])
      network.transpose(toFirst: true)
      let kernel = network.tensor([2, 2, 3, 4], type: 1) { $0.floatData = Array(repeating: 0.1, count: 48) }
      network.add("Conv", [kernel], ints: ["dilations": [4, 5], "pads": beside], text: ["auto_pad": name])
      network.transpose(toFirst: false)
      guard case .onnx(let bytes) = try dependence(network.graph(output: [nil, nil, nil, 2], opset: 13)).graph else {
        Issue.record("no ONNX")
        return
      }
      let node = try #require(ONNX_ModelProto(serializedBytes: bytes).graph.node.first { $0.opType == "Conv" })
      #expect(node.attribute.filter { $0.name == "pads" }.map(\.ints) == [pads ?? beside])
      #expect(node.attribute.contains { $0.name == "auto_pad" } == (pads == nil))
    }
  }

  @Test(arguments: [[1, 1], [2, 2], [12, 2]] as [[Int64]]) func narrowDilations(dilations: [Int64]) throws {
    #expect(try isSame(convolution([8, 4, 3, 3], dilations: dilations)))
  }
}
