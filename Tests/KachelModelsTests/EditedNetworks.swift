// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import Foundation
import KachelEngines
import KachelTesting
import SwiftProtobuf

/// An image as an array of batch, height, width, channels, with the layers done to it in the plainest way.
struct PlainImage {
  var shape: [Int]
  var values: [Float]

  init(shape: [Int], values: [Float]) { (self.shape, self.values) = (shape, values) }

  /// Noise around another value in every channel, so that channels and images are told apart.
  init(_ shape: [Int], seed: UInt64 = 1) {
    self.shape = shape
    var random = SeededRandom(seed: seed)
    values = (0..<shape.reduce(1, *)).map {
      Float.random(in: 0..<1, using: &random) + Float($0 % shape[3]) * 0.3
        + Float($0 / (shape[1] * shape[2] * shape[3]))
    }
  }

  private func pixels(_ change: ([Float]) -> [Float]) -> Self {
    let channels = shape[3]
    let result = stride(from: 0, to: values.count, by: channels).flatMap { change(Array(values[$0..<$0 + channels])) }
    return Self(shape: Array(shape.dropLast()) + [result.count * channels / max(1, values.count)], values: result)
  }

  private func each(_ numbers: [Double], _ change: (Double, Double) -> Double) -> Self {
    pixels { pixel in
      pixel.enumerated().map { Float(change(Double($1), numbers[numbers.count == 1 ? 0 : $0])) }
    }
  }

  func after(_ layer: Preprocessing) -> Self {
    switch layer {
    case .rgbToBGR: return pixels { $0.reversed() }
    case .rgbaToBGRA: return pixels { [$0[2], $0[1], $0[0], $0[3]] }
    case .transposeChannels(let order): return pixels { pixel in order.map { pixel[$0] } }
    case .shift(let shift): return each(shift, +)
    case .scale(let scale): return each(scale, *)
    case .normalization(let mean, let deviation): return each(mean, -).each(deviation, /)
    case .perImageStandardization: return standardized { deviation, count in max(deviation, 1 / count.squareRoot()) }
    case .zeroMeanUnitVariance(let epsilon): return standardized { deviation, _ in deviation + epsilon }
    }
  }

  /// - Parameter divisor: of a deviation and how many numbers there are.
  private func standardized(_ divisor: (Double, Double) -> Double) -> Self {
    let count = values.count / shape[0]
    var result: [Float] = []
    for start in stride(from: 0, to: values.count, by: count) {
      let image = values[start..<start + count].map(Double.init)
      let mean = image.reduce(0, +) / Double(count)
      let deviation = (image.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count)).squareRoot()
      result += image.map { Float(($0 - mean) / divisor(deviation, Double(count))) }
    }
    return Self(shape: shape, values: result)
  }

  func after(_ layer: Postprocessing) -> Self {
    switch layer {
    case .sigmoidToSoftmaxScores: pixels { [$0[0], 1 - $0[0]] }
    case .sigmoid: pixels { $0.map { Float(1 / (1 + exp(-Double($0)))) } }
    case .softmax:
      pixels { pixel in
        let powers = pixel.map { exp(Double($0)) }
        return powers.map { Float($0 / powers.reduce(0, +)) }
      }
    }
  }

  /// The same numbers by the axes batch, channels, height, width.
  var channelsFirst: Self { moved([0, 3, 1, 2]) }
  var channelsLast: Self { moved([0, 2, 3, 1]) }

  private func moved(_ order: [Int]) -> Self {
    let steps = shape.indices.map { shape[($0 + 1)...].reduce(1, *) }
    let target = order.map { shape[$0] }
    var result = Self(shape: target, values: [])
    for a in 0..<target[0] {
      for b in 0..<target[1] {
        for c in 0..<target[2] {
          for d in 0..<target[3] {
            result.values.append(values[zip([a, b, c, d], order).reduce(0) { $0 + $1.0 * steps[$1.1] }])
          }
        }
      }
    }
    return result
  }

  /// The pixels from the top left corner on.
  func corner(height: Int, width: Int) -> Self {
    var result = Self(shape: [shape[0], height, width, shape[3]], values: [])
    for n in 0..<shape[0] {
      for y in 0..<height {
        let start = ((n * shape[1] + y) * shape[2]) * shape[3]
        result.values += values[start..<start + width * shape[3]]
      }
    }
    return result
  }

  func difference(_ other: Self) -> Float {
    guard shape == other.shape, values.count == other.values.count else { return .infinity }
    return zip(values, other.values).reduce(0) { largest, pair in
      let difference = abs(pair.0 - pair.1)
      return difference.isNaN ? .infinity : max(largest, difference)
    }
  }
}

extension ModelGraph {
  /// What OpenVINO computes.
  func run(_ image: PlainImage) throws -> PlainImage {
    let engine = try OpenVINO.load()
    let folder = try ScratchFolder()
    let source: NetworkSource
    switch self {
    case .onnx(let bytes): source = .onnx(bytes)
    case .savedModel(let files):
      try files.extract(to: folder.path)
      source = .savedModel(folder: folder.path)
    case .classical: throw EngineError(.refused, name: "", "is no network")
    }
    let compiled = try engine.read(source, name: "edited").compile(inputShape: image.shape, threads: 1, streams: 1)
    var input = image.values
    var output = [Float](repeating: .nan, count: compiled.outputShape.reduce(1, *))
    let request = try compiled.makeRequest()
    try input.withUnsafeMutableBytes { source in
      try output.withUnsafeMutableBytes { target in try request.run(input: source, output: target) }
    }
    withExtendedLifetime(folder) {}
    return PlainImage(shape: compiled.outputShape, values: output)
  }

  var editing: GraphEditing { GraphEditing(self, file: "network") }

  /// The graph in a package of the reference data.
  static func packaged(_ path: String) throws -> Self { try ModelPackage(at: SharedData.path(path)).graph }

  var onnx: ONNX_ModelProto {
    get throws {
      guard case .onnx(let bytes) = self else { throw ModelError(.notAPackage, file: "network", "is no ONNX") }
      return try ONNX_ModelProto(serializedBytes: bytes)
    }
  }
}

extension NetworkFixture {
  /// The network as an engine takes it.
  func graph(output: [Int?], opset: Int64 = 12) throws -> ModelGraph {
    var model = model(opset: opset)
    model.graph.name = "test"
    model.graph.output = [Self.value(last, output)]
    for node in model.graph.node.indices {
      for index in model.graph.node[node].attribute.indices {
        let attribute = model.graph.node[node].attribute[index]
        model.graph.node[node].attribute[index].type =
          !attribute.ints.isEmpty ? 7 : attribute.hasS ? 3 : attribute.hasT ? 4 : 2
      }
    }
    return .onnx(try model.serializedBytes())
  }

  /// Weights of which no two are the same.
  mutating func distinctConvolution(inputs: Int, outputs: Int) {
    let weights = tensor([outputs, inputs, 3, 3], type: 1) {
      $0.floatData = (0..<outputs * inputs * 9).map { Float(($0 * 37) % 101) / 101 - 0.4 }
    }
    add("Conv", [weights], ints: ["strides": [1, 1], "pads": [1, 1, 1, 1]])
  }
}
