// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import KachelEngines
import KachelTesting
import Testing

/// Networks whose convolutions are on 16 bits do the same, less exactly.
@Suite struct HalfPrecisionTests {
  private func run(_ graph: ModelGraph, _ image: PlainImage) throws -> PlainImage {
    struct NoONNX: Error {}
    guard case .onnx(let bytes) = graph else { throw NoONNX() }
    let compiled = try ONNXRuntime.load().read(.onnx(bytes), name: "half")
      .compile(inputShape: image.shape, threads: 1, streams: 1)
    let (input, output) = try compiled.makeBuffers()
    image.values.withUnsafeBytes { input.bytes.copyMemory(from: $0) }
    try compiled.makeRequest().run(input: input.bytes, output: output.bytes)
    return PlainImage(shape: compiled.outputShape, values: Array(output.bytes.bindMemory(to: Float.self)))
  }

  @Test(arguments: [
    "example/nuclei.czann", "models/torch/torch_from_json.czann", "models/tf/unet_rgb/unet_rgb.czmodel",
  ])
  func scoresAreNearly(path: String) throws {
    let graph = try ModelPackage(at: SharedData.path(path)).graph
    let half = try graph.inHalfPrecision(file: path)
    let (before, after) = (try graph.facts(file: path), try half.facts(file: path))
    #expect(before.stride == after.stride && before.neededBorder == after.neededBorder)
    #expect(before.exactness == after.exactness)
    let shape = [1] + (before.inputs[0].shape ?? []).dropFirst().map { $0 ?? 64 }
    let image = PlainImage(shape)
    var whole = graph
    if case .savedModel(let files) = graph { whole = try SavedModelToONNX(files).convert() }
    let difference = try run(half, image).difference(run(whole, image))
    // 11 bits hold the first three digits; not a bit less would mean that nothing was converted.
    #expect(difference > 1e-6 && difference < 0.02, "\(difference)")
  }

  @Test func networksWithoutConvolutions() throws {
    var fixture = NetworkFixture(input: [1, 8, 8, 1])
    fixture.transpose(toFirst: true)
    fixture.transpose(toFirst: false)
    let graph = try fixture.graph(output: [1, 8, 8, 1])
    #expect {
      _ = try graph.inHalfPrecision(file: "plain.onnx")
    } throws: {
      ($0 as? ModelError)?.kind == .unsupported && "\($0)".hasPrefix("plain.onnx: has no convolutions")
    }
  }
}
