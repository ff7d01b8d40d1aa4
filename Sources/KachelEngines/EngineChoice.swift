// SPDX-License-Identifier: Apache-2.0

/// Which engine runs networks, where, and how precisely it computes.
public struct EngineChoice: Sendable, Hashable {
  public enum Name: String, Sendable, Hashable, CaseIterable {
    /// OpenVINO on the processor and ONNX Runtime on a GPU; where the first refuses a network, or would not keep it exact,
    /// the other one.
    case automatic = "auto"
    case openVINO = "openvino"
    case onnxRuntime = "onnxruntime"
  }

  public var name: Name
  /// nil for a GPU where there is one and an engine for it, and the processor otherwise.
  public var device: Device?
  public var precision: Precision

  public init(_ name: Name = .automatic, device: Device? = .cpu, precision: Precision = .fp32) {
    self.name = name
    self.device = device
    self.precision = precision
  }

  /// Checks the choice, without loading an engine.
  ///
  /// - Throws: `unsuitable` where the machine has no such device, or where the engine does not compute on that device or
  ///   in that precision.
  public func check() throws(EngineError) {
    let device = chosenDevice
    if name == .openVINO, device != .cpu {
      throw EngineError(
        .unsuitable, name: "OpenVINO",
        "does not compute on \(device); run with --engine onnxruntime, or with --device cpu")
    }
    try ONNXRuntime.check(device, precision)
  }

  /// The same with a certain engine, where the choice is left to Kachel.
  ///
  /// - Parameter engine: an engine's ``Engine/name``.
  public func named(_ engine: String?) -> EngineChoice {
    var choice = self
    if name == .automatic {
      choice.name = ["OpenVINO": .openVINO, "ONNX Runtime": .onnxRuntime][engine ?? ""] ?? .automatic
    }
    return choice
  }

  /// Does something with the chosen engine. Where the choice is automatic and the engine refuses the network, it is done
  /// with the other one.
  ///
  /// - Parameter reason: why OpenVINO is not the first choice on the processor for this network, where it is not.
  /// - Returns: What was done, and one line on what happened, where the other engine did it.
  /// - Throws: `missing` with what gets the engine, `unsuitable` as ``check()``, and what `body` throws.
  public func use<Result>(
    notOpenVINO reason: String? = nil, _ body: (any Engine) throws -> Result
  ) throws -> (result: Result, note: String?) {
    try check()
    if let reason, name == .automatic, chosenDevice == .cpu {
      do {
        let engine = try ONNXRuntime.load()
        return (try body(engine), "the network runs with \(engine.name), as \(reason)")
      } catch let error as EngineError where !error.isOutOfMemory {
        let note = "ONNX Runtime would be better, as \(reason); but \(error)"
        do { return (try body(OpenVINO.load()), note) } catch let other {
          throw EngineError(error.kind, name: error.name, "\(other). \(note)")
        }
      }
    }
    let engine = try first()
    do {
      return (try body(engine), nil)
    } catch let refusal as EngineError where isForTheOther(refusal) && engine is OpenVINO {
      do {
        let other = try ONNXRuntime.load()
        return (
          try body(other), "the network runs with \(other.name), as \(engine.name) refuses it: \(refusal.reason)"
        )
      } catch let error as EngineError where error.kind == .refused || error.kind == .missing {
        throw EngineError(
          .refused, name: refusal.name,
          "\(refusal.reason). \(error.kind == .missing ? "\(error.name): " : "")\(error.reason)")
      }
    }
  }

  private func isForTheOther(_ error: EngineError) -> Bool {
    name == .automatic && error.kind == .refused && !error.isOutOfMemory
  }

  private func first() throws(EngineError) -> any Engine {
    let device = chosenDevice
    if name == .onnxRuntime || device != .cpu { return try ONNXRuntime.load(device: device, precision: precision) }
    return try OpenVINO.load()
  }

  private var chosenDevice: Device {
    if let device { return device }
    guard name != .openVINO, (Device.cudaCount ?? 0) > 0,
      (try? EngineLibrary.ofThisProcess(.onnxRuntimeForCUDA).find()) != nil
    else { return .cpu }
    return .cuda(0)
  }
}
