// SPDX-License-Identifier: Apache-2.0
internal import KachelEngines
internal import KachelModels
internal import KachelTesting
internal import Testing

/// The engines that every machine can have. What one of them promises, all do.
enum TestedEngine: CaseIterable, CustomTestStringConvertible {
  case openVINO
  case onnxRuntime

  var testDescription: String { self == .openVINO ? "OpenVINO" : "ONNX Runtime" }

  func load() throws -> any Engine { self == .openVINO ? try OpenVINO.load() : try ONNXRuntime.load() }

  /// A SavedModel's network, as ONNX where the engine needs that.
  func readSavedModel(_ folder: String, name: String) throws -> any Network {
    let engine = try load()
    guard !engine.readsSavedModels else { return try engine.read(.savedModel(folder: folder), name: name) }
    struct NotConverted: Error {}
    let files = try SavedModelFiles(folder: folder)
    guard case .onnx(let bytes) = try SavedModelToONNX(files).convert() else { throw NotConverted() }
    return try engine.read(.onnx(bytes), name: name)
  }

  /// The example package's network, read from its ONNX file.
  func exampleNetwork() throws -> any Network {
    try load().read(.onnx(packagedGraph("example/nuclei.czann")), name: "nuclei.czann")
  }
}

extension CompiledNetwork {
  /// Runs the network once, on a request of its own.
  func run(_ input: [Float]) throws -> [Float] { try makeRequest().run(input, giving: outputShape.reduce(1, *)) }
}

extension InferenceRequest {
  /// Runs into a buffer that holds no number before, so that values which were not written show.
  func run(_ input: [Float], giving count: Int) throws -> [Float] {
    var input = input
    var output = [Float](repeating: .nan, count: count)
    try input.withUnsafeMutableBytes { source in
      try output.withUnsafeMutableBytes { target in try run(input: source, output: target) }
    }
    return output
  }
}

/// The largest difference of two results; infinite where one holds no number or has another size.
func difference(_ one: [Float], _ other: [Float]) -> Float {
  guard one.count == other.count else { return .infinity }
  return zip(one, other).reduce(0) { largest, pair in
    let difference = abs(pair.0 - pair.1)
    return difference.isNaN ? .infinity : max(largest, difference)
  }
}

/// Whether two results are the same in every bit.
func identical(_ one: [Float], _ other: [Float]) -> Bool {
  one.count == other.count && zip(one, other).allSatisfy { $0.bitPattern == $1.bitPattern }
}

/// A picture of no meaning, with values in 0..<1, that is the same at every call.
func noise(_ count: Int, seed: UInt64 = 1) -> [Float] {
  var state = seed
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(state >> 40) / Float(1 << 24)
  }
}

/// How errors are asked for.
func engineError(_ body: () throws -> Void) -> EngineError? {
  do {
    try body()
    return nil
  } catch {
    return error as? EngineError
  }
}
