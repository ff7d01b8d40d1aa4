// SPDX-License-Identifier: Apache-2.0

/// The inputs and outputs of a network, and which shapes go through it.
struct NetworkPorts: Sendable {
  /// What errors call the network.
  let name: String
  let inputs: [Port]
  let outputs: [Port]

  /// The network's single input, where it may be prepared for that shape.
  func checkedInput(
    for inputShape: [Int], _ elements: ElementTypes, threads: Int, streams: Int
  ) throws(EngineError) -> Port {
    guard let input = inputs.first, inputs.count == 1 else {
      throw refusal("it has \(inputs.count) inputs, and only networks with one can be run")
    }
    guard let output = outputs.first else { throw refusal("it has no output") }
    guard input.element == elements.input else { throw refusal("its input is not of \(elements.input)") }
    guard output.element == elements.output else { throw refusal("its output is not of \(elements.output)") }
    guard threads > 0, streams > 0, inputShape.allSatisfy({ $0 > 0 }),
      Self.byteCount(inputShape, elements.input) != nil
    else {
      throw refusal("a shape \(text(inputShape)) with \(threads) threads and \(streams) streams makes no sense")
    }
    guard input.shape.isEmpty || input.shape.count == inputShape.count else {
      throw refusal("its input has \(input.shape.count) axes (\(text(input.shape))), not \(inputShape.count)")
    }
    return input
  }

  /// A size that is built into a network as a number may survive a new input shape: no error, but an output of another
  /// size, or as many images as it takes to hold the same number of pixels. So where an axis of input and output had the
  /// same length before, it must have it still; and as many tensors (axis 0) must come out as go in.
  ///
  /// - Parameter after: The shape of the first output, as the engine states it for the new shape.
  func checkProportions(of after: [Int?]?, for inputShape: [Int]) throws(EngineError) {
    let before = (input: inputs[0].shape, output: outputs[0].shape)
    guard let after, after.count == inputShape.count,
      before.input.count == after.count, before.output.count == after.count
    else { return }
    for axis in inputShape.indices where axis == 0 || before.input[axis] != nil {
      if before.input[axis] == before.output[axis] && after[axis] != inputShape[axis] {
        throw refusal("\(sizeRefusal(inputShape)): its output would become \(text(after))")
      }
    }
  }

  func sizeRefusal(_ inputShape: [Int]) -> String {
    changesFixed(inputShape)
      ? "its input has the fixed shape \(text(inputs[0].shape)), which cannot be changed to \(text(inputShape))"
      : "its input (\(text(inputs[0].shape))) cannot have the shape \(text(inputShape))"
  }

  /// Whether the shape has another length where the network fixes one.
  func changesFixed(_ inputShape: [Int]) -> Bool {
    zip(inputs[0].shape, inputShape).contains { $0 != nil && $0 != $1 }
  }

  func refusal(_ reason: String) -> EngineError { EngineError(.refused, name: name, reason) }

  private func text(_ shape: [Int?]) -> String { shape.map { $0.map(String.init) ?? "?" }.joined(separator: " x ") }

  /// The size of a tensor; nil where that is more than a number holds.
  static func byteCount(_ shape: [Int], _ element: ElementType) -> Int? {
    var count = element.size
    for length in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: length)
      if overflow { return nil }
      count = product
    }
    return count
  }
}
