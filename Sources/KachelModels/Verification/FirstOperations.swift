// SPDX-License-Identifier: Apache-2.0

/// What a network does to every pixel before it looks at neighbours: `(x - center) / spread`, as far as that shows.
///
/// Exporters put a normalisation in front. Its numbers tell which range of values the network was made for.
struct FirstOperations {
  enum Range {
    /// Pixel values as they are, in the tens and more.
    case raw
    /// 0 to 1.
    case unit
    /// Every tile is standardised by its own mean and deviation.
    case any
    case unknown
  }

  private(set) var range = Range.unknown
  /// The value that becomes 0, and the difference that becomes 1.
  private(set) var center = 0.0
  private(set) var spread = 1.0
  /// What every value is multiplied by first, where that is what comes first.
  private(set) var firstFactor: Double?

  /// An operation, its inputs and outputs by number.
  private struct Operation {
    var name: String
    var inputs: [Int]
    var output: Int
  }

  init(of graph: ModelGraph, file: String, member: String) {
    switch graph {
    case .onnx(let bytes):
      if let graph = try? ONNXGraph(bytes, file: file, member: member) { read(graph) }
    case .savedModel(let files):
      guard let graph = try? SavedModelGraph(files) else { return }
      let flow = graph.flow()
      var constants: [Int: [Double]] = [:]
      for (value, known) in flow.constants { constants[value] = known.numbers }
      for node in flow.nodes {
        if case .constant(let known) = node.step, let output = node.outputs.first { constants[output] = known.numbers }
      }
      follow(
        flow.nodes.compactMap { node in
          node.outputs.first.map { Operation(name: node.operation, inputs: node.inputs, output: $0) }
        }, constants, input: flow.input)
    case .classical: return
    }
  }

  private mutating func read(_ graph: ONNXGraph) {
    let model = graph.model.graph
    var numbers: [String: Int] = [:]
    func number(_ name: String) -> Int {
      if let number = numbers[name] { return number }
      numbers[name] = numbers.count
      return numbers.count - 1
    }
    var constants: [Int: [Double]] = [:]
    for tensor in model.initializer { constants[number(tensor.name)] = ONNXElementType.numbers(tensor) }
    for node in model.node where node.opType == "Constant" {
      guard let output = node.output.first, let value = node.attribute.first(where: { $0.name == "value" }) else {
        continue
      }
      constants[number(output)] = ONNXElementType.numbers(value.t)
    }
    let weights = Set(model.initializer.map(\.name))
    guard let input = model.input.first(where: { !weights.contains($0.name) }) else { return }
    follow(
      model.node.compactMap { node in
        node.output.first.map { Operation(name: node.opType, inputs: node.input.map(number), output: number($0)) }
      }, constants, input: number(input.name))
  }

  /// Follows the input through operations on single pixels.
  private mutating func follow(_ operations: [Operation], _ constants: [Int: [Double]], input: Int) {
    let readers = Dictionary(
      operations.flatMap { operation in operation.inputs.filter { $0 >= 0 }.map { ($0, [operation]) } },
      uniquingKeysWith: +)
    // What becomes of x so far: x * scale + shift.
    var (scale, shift, value) = (1.0, 0.0, input)
    var isTouched = false
    // Longer chains are none that an exporter writes.
    chain: for _ in 0..<64 {
      let next = (readers[value] ?? []).filter { $0.name != "Shape" && $0.name != "NoOp" }
      if next.contains(where: { $0.name.hasPrefix("Reduce") || $0.name == "Mean" }) {
        if !isTouched || next.count > 1 { range = .any }
        return
      }
      guard next.count == 1, let operation = next.first else { break }
      if Self.movements.contains(operation.name) {
        value = operation.output
        continue
      }
      guard operation.inputs.count == 2, let other = operation.inputs.first(where: { $0 != value }),
        let numbers = constants[other], !numbers.isEmpty
      else { break }
      let number = numbers.reduce(0, +) / Double(numbers.count)
      let isFirst = operation.inputs[0] == value
      switch operation.name {
      case "Add", "AddV2", "BiasAdd": shift += number
      case "Sub" where isFirst: shift -= number
      case "Mul":
        if !isTouched, numbers.allSatisfy({ $0 == number }) { firstFactor = number }
        (scale, shift) = (scale * number, shift * number)
      case "Div", "RealDiv":
        guard isFirst, number != 0 else { return }
        (scale, shift) = (scale / number, shift / number)
      default: break chain
      }
      isTouched = true
      value = operation.output
    }
    guard isTouched, scale != 0, scale.isFinite, shift.isFinite else { return }
    (center, spread) = (-shift / scale, abs(1 / scale))
    // A picture in 0 ... 1 has a deviation below 0.5, one of raw values mostly above 3.
    if center > 1.5 || spread > 3 {
      range = .raw
    } else if (-0.5...1.5).contains(center), spread < 0.75 {
      range = .unit
    }
  }

  private static let movements: Set = [
    "Transpose", "Reshape", "Identity", "Cast", "Squeeze", "Unsqueeze", "Flatten", "ReverseV2", "GatherV2", "Gather",
    "StridedSlice", "Slice", "ConcatV2", "EnsureShape", "StopGradient", "ReadVariableOp",
  ]
}

extension Known {
  /// The elements, where all are known numbers.
  fileprivate var numbers: [Double]? {
    guard let elements else { return nil }
    let numbers = elements.compactMap { $0?.number }
    return numbers.count == elements.count ? numbers : nil
  }
}
