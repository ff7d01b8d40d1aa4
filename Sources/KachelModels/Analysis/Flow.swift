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
    var place = Place()
  }

  /// Where in its file a node is.
  struct Place {
    /// What it is called; its output's name where it has none.
    var name = ""
    /// The name of its first output: for TensorFlow, which names no outputs, the node's.
    var result = ""
    /// The function that it is part of; empty in the graph itself.
    var function = ""
  }

  var nodes: [Node] = []
  var valueCount = 0
  var constants: [Int: Known] = [:]
  /// The image, of the axes batch, height, width, channels, or of ``layout``'s.
  var input = -1
  var inputName = ""
  var inputShape: [Int?] = []
  var layout = ImageLayout.channelsLast
  var output = -1

  mutating func newValue() -> Int {
    defer { valueCount += 1 }
    return valueCount
  }
}

/// Numbers that an operation takes: an attribute, or the content of an input.
enum Numbers {
  case fixed([Int])
  case input(Int)
}

/// What an operation does to the axes of an image. An axis is counted from the end where it is negative.
enum Step {
  /// Every element as it is.
  case same
  /// Every element as another type of number; whole numbers cut off fractions.
  case cast(toWhole: Bool)
  /// Every element on its own; what the other inputs hold does not matter.
  case pointwise(Function?)
  /// Element by element over all inputs, which are broadcast.
  case elementwise(Arithmetic?)
  /// A sliding window. Input 0 is the image, input 1 are weights where it has some.
  case window(Window)
  /// Squares of pixels become channels, or channels squares of pixels; the window's axes start at `first`.
  case pixelShuffle(block: Int, first: Int, isToDepth: Bool)
  /// Pixels `block` apart become images of their own along the batch, or are put together again. Input 1 has the block,
  /// input 2 what is added or cut off before and after each of the axes from 1 on.
  case blocks(isInverse: Bool)
  case transpose(Numbers?)
  case reverse(Numbers)
  case concatenate(axis: Numbers, count: Int)
  /// Scalars become a vector, vectors rows.
  case stack(axis: Int)
  case reshape(Numbers)
  case squeeze(Numbers?)
  case unsqueeze(Numbers)
  case slice(starts: Numbers, axes: Numbers?, steps: Numbers?, ends: Numbers?)
  case stridedSlice(StridedSliceMasks)
  /// All amounts before and then all after, or both for each axis in turn.
  case pad(Numbers, axes: Numbers?, isByAxis: Bool)
  /// One number out of all along some axes; all axes where they are `nil`.
  case reduce(Reduction?, axes: Numbers?, keepsAxes: Bool, isNothingWithoutAxes: Bool)
  /// Like a softmax: elements depend on all others along some axes.
  case normalize(axes: ClosedRange<Int>)
  case resize(Resize)
  case globalPool(Reduction?)
  case shape(start: Int, end: Int?)
  case gather(axis: Int)
  case split(axis: Numbers)
  case matrixProduct
  case expand
  case constant(Known)
  /// One number in all places of a shape, the number in an input where it is not given.
  case fill(Double?)
  /// Depends on the whole image, but keeps its axes.
  case global
  /// What it does is not known, or not to be followed for the reason given.
  case unknown(why: String? = nil)

  enum Function { case square, squareRoot, floor, ceiling, round }

  enum Arithmetic {
    case add, subtract, multiply, divide, floorDivide, modulo, power, squaredDifference, maximum, minimum, negate
  }

  enum Reduction { case mean, sum, maximum, minimum, product }

  /// A convolution or a pooling, or the transposition of one. Numbers are for the axes from `first` on.
  struct Window {
    var isTransposed = false
    /// `nil` where the weights have the sizes, along their axes from `weightsFirst` on.
    var kernel: [Int]?
    var weightsFirst = 0
    var strides: [Int]
    var dilations: [Int]
    var padding: Padding
    /// Whether a last window that is not full counts.
    var roundsUp = false
    /// What a transposed window's output has more than it must.
    var outputPadding: [Int] = []
    /// The output's sizes, of all axes or those of the window only.
    var outputSizes: Numbers?
    /// Whether the padding holds although sizes are given; otherwise it follows from them.
    var isCutAsGiven = false
    var first: Int
    var channels = Channels.kept
    var hasWeights = false
  }

  enum Padding {
    case fixed(before: [Int], after: [Int])
    /// As much as makes the output as large as the input, divided by the stride; an odd pixel comes after, or before.
    case same(isOddAfter: Bool)
  }

  /// How many channels come out of a window.
  enum Channels {
    case kept, unknown
    /// The size of that axis of the weights.
    case weights(axis: Int)
  }

  /// Other sizes for the axes named, by factors or by the sizes themselves, in these inputs.
  struct Resize {
    var scales: Int?
    var sizes: Int?
    var axes: [Int]?
    var filter: Filter
    var place: Place
    /// Whether a smaller image is the mean of more pixels.
    var isAntialiased = false

    enum Filter {
      case floor, ceiling, roundHalfDown, roundHalfUp
      case linear, cubic
    }

    /// Whether an image `up` times as large and a `down`th of it has pixels that are weighed by numbers which floating
    /// point does not hold: engines compute them from the pixel's place, and round them by it. OpenVINO 2026.4 and ONNX
    /// Runtime 1.32 give a pixel values that differ by 1e-4 in tiles that begin elsewhere.
    func weighsUnevenly(up: Int, down: Int) -> Bool {
      guard filter == .linear || filter == .cubic else { return false }
      return up & (up - 1) != 0 || down & (down - 1) != 0
    }

    /// Where the output's pixel `j` lies in the input, for a factor `f`.
    enum Place {
      /// (j + 0.5) / f - 0.5
      case centers
      /// j / f
      case corners
      /// (j + 0.5) / f, of which the whole part is meant
      case centersInCorners
    }
  }

  struct StridedSliceMasks {
    var begin = 0
    var end = 0
    var ellipsis = 0
    var newAxis = 0
    var shrink = 0
  }
}
