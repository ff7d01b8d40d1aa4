// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import Foundation
import KachelEngines
import KachelTesting
import Testing

/// SavedModels of the reference data give as ONNX what TensorFlow gave.
@Suite struct SavedModelToONNXTests {
  struct Case: Decodable, Sendable, CustomTestStringConvertible {
    struct Array: Decodable, Sendable {
      var path: String
      var shape: [Int]
    }
    struct Golden: Decodable, Sendable {
      var input: Array
      var output: Array
      var input_divisor: Float
    }
    var path: String
    var model_kind: String?
    var golden: [Golden]
    var testDescription: String { path }

    var files: SavedModelFiles {
      get throws {
        let path = try SharedData.path("models/" + path)
        guard model_kind != nil else { return try SavedModelFiles(folder: path) }
        guard case .savedModel(let files) = try ModelPackage(at: path).graph else { throw CocoaError(.fileReadUnknown) }
        return files
      }
    }

    static let all: [Case] = {
      struct Lenient: Decodable {
        var value: Case?
        init(from decoder: any Decoder) throws { value = try? Case(from: decoder) }
      }
      struct Manifest: Decodable {
        var savedmodel_folders: [Case]
        var models: [Lenient]
      }
      guard let data = try? SharedData.data("models/manifest.json"),
        let manifest = try? JSONDecoder().decode(Manifest.self, from: data)
      else { return [] }
      return manifest.savedmodel_folders
        + manifest.models.compactMap(\.value).filter { $0.model_kind == "savedmodel-zip" }
    }()
  }

  @Test func everyFixtureIsThere() { #expect(Case.all.count == 10) }

  /// The goldens are TensorFlow's own results; other engines differ from them by up to 7e-6.
  @Test(arguments: Case.all, [12, 18]) func goldens(model: Case, opset: Int) throws {
    let onnx = try SavedModelToONNX(model.files, opset: opset).convert()
    let network = try OpenVINO.load().read(.onnx(onnx.onnxBytes), name: model.path)
    #expect(!model.golden.isEmpty)
    for golden in model.golden {
      let input = try NumPyArray(shared: "models/" + golden.input.path).floats.map { $0 / golden.input_divisor }
      let expected = try NumPyArray(shared: "models/" + golden.output.path).floats
      let batch = golden.input.shape[0]
      let (image, result) = (Array(input.prefix(input.count / batch)), Array(expected.prefix(expected.count / batch)))
      for (count, input, expected) in [
        (batch, input, expected), (1, image, result), (3, image + image + image, result + result + result),
      ] {
        let shape = [count] + golden.input.shape.dropFirst()
        let compiled = try network.compile(inputShape: shape, threads: 2, streams: 1)
        #expect(compiled.outputShape == [count] + golden.output.shape.dropFirst())
        #expect(largestDifference(try compiled.run(input), expected) <= 1e-5, "\(golden.input.path), batch \(count)")
      }
    }
  }

  /// Names and sizes at the boundary are the SavedModel's, axes change places only there, and equal input gives equal
  /// bytes.
  @Test(arguments: Case.all) func boundaries(model: Case) throws {
    let files = try model.files
    let before = try SavedModelGraph(files).facts()
    for (opset, format) in [(12, 7), (18, 8)] {
      let onnx = try SavedModelToONNX(files, opset: opset).convert()
      #expect(onnx.onnxBytes == (try SavedModelToONNX(files, opset: opset).convert().onnxBytes))
      let graph = try onnx.onnx
      #expect(graph.irVersion == format)
      #expect(graph.graph.node.filter { $0.opType == "Transpose" }.count <= 2)
      #expect(Set(graph.graph.node.map(\.name)).count == graph.graph.node.count)
      let facts = try ONNXGraph(onnx.onnxBytes, file: "f", member: "m").facts()
      #expect(facts.opset == opset)
      #expect(facts.missingWeights == [])
      #expect(facts.inputs.map(\.name) == before.inputs.map(\.name))
      #expect(facts.inputs.map(\.shape) == before.inputs.map(\.shape))
      #expect(facts.outputs.map(\.name) == before.outputs.map(\.name))
      #expect(facts.outputs.map(\.shape) == before.outputs.map(\.shape))
      #expect(facts.stride == before.stride)
    }
  }

  /// The example network's two forms were trained as one; the SavedModel's own form is run for comparison.
  @Test func theExample() throws {
    guard case .savedModel(let files) = try ModelPackage(at: SharedData.path("example/nuclei.czmodel")).graph else {
      throw CocoaError(.fileReadUnknown)
    }
    let onnx = try SavedModelToONNX(files).convert()
    let graph = try onnx.onnx.graph
    #expect(graph.node.filter { $0.opType == "Transpose" }.count == 2)
    #expect(!graph.node.contains { ["Shape", "BatchNormalization", "Pad"].contains($0.opType) })
    let engine = try OpenVINO.load()
    let folder = try ScratchFolder()
    try files.extract(to: folder.path)
    let shape = [1, 512, 512, 1]
    var random = SeededRandom(seed: 5)
    let picture = (0..<512 * 512).map { _ in Float(Int.random(in: 0...255, using: &random)) }
    let expected = try engine.read(.savedModel(folder: folder.path), name: "nuclei.czmodel")
      .compile(inputShape: shape, threads: 2, streams: 1).run(picture)
    let found = try engine.read(.onnx(onnx.onnxBytes), name: "nuclei.onnx")
      .compile(inputShape: shape, threads: 2, streams: 1).run(picture)
    #expect(largestDifference(found, expected) <= 1e-5)
    withExtendedLifetime(folder) {}
  }
}

extension CompiledNetwork {
  /// Runs the network once, into a buffer that holds no number before.
  func run(_ input: [Float]) throws -> [Float] {
    let request = try makeRequest()
    var input = input
    var output = [Float](repeating: .nan, count: outputShape.reduce(1, *))
    try input.withUnsafeMutableBytes { source in
      try output.withUnsafeMutableBytes { target in try request.run(input: source, output: target) }
    }
    return output
  }
}

/// Infinite where one holds no number or has another size.
func largestDifference(_ one: [Float], _ other: [Float]) -> Float {
  guard one.count == other.count else { return .infinity }
  return zip(one, other).reduce(0) { largest, pair in
    let difference = abs(pair.0 - pair.1)
    return difference.isNaN ? .infinity : max(largest, difference)
  }
}
