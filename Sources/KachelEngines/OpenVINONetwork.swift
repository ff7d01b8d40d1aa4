// SPDX-License-Identifier: Apache-2.0
private import Synchronization

/// A network that OpenVINO has read.
final class OpenVINONetwork: Network {
  private let ports: NetworkPorts
  private let source: NetworkSource
  private let engine: OpenVINO
  /// The graph as it was read, until it is compiled for the first time. A new shape changes a graph for good and it
  /// cannot be copied, so that later calls read the network again.
  private let graph: Mutex<EngineHandle?>

  var inputs: [Port] { ports.inputs }
  var outputs: [Port] { ports.outputs }

  init(source: NetworkSource, name: String, engine: OpenVINO) throws(EngineError) {
    let graph = try engine.graph(source, name: name)
    ports = NetworkPorts(
      name: name, inputs: try engine.inputs(of: graph, name: name), outputs: try engine.outputs(of: graph, name: name))
    self.source = source
    self.engine = engine
    self.graph = Mutex(graph)
  }

  func compile(
    inputShape: [Int], elements: ElementTypes, threads: Int, streams: Int
  ) throws(EngineError) -> any CompiledNetwork {
    let input = try ports.checkedInput(for: inputShape, elements, threads: threads, streams: streams)
    let name = ports.name
    var graph = graph.withLock { $0.take() }
    if graph == nil { graph = try engine.graph(source, name: name) }
    guard let graph else { throw ports.refusal("OpenVINO cannot read this network") }
    if input.shape != inputShape {
      try engine.reshape(graph, to: inputShape, name: name, ports.sizeRefusal(inputShape))
      try ports.checkProportions(of: engine.outputs(of: graph, name: name).first?.shape, for: inputShape)
    }
    return try engine.compile(graph, inputShape: inputShape, threads: threads, streams: streams, name: name)
  }
}
