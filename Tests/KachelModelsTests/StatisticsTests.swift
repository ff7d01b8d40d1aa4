// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import Foundation
import KachelTesting
import SwiftProtobuf
import Testing

/// Standardisations of a network's input, in the forms in which they are written down.
@Suite struct StatisticsTests {
  /// A network that begins with something, and then convolves.
  private func facts(channels: Int = 1, _ build: (inout NetworkFixture) -> Void) throws -> GraphFacts {
    var network = NetworkFixture(input: [nil, 64, 64, channels])
    build(&network)
    network.transpose(toFirst: true)
    network.window("Conv", kernel: 3, pads: (1, 1), inputs: channels)
    network.transpose(toFirst: false)
    return try network.facts(opset: 13)
  }

  private func isLifted(_ facts: GraphFacts, _ at: SourceLocation = #_sourceLocation) {
    #expect(facts.exactness.name == "exact with statistics", sourceLocation: at)
    #expect(facts.receptiveField == AxisPair(y: 1, x: 1), sourceLocation: at)
  }

  private func isCanonical(_ facts: GraphFacts, _ operation: String, _ at: SourceLocation = #_sourceLocation) {
    #expect(facts.exactness.name == "canonical" && facts.receptiveField == nil, sourceLocation: at)
    #expect(facts.exactness.reason?.contains("\(operation) (") == true, sourceLocation: at)
    #expect(facts.stride == AxisPair(y: 1, x: 1), sourceLocation: at)
  }

  private static let all: [Int64] = [1, 2, 3]

  @Test func meanAndDeviation() throws {
    for form in ["product", "power", "sum", "mean of squares"] {
      let facts = try facts { network in
        let mean = network.add("ReduceMean", ints: ["axes": Self.all])
        let centered = network.add("Sub", [mean], first: "input")
        let deviation: String
        switch form {
        case "product": deviation = network.add("Mul", [centered])
        case "power": deviation = network.add("Pow", [network.floats([2])])
        case "sum": deviation = network.add("Mul", [centered])
        default: deviation = network.add("Mul", ["input"], first: "input")
        }
        if form == "sum" {
          network.add("ReduceSum", [network.integers(Self.all)], first: deviation)
          network.add("Div", [network.floats([4095])])
        } else {
          network.add("ReduceMean", first: deviation, ints: ["axes": Self.all])
        }
        if form == "mean of squares" {
          let squares = network.last
          network.add("Mul", [mean], first: mean)
          network.add("Sub", [network.last], first: squares)
        }
        network.add("Sqrt")
        network.add("Max", [network.floats([0.01])])
        network.add("Div", [network.last], first: centered)
      }
      isLifted(facts)
      #expect(facts.inputStatistics.count == 2)
      #expect(
        facts.inputStatistics.first
          == InputStatistic(
            reduction: .mean, quantity: .pixels, isPerChannel: false, operation: "ReduceMean", node: "ReduceMean_1",
            result: "ReduceMean_1", function: "", source: "input"))
      #expect(facts.inputStatistics.last?.quantity == (form == "mean of squares" ? .squares : .squaredDeviations))
      #expect(facts.inputStatistics.last?.reduction == (form == "sum" ? .sum : .mean))
    }
  }

  @Test func leastAndMost() throws {
    let facts = try facts { network in
      let least = network.add("ReduceMin", ints: ["axes": Self.all])
      let most = network.add("ReduceMax", first: "input", ints: ["axes": Self.all])
      let range = network.add("Sub", [least], first: most)
      let eps = network.add("Add", [network.floats([1e-6])], first: range)
      network.add("Sub", [least], first: "input")
      network.add("Div", [eps])
    }
    isLifted(facts)
    #expect(facts.inputStatistics.map(\.reduction) == [.minimum, .maximum])
  }

  /// Values made smaller and channels turned around come before; the statistics are those of what comes out.
  @Test func constantsAndOrderOfChannelsBefore() throws {
    let facts = try facts(channels: 3) { network in
      network.add("Gather", [network.integers([2, 1, 0])], int: ["axis": 3])
      network.add("Mul", [network.floats([1 / 255])])
      network.add("Transpose", ints: ["perm": [0, 3, 1, 2]])
      let scaled = network.add("Cast", int: ["to": 1])
      let mean = network.add("GlobalAveragePool")
      network.add("Sub", [mean], first: scaled)
      network.add("Transpose", ints: ["perm": [0, 2, 3, 1]])
    }
    isLifted(facts)
    #expect(facts.inputStatistics.count == 1)
    #expect(facts.inputStatistics.first?.isPerChannel == true)
    #expect(facts.inputStatistics.first?.source.hasPrefix("Mul_") == true)
  }

  @Test func statisticsOfSomethingElse() throws {
    // Of what a convolution makes, of one axis only, of a part of the image, of the deviations from something else, and
    // of values that are no longer the input's.
    isCanonical(
      try facts { network in
        network.transpose(toFirst: true)
        let features = network.window("Conv", kernel: 3, pads: (1, 1), inputs: 1)
        let mean = network.add("ReduceMean", ints: ["axes": Self.all])
        network.add("Sub", [mean], first: features)
        network.window("Conv", kernel: 1)
        network.add("ReduceMean", ints: ["axes": [1]])
        network.transpose(toFirst: false)
      }, "ReduceMean")
    isCanonical(
      try facts { network in
        let mean = network.add("ReduceMean", ints: ["axes": [1]])
        network.add("Sub", [mean], first: "input")
      }, "ReduceMean")
    isCanonical(
      try facts { network in
        network.add("Slice", [network.integers([0]), network.integers([32]), network.integers([1])])
        let mean = network.add("ReduceMean", ints: ["axes": Self.all])
        network.add("Sub", [mean], first: "input")
      }, "ReduceMean")
    isCanonical(
      try facts { network in
        let mean = network.add("ReduceMean", ints: ["axes": Self.all])
        let doubled = network.add("Mul", [network.floats([2])], first: "input")
        let off = network.add("Sub", [mean], first: doubled)
        network.add("Mul", [off])
        network.add("ReduceMean", ints: ["axes": Self.all])
        network.add("Div", [network.last], first: off)
      }, "ReduceMean")
    isCanonical(
      try facts { network in
        let positive = network.add("Relu")
        let mean = network.add("ReduceMean", ints: ["axes": Self.all])
        network.add("Sub", [mean], first: positive)
      }, "ReduceMean")
    isCanonical(try facts { $0.add("InstanceNormalization") }, "InstanceNormalization")
  }

  /// A standardisation does not make up for what sees everything later.
  @Test func andThenAGlobalPooling() throws {
    let facts = try facts { network in
      let mean = network.add("ReduceMean", ints: ["axes": Self.all])
      network.add("Sub", [mean], first: "input")
      network.transpose(toFirst: true)
      let features = network.window("Conv", kernel: 3, pads: (1, 1), inputs: 1)
      network.add("GlobalAveragePool")
      network.add("Mul", [features])
      network.add("ReduceMean", ints: ["axes": [1]])
      network.transpose(toFirst: false)
    }
    isCanonical(facts, "GlobalAveragePool")
    #expect(facts.inputStatistics.count == 1)
    #expect(facts.globalOperations == ["ReduceMean": 1, "GlobalAveragePool": 1])
  }

  /// Where the nodes of TensorFlow's own standardisation are: in functions that functions call.
  @Test func inFunctions() throws {
    let package = try ModelPackage(at: SharedData.path("models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel"))
    let statistics = try package.graphFacts().inputStatistics
    #expect(statistics.map(\.quantity) == [.pixels, .pixels, .squaredDeviations])
    guard case .savedModel(let files) = package.graph else { return }
    let functions = try SavedModelGraph(files).functions
    for statistic in statistics {
      #expect(!statistic.isPerChannel && statistic.source == "serving_default_input")
      let nodes = functions[statistic.function]?.nodeDef ?? []
      #expect(nodes.contains { $0.name == statistic.node && $0.op == "Mean" }, "\(statistic)")
    }
  }
}

/// TensorFlow's way to convolve with holes.
@Suite struct DilationTests {
  @Test func blocks() throws {
    func tensor(_ name: String, _ shape: [Int64], _ values: [Int32]) -> TF_NodeDef {
      .with {
        ($0.name, $0.op) = (name, "Const")
        $0.attr["value"] = .with {
          $0.tensor.dtype = 3
          $0.tensor.tensorShape.dim = shape.map { size in .with { $0.size = size } }
          $0.tensor.intVal = values
        }
      }
    }
    func node(_ name: String, _ operation: String, _ inputs: [String]) -> TF_NodeDef {
      .with { ($0.name, $0.op, $0.input) = (name, operation, inputs) }
    }
    var convolution = node("conv", "Conv2D", ["apart", "weights"])
    convolution.attr["strides"] = .with { $0.list.i = [1, 1, 1, 1] }
    convolution.attr["padding"] = .with { $0.s = .init("VALID".utf8) }
    var weights = node("weights", "VarHandleOp", [])
    weights.attr["shape"] = .with { $0.shape.dim = [3, 3, 1, 1].map { size in .with { $0.size = size } } }
    let model = TF_SavedModel.with {
      $0.metaGraphs = [
        .with {
          $0.metaInfoDef.tags = ["serve"]
          $0.graphDef.node = [
            node("x", "Placeholder", []), tensor("block", [2], [4, 4]), tensor("pads", [2, 2], [4, 4, 4, 4]),
            tensor("crops", [2, 2], [0, 0, 0, 0]), node("apart", "SpaceToBatchND", ["x", "block", "pads"]), weights,
            convolution, node("y", "BatchToSpaceND", ["conv", "block", "crops"]),
          ]
          $0.signatureDef["serving_default"] = .with {
            $0.inputs["a"] = .with {
              $0.name = "x:0"
              $0.tensorShape.dim = [-1, -1, -1, 1].map { size in .with { $0.size = size } }
            }
            $0.outputs["b"] = .with { $0.name = "y:0" }
          }
        }
      ]
    }
    let bytes: [UInt8] = try model.serializedBytes()
    let files = try SavedModelFiles(
      zip: ZipFixture([ZipFixture.Member("saved_model.pb", bytes)]).bytes, file: "f", member: "m")
    let facts = try SavedModelGraph(files).facts()
    // Holes are no steps: the stride is one. Each pixel sees those four before and after it.
    #expect(facts.exactness == .exact && facts.stride == AxisPair(y: 1, x: 1))
    #expect(facts.receptiveField == AxisPair(y: 4, x: 4))
    #expect(facts.flopsPerPixel == 18)
  }
}
