// SPDX-License-Identifier: Apache-2.0
internal import Foundation

/// Operations on constants alone, as what normalisation makes of its learned numbers, are computed while the graph is
/// translated: exactly, and then rounded to the type that TensorFlow computes in.
extension GraphTranslation {
  /// Larger constants are left to the engine.
  private static let mostElements = 1 << 20

  private static let unary: [String: @Sendable (Double) -> Double] = [
    "Neg": { -$0 }, "Sqrt": { $0.squareRoot() }, "Rsqrt": { 1 / $0.squareRoot() }, "Square": { $0 * $0 },
    "Reciprocal": { 1 / $0 }, "Inv": { 1 / $0 }, "Exp": { exp($0) }, "Log": { log($0) }, "Abs": { abs($0) },
    "Relu": { max($0, 0) }, "Sigmoid": { 1 / (1 + exp(-$0)) }, "Tanh": { tanh($0) }, "Softplus": { log1p(exp($0)) },
    "Floor": { $0.rounded(.down) }, "Ceil": { $0.rounded(.up) },
  ]
  private static let binary: [String: @Sendable (Double, Double) -> Double] = [
    "AddV2": { $0 + $1 }, "Add": { $0 + $1 }, "BiasAdd": { $0 + $1 }, "Sub": { $0 - $1 }, "Mul": { $0 * $1 },
    "RealDiv": { $0 / $1 }, "Div": { $0 / $1 }, "Maximum": { max($0, $1) }, "Minimum": { min($0, $1) },
    "Pow": { pow($0, $1) }, "SquaredDifference": { ($0 - $1) * ($0 - $1) },
  ]

  /// What an operation makes of constants; `nil` where its inputs are none, or it is not computed here.
  mutating func folded(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> ConstantTensor? {
    guard case .constant(var first)? = inputs.first else { return nil }
    switch operation.kind {
    case "Reshape", "Squeeze", "ExpandDims":
      let argument = inputs.count > 1 ? try known(inputs[1])?.elements : nil
      let dimensions = first.shape.map { Dimension($0) }
      guard let target = Self.targetShape(operation, dimensions, argument) else { return nil }
      let shape = target.compactMap(\.number)
      guard shape.count == target.count, VariableBundle.count(shape) == first.count else {
        throw damaged("the node \(operation.name) gives its input an impossible shape")
      }
      first = builder.renumbered(first)
      first.shape = shape
      return first
    case "Cast":
      guard let type = operation.type("DstT") else { return nil }
      if type == first.type { return first }
      guard type.isFloatingPoint, first.count <= Self.mostElements else { return nil }
      let numbers = first.type.isFloatingPoint ? try first.floats() : try first.integers().map(Double.init)
      return try constant(numbers, type, first.shape, operation)
    default: break
    }
    guard first.type.isFloatingPoint, first.count <= Self.mostElements else { return nil }
    if let function = Self.unary[operation.kind], inputs.count == 1 {
      return try constant(first.floats().map(function), first.type, first.shape, operation)
    }
    guard let function = Self.binary[operation.kind], inputs.count == 2, case .constant(let second) = inputs[1],
      second.type == first.type, second.count <= Self.mostElements,
      let shape = Self.broadcast(first.shape, second.shape), let count = VariableBundle.count(shape),
      count <= Self.mostElements
    else { return nil }
    let numbers = (try first.floats(), try second.floats())
    let places = (Self.places(of: first.shape, in: shape), Self.places(of: second.shape, in: shape))
    return try constant(
      (0..<count).map { function(numbers.0[places.0($0)], numbers.1[places.1($0)]) }, first.type, shape, operation)
  }

  private mutating func constant(
    _ numbers: [Double], _ type: ElementType, _ shape: [Int], _ operation: TensorFlowOperation
  ) throws(ModelError) -> ConstantTensor {
    try take(numbers.count * type.size)
    return builder.constant(ConstantTensor.packed(numbers, as: type), type, shape, operation.name)
  }

  private static func broadcast(_ a: [Int], _ b: [Int]) -> [Int]? {
    let rank = max(a.count, b.count)
    let one = Array(repeating: 1, count: rank - a.count) + a
    let other = Array(repeating: 1, count: rank - b.count) + b
    guard zip(one, other).allSatisfy({ $0 == $1 || $0 == 1 || $1 == 1 }) else { return nil }
    return zip(one, other).map { $0 == 1 ? $1 : $0 }
  }

  /// Where the element that goes to a place of the broadcast shape stands.
  private static func places(of shape: [Int], in result: [Int]) -> (Int) -> Int {
    var strides: [(size: Int, inner: Int, step: Int)] = []
    var inner = 1, step = 1
    for axis in result.indices.reversed() {
      let place = axis - (result.count - shape.count)
      let size = place >= 0 ? shape[place] : 1
      strides.append((result[axis], inner, size == 1 ? 0 : step))
      inner *= result[axis]
      step *= size
    }
    return { index in strides.reduce(0) { $0 + index / $1.inner % $1.size * $1.step } }
  }
}
