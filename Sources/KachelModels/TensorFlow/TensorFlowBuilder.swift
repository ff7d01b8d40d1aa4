// SPDX-License-Identifier: Apache-2.0
internal import SwiftProtobuf

/// New operations for a TensorFlow graph or for one of its functions.
struct TensorFlowBuilder {
  private(set) var nodes: [TF_NodeDef] = []
  private var taken: Set<String>
  private var count = 0
  /// In a function a value is named by its operation, its output's name and a number.
  private let isFunction: Bool

  /// - Parameter taken: Names that are given already.
  init(taken: Set<String>, isFunction: Bool) { (self.taken, self.isFunction) = (taken, isFunction) }

  enum Element: Int32 { case float32 = 1, int32 = 3, int64 = 9 }

  private static func type(_ element: Element) -> TF_AttrValue { .with { $0.type = element.rawValue } }
  private static func flag(_ value: Bool) -> TF_AttrValue { .with { $0.b = value } }
  private static func integer(_ value: Int64) -> TF_AttrValue { .with { $0.i = value } }
  private static let float = ["T": type(.float32)]

  /// - Parameter output: The name of the operation's output, as the operation's definition has it.
  /// - Returns: the reference of the result.
  mutating func add(
    _ operation: String, _ inputs: [String], _ output: String, _ attributes: [String: TF_AttrValue]
  ) -> String {
    var name = ""
    repeat {
      count += 1
      name = "kachel_\(operation)_\(count)"
    } while !taken.insert(name).inserted
    nodes.append(
      .with {
        ($0.name, $0.op, $0.input, $0.attr) = (name, operation, inputs, attributes)
      })
    return isFunction ? "\(name):\(output):0" : name
  }

  /// - Parameter isScalar: Whether the constant is a number by itself, not a vector of one.
  mutating func integers(_ values: [Int], _ element: Element = .int32, isScalar: Bool = false) -> String {
    constant(element, isScalar ? [] : [values.count]) {
      if element == .int64 {
        $0.int64Val = values.map(Int64.init)
      } else {
        $0.intVal = values.map { Int32(clamping: $0) }
      }
    }
  }

  mutating func floats(_ values: [Float]) -> String {
    constant(.float32, values.count == 1 ? [] : [values.count]) { $0.floatVal = values }
  }

  private mutating func constant(
    _ element: Element, _ shape: [Int], _ fill: (inout TF_TensorProto) -> Void
  ) -> String {
    let tensor = TF_TensorProto.with {
      $0.dtype = element.rawValue
      $0.tensorShape.dim = shape.map { size in .with { $0.size = Int64(size) } }
      fill(&$0)
    }
    return add("Const", [], "output", ["dtype": Self.type(element), "value": .with { $0.tensor = tensor }])
  }

  mutating func add(_ step: PixelStep, after input: String) -> String {
    switch step {
    case .channels(let order):
      let parts = add(
        "Split", [integers([3], isScalar: true), input], "output",
        ["num_split": Self.integer(Int64(order.count)), "T": Self.type(.float32)])
      return concatenate(order.map { $0 == 0 ? parts : isFunction ? "\(parts.dropLast())\($0)" : "\(parts):\($0)" })
    case .arithmetic(let arithmetic, let numbers):
      let operation =
        switch arithmetic {
        case .add: "AddV2"
        case .subtract: "Sub"
        case .multiply: "Mul"
        case .divide: "RealDiv"
        }
      return add(operation, [input, floats(numbers)], "z", Self.float)
    case .standardization(let divisor): return standardization(input, divisor)
    }
  }

  /// The operations of TensorFlow's own `per_image_standardization`, or with another divisor.
  private mutating func standardization(_ input: String, _ divisor: PixelStep.Divisor) -> String {
    let integer = ["T": Self.type(.int32)]
    func reduction(_ type: Element, keepsAxes: Bool) -> [String: TF_AttrValue] {
      ["T": Self.type(type), "Tidx": Self.type(.int32), "keep_dims": Self.flag(keepsAxes)]
    }
    let axes = integers([1, 2, 3])
    let mean = add("Mean", [input, axes], "output", reduction(.float32, keepsAxes: true))
    let difference = add("Sub", [input, mean], "z", Self.float)
    let square = add("Square", [difference], "y", Self.float)
    let variance = add("Mean", [square, axes], "output", reduction(.float32, keepsAxes: true))
    let deviation = add("Sqrt", [variance], "y", Self.float)
    if case .deviation(let epsilon) = divisor {
      let sum = add("AddV2", [deviation, floats([epsilon])], "z", Self.float)
      return add("RealDiv", [difference, sum], "z", Self.float)
    }
    let shape = add("Shape", [input], "output", ["T": Self.type(.float32), "out_type": Self.type(.int32)])
    let masks = ["begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"].map {
      ($0, Self.integer(0))
    }
    let sizes = add(
      "StridedSlice", [shape, integers([1]), integers([4]), integers([1])], "output",
      integer.merging(["Index": Self.type(.int32)]) { one, _ in one }.merging(masks) { one, _ in one })
    let product = add("Prod", [sizes, integers([0])], "output", reduction(.int32, keepsAxes: false))
    let count = add(
      "Cast", [product], "y",
      ["SrcT": Self.type(.int32), "DstT": Self.type(.float32), "Truncate": Self.flag(false)])
    let least = add("Rsqrt", [count], "y", Self.float)
    let divisor = add("Maximum", [deviation, least], "z", Self.float)
    return add("RealDiv", [difference, divisor], "z", Self.float)
  }

  /// Probabilities of numbers.
  mutating func scores(_ function: ScoreFunction, of value: String) -> String {
    switch function {
    case .sigmoid: add("Sigmoid", [value], "y", Self.float)
    case .softmax: add("Softmax", [value], "softmax", Self.float)
    }
  }

  /// `value` and `1 - value` as two channels.
  mutating func complement(_ value: String) -> String {
    let other = add("Sub", [floats([1]), value], "z", Self.float)
    return concatenate([value, other])
  }

  private mutating func concatenate(_ channels: [String]) -> String {
    add(
      "ConcatV2", channels + [integers([3], isScalar: true)], "output",
      ["N": Self.integer(Int64(channels.count)), "T": Self.type(.float32), "Tidx": Self.type(.int32)])
  }

  /// A vector with something added.
  mutating func add(_ difference: [Int], to vector: String, _ element: Element) -> String {
    add("AddV2", [vector, integers(difference, element)], "z", ["T": Self.type(element)])
  }

  /// The same vector of single numbers with some of them replaced.
  mutating func repack(_ pack: TF_NodeDef, _ numbers: [Int: Int], _ element: Element) -> String {
    var inputs = pack.input
    for (place, number) in numbers.sorted(by: { $0.key < $1.key }) where inputs.indices.contains(place) {
      inputs[place] = integers([number], element, isScalar: true)
    }
    return add("Pack", inputs, "output", pack.attr.filter { $0.key != "_output_shapes" })
  }
}
