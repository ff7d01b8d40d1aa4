// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Kachel

/// Which engine runs a network, for the commands that run any.
struct EngineOptions: ParsableArguments {
  @Option(
    help: """
      What runs the network: openvino; onnxruntime; or auto, OpenVINO on the processor and ONNX Runtime on a GPU, and the \
      other where the first refuses the network or would not keep it exact.
      """, transform: readEngine) var engine = EngineChoice.Name.automatic
  @Option(
    help: "Where: cpu; cuda:0, an NVIDIA GPU by its number; or auto, a GPU where there is one and an engine for it.",
    transform: readDevice) var device = DeviceChoice.device(.cpu)
  @Option(
    help: "How precisely: fp32; on a GPU also tf32 or fp16, which are faster and less exact.",
    transform: readPrecision) var precision = Precision.fp32

  enum DeviceChoice: Sendable {
    case automatic
    case device(Device)
  }

  var choice: EngineChoice {
    if case .device(let device) = device { return EngineChoice(engine, device: device, precision: precision) }
    return EngineChoice(engine, device: nil, precision: precision)
  }
}

private func readEngine(_ text: String) throws -> EngineChoice.Name {
  guard let name = EngineChoice.Name(rawValue: text) else {
    throw ValidationError("\(text) is no engine; they are openvino, onnxruntime and auto")
  }
  return name
}

private func readDevice(_ text: String) throws -> EngineOptions.DeviceChoice {
  if text == "auto" { return .automatic }
  guard let device = Device(text) else { throw ValidationError("\(text) is no device; they are cpu, cuda:0 and auto") }
  return .device(device)
}

private func readPrecision(_ text: String) throws -> Precision {
  guard let precision = Precision(rawValue: text) else {
    throw ValidationError("\(text) is no precision; they are fp32, tf32 and fp16")
  }
  return precision
}
