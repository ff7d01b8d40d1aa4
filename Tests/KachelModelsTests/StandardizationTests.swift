// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import KachelTesting
import SwiftProtobuf
import Testing

/// Standardisations that are taken out of a network.
@Suite struct StandardizationTests {
  /// A network that begins with something, and then convolves.
  private func lifted(
    channels: Int = 1, size: Int? = 64, _ build: (inout NetworkFixture) -> Void
  ) throws -> LiftedNetwork {
    var network = NetworkFixture(input: [nil, size, size, channels])
    build(&network)
    network.transpose(toFirst: true)
    network.window("Conv", kernel: 3, pads: (1, 1), inputs: channels)
    network.transpose(toFirst: false)
    let metadata = ModelMetadata(
      id: "", name: "a", schemaVersion: "", kind: .singleClassSemanticSegmentation, classes: [], channels: [],
      channelCount: channels, scalesInputByBitDepth: false)
    return try ModelPackage(graph: .onnx(network.model(opset: 13).serializedBytes()), metadata: metadata)
      .liftingStandardization()
  }

  private static let all: [Int64] = [1, 2, 3]
  private static let moments = [
    ChannelMoments(count: 5000, mean: 10, variance: 4), ChannelMoments(count: 5000, mean: 20, variance: 9),
    ChannelMoments(count: 5000, mean: 60, variance: 1),
  ]

  private func expect(
    _ network: LiftedNetwork, _ expected: [(scale: Double, center: Double)], _ at: SourceLocation = #_sourceLocation
  ) throws {
    #expect(network.facts.exactness == .exact && network.facts.inputStatistics.isEmpty, sourceLocation: at)
    #expect(network.facts.receptiveField == AxisPair(y: 1, x: 1), sourceLocation: at)
    let statistics = Set(["ReduceMean", "ReduceSum", "GlobalAveragePool", "Sqrt", "Shape", "Mean"])
    #expect(statistics.isDisjoint(with: network.facts.operations.keys), sourceLocation: at)
    let maps = try #require(
      network.standardization.maps(of: Array(Self.moments.prefix(expected.count))), sourceLocation: at)
    for (map, expected) in zip(maps, expected) {
      #expect(abs(map.scale - expected.scale) < 1e-12 * abs(expected.scale), sourceLocation: at)
      #expect(abs(map.center - expected.center) < 1e-12 * max(1, abs(expected.center)), sourceLocation: at)
    }
  }

  /// The mean and variance of all three channels together.
  private static let pooled = (mean: 30.0, variance: (4.0 + 9 + 1 + 400 + 100 + 900) / 3)

  @Test func layersThatKachelPutsBefore() throws {
    func lifted(_ path: String, _ layers: [Preprocessing]) throws -> LiftedNetwork {
      try ModelPackage(at: SharedData.path(path)).prepending(layers).liftingStandardization()
    }
    for path in ["example/nuclei.czann", "example/nuclei.czmodel"] {
      let own = try ModelPackage(at: SharedData.path(path)).graphFacts()
      for layer in [Preprocessing.perImageStandardization, .zeroMeanUnitVariance(epsilon: 0.5)] {
        let network = try lifted(path, [.scale([2]), .shift([-7]), layer])
        #expect(network.facts.exactness == .exact && network.facts.neededBorder == own.neededBorder)
        #expect(network.facts.inputs == own.inputs && !network.standardization.isPerChannel)
        // 2 x - 7 has the mean 13 and the deviation 4.
        let divisor = layer == .perImageStandardization ? 4 : 4.5
        let map = try #require(network.standardization.maps(of: [Self.moments[0]])?.first)
        #expect(abs(map(12) - (17.0 - 13) / divisor) < 1e-12)
      }
    }
    for path in ["models/tf/unet_rgb/unet_rgb.czmodel", "models/tf/v120/unet_onnx12.czmodel"] {
      let network = try lifted(
        path, [.rgbToBGR, .normalization(mean: [1, 2, 3], standardDeviation: [1, 2, 4]), .perImageStandardization])
      #expect(network.facts.exactness == .exact)
      // After the order is turned: red, green and blue are (x - 3) / 4, (x - 2) / 2 and x - 1.
      let means = [7.0 / 4, 9, 59], variances = [4.0 / 16, 9.0 / 4, 1]
      let mean = means.reduce(0, +) / 3
      let deviation = zip(means, variances).reduce(0) { $0 + $1.1 + ($1.0 - mean) * ($1.0 - mean) } / 3
      let maps = try #require(network.standardization.maps(of: Self.moments))
      for (map, (scale, offset)) in zip(maps, [(0.25, 3.0), (0.5, 2), (1, 1)]) {
        let value = ((40 - offset) * scale - mean) / deviation.squareRoot()
        #expect(abs(map(40) - value) < 1e-12 * abs(value))
      }
    }
  }

  @Test func formsInONNX() throws {
    for form in ["product", "power", "mean of squares", "each channel", "reciprocal", "unbiased"] {
      let network = try lifted(channels: 3) { network in
        let axes: [Int64] = form == "each channel" ? [1, 2] : Self.all
        let mean = network.add("ReduceMean", ints: ["axes": axes])
        let centered = network.add("Sub", [mean], first: "input")
        switch form {
        case "power": network.add("Pow", [network.floats([2])], first: centered)
        case "mean of squares": network.add("Mul", ["input"], first: "input")
        default: network.add("Mul", [centered], first: centered)
        }
        network.add("ReduceMean", ints: ["axes": axes])
        if form == "mean of squares" {
          let squares = network.last
          network.add("Mul", [mean], first: mean)
          network.add("Sub", [network.last], first: squares)
        }
        if form == "unbiased" {
          let variance = network.last
          network.add("Shape", first: "input")
          network.add("Gather", [network.integers([1, 2, 3])], int: ["axis": 0])
          network.add("ReduceProd", int: ["keepdims": 0])
          let count = network.add("Cast", int: ["to": 1])
          let less = network.add("Sub", [network.floats([1])])
          network.add("Mul", [count], first: variance)
          network.add("Div", [less])
        }
        let deviation = network.add("Sqrt")
        if form == "reciprocal" {
          network.add("Reciprocal")
          network.add("Mul", [network.last], first: centered)
        } else {
          network.add("Div", [deviation], first: centered)
        }
      }
      #expect(network.standardization.isPerChannel == (form == "each channel"))
      if form == "each channel" {
        try expect(network, [(0.5, 10), (1.0 / 3, 20), (1, 60)])
      } else {
        let variance = form == "unbiased" ? Self.pooled.variance * 15000 / 14999 : Self.pooled.variance
        try expect(network, Array(repeating: (1 / variance.squareRoot(), Self.pooled.mean), count: 3))
      }
    }
  }

  @Test func channelsInAnotherOrder() throws {
    for form in ["gather", "slice", "split"] {
      let network = try lifted(channels: 3) { network in
        switch form {
        case "gather": network.add("Gather", [network.integers([2, 1, 0])], int: ["axis": 3])
        case "slice":
          network.add(
            "Slice",
            [network.integers([-1]), network.integers([-1_000_000]), network.integers([3]), network.integers([-1])])
        default:
          let parts = (0..<3).map { channel in
            network.add(
              "Slice", [network.integers([channel]), network.integers([channel + 1]), network.integers([3])],
              first: "input")
          }
          network.add("Concat", [parts[1], parts[0]], first: parts[2], int: ["axis": 3])
        }
        // Each channel with another factor: 2 for blue, 3 for green, 5 for red.
        let scaled = network.add("Mul", [network.floats([2, 3, 5])])
        let mean = network.add("ReduceMean", ints: ["axes": [1, 2]])
        network.add("Sub", [mean], first: scaled)
      }
      try expect(network, [(5, 10), (3, 20), (2, 60)])
    }
  }

  /// Exporters compute 1 / sqrt(N) for an input of a fixed size; it means that of whatever is standardised.
  @Test func theLeastDeviationIsThatOfTheWholeImage() throws {
    func network(size: Int?, _ least: Float) throws -> LiftedNetwork {
      try lifted(size: size) { network in
        let mean = network.add("ReduceMean", ints: ["axes": Self.all])
        let centered = network.add("Sub", [mean], first: "input")
        network.add("Mul", [centered])
        network.add("ReduceMean", ints: ["axes": Self.all])
        network.add("Sqrt")
        network.add("Max", [network.floats([least])])
        network.add("Div", [network.last], first: centered)
      }
    }
    let constant = [ChannelMoments(count: 1_000_000, mean: 8, variance: 0)]
    #expect(try network(size: 64, 1 / 64).standardization.maps(of: constant) == [ChannelMap(scale: 1000, center: 8)])
    #expect(try network(size: 64, 1 / 32).standardization.maps(of: constant) == [ChannelMap(scale: 32, center: 8)])
    #expect(try network(size: nil, 1 / 64).standardization.maps(of: constant) == [ChannelMap(scale: 64, center: 8)])
    for name in ["seed_onnx12", "seed_onnx12_dynamic", "seed_savedmodel_fallback_310"] {
      let package = try ModelPackage(at: SharedData.path("models/tf/v120/\(name).czmodel"))
      let maps = try package.liftingStandardization().standardization.maps(of: constant)
      #expect(maps == [ChannelMap(scale: 1000, center: 8)])
    }
    // Of a SavedModel of a fixed size, our conversion leaves a root of a constant.
    var converted = try ModelPackage(at: SharedData.path("models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel"))
    guard case .savedModel(let files) = converted.graph else {
      Issue.record("it holds no SavedModel")
      return
    }
    converted.graph = try SavedModelToONNX(files).convert()
    let maps = try converted.liftingStandardization().standardization.maps(of: constant)
    #expect(maps == [ChannelMap(scale: 1000, center: 8)])
    let plain = try lifted { network in
      let mean = network.add("ReduceMean", ints: ["axes": Self.all])
      let centered = network.add("Sub", [mean], first: "input")
      network.add("Mul", [centered])
      network.add("ReduceMean", ints: ["axes": Self.all])
      network.add("Sqrt")
      network.add("Div", [network.last], first: centered)
    }
    #expect(plain.standardization.maps(of: constant) == nil)
  }

  @Test func everyPackageWithStatisticsIsLifted() throws {
    for path in [
      "models/tf/v120/seed_onnx12.czmodel", "models/tf/v120/seed_onnx12_dynamic.czmodel",
      "models/tf/v120/seed_savedmodel_fallback_310.czmodel", "models/tf/oad_unet/oad_unet.czmodel",
      "models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel",
    ] {
      let package = try ModelPackage(at: SharedData.path(path)), facts = try package.graphFacts()
      let network = try package.liftingStandardization()
      #expect(facts.exactness.name == "exact with statistics" && network.facts.exactness == .exact, "\(path)")
      #expect(network.facts.neededBorder == facts.neededBorder && network.facts.inputs == facts.inputs)
      let maps = try #require(network.standardization.maps(of: [Self.moments[0]]))
      #expect(abs(maps[0](14) - 2) < 1e-12)
    }
  }

  @Test func whatCannotBeTakenOut() throws {
    func refused(
      _ reason: String, channels: Int = 1, _ at: SourceLocation = #_sourceLocation,
      _ build: (inout NetworkFixture) -> Void
    ) {
      do {
        _ = try lifted(channels: channels, build)
        Issue.record("was lifted", sourceLocation: at)
      } catch {
        #expect("\(error)".contains(reason), "\(error)", sourceLocation: at)
      }
    }
    refused("ReduceMin (ReduceMin_1) takes the least or the largest value") { network in
      let least = network.add("ReduceMin", ints: ["axes": Self.all])
      network.add("Sub", [least], first: "input")
    }
    // The raw input is seen beside the standardised one, or the mean itself is.
    refused("in another way", channels: 2) { network in
      let mean = network.add("ReduceMean", ints: ["axes": Self.all])
      network.add("Sub", [mean], first: "input")
      network.add("Concat", ["input"], int: ["axis": 3])
      network.add("Slice", [network.integers([1]), network.integers([3]), network.integers([3])])
    }
    refused("in another way") { network in
      let mean = network.add("ReduceMean", ints: ["axes": Self.all])
      network.add("Sub", [mean], first: "input")
      network.add("Abs")
      network.add("Add", [mean])
    }
    // One channel in two ways.
    refused("not the same map", channels: 2) { network in
      network.add("Gather", [network.integers([0, 0])], int: ["axis": 3])
      network.add("Mul", [network.floats([1, 2])])
      let scaled = network.last
      let mean = network.add("ReduceMean", ints: ["axes": Self.all])
      network.add("Sub", [mean], first: scaled)
    }
    // The batch moves to where channels are looked for.
    refused("is not understood", channels: 2) { network in
      let turned = network.add("Transpose", ints: ["perm": [3, 0, 1, 2]])
      let mean = network.add("ReduceMean", ints: ["axes": Self.all])
      network.add("Sub", [mean], first: turned)
      network.add("Transpose", ints: ["perm": [1, 2, 3, 0]])
    }
    // Fractions are cut off before; a sum is divided by a number; what is divided by is no plain function.
    refused("is not understood") { network in
      network.add("Cast", int: ["to": 6])
      let whole = network.add("Cast", int: ["to": 1])
      let mean = network.add("ReduceMean", ints: ["axes": Self.all])
      network.add("Sub", [mean], first: whole)
    }
    refused("further statistics") { network in
      let mean = network.add("ReduceMean", ints: ["axes": Self.all])
      let centered = network.add("Sub", [mean], first: "input")
      network.add("Mul", [centered])
      network.add("ReduceSum", [network.integers(Self.all)])
      network.add("Sqrt")
      network.add("Div", [network.floats([64])])
      network.add("Div", [network.last], first: centered)
    }
    // Channels that double with every operation are not counted for ever.
    refused("is not understood") { network in
      for _ in 0..<60 { network.add("Concat", [network.last], int: ["axis": 3]) }
      let many = network.last
      let mean = network.add("ReduceMean", ints: ["axes": Self.all])
      network.add("Sub", [mean], first: many)
    }
    // The height alone is another one for a tile.
    refused("not the same map") { network in
      network.add("Shape")
      network.add("Gather", [network.integers([1])], int: ["axis": 0])
      let height = network.add("Cast", int: ["to": 1])
      let mean = network.add("ReduceMean", first: "input", ints: ["axes": Self.all])
      let centered = network.add("Sub", [mean], first: "input")
      network.add("Mul", [centered], first: centered)
      network.add("ReduceMean", ints: ["axes": Self.all])
      network.add("Sqrt")
      network.add("Mul", [height])
      network.add("Div", [network.last], first: centered)
    }
  }
}
