// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import Foundation
import KachelEngines
import KachelTesting
import SwiftProtobuf
import Testing

/// What networks are found to see when they are run: one pixel changes, and how far away the output changes is measured.
/// A network can use less than it could, but not more; these use all of it.
@Suite struct InfluenceTests {
  private let engine: OpenVINO
  init() throws { engine = try OpenVINO.load() }

  private func network(_ graph: ModelGraph, in folder: ScratchFolder) throws -> any Network {
    switch graph {
    case .onnx(let bytes): return try engine.read(.onnx(bytes), name: "network")
    case .savedModel(let files):
      let path = folder.file("model")
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      try files.extract(to: path)
      return try engine.read(.savedModel(folder: path), name: "network")
    case .classical: throw EngineError(.refused, name: "network", "is no network")
    }
  }

  /// The furthest change, along y and along x, over a pixel at each place of the stride's grid.
  private func measure(
    _ graph: ModelGraph, _ facts: GraphFacts, shape: [Int], layout: ImageLayout = .channelsLast, range: Float
  ) throws -> AxisPair {
    let folder = try ScratchFolder()
    let compiled = try network(graph, in: folder).compile(inputShape: shape, threads: 2, streams: 1)
    let request = try compiled.makeRequest()
    func size(_ axis: Int) -> Int { shape[layout.order.firstIndex(of: axis)!] }
    let (height, width, channels) = (size(1), size(2), size(3))
    var random = SeededRandom(seed: 1)
    let image = (0..<height * width * channels).map { _ in Float.random(in: 0..<range, using: &random) }
    func run(_ image: [Float]) throws -> [Float] {
      var (image, output) = (image, [Float](repeating: .nan, count: compiled.outputShape.reduce(1, *)))
      try image.withUnsafeMutableBytes { source in
        try output.withUnsafeMutableBytes { target in try request.run(input: source, output: target) }
      }
      return output
    }
    let before = try run(image)
    let outputs = before.count / (height * width)
    let stride = try #require(facts.stride)
    var furthest = AxisPair(y: 0, x: 0)
    for phase in 0..<max(stride.y, stride.x) {
      let (y, x) = (height / 2 / stride.y * stride.y + phase, width / 2 / stride.x * stride.x + phase)
      var changed = image
      for channel in 0..<channels {
        changed[layout == .channelsLast ? (y * width + x) * channels + channel : (channel * height + y) * width + x] +=
          1000 * range
      }
      let after = try run(changed)
      for index in after.indices where after[index] != before[index] {
        let place = layout == .channelsLast ? index / outputs : index % (height * width)
        furthest.y = max(furthest.y, abs(place / width - y))
        furthest.x = max(furthest.x, abs(place % width - x))
      }
    }
    return furthest
  }

  struct Case: Sendable, CustomTestStringConvertible {
    var path: String
    var shape: [Int]
    var range: Float = 1
    var testDescription: String { path }
  }

  @Test(arguments: [
    Case(path: "example/nuclei.czann", shape: [1, 144, 144, 1]),
    Case(path: "example/nuclei.czmodel", shape: [1, 512, 512, 1], range: 255),
    Case(path: "models/torch/torch_unet_nuclei.czann", shape: [1, 128, 128, 1]),
    Case(path: "models/tf/v120/unet_onnx12.czmodel", shape: [1, 64, 96, 3], range: 255),
    Case(path: "models/tf/v510/unet_transposechannels.czann", shape: [1, 64, 96, 3]),
    Case(path: "models/tf/unet_rgb/unet_rgb.czmodel", shape: [1, 64, 96, 3], range: 255),
    Case(path: "models/tf/v510/regression.czann", shape: [1, 64, 64, 1]),
    Case(path: "models/tf/v510/nuclei_seg.czann", shape: [1, 128, 128, 1]),
    Case(path: "models/sebi06/simple_regmodel.czann", shape: [1, 512, 512, 1]),
    Case(path: "models/torch/torch_from_json.czann", shape: [1, 64, 64, 3]),
  ]) func packages(_ expected: Case) throws {
    let package = try ModelPackage(at: SharedData.path(expected.path))
    let facts = try package.graphFacts()
    let field = try #require(facts.receptiveField)
    let found = try measure(package.graph, facts, shape: expected.shape, range: expected.range)
    #expect(found == field)
  }

  /// It declares a border of 32 pixels and needs 56.
  @Test func bioimage() throws {
    let graph = ModelGraph.onnx([UInt8](try SharedData.data("bioimageio/unet2d_nuclei_broad/weights.onnx")))
    let facts = try graph.facts(layout: .channelsFirst, file: "weights.onnx")
    #expect(facts.stride == AxisPair(y: 8, x: 8) && facts.exactness == .exact)
    #expect(facts.receptiveField == AxisPair(y: 58, x: 58))
    let needed = AxisPair(y: 56, x: 56)
    #expect(facts.verdict(onBorder: AxisPair(y: 32, x: 32)) == .insufficient(needed: needed))
    #expect(facts.verdict(onBorder: needed) == .sufficient(needed: needed))
    // A bare network is followed with the channels first where it makes no sense with the channels last.
    let bare = try ModelPackage(at: SharedData.path("bioimageio/unet2d_nuclei_broad/weights.onnx"))
    #expect(try bare.graphFacts() == facts)
    #expect(bare.metadata.channelCount == 1 && bare.metadata.classes.count == 1)
    let found = try measure(graph, facts, shape: [1, 1, 512, 512], layout: .channelsFirst, range: 1)
    #expect(found == AxisPair(y: 58, x: 58))
  }

  /// Weights without a sign let nothing cancel out, so that all that can be seen is.
  @Test(arguments: [
    ("nearest", "asymmetric", "floor"), ("nearest", "half_pixel", "round_prefer_floor"),
    ("nearest", "half_pixel", "round_prefer_ceil"), ("nearest", "asymmetric", "ceil"),
    ("nearest", "tf_half_pixel_for_nn", "floor"), ("linear", "half_pixel", ""), ("linear", "asymmetric", ""),
    ("cubic", "half_pixel", ""), ("", "", ""),
  ]) func allThatCanBeSeenIs(mode: String, place: String, rounding: String) throws {
    for factor in [2, 3] as [Int64] {
      let network = NetworkFixture.channelsFirstInside(sizes: [72, 72]) { network in
        network.window("Conv", kernel: 3, pads: (1, 1))
        network.window("AveragePool", kernel: Int(factor) + 1, stride: factor, pads: (1, 0))
        network.window("Conv", kernel: 3, dilation: 2, pads: (3, 1))
        if mode.isEmpty {
          network.window("ConvTranspose", kernel: Int(factor) + 2, stride: factor, pads: (1, 1))
        } else {
          network.add(
            "Resize", ["", network.floats([1, 1, Float(factor), Float(factor)])],
            text: ["mode": mode, "coordinate_transformation_mode": place].merging(
              rounding.isEmpty ? [:] : ["nearest_mode": rounding]
            ) { $1 })
        }
        network.window("Conv", kernel: 2, pads: (1, 0))
      }
      let bytes: [UInt8] = try network.model(opset: 13).serializedBytes()
      let facts = try ONNXGraph(bytes, file: "f", member: "m").facts()
      let found = try measure(.onnx(bytes), facts, shape: [1, 72, 72, 4], range: 1)
      #expect(found == facts.receptiveField, "factor \(factor)")
    }
  }

  /// The same pixels come out of a tile with the border that is needed as out of a larger image, and not with less.
  @Test func theNeededBorderIsEnough() throws {
    let package = try ModelPackage(at: SharedData.path("example/nuclei.czann"))
    let facts = try package.graphFacts()
    let (stride, border) = (try #require(facts.stride).x, try #require(facts.neededBorder).x)
    let folder = try ScratchFolder()
    let network = try network(package.graph, in: folder)
    func run(_ image: [Float], side: Int) throws -> [Float] {
      let compiled = try network.compile(inputShape: [1, side, side, 1], threads: 2, streams: 1)
      var (image, output) = (image, [Float](repeating: .nan, count: side * side * 2))
      let request = try compiled.makeRequest()
      try image.withUnsafeMutableBytes { source in
        try output.withUnsafeMutableBytes { target in try request.run(input: source, output: target) }
      }
      return output
    }
    let side = 256, core = 2 * stride, start = 120
    var random = SeededRandom(seed: 2)
    let image = (0..<side * side).map { _ in Float.random(in: 0..<1, using: &random) }
    let whole = try run(image, side: side)
    for border in [border, border - stride] {
      let tile = core + 2 * border
      let cut = (0..<tile * tile).map { image[(start - border + $0 / tile) * side + start - border + $0 % tile] }
      let part = try run(cut, side: tile)
      var furthest: Float = 0
      for place in 0..<core * core * 2 {
        let (y, x, channel) = (place / 2 / core, place / 2 % core, place % 2)
        let own = part[((border + y) * tile + border + x) * 2 + channel]
        furthest = max(furthest, abs(own - whole[((start + y) * side + start + x) * 2 + channel]))
      }
      if border == facts.neededBorder?.x { #expect(furthest == 0) } else { #expect(furthest > 0) }
    }
  }
}
