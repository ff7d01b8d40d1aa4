// SPDX-License-Identifier: Apache-2.0
private import CKachelEngines

/// A network that ONNX Runtime has read.
final class ONNXRuntimeNetwork: Network {
  private let ports: NetworkPorts
  /// What the network calls the axes of its input; empty where an axis has no name.
  private let axes: [String]
  private let bytes: [UInt8]
  private let engine: ONNXRuntime
  private let library: ONNXRuntimeLibrary

  var inputs: [Port] { ports.inputs }
  var outputs: [Port] { ports.outputs }

  init(bytes: [UInt8], name: String, engine: ONNXRuntime, library: ONNXRuntimeLibrary) throws(EngineError) {
    let session = try engine.session(bytes, nil, name: name)
    let inputs = try library.inputs(of: session, name)
    ports = NetworkPorts(
      name: name, inputs: inputs.map(\.port), outputs: try library.outputs(of: session, name).map(\.port))
    axes = inputs.first?.axes ?? []
    self.bytes = bytes
    self.engine = engine
    self.library = library
  }

  func compile(
    inputShape: [Int], elements: ElementTypes, threads: Int, streams: Int
  ) throws(EngineError) -> any CompiledNetwork {
    let input = try ports.checkedInput(for: inputShape, elements, threads: threads, streams: streams)
    // The engine takes what the network states at its word.
    guard !ports.changesFixed(inputShape) else { throw ports.refusal(ports.sizeRefusal(inputShape)) }
    let session = try engine.session(
      bytes, .init(threads: threads, streams: streams, lengths: lengths(inputShape)), name: ports.name)
    let compiled = try ONNXRuntimeCompiledNetwork(
      session: session, names: (input.name, ports.outputs[0].name), inputShape: inputShape, elements: elements,
      ports: ports, library: library, engine: engine)
    try ports.checkProportions(of: compiled.outputShape, for: inputShape)
    return compiled
  }

  /// The lengths of the axes that the network names but leaves open, which it can be simplified by. An axis without a
  /// name stays open, and so do two of one name that differ.
  private func lengths(_ inputShape: [Int]) -> [String: Int] {
    var lengths: [String: Int] = [:]
    var contradictions: Set<String> = []
    for (axis, length) in zip(axes, inputShape) where !axis.isEmpty {
      if let other = lengths.updateValue(length, forKey: axis), other != length { contradictions.insert(axis) }
    }
    return lengths.filter { !contradictions.contains($0.key) }
  }
}
