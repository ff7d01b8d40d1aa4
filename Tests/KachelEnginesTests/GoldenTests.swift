// SPDX-License-Identifier: Apache-2.0
internal import Foundation
internal import KachelEngines
internal import KachelTesting
internal import Testing

/// The manifest of the reference models, as far as it matters here.
private struct Manifest: Decodable {
  struct Array: Decodable {
    let path: String
    let shape: [Int]
  }
  struct Golden: Decodable {
    let input, output: Array
    let divisor: Float

    enum CodingKeys: String, CodingKey {
      case input, output
      case divisor = "input_divisor"
    }
  }
  struct Model: Decodable {
    let path: String
    let kind: String?
    let golden: [Golden]

    enum CodingKeys: String, CodingKey {
      case path, golden
      case kind = "model_kind"
    }

    init(from decoder: any Decoder) throws {
      let values = try decoder.container(keyedBy: CodingKeys.self)
      path = try values.decode(String.self, forKey: .path)
      kind = try values.decodeIfPresent(String.self, forKey: .kind)
      // Some goldens are of other kinds, such as labels.
      golden = (try? values.decode([Lenient].self, forKey: .golden))?.compactMap(\.golden) ?? []
    }
  }
  struct Lenient: Decodable {
    let golden: Golden?
    init(from decoder: any Decoder) throws { golden = try? Golden(from: decoder) }
  }

  let folders: [Model]
  let models: [Model]

  enum CodingKeys: String, CodingKey {
    case models
    case folders = "savedmodel_folders"
  }

  static func read() throws -> Manifest {
    try JSONDecoder().decode(Manifest.self, from: SharedData.data("models/manifest.json"))
  }
}

/// Networks give what the frameworks that trained them give.
struct GoldenTests {
  /// Compares a network with all the results that the manifest has for it, and returns their number.
  private func compare(_ network: any Network, _ model: Manifest.Model) throws -> Int {
    // A golden that was cut out of a larger result is not comparable here.
    let whole = model.golden.filter { $0.output.shape.dropLast() == $0.input.shape.dropLast() }
    for golden in whole {
      let input = try NumPyArray(shared: "models/" + golden.input.path).floats.map { $0 / golden.divisor }
      let expected = try NumPyArray(shared: "models/" + golden.output.path).floats
      let compiled = try network.compile(inputShape: golden.input.shape, threads: 2, streams: 1)
      #expect(compiled.inputShape == golden.input.shape)
      #expect(compiled.outputShape == golden.output.shape)
      let found = try compiled.run(input)
      #expect(difference(found, expected) <= 5e-5, "\(model.path), \(golden.input.path)")
    }
    return whole.count
  }

  private func read(_ engine: TestedEngine, _ model: Manifest.Model) throws -> any Network {
    try engine.load().read(.onnx(packagedGraph("models/" + model.path)), name: model.path)
  }

  @Test(arguments: TestedEngine.allCases) func onnxFromMemory(_ engine: TestedEngine) throws {
    var count = 0
    for model in try Manifest.read().models where model.kind?.hasPrefix("onnx") == true {
      count += try model.golden.isEmpty ? 0 : compare(read(engine, model), model)
    }
    #expect(count >= 10)
  }

  @Test(arguments: TestedEngine.allCases) func savedModelsInPackages(_ engine: TestedEngine) throws {
    var count = 0
    for model in try Manifest.read().models where model.kind == "savedmodel-zip" {
      let folder = try ScratchFolder()
      let path = try unzip(packagedGraph("models/" + model.path), into: folder)
      count += try withExtendedLifetime(folder) { try compare(engine.readSavedModel(path, name: model.path), model) }
    }
    #expect(count >= 7)
  }

  @Test(arguments: TestedEngine.allCases) func savedModelFolders(_ engine: TestedEngine) throws {
    var count = 0
    for model in try Manifest.read().folders {
      count += try compare(engine.readSavedModel(SharedData.path("models/" + model.path), name: model.path), model)
    }
    #expect(count >= 8)
  }

  /// The example network is there in both forms, which differ in how they scale their input.
  @Test(arguments: TestedEngine.allCases) func bothFormsOfTheExampleAgree(_ engine: TestedEngine) throws {
    let folder = try ScratchFolder()
    let path = try unzip(packagedGraph("example/nuclei.czmodel"), into: folder)
    let savedModel = try engine.readSavedModel(path, name: "nuclei.czmodel")
    let onnx = try engine.exampleNetwork()
    #expect(savedModel.inputs.map(\.shape) == [[nil, 512, 512, 1]])
    #expect(onnx.inputs.map(\.shape) == [[nil, nil, nil, 1]])
    #expect(savedModel.outputs.count == 1 && onnx.outputs.count == 1)
    #expect((savedModel.inputs + onnx.inputs).allSatisfy { $0.element == .float32 && !$0.name.isEmpty })

    let picture = noise(512 * 512).map { ($0 * 255).rounded() }
    let shape = [1, 512, 512, 1]
    let one = try savedModel.compile(inputShape: shape, threads: 2, streams: 1).run(picture)
    let other = try onnx.compile(inputShape: shape, threads: 2, streams: 1).run(picture.map { $0 / 255 })
    #expect(one.count == 512 * 512 * 2)
    #expect(difference(one, other) <= 1e-4)
    // Two classes whose scores add up to 1, so that equal results are not just equal zeros.
    #expect(stride(from: 0, to: one.count, by: 2).allSatisfy { abs(one[$0] + one[$0 + 1] - 1) < 1e-5 })
    withExtendedLifetime(folder) {}
  }
}
