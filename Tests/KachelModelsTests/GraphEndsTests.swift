// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import KachelEngines
import KachelPixels
import KachelTesting
import SwiftProtobuf
import Testing

/// Graphs that take pixels and give classes do what their caller did before and after them, bit for bit.
@Suite struct GraphEndsTests {
  private func run<Output>(
    _ graph: ModelGraph, _ shape: [Int], _ elements: ElementTypes, _ input: [some Any], as _: Output.Type
  ) throws -> [Output] {
    let bytes: [UInt8] = try graph.onnx.serializedBytes()
    let compiled = try ONNXRuntime.load().read(.onnx(bytes), name: "ends")
      .compile(inputShape: shape, elements: elements, threads: 1, streams: 1)
    let buffers = try compiled.makeBuffers()
    input.withUnsafeBytes { buffers.input.bytes.copyMemory(from: $0) }
    try compiled.makeRequest().run(input: buffers.input.bytes, output: buffers.output.bytes)
    return Array(buffers.output.bytes.bindMemory(to: Output.self))
  }

  @Test(arguments: [
    "example/nuclei.czann", "models/torch/torch_from_json.czann", "models/tf/unet_rgb/unet_rgb.czmodel",
  ])
  func pixelsAreDivided(path: String) throws {
    var graph = try ModelGraph.packaged(path)
    if case .savedModel(let files) = graph { graph = try SavedModelToONNX(files).convert() }
    let shape = [1] + (try graph.facts(file: path).inputs[0].shape ?? []).dropFirst().map { $0 ?? 64 }
    let count = shape.reduce(1, *)
    var random = SeededRandom(seed: 3)
    let words = (0..<count).map { _ in UInt16.random(in: 0...4095, using: &random) }
    let bytes = words.map { UInt8($0 >> 4) }
    let floats = ElementTypes()
    let ofWords = try run(graph, shape, floats, words.map { Float($0) / 65535 }, as: Float.self)
    #expect(Set(ofWords).count > 100)
    let takingWords = try graph.with(GraphEnds(pixels: .uint16, divisor: 65535), file: path)
    #expect(try run(takingWords, shape, ElementTypes(input: .uint16), words, as: Float.self) == ofWords)
    let ofBytes = try run(graph, shape, floats, bytes.map { Float($0) }, as: Float.self)
    let takingBytes = try graph.with(GraphEnds(pixels: .uint8), file: path)
    #expect(try run(takingBytes, shape, ElementTypes(input: .uint8), bytes, as: Float.self) == ofBytes)
    // Classes of both ends together.
    let classes = try takingBytes.onnx.graph.output[0].type.tensorType.shape.dim[3].dimValue
    let choosing = try graph.with(GraphEnds(pixels: .uint8, choosesClasses: true), file: path)
    let chosen = try run(choosing, shape, ElementTypes(input: .uint8, output: .uint8), bytes, as: UInt8.self)
    #expect(chosen == Self.classes(ofBytes, Int(classes), areLogits: false))
    #expect(Set(chosen).count > 1)
  }

  /// Both changes of a graph for a GPU together.
  @Test func alsoInHalfPrecision() throws {
    let graph = try ModelGraph.packaged("example/nuclei.czann"), shape = [1, 64, 64, 1]
    var random = SeededRandom(seed: 4)
    let words = (0..<64 * 64).map { _ in UInt16.random(in: 0...40_000, using: &random) }
    let scores = try run(
      graph.inHalfPrecision(file: "half"), shape, ElementTypes(), words.map { Float($0) / 65535 }, as: Float.self)
    let ends = try graph.with(GraphEnds(pixels: .uint16, divisor: 65535, choosesClasses: true), file: "ends")
    let classes = try run(
      ends.inHalfPrecision(file: "half"), shape, ElementTypes(input: .uint16, output: .uint8), words, as: UInt8.self)
    #expect(classes == Self.classes(scores, 2, areLogits: false) && Set(classes) == [0, 1])
  }

  /// The first of the highest, where all are numbers.
  private static func classes(_ scores: [Float], _ classes: Int, areLogits: Bool) -> [UInt8] {
    stride(from: 0, to: scores.count, by: classes).map { start in
      let pixel = scores[start..<start + classes]
      let areNumbers =
        areLogits
        ? pixel.allSatisfy { $0 < .infinity } && pixel.contains { $0 > -.infinity } : pixel.allSatisfy(\.isFinite)
      let highest = pixel.max() ?? 0
      return areNumbers ? UInt8((pixel.firstIndex(of: highest) ?? start) - start) : GraphEnds.noClass
    }
  }

  @Test(arguments: [2, 3, 7], [false, true]) func classesOfAnyScores(classes: Int, areLogits: Bool) throws {
    var network = NetworkFixture(input: [nil, nil, nil, classes])
    network.transpose(toFirst: true)
    network.transpose(toFirst: false)
    let graph = try network.graph(output: [nil, nil, nil, classes])
      .with(GraphEnds(choosesClasses: true, areLogits: areLogits), file: "network")
    var random = SeededRandom(seed: UInt64(classes))
    // Few values, so that equals are frequent.
    let scores = (0..<64 * 48 * classes).map { _ in
      [Float(-1), 0, 0.25, 1, 1, 3, .infinity, -.infinity, .nan][Int.random(in: 0..<200, using: &random) % 11 % 9]
    }
    let chosen = try run(graph, [1, 48, 64, classes], ElementTypes(output: .uint8), scores, as: UInt8.self)
    let expected = Self.classes(scores, classes, areLogits: areLogits)
    #expect(chosen == expected)
    #expect(Set(chosen).count == classes + 1)
  }

  @Test func whatCannotBeDone() throws {
    func refusal(_ graph: ModelGraph, _ ends: GraphEnds) -> ModelError? {
      do { _ = try graph.with(ends, file: "network") } catch { return error }
      return nil
    }
    let choosing = GraphEnds(choosesClasses: true)
    #expect(refusal(try .packaged("example/nuclei.czmodel"), choosing)?.kind == .unsupported)
    for (channels, output) in [(1, [nil, nil, nil, 1]), (3, [nil, 3, nil, nil])] as [(Int, [Int?])] {
      var network = NetworkFixture(input: [nil, nil, nil, channels])
      network.transpose(toFirst: true)
      network.distinctConvolution(inputs: channels, outputs: channels)
      if output[3] != nil { network.transpose(toFirst: false) }
      let graph = try network.graph(output: output)
      #expect(refusal(graph, choosing)?.kind == .unsupported)
      #expect(refusal(graph, GraphEnds(pixels: .uint8)) == nil)
    }
  }

  /// Numbers of another type than the caller's are refused, so that no buffer is too small.
  @Test func elementsAreChecked() throws {
    let graph = try ModelGraph.packaged("example/nuclei.czann").with(
      GraphEnds(pixels: .uint16, choosesClasses: true), file: "network")
    let bytes: [UInt8] = try graph.onnx.serializedBytes()
    let network = try ONNXRuntime.load().read(.onnx(bytes), name: "ends")
    #expect(network.inputs[0].element == .uint16 && network.outputs[0].element == .uint8)
    for (elements, reason) in [
      (ElementTypes(), "its input is not of 32-bit floating point numbers"),
      (ElementTypes(input: .uint8, output: .uint8), "its input is not of 8-bit unsigned integers"),
      (ElementTypes(input: .uint16), "its output is not of 32-bit floating point numbers"),
    ] {
      #expect {
        _ = try network.compile(inputShape: [1, 64, 64, 1], elements: elements, threads: 1, streams: 1)
      } throws: {
        ($0 as? EngineError)?.kind == .refused && ($0 as? EngineError)?.reason == reason
      }
    }
    let compiled = try network.compile(
      inputShape: [1, 64, 64, 1], elements: ElementTypes(input: .uint16, output: .uint8), threads: 1, streams: 1)
    #expect(compiled.outputShape == [1, 64, 64, 1])
    let buffers = try compiled.makeBuffers()
    #expect(buffers.input.bytes.count == 2 * 64 * 64 && buffers.output.bytes.count == 64 * 64)
    let short = UnsafeMutableRawBufferPointer(rebasing: buffers.input.bytes.dropLast(2))
    #expect(throws: EngineError.self) { try compiled.makeRequest().run(input: short, output: buffers.output.bytes) }
  }
}
