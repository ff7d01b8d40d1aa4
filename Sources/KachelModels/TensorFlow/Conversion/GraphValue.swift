// SPDX-License-Identifier: Apache-2.0

/// What an output of a TensorFlow operation is while the graph is translated: as much of it as possible is known
/// before the converted graph runs.
enum GraphValue: Sendable {
  case constant(ConstantTensor)
  /// Integers that are computed from sizes, as shapes are.
  case sizes(SizeTensor)
  /// Computed when the converted graph runs.
  case tensor(GraphTensor)
  /// A variable before it is read.
  case variable(VariableReference)
  /// An image that is cut into blocks, in which a convolution sees every n-th pixel.
  case blocks(DilatedBlocks)
}

/// Integers that are known as formulas.
struct SizeTensor: Sendable {
  var elements: [Dimension]
  var shape: [Int]
  var type: ElementType
}

/// A value of the ONNX graph. Its axes may lie in another order than TensorFlow's, as channels come first in ONNX's
/// convolutions; what is said of its shape and axes is said in TensorFlow's order.
struct GraphTensor: Sendable {
  var name: String
  var type: ElementType
  var shape: [Dimension]
  /// Which of TensorFlow's axes each axis of the ONNX value is.
  var order: [Int]

  static let channelsFirst = [0, 3, 1, 2]

  init(name: String, type: ElementType, shape: [Dimension], order: [Int]) {
    (self.name, self.type, self.shape, self.order) = (name, type, shape, order)
  }

  /// A value with the shape given, of which sizes that are not known are asked of the value itself.
  init(_ name: String, _ type: ElementType, _ shape: [Dimension?], order: [Int]) {
    let known = shape.enumerated().map { axis, size in
      size ?? Dimension(axis: order.firstIndex(of: axis) ?? axis, of: name)
    }
    self.init(name: name, type: type, shape: known, order: order)
  }

  var rank: Int { shape.count }
  var isInOrder: Bool { order == Array(0..<order.count) }
  /// The shape of the ONNX value.
  var laidOut: [Dimension] { order.map { shape[$0] } }

  /// Where one of TensorFlow's axes is in the ONNX value.
  func place(of axis: Int) -> Int { order.firstIndex(of: axis) ?? axis }

  /// A value of the same shape.
  func named(_ name: String) -> Self {
    var tensor = self
    tensor.name = name
    return tensor
  }

  /// A value without some of the axes; the others stay in their order.
  func without(_ axes: Set<Int>, _ name: String) -> Self {
    let kept = (0..<rank).filter { !axes.contains($0) }
    return Self(
      name: name, type: type, shape: kept.map { shape[$0] }, order: order.compactMap { kept.firstIndex(of: $0) })
  }
}

enum VariableReference: Sendable {
  /// The number of an object in the saved program.
  case object(Int)
  /// The names that a variable has in the main graph, the best one first.
  case names([String])
}

/// `SpaceToBatchND`, a convolution and `BatchToSpaceND` are one convolution of spread-out pixels, which is what is
/// written when the last one is met.
struct DilatedBlocks: Sendable {
  let image: GraphTensor
  let block: [Int]
  /// What is added around the image before it is cut: the start and end of each axis.
  let padding: [[Dimension]]
  /// The operations on the blocks, with their inputs besides the blocks.
  var steps: [(operation: TensorFlowOperation, inputs: [GraphValue])] = []
}
