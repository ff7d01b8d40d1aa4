// SPDX-License-Identifier: Apache-2.0
@testable internal import KachelEngines
internal import Testing

/// The engine, the device and the precision that are asked for, or a refusal.
struct EngineChoiceTests {
  @Test func devicesAreRead() {
    #expect(Device("cpu") == .cpu && Device("cuda") == .cuda(0) && Device("cuda:12") == .cuda(12))
    for text in ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda:99999", "cuda 0"] {
      #expect(Device(text) == nil)
    }
    #expect("\(Device.cuda(3)) \(Device.cpu)" == "cuda:3 cpu")
  }

  @Test(arguments: [
    (nil, "no NVIDIA driver"), (0, "no GPU for it"), (1, "only one is cuda:0"), (2, "cuda:0 to cuda:1"),
  ])
  func aDeviceThatIsNotThere(count: Int?, words: String) throws {
    let error = try #require(engineError { try Device.cuda(2).check(cudaCount: count) })
    #expect(error.kind == .unsuitable && error.name == "cuda:2")
    #expect(error.reason.contains(words))
    try Device.cpu.check(cudaCount: count)
  }

  @Test func aDeviceThatIsThere() throws { try Device.cuda(2).check(cudaCount: 3) }

  @Test(arguments: EngineChoice.Name.allCases, [Precision.tf32, .fp16])
  func theProcessorComputesInOnePrecision(name: EngineChoice.Name, precision: Precision) throws {
    let error = try #require(engineError { try EngineChoice(name, precision: precision).check() })
    #expect(error.kind == .unsuitable && error.description.contains(precision.rawValue))
  }

  @Test func openVINOIsForTheProcessor() throws {
    let error = try #require(engineError { try EngineChoice(.openVINO, device: .cuda(0)).check() })
    #expect(error.kind == .unsuitable && error.description.contains("--engine onnxruntime"))
  }

  @Test func theDefaultIsOpenVINO() throws {
    #expect(try EngineChoice().use { $0.name } == ("OpenVINO", nil))
    #expect(try EngineChoice(.openVINO, device: nil).use { $0.name } == ("OpenVINO", nil))
    #expect(try EngineChoice(.onnxRuntime).use { $0.name } == ("ONNX Runtime", nil))
  }

  /// Where the choice is left to Kachel, what one engine refuses the other does, and both reasons are told if it does not.
  @Test func whatOneRefusesTheOtherDoes() throws {
    func refusing(_ names: Set<String>) -> (any Engine) throws -> String {
      { engine in
        guard names.contains(engine.name) else { return engine.name }
        throw EngineError(.refused, name: "m.czann", "\(engine.name) does not like it")
      }
    }
    let (name, note) = try EngineChoice().use(refusing(["OpenVINO"]))
    #expect(name == "ONNX Runtime")
    #expect(note == "the network runs with ONNX Runtime, as OpenVINO refuses it: OpenVINO does not like it")
    let both = engineError { _ = try EngineChoice().use(refusing(["OpenVINO", "ONNX Runtime"])) }
    #expect(both?.description == "m.czann: OpenVINO does not like it. ONNX Runtime does not like it")
    for choice in [EngineChoice(.openVINO), EngineChoice(.onnxRuntime)] {
      let engine = try choice.use { $0.name }.result
      #expect(engineError { _ = try choice.use(refusing([engine])) }?.reason == "\(engine) does not like it")
    }
  }

  /// Where OpenVINO would not do as well, the other one is first, and both reasons are told if neither does it.
  @Test func theOtherIsFirst() throws {
    func failing(_ names: Set<String>) -> (any Engine) throws -> String {
      { engine in
        guard names.contains(engine.name) else { return engine.name }
        throw EngineError(.failed, name: "m.czann", "\(engine.name) cannot")
      }
    }
    let first = try EngineChoice().use(notOpenVINO: "it rounds", failing([]))
    #expect(first == ("ONNX Runtime", "the network runs with ONNX Runtime, as it rounds"))
    let second = try EngineChoice().use(notOpenVINO: "it rounds", failing(["ONNX Runtime"]))
    #expect(second.result == "OpenVINO" && second.note?.contains("ONNX Runtime cannot") == true)
    let both = engineError {
      _ = try EngineChoice().use(notOpenVINO: "it rounds", failing(["OpenVINO", "ONNX Runtime"]))
    }
    #expect(both?.reason.contains("OpenVINO cannot") == true && both?.reason.contains("ONNX Runtime cannot") == true)
    #expect(try EngineChoice(.openVINO).use(notOpenVINO: "it rounds") { $0.name } == ("OpenVINO", nil))
  }

  @Test func anUnfinishedRunKeepsItsEngine() {
    #expect(EngineChoice().named("OpenVINO").name == .openVINO)
    #expect(EngineChoice().named("ONNX Runtime").name == .onnxRuntime)
    #expect(EngineChoice().named(nil).name == .automatic && EngineChoice().named("other").name == .automatic)
    #expect(EngineChoice(.onnxRuntime).named("OpenVINO").name == .onnxRuntime)
  }

  /// What fails for another reason is not tried again.
  @Test(arguments: [(EngineError.Kind.failed, "broken"), (.refused, "out of memory")])
  func failuresStay(kind: EngineError.Kind, reason: String) throws {
    var calls = 0
    let error = engineError {
      _ = try EngineChoice().use { _ in
        calls += 1
        throw EngineError(kind, name: "m.czann", reason)
      }
    }
    #expect(calls == 1 && error == EngineError(kind, name: "m.czann", reason))
  }
}
