// SPDX-License-Identifier: Apache-2.0

/// A network as far as the flow of its image is concerned, in one form for ONNX and TensorFlow.
struct Flow {
  /// One operation. Values are numbers; -1 stands for an input that is left out.
  struct Node {
    var operation: String
    var step: Step
    var inputs: [Int]
    var outputs: [Int]
    /// Values that are read besides the inputs, as by the body of a loop.
    var hidden: [Int] = []
  }

  var nodes: [Node] = []
  var valueCount = 0
  var constants: [Int: Known] = [:]
  /// The image, of the axes batch, height, width, channels.
  var input = -1
  var inputShape: [Int?] = []
  var output = -1

  mutating func newValue() -> Int {
    defer { valueCount += 1 }
    return valueCount
  }
}

/// A value that does not depend on pixels, but perhaps on how many there are.
struct Known: Sendable {
  var shape: [Int]?
  /// The elements of a small vector or scalar.
  var elements: [Extent?]?

  init(shape: [Int]? = nil, elements: [Extent?]? = nil) {
    self.shape = shape
    self.elements = elements
  }

  init(_ numbers: [Double], shape: [Int]? = nil) {
    self.init(shape: shape ?? [numbers.count], elements: numbers.map { Extent(constant: $0) })
  }
}

/// A number of pixels: `y` times the image's height and `x` times its width, and a constant.
struct Extent: Hashable, Sendable {
  var y = 0.0
  var x = 0.0
  var constant = 0.0

  /// The number, where it does not depend on the image's size.
  var number: Double? { y == 0 && x == 0 ? constant : nil }
  var integer: Int? { number.flatMap { Int(exactly: $0) } }

  static func + (a: Self, b: Self) -> Self {
    Self(y: a.y + b.y, x: a.x + b.x, constant: a.constant + b.constant)
  }

  static func * (a: Self, factor: Double) -> Self {
    Self(y: a.y * factor, x: a.x * factor, constant: a.constant * factor)
  }
}

/// Numbers that an operation takes: an attribute, or the content of an input.
enum Numbers {
  case fixed([Int])
  case input(Int)
}

/// What an operation does to the axes of an image. An axis is counted from the end where it is negative.
enum Step {
  /// Every element on its own; what the other inputs hold does not matter.
  case same
  /// Element by element over all inputs, which are broadcast.
  case elementwise(Arithmetic?)
  /// A sliding window over the axes from `first` on: distances between pixels are multiplied by `scale`. Input 0 is
  /// the image, further inputs are weights.
  case window(scale: [Double], first: Int, channels: Channels)
  /// Distances along the axes from 1 on are multiplied by the numbers in input 1, or divided by them.
  case blocks(isInverse: Bool)
  case transpose(Numbers?)
  case concatenate(axis: Numbers, count: Int)
  /// Scalars become a vector.
  case stack
  case reshape(Numbers)
  case squeeze(Numbers?)
  case unsqueeze(Numbers)
  case slice(starts: Numbers, axes: Numbers?, steps: Numbers?, ends: Numbers?)
  case stridedSlice(StridedSliceMasks)
  case pad
  /// One number out of all along some axes; all axes where they are `nil`.
  case reduce(axes: Numbers?, keepsAxes: Bool, isNothingWithoutAxes: Bool)
  /// Like a softmax: elements depend on all others along some axes.
  case normalize(axes: ClosedRange<Int>)
  /// Other sizes for the axes named, by factors or by the sizes themselves, in these inputs.
  case resize(scales: Int?, sizes: Int?, axes: [Int]?)
  case globalPool
  case shape(start: Int, end: Int?)
  case gather(axis: Int)
  case split(axis: Numbers)
  case matrixProduct
  case expand
  case constant(Known)
  /// Depends on the whole image, but keeps its axes.
  case global
  /// What it does is not known.
  case unknown

  enum Arithmetic { case add, subtract, multiply, divide, maximum, minimum, negate }

  /// How many channels come out of a window.
  enum Channels {
    case kept, unknown
    /// The size of that axis of the weights.
    case weights(axis: Int)
  }

  struct StridedSliceMasks {
    var begin = 0
    var end = 0
    var ellipsis = 0
    var newAxis = 0
    var shrink = 0
  }
}
