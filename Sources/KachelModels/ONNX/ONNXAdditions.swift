// SPDX-License-Identifier: Apache-2.0
internal import Foundation
internal import SwiftProtobuf

/// The names of an ONNX graph's values and operations.
struct ONNXNames {
  private var taken: Set<String> = []
  private var count = 0

  init(_ graph: ONNX_GraphProto) { collect(graph, depth: 0) }

  private mutating func collect(_ graph: ONNX_GraphProto, depth: Int) {
    taken.formUnion(graph.initializer.map(\.name))
    taken.formUnion(graph.sparseInitializer.map(\.values.name))
    taken.formUnion((graph.input + graph.output + graph.valueInfo).map(\.name))
    for node in graph.node {
      taken.insert(node.name)
      taken.formUnion(node.input)
      taken.formUnion(node.output)
      // Deeper graphs than this do not get through the parser.
      guard depth < 100 else { continue }
      for graph in node.graphs { collect(graph, depth: depth + 1) }
    }
  }

  /// A name that nothing has yet.
  mutating func fresh(_ purpose: String) -> String {
    while true {
      count += 1
      let name = "kachel_\(purpose)_\(count)"
      if taken.insert(name).inserted { return name }
    }
  }

  /// The values that an operation reads, with those that the graphs inside it read.
  static func read(by node: ONNX_NodeProto, depth: Int = 0) -> [String] {
    guard depth < 100 else { return [] }
    return node.input
      + node.graphs.flatMap { graph in
        graph.output.map(\.name) + graph.node.flatMap { read(by: $0, depth: depth + 1) }
      }
  }

  /// Names of the graph around are not given again in the graphs inside an operation, so they mean the same there.
  static func rename(_ name: String, to other: String, inputsOf node: inout ONNX_NodeProto, depth: Int = 0) {
    for (index, input) in node.input.enumerated() where input == name { node.input[index] = other }
    guard depth < 100, node.graphs.contains(where: { _ in true }) else { return }
    func rename(_ graph: inout ONNX_GraphProto) {
      for index in graph.node.indices {
        Self.rename(name, to: other, inputsOf: &graph.node[index], depth: depth + 1)
      }
      for index in graph.output.indices where graph.output[index].name == name { graph.output[index].name = other }
    }
    for index in node.attribute.indices {
      if node.attribute[index].hasG { rename(&node.attribute[index].g) }
      for graph in node.attribute[index].graphs.indices { rename(&node.attribute[index].graphs[graph]) }
    }
  }
}

extension ONNX_NodeProto {
  /// The graphs inside the operation, as the body of a loop.
  fileprivate var graphs: [ONNX_GraphProto] { attribute.flatMap { ($0.hasG ? [$0.g] : []) + $0.graphs } }
}

/// New operations for an ONNX graph, each behind those whose values it reads.
struct ONNXAdditions {
  private(set) var names: ONNXNames
  private(set) var nodes: [ONNX_NodeProto] = []
  private(set) var initializers: [ONNX_TensorProto] = []

  init(_ names: ONNXNames) { self.names = names }

  enum Attribute {
    case integer(String, Int)
    case integers(String, [Int])

    fileprivate var proto: ONNX_AttributeProto {
      .with {
        switch self {
        case .integer(let name, let value): ($0.name, $0.i, $0.type) = (name, Int64(value), 2)
        case .integers(let name, let values): ($0.name, $0.ints, $0.type) = (name, values.map(Int64.init), 7)
        }
      }
    }
  }

  /// - Returns: the name of the operation's result.
  @discardableResult
  mutating func add(
    _ operation: String, _ inputs: [String], _ attributes: [Attribute] = [], output: String? = nil
  ) -> String {
    let name = names.fresh(operation)
    let result = output ?? name
    nodes.append(
      .with {
        ($0.name, $0.opType, $0.input, $0.output) = (name, operation, inputs, [result])
        $0.attribute = attributes.map(\.proto)
      })
    return result
  }

  mutating func integers(_ values: [Int]) -> String {
    constant(7, [values.count], values.map(Int64.init))
  }

  mutating func floats(_ values: [Float], shape: [Int]) -> String { constant(1, shape, values.map(\.bitPattern)) }

  mutating func byte(_ value: UInt8) -> String { constant(ONNXElementType.uint8, [], [value]) }

  private mutating func constant<T: FixedWidthInteger>(_ type: Int32, _ shape: [Int], _ values: [T]) -> String {
    let name = names.fresh("constant")
    initializers.append(
      .with {
        ($0.name, $0.dataType, $0.dims) = (name, type, shape.map(Int64.init))
        $0.rawData = values.reduce(into: Data()) { data, value in
          withUnsafeBytes(of: value.littleEndian) { data.append(contentsOf: $0) }
        }
      })
    return name
  }

  mutating func add(_ step: PixelStep, after input: String, layout: ImageLayout, opset: Int) -> String {
    switch step {
    case .channels(let order):
      // One by one: of a single Gather in another order than the reversed one, OpenVINO 2026.4 computes the inverse.
      let axis = layout == .channelsFirst ? 1 : 3
      let channels = order.map { add("Gather", [input, integers([$0])], [.integer("axis", axis)]) }
      return add("Concat", channels, [.integer("axis", axis)])
    case .arithmetic(let arithmetic, let numbers):
      let operation =
        switch arithmetic {
        case .add: "Add"
        case .subtract: "Sub"
        case .multiply: "Mul"
        case .divide: "Div"
        }
      let shape = numbers.count == 1 ? [] : layout == .channelsFirst ? [numbers.count, 1, 1] : [numbers.count]
      return add(operation, [input, floats(numbers, shape: shape)])
    case .standardization(let divisor): return standardization(input, divisor, opset: opset)
    }
  }

  private mutating func standardization(_ input: String, _ divisor: PixelStep.Divisor, opset: Int) -> String {
    func mean(_ value: String) -> String {
      // The axes became an input with version 18.
      opset >= 18
        ? add("ReduceMean", [value, integers([1, 2, 3])], [.integer("keepdims", 1)])
        : add("ReduceMean", [value], [.integers("axes", [1, 2, 3]), .integer("keepdims", 1)])
    }
    let difference = add("Sub", [input, mean(input)])
    let deviation = add("Sqrt", [mean(add("Mul", [difference, difference]))])
    if case .deviation(let epsilon) = divisor {
      return add("Div", [difference, add("Add", [deviation, floats([epsilon], shape: [])])])
    }
    let sizes = add("Gather", [add("Shape", [input]), integers([1, 2, 3])], [.integer("axis", 0)])
    let count = add("Cast", [add("ReduceProd", [sizes], [.integer("keepdims", 0)])], [.integer("to", 1)])
    let least = add("Reciprocal", [add("Sqrt", [count])])
    return add("Div", [difference, add("Max", [deviation, least])])
  }
}
