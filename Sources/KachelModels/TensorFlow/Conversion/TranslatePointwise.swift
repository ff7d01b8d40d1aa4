// SPDX-License-Identifier: Apache-2.0
private import Foundation
internal import SwiftProtobuf

/// Operations that compute each element from the elements at the same place.
extension GraphTranslation {
  /// Operations of one input that ONNX has too.
  private static let same: [String: String] = [
    "Relu": "Relu", "Sigmoid": "Sigmoid", "Tanh": "Tanh", "Softplus": "Softplus", "Softsign": "Softsign", "Exp": "Exp",
    "Log": "Log", "Sqrt": "Sqrt", "Neg": "Neg", "Abs": "Abs", "Sign": "Sign", "Floor": "Floor", "Ceil": "Ceil",
    "Round": "Round", "Rint": "Round", "Reciprocal": "Reciprocal", "Inv": "Reciprocal", "Sin": "Sin", "Cos": "Cos",
    "Tan": "Tan", "Asin": "Asin", "Acos": "Acos", "Atan": "Atan", "Sinh": "Sinh", "Cosh": "Cosh", "Erf": "Erf",
    "LogicalNot": "Not", "IsNan": "IsNaN",
  ]
  /// Operations of several inputs, which are broadcast.
  private static let broadcast: [String: String] = [
    "AddV2": "Add", "Add": "Add", "BiasAdd": "Add", "Sub": "Sub", "Mul": "Mul", "RealDiv": "Div", "Div": "Div",
    "Maximum": "Max", "Minimum": "Min", "Pow": "Pow", "AddN": "Sum", "LogicalAnd": "And", "LogicalOr": "Or",
  ]
  private static let comparisons: [String: String] = [
    "Greater": "Greater", "GreaterEqual": "GreaterOrEqual", "Less": "Less", "LessEqual": "LessOrEqual",
    "Equal": "Equal", "NotEqual": "Equal",
  ]

  mutating func pointwise(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor? {
    let name = operation.name
    if let kind = Self.broadcast[operation.kind] {
      return try combine(kind, operation, inputs)
    }
    if let kind = Self.comparisons[operation.kind] {
      let isNot = operation.kind == "NotEqual"
      var result = try combine(kind, operation, inputs, name: isNot ? "\(name)/equal" : name)
      result.type = .bool
      return isNot ? unary("Not", result, name) : result
    }
    switch operation.kind {
    case "SquaredDifference":
      let difference = try combine("Sub", operation, inputs, name: "\(name)/difference")
      return square(difference, name)
    case "FloorDiv":
      let quotient = try combine("Div", operation, inputs, name: "\(name)/quotient")
      // ONNX rounds the quotient of integers towards 0, which differs below it.
      guard quotient.type.isFloatingPoint else { throw unsupported(operation, "its integers are not known") }
      return unary("Floor", quotient, name)
    case "DivNoNan":
      let divisor = try tensor(1, inputs, operation)
      let zero = GraphValue.tensor(scalar(0, divisor.type, "\(name)/zero"))
      let isZero = try combine("Equal", operation, [.tensor(divisor), zero], name: "\(name)/is_zero")
      let quotient = try combine("Div", operation, inputs, name: "\(name)/quotient")
      return try combine("Where", operation, [.tensor(isZero), zero, .tensor(quotient)], name: name)
    case "SelectV2": return try combine("Where", operation, inputs)
    case "Select":
      let condition = try tensor(0, inputs, operation)
      let choice = try tensor(1, inputs, operation)
      guard condition.rank == 0 || condition.rank == choice.rank else {
        throw unsupported(operation, "its condition has fewer axes than its values")
      }
      return try combine("Where", operation, inputs)
    case "ClipByValue":
      let bounded = try combine(
        "Min", operation, [input(0, inputs, operation), input(2, inputs, operation)], name: "\(name)/minimum")
      return try combine("Max", operation, [.tensor(bounded), input(1, inputs, operation)], name: name)
    default: return try unary(operation, inputs)
    }
  }

  private mutating func unary(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor? {
    let name = operation.name
    func one(_ translation: inout Self) throws(ModelError) -> GraphTensor {
      try translation.tensor(0, inputs, operation)
    }
    if let kind = Self.same[operation.kind] { return unary(kind, try one(&self), name) }
    switch operation.kind {
    case "Relu6":
      let input = try one(&self)
      let bounds = [0, 6].map { builder.scalar($0, input.type, "\(name)/bound") }
      return input.named(builder.add("Clip", [input.name] + bounds, name))
    case "LeakyRelu":
      return unary("LeakyRelu", try one(&self), name, [.init("alpha", operation.number("alpha", 0.2))])
    case "Elu": return unary("Elu", try one(&self), name, [.init("alpha", Float(1))])
    case "Selu":
      // The constants of ONNX' first versions differ in their last digits from TensorFlow's.
      return unary(
        "Selu", try one(&self), name,
        [
          .init("alpha", 1.6732632423543772848170429916717 as Float),
          .init("gamma", 1.0507009873554804934193349852946 as Float),
        ])
    case "Square": return square(try one(&self), name)
    case "Rsqrt": return unary("Reciprocal", unary("Sqrt", try one(&self), "\(name)/sqrt"), name)
    case "Erfc":
      let negative = unary("Neg", unary("Erf", try one(&self), "\(name)/erf"), "\(name)/negative")
      return number("Add", negative, 1, name)
    case "Log1p":
      let input = try one(&self)
      return unary("Log", number("Add", input, 1, "\(name)/sum"), name)
    case "Expm1": return number("Sub", unary("Exp", try one(&self), "\(name)/exp"), 1, name)
    case "Cast":
      var input = try one(&self)
      guard let type = operation.type("DstT") else { throw unsupported(operation, "its type is not translated") }
      guard type != input.type else { return input }
      input.name = builder.add("Cast", [input.name], name, [.init("to", Int(type.rawValue))])
      input.type = type
      return input
    case "ZerosLike", "OnesLike":
      let input = try one(&self)
      return filled(
        input.shape, scalar: operation.kind == "OnesLike" ? 1 : 0, input.type, order: input.order, name)
    case "Softmax", "LogSoftmax":
      var input = try one(&self)
      guard input.rank > 0 else { throw damaged("the node \(name) has no axis") }
      // Before version 13 everything from the axis on is one axis, which is right for the last one only.
      if builder.opset < 13, input.place(of: input.rank - 1) != input.rank - 1 { input = builder.inOrder(input) }
      return unary(operation.kind, input, name, [.init("axis", input.place(of: input.rank - 1))])
    default: return nil
    }
  }

  // MARK: Parts of translations

  mutating func unary(
    _ kind: String, _ input: GraphTensor, _ name: String, _ attributes: [ONNX_AttributeProto] = []
  ) -> GraphTensor { input.named(builder.add(kind, [input.name], name, attributes)) }

  mutating func square(_ input: GraphTensor, _ name: String) -> GraphTensor {
    input.named(builder.add("Mul", [input.name, input.name], name))
  }

  /// An operation with a number as its second input.
  mutating func number(_ kind: String, _ input: GraphTensor, _ number: Double, _ name: String) -> GraphTensor {
    input.named(builder.add(kind, [input.name, builder.scalar(number, input.type, "\(name)/number")], name))
  }

  mutating func scalar(_ number: Double, _ type: ElementType, _ name: String) -> GraphTensor {
    GraphTensor(name: builder.scalar(number, type, name), type: type, shape: [], order: [])
  }

  /// A tensor of one number everywhere.
  mutating func filled(
    _ shape: [Dimension], scalar: Double, _ type: ElementType, order: [Int], _ name: String
  ) -> GraphTensor {
    let value = ONNX_TensorProto.with {
      $0.dims = [1]
      $0.dataType = type.rawValue
      $0.rawData = .init(
        type.isFloatingPoint
          ? ConstantTensor.packed([scalar], as: type) : ConstantTensor.packed([Int(scalar)], as: type) ?? [])
    }
    let sizes = builder.vector(order.map { shape[$0] }, "\(name)/shape")
    return GraphTensor(
      name: builder.add("ConstantOfShape", [sizes], name, [.init("value", tensor: value)]), type: type, shape: shape,
      order: order)
  }

  /// An operation over inputs that are broadcast to one shape, in the order of axes that saves most transposes.
  mutating func combine(
    _ kind: String, _ operation: TensorFlowOperation, _ inputs: [GraphValue], name: String? = nil
  ) throws(ModelError) -> GraphTensor {
    let name = name ?? operation.name
    guard !inputs.isEmpty else { throw damaged("the node \(operation.name) lacks an input") }
    var inputs = inputs
    if operation.kind == "BiasAdd", operation.isChannelsFirst, inputs.count == 2 {
      inputs[1] = .tensor(try aligned(bias: tensor(1, inputs, operation), with: tensor(0, inputs, operation), name))
    }
    var shapes: [[Dimension]] = [], orders: [[Int]] = [], type = ElementType.float
    for input in inputs {
      switch input {
      case .constant(let constant):
        shapes.append(constant.shape.map { Dimension($0) })
        type = constant.type
      case .sizes(let sizes):
        shapes.append(sizes.shape.map { Dimension($0) })
        type = sizes.type
      default:
        let tensor = try tensor(input, operation)
        shapes.append(tensor.shape)
        orders.append(tensor.order)
        type = tensor.type
      }
    }
    let rank = shapes.map(\.count).max() ?? 0
    let candidates = orders.filter { $0.count == rank }
    let order = candidates.first { $0 != Array(0..<rank) } ?? Array(0..<rank)
    var names: [String] = []
    for input in inputs {
      names.append(try aligned(input, rank: rank, order, operation, dropsAxes: !candidates.isEmpty))
    }
    let output = builder.add(kind, names, name)
    return GraphTensor(output, type, broadcast(shapes, rank: rank), order: order)
  }

  /// The name of an operand with as many axes as the result, or fewer where axes of size 1 come first.
  private mutating func aligned(
    _ value: GraphValue, rank: Int, _ order: [Int], _ operation: TensorFlowOperation, dropsAxes: Bool
  ) throws(ModelError) -> String {
    if case .constant(let constant) = value {
      let added = rank - constant.shape.count
      let full = Array(repeating: 1, count: added) + constant.shape
      let permutation = order.filter { $0 >= added }.map { $0 - added }
      let shape = order.map { full[$0] }
      return builder.initializer(
        constant, permutation: permutation, shape: dropsAxes ? Array(shape.drop { $0 == 1 }) : shape)
    }
    var tensor = try tensor(value, operation)
    guard tensor.rank > 0 else { return tensor.name }
    let added = rank - tensor.rank
    if added > 0, !tensor.isInOrder || order != Array(0..<rank) {
      tensor = builder.inOrder(tensor)
      tensor.name = builder.add(
        "Unsqueeze", tensor.name, axes: Array(0..<added), inputFrom: 13, "\(tensor.name)/unsqueeze")
      tensor.shape = Array(repeating: Dimension(1), count: added) + tensor.shape
      tensor.order = Array(0..<rank)
    }
    return added > 0 && tensor.rank < rank ? tensor.name : builder.arranged(tensor, order).name
  }

  /// A bias of one number per channel where channels are the second axis.
  private mutating func aligned(bias: GraphTensor, with tensor: GraphTensor, _ name: String) -> GraphTensor {
    guard bias.rank == 1, tensor.rank > 2 else { return bias }
    let axes = Array(1..<tensor.rank - 1)
    var result = bias
    result.name = builder.add("Unsqueeze", bias.name, axes: axes, inputFrom: 13, "\(name)/unsqueeze")
    result.shape += axes.map { _ in Dimension(1) }
    result.order = Array(result.shape.indices)
    return result
  }

  /// The common shape of operands; `nil` for sizes that only the run tells.
  private func broadcast(_ shapes: [[Dimension]], rank: Int) -> [Dimension?] {
    (0..<rank).map { axis in
      let sizes = shapes.compactMap { shape -> Dimension? in
        let place = axis - (rank - shape.count)
        return place >= 0 ? shape[place] : nil
      }.filter { $0.number != 1 }
      guard let first = sizes.first else { return Dimension(1) }
      if sizes.allSatisfy({ $0 == first }) { return first }
      return sizes.first { $0.number != nil }
    }
  }
}
