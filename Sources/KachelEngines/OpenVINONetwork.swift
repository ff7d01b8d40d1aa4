// SPDX-License-Identifier: Apache-2.0
private import Synchronization

/// A network that OpenVINO has read.
final class OpenVINONetwork: Network {
  let inputs: [Port]
  let outputs: [Port]
  private let source: NetworkSource
  private let name: String
  private let engine: OpenVINO
  /// The graph as it was read, until it is compiled for the first time. A new shape changes a graph for good and it
  /// cannot be copied, so that later calls read the network again.
  private let graph: Mutex<OpenVINOHandle?>

  init(source: NetworkSource, name: String, engine: OpenVINO) throws(EngineError) {
    let graph = try engine.graph(source, name: name)
    inputs = try engine.inputs(of: graph, name: name)
    outputs = try engine.outputs(of: graph, name: name)
    self.source = source
    self.name = name
    self.engine = engine
    self.graph = Mutex(graph)
  }

  func compile(inputShape: [Int], threads: Int, streams: Int) throws(EngineError) -> any CompiledNetwork {
    let input = try suitableInput()
    guard threads > 0, streams > 0, inputShape.allSatisfy({ $0 > 0 }), Self.byteCount(inputShape) != nil else {
      throw refusal("a shape \(text(inputShape)) with \(threads) threads and \(streams) streams makes no sense")
    }
    guard input.shape.isEmpty || input.shape.count == inputShape.count else {
      throw refusal("its input has \(input.shape.count) axes (\(text(input.shape))), not \(inputShape.count)")
    }
    var graph = graph.withLock { $0.take() }
    if graph == nil { graph = try engine.graph(source, name: name) }
    guard let graph else { throw refusal("OpenVINO cannot read this network") }
    if input.shape != inputShape {
      try engine.reshape(graph, to: inputShape, name: name, sizeRefusal(inputShape))
      try checkProportions(after: engine.outputs(of: graph, name: name), inputShape)
    }
    return try engine.compile(graph, inputShape: inputShape, threads: threads, streams: streams, name: name)
  }

  /// The network's single input.
  private func suitableInput() throws(EngineError) -> Port {
    guard let input = inputs.first, inputs.count == 1 else {
      throw refusal("it has \(inputs.count) inputs, and only networks with one can be run")
    }
    guard let output = outputs.first else { throw refusal("it has no output") }
    guard input.isFloat32, output.isFloat32 else {
      throw refusal("its \(input.isFloat32 ? "output" : "input") is not of 32-bit floating point numbers")
    }
    return input
  }

  /// A size that is built into a network as a number may survive a new input shape: no error, but an output of another
  /// size, or as many images as it takes to hold the same number of pixels. So where an axis of input and output had the
  /// same length before, it must have it still; and as many tensors (axis 0) must come out as go in.
  private func checkProportions(after reshaped: [Port], _ inputShape: [Int]) throws(EngineError) {
    let before = (input: inputs[0].shape, output: outputs[0].shape)
    guard let after = reshaped.first?.shape, after.count == inputShape.count,
      before.input.count == after.count, before.output.count == after.count
    else { return }
    for axis in inputShape.indices where axis == 0 || before.input[axis] != nil {
      if before.input[axis] == before.output[axis] && after[axis] != inputShape[axis] {
        throw refusal("\(sizeRefusal(inputShape)): its output would become \(text(after))")
      }
    }
  }

  private func sizeRefusal(_ inputShape: [Int]) -> String {
    let own = inputs[0].shape
    let changesFixed = zip(own, inputShape).contains { $0 != nil && $0 != $1 }
    return changesFixed
      ? "its input has the fixed shape \(text(own)), which cannot be changed to \(text(inputShape))"
      : "its input (\(text(own))) cannot have the shape \(text(inputShape))"
  }

  private func refusal(_ reason: String) -> EngineError { EngineError(.refused, name: name, reason) }

  private func text(_ shape: [Int?]) -> String { shape.map { $0.map(String.init) ?? "?" }.joined(separator: " x ") }

  /// The size of a float32 tensor; nil where that is more than a number holds.
  static func byteCount(_ shape: [Int]) -> Int? {
    var count = MemoryLayout<Float>.size
    for length in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: length)
      if overflow { return nil }
      count = product
    }
    return count
  }
}
