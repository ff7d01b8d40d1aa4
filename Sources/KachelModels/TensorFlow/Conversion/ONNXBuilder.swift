// SPDX-License-Identifier: Apache-2.0
private import Foundation
internal import SwiftProtobuf

/// An ONNX graph that grows operation by operation.
struct ONNXBuilder {
  struct Node {
    var operation: String
    var inputs: [String]
    var outputs: [String]
    var attributes: [ONNX_AttributeProto]
    /// Where it stands, as TensorFlow calls it.
    var name: String
  }

  /// A constant of the graph, of which the numbers are brought into their order when the file is written.
  struct Initializer {
    var constant: ConstantTensor
    /// Which of the constant's axes each axis is, before the shape is changed.
    var permutation: [Int]
    var shape: [Int]
    /// Factors along an axis of the shape, from the normalisation behind a convolution.
    var scale: (axis: Int, factors: [Double])?
  }

  let opset: Int
  private(set) var inputs: [ONNX_ValueInfoProto] = []
  var nodes: [Node] = []
  var initializers: [String: Initializer] = [:]

  private var names: Set<String> = []
  /// With which number a name that is taken is tried next.
  private var numbers: [String: Int] = [:]
  private var constants: [ConstantKey: String] = [:]
  private var constantCount = 0
  private var transposes: [TransposeKey: String] = [:]
  private var shapes: [String: String] = [:]
  private var sizes: [Dimension: String] = [:]

  private struct ConstantKey: Hashable {
    var id: Int
    var permutation: [Int]
    var shape: [Int]
  }
  private struct TransposeKey: Hashable {
    var name: String
    var order: [Int]
  }

  init(opset: Int) { self.opset = opset }

  // MARK: Names

  /// The name, or with a number where another value has it.
  mutating func unique(_ name: String) -> String {
    if names.insert(name).inserted { return name }
    var number = numbers[name, default: 1]
    while !names.insert("\(name)_\(number)").inserted { number += 1 }
    numbers[name] = number + 1
    return "\(name)_\(number)"
  }

  /// Gives values other names; a node or constant that has a name wanted gives it up.
  mutating func rename(_ pairs: [(from: String, to: String)]) {
    var table = Dictionary(pairs, uniquingKeysWith: { first, _ in first })
    let existing = Set(nodes.flatMap(\.outputs)).union(initializers.keys)
    for (_, name) in pairs where existing.contains(name) && table[name] == nil { table[name] = unique("\(name)/value") }
    for index in nodes.indices {
      nodes[index].inputs = nodes[index].inputs.map { table[$0] ?? $0 }
      nodes[index].outputs = nodes[index].outputs.map { table[$0] ?? $0 }
    }
    for (from, to) in table {
      if let initializer = initializers.removeValue(forKey: from) { initializers[to] = initializer }
    }
  }

  mutating func addInput(_ name: String, _ type: ElementType, _ shape: [Int?], axes: [String]) -> GraphTensor {
    let name = unique(name)
    inputs.append(
      Self.value(
        name, type, zip(shape, axes).map { size, axis in size.map { .dimValue(Int64($0)) } ?? .dimParam(axis) }))
    let dimensions = shape.indices.map { axis in shape[axis].map { Dimension($0) } ?? Dimension(axis: axis, of: name) }
    return GraphTensor(name: name, type: type, shape: dimensions, order: Array(shape.indices))
  }

  static func value(
    _ name: String, _ type: ElementType, _ shape: [ONNX_TensorShapeProto.Dimension.OneOf_Value?]
  ) -> ONNX_ValueInfoProto {
    .with {
      $0.name = name
      $0.type.tensorType.elemType = type.rawValue
      $0.type.tensorType.shape.dim = shape.map { size in .with { $0.value = size } }
    }
  }

  // MARK: Operations

  /// - Returns: the name of the node's output, or of the first of them.
  @discardableResult
  mutating func emit(
    _ operation: String, _ inputs: [String], _ name: String, _ attributes: [ONNX_AttributeProto?] = [],
    outputs count: Int = 1
  ) -> [String] {
    let name = unique(name)
    let outputs = [name] + (1..<max(1, count)).map { unique("\(name):\($0)") }
    nodes.append(
      Node(
        operation: operation, inputs: inputs, outputs: outputs, attributes: attributes.compactMap { $0 }, name: name))
    return outputs
  }

  /// An operation of one output.
  mutating func add(
    _ operation: String, _ inputs: [String], _ name: String, _ attributes: [ONNX_AttributeProto?] = []
  ) -> String { emit(operation, inputs, name, attributes)[0] }

  /// An operation whose list of axes is an attribute up to a version of the operators, and an input from it on.
  mutating func add(
    _ operation: String, _ input: String, axes: [Int], inputFrom version: Int, _ name: String,
    _ attributes: [ONNX_AttributeProto?] = []
  ) -> String {
    opset >= version
      ? add(operation, [input, integers(axes, "\(name)/axes")], name, attributes)
      : add(operation, [input], name, attributes + [.init("axes", axes)])
  }

  // MARK: Constants

  /// A constant of the converter's own.
  mutating func constant(
    _ bytes: [UInt8], _ type: ElementType, _ shape: [Int], _ name: String
  ) -> ConstantTensor {
    constantCount += 1
    return ConstantTensor(name: name, id: constantCount, type: type, shape: shape, source: .bytes(bytes))
  }

  mutating func constant(_ variable: VariableBundle.Variable, _ name: String) -> ConstantTensor {
    constantCount += 1
    return ConstantTensor(
      name: name, id: constantCount, type: ElementType(variable.type), shape: variable.shape,
      source: .variable(variable))
  }

  /// The same constant as one of its own, to be given another shape.
  mutating func renumbered(_ constant: ConstantTensor) -> ConstantTensor {
    constantCount += 1
    return ConstantTensor(
      name: constant.name, id: constantCount, type: constant.type, shape: constant.shape, source: constant.source)
  }

  /// The name of a constant in the graph, with its axes in another order and then of another shape.
  mutating func initializer(_ constant: ConstantTensor, permutation: [Int]? = nil, shape: [Int]? = nil) -> String {
    let permutation = permutation ?? Array(constant.shape.indices)
    let shape = shape ?? permutation.map { constant.shape[$0] }
    let key = ConstantKey(id: constant.id, permutation: permutation, shape: shape)
    if let name = constants[key] { return name }
    let name = unique(constant.name)
    constants[key] = name
    initializers[name] = Initializer(constant: constant, permutation: permutation, shape: shape)
    return name
  }

  /// A list of integers, as for axes.
  mutating func integers(_ numbers: [Int], _ name: String, isScalar: Bool = false) -> String {
    let bytes = ConstantTensor.packed(numbers.map { Int64($0) })
    return initializer(constant(bytes, .int64, isScalar ? [] : [numbers.count], name))
  }

  mutating func scalar(_ number: Double, _ type: ElementType, _ name: String) -> String {
    let bytes =
      type.isFloatingPoint
      ? ConstantTensor.packed([number], as: type) : ConstantTensor.packed([Int(number)], as: type) ?? []
    return initializer(constant(bytes, type, [], name))
  }

  // MARK: Order of axes

  /// The same tensor with its axes in the order that an operation needs.
  mutating func arranged(_ tensor: GraphTensor, _ order: [Int]) -> GraphTensor {
    guard tensor.order != order else { return tensor }
    var result = tensor
    result.order = order
    let key = TransposeKey(name: tensor.name, order: order.map { tensor.place(of: $0) })
    if let name = transposes[key] {
      result.name = name
    } else {
      let permutation = order.map { tensor.place(of: $0) }
      result.name = add("Transpose", [tensor.name], "\(tensor.name)/transpose", [.init("perm", permutation)])
      transposes[key] = result.name
    }
    return result
  }

  mutating func inOrder(_ tensor: GraphTensor) -> GraphTensor { arranged(tensor, Array(0..<tensor.rank)) }

  // MARK: Sizes that are computed when the graph runs

  /// A vector of 64-bit integers.
  mutating func vector(_ sizes: [Dimension], _ name: String) -> String {
    let numbers = sizes.compactMap(\.number)
    if numbers.count == sizes.count { return integers(numbers, name) }
    // Neighbouring numbers are one part.
    var parts: [String] = [], run: [Int] = []
    func flush(_ builder: inout Self) {
      if !run.isEmpty { parts.append(builder.integers(run, name)) }
      run = []
    }
    for size in sizes {
      if let number = size.number {
        run.append(number)
      } else {
        flush(&self)
        parts.append(element(size, name))
      }
    }
    flush(&self)
    return parts.count == 1 ? parts[0] : add("Concat", parts, name, [.init("axis", 0)])
  }

  /// A vector of one 64-bit integer.
  private mutating func element(_ size: Dimension, _ name: String) -> String {
    if let number = size.number { return integers([number], name) }
    if let known = sizes[size] { return known }
    var sum: String?
    for term in size.terms {
      var product: String?
      for factor in term.factors {
        let next = element(factor, name)
        product = product.map { add("Mul", [$0, next], "\(name)/product") } ?? next
      }
      if term.coefficient != 1 || product == nil {
        let coefficient = integers([term.coefficient], "\(name)/factor")
        product = product.map { add("Mul", [$0, coefficient], "\(name)/product") } ?? coefficient
      }
      sum = sum.map { add("Add", [$0, product ?? ""], "\(name)/sum") } ?? product
    }
    let result = sum ?? integers([0], name)
    sizes[size] = result
    return result
  }

  private mutating func element(_ unknown: Dimension.Unknown, _ name: String) -> String {
    switch unknown.kind {
    case .axis(let value, let axis):
      let shape = shapes[value] ?? add("Shape", [value], "\(value)/shape")
      shapes[value] = shape
      return add("Gather", [shape, integers([axis], "\(name)/axis")], "\(value)/size", [.init("axis", 0)])
    case .quotient(let dividend, let divisor):
      // Sizes are not negative, so that rounding towards 0 is rounding down.
      return add("Div", [element(dividend, name), integers([divisor], "\(name)/divisor")], "\(name)/quotient")
    }
  }
}

extension ONNX_AttributeProto {
  init(_ name: String, _ value: Int) {
    self = .with { ($0.name, $0.i, $0.type) = (name, Int64(value), 2) }
  }
  init(_ name: String, _ value: Float) {
    self = .with { ($0.name, $0.f, $0.type) = (name, value, 1) }
  }
  init(_ name: String, _ value: String) {
    self = .with { ($0.name, $0.s, $0.type) = (name, Data(value.utf8), 3) }
  }
  init(_ name: String, _ values: [Int]) {
    self = .with { ($0.name, $0.ints, $0.type) = (name, values.map { Int64($0) }, 7) }
  }
  init(_ name: String, tensor: ONNX_TensorProto) {
    self = .with { ($0.name, $0.t, $0.type) = (name, tensor, 4) }
  }
}
