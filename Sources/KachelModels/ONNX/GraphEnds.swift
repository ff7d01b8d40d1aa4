// SPDX-License-Identifier: Apache-2.0
package import KachelPixels

/// What a graph does at its two ends instead of its caller, so that less is copied to a GPU and back: pixels go in as they
/// are in the image, one or two bytes for a channel instead of four, and one byte for a pixel comes out instead of four for
/// each of its classes.
package struct GraphEnds: Sendable, Hashable {
  /// The type of the pixels that go in, of 8 or 16 bits without sign; `nil` where those are 32-bit floating point numbers
  /// that nothing is done to.
  package var pixels: PixelType?
  /// What they are divided by.
  package var divisor: Float
  /// Whether the number of each pixel's class comes out, see ``noClass``, instead of the scores of all classes. The class is
  /// the one with the highest score, the first of equals.
  package var choosesClasses: Bool
  /// Whether scores are logits, of which one may be that of the probability 0.
  package var areLogits: Bool

  /// What comes out instead of a class, where scores are not numbers.
  package static let noClass: UInt8 = 255

  package init(pixels: PixelType? = nil, divisor: Float = 1, choosesClasses: Bool = false, areLogits: Bool = false) {
    (self.pixels, self.divisor) = (pixels, divisor)
    (self.choosesClasses, self.areLogits) = (choosesClasses, areLogits)
  }
}

extension ModelGraph {
  /// The graph with these ends. The names of the input and the output stay.
  ///
  /// - Throws: ``ModelError``: `unsupported` where it is not ONNX of version 9 or later whose axes are batch, height, width
  ///   and channels, where it does not have 2 to 255 classes, or where pixels are of another type.
  package func with(_ ends: GraphEnds, file: String) throws(ModelError) -> ModelGraph {
    guard case .onnx(let bytes) = self else {
      throw ModelError(.unsupported, file: file, "only ONNX graphs take pixels and give classes")
    }
    var editor = try ONNXEditor(bytes, file: file, member: nil)
    if let pixels = ends.pixels { try editor.take(pixels, dividedBy: ends.divisor) }
    if ends.choosesClasses { try editor.chooseClasses(ofLogits: ends.areLogits) }
    return try editor.graph()
  }
}

extension ONNXEditor {
  fileprivate mutating func take(_ pixels: PixelType, dividedBy divisor: Float) throws(ModelError) {
    let elements: [PixelType: Int32] = [.uint8: ONNXElementType.uint8, .uint16: ONNXElementType.uint16]
    guard let element = elements[pixels] else { throw fail(.unsupported, "graphs do not take \(pixels) pixels") }
    var builder = builder
    var value = builder.add("Cast", [inputName], [.integer("to", Int(ONNXElementType.float32))])
    if divisor != 1 { value = builder.add("Div", [value, builder.floats([divisor], shape: [])]) }
    redirectReaders(of: inputName, to: value)
    insert(builder, at: 0)
    inputElement = element
  }

  /// Compares class by class instead of by ArgMax, which does not say which of equals it takes on a GPU, gives eight bytes
  /// for a pixel, and does not tell what is not a number.
  fileprivate mutating func chooseClasses(ofLogits areLogits: Bool) throws(ModelError) {
    guard opset >= 9, outputLayout == .channelsLast, let classes = outputChannelCount,
      2...Int(GraphEnds.noClass) ~= classes
    else { throw fail(.unsupported, "classes are chosen in graphs of 2 to \(GraphEnds.noClass) classes only") }
    let scores = try renameOutput()
    var builder = builder
    let infinity = builder.floats([.infinity], shape: [])
    func score(_ index: Int) -> String {
      builder.add("Gather", [scores, builder.integers([index])], [.integer("axis", 3)])
    }
    func isNumber(_ score: String) -> String {
      builder.add("Less", [areLogits ? score : builder.add("Abs", [score]), infinity])
    }
    var (best, label) = (score(0), builder.byte(0))
    var areNumbers = isNumber(best)
    for index in 1..<classes {
      let next = score(index), isHigher = builder.add("Greater", [next, best])
      label = builder.add("Where", [isHigher, builder.byte(UInt8(index)), label])
      best = builder.add("Where", [isHigher, next, best])
      areNumbers = builder.add("And", [areNumbers, isNumber(next)])
    }
    if areLogits {
      let isPossible = builder.add("Greater", [best, builder.floats([-.infinity], shape: [])])
      areNumbers = builder.add("And", [areNumbers, isPossible])
    }
    builder.add("Where", [areNumbers, label, builder.byte(GraphEnds.noClass)], output: outputName)
    insert(builder, at: document.model.graph.node.count)
    outputShape[3].dimValue = 1
    outputElement = ONNXElementType.uint8
  }
}
