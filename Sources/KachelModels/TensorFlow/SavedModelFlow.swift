// SPDX-License-Identifier: Apache-2.0
private import Foundation

extension SavedModelGraph {
  /// The operations from the signature's input to its output, with the functions that are called written out.
  func flow(layout: ImageLayout = .channelsLast) -> Flow {
    var builder = SavedModelFlowBuilder(functions: functions, layout: layout)
    return builder.build(meta.graphDef, signature)
  }
}

private struct SavedModelFlowBuilder {
  let functions: [String: TF_FunctionDef]
  private var flow = Flow()
  /// Functions may call each other in circles, or double in size with every level.
  private static let maximumDepth = 32
  /// Operations and references to values that are still written out.
  private var remaining = 1_000_000

  init(functions: [String: TF_FunctionDef], layout: ImageLayout) {
    self.functions = functions
    flow.layout = layout
  }

  mutating func build(_ graph: TF_GraphDef, _ signature: TF_SignatureDef) -> Flow {
    var names = Names()
    add(graph.node, &names, depth: 0)
    if signature.inputs.count == 1, let input = signature.inputs.values.first {
      flow.input = value(input.name, &names)
      flow.inputName = nodeName(input.name)
      flow.inputShape = SavedModelGraph.shape(input.tensorShape) ?? []
    }
    if signature.outputs.count == 1, let output = signature.outputs.values.first {
      flow.output = value(output.name, &names)
    }
    return flow
  }

  /// The values of one graph or of one call of a function, by node and number of output.
  private struct Names {
    var values: [String: Int] = [:]
    /// Which function's they are; empty for the graph's.
    var function = ""
  }

  /// A reference is `node`, `node:1`, or in functions `node:output:1`; the last number counts the outputs.
  private mutating func value(_ reference: String, _ names: inout Names) -> Int {
    let parts = reference.split(separator: ":", omittingEmptySubsequences: false)
    let index = parts.count > 1 ? Int(parts[parts.count - 1]) ?? 0 : 0
    let key = "\(parts[0]):\(index)"
    if let value = names.values[key] { return value }
    let value = flow.newValue()
    names.values[key] = value
    return value
  }

  private mutating func add(_ nodes: [TF_NodeDef], _ names: inout Names, depth: Int) {
    for node in nodes {
      guard remaining > 0 else { return }
      remaining -= 1 + node.input.count
      let inputs = node.input.filter { !$0.hasPrefix("^") }.map { value($0, &names) }
      let isCall = node.op == "PartitionedCall" || node.op == "StatefulPartitionedCall"
      let called = isCall ? node.attr["f"].flatMap { SavedModelGraph.functionNames($0).first } : nil
      if let function = called.flatMap({ functions[$0] }), depth < Self.maximumDepth {
        call(function, node.name, inputs, &names, depth: depth)
      } else {
        let reader = TensorFlowNode(node: node, inputCount: inputs.count)
        if node.op == "IdentityN" {
          for (index, input) in inputs.enumerated() {
            append("Identity", .same, [input], [value("\(node.name):\(index)", &names)], node.name, names)
          }
          continue
        }
        let outputs = (0..<reader.outputCount).map { value("\(node.name):\($0)", &names) }
        append(node.op, reader.step, reader.order(inputs), outputs, node.name, names)
      }
    }
  }

  private mutating func append(
    _ operation: String, _ step: Step, _ inputs: [Int], _ outputs: [Int], _ name: String, _ names: Names
  ) {
    remaining -= outputs.count
    let place = Flow.Place(name: name, result: name, function: names.function)
    flow.nodes.append(Flow.Node(operation: operation, step: step, inputs: inputs, outputs: outputs, place: place))
  }

  private mutating func call(
    _ function: TF_FunctionDef, _ name: String, _ inputs: [Int], _ outer: inout Names, depth: Int
  ) {
    remaining -= function.signature.outputArg.count
    var names = Names(function: function.signature.name)
    for (argument, input) in zip(function.signature.inputArg, inputs) { names.values["\(argument.name):0"] = input }
    add(function.nodeDef, &names, depth: depth + 1)
    for (index, result) in function.signature.outputArg.enumerated() {
      guard let source = function.ret[result.name] else { continue }
      append("Identity", .same, [value(source, &names)], [value("\(name):\(index)", &outer)], name, outer)
    }
  }
}

/// One TensorFlow operation and its attributes.
private struct TensorFlowNode {
  let node: TF_NodeDef
  let inputCount: Int

  private func flag(_ name: String) -> Bool { node.attr[name]?.b ?? false }
  private func integer(_ name: String, _ standard: Int = 0) -> Int {
    node.attr[name].flatMap { Int(exactly: $0.i) } ?? standard
  }
  /// None where there are more than any operation has axes: a node may be written out very often.
  private func integers(_ name: String) -> [Int] {
    guard let list = node.attr[name]?.list.i, list.count <= 64 else { return [] }
    return list.compactMap { Int(exactly: $0) }
  }
  private var isChannelsFirst: Bool { node.attr["data_format"]?.s == Data("NCHW".utf8) }

  var outputCount: Int {
    switch node.op {
    case "Split", "SplitV": max(1, min(4096, integer("num_split", 1)))
    case "Unpack": max(1, min(4096, integer("num", 1)))
    default: 1
    }
  }

  /// The image first.
  func order(_ inputs: [Int]) -> [Int] {
    switch node.op {
    case "Conv2DBackpropInput" where inputs.count == 3: [inputs[2], inputs[1], inputs[0]]
    case "Split" where inputs.count == 2: [inputs[1], inputs[0]]
    default: inputs
    }
  }

  private static let pointwise: Set = [
    "Abs", "BiasAdd", "CheckNumerics", "Cos", "Elu", "Erf", "Exp", "Expm1", "Inv", "IsFinite", "IsNan", "LeakyRelu",
    "Log", "Log1p", "LogicalNot", "Reciprocal", "Relu", "Relu6", "Rsqrt", "Selu", "Sigmoid", "Sign", "Sin", "Softplus",
    "Softsign", "Tanh", "ZerosLike", "OnesLike",
  ]
  private static let functions: [String: Step.Function] = [
    "Floor": .floor, "Ceil": .ceiling, "Rint": .round, "Round": .round, "Sqrt": .squareRoot, "Square": .square,
  ]
  private static let broadcast: [String: Step.Arithmetic?] = [
    "Add": .add, "AddV2": .add, "Sub": .subtract, "Mul": .multiply, "RealDiv": .divide, "Div": .divide,
    "FloorDiv": .floorDivide, "DivNoNan": nil, "Maximum": .maximum, "Minimum": .minimum, "Pow": .power,
    "SquaredDifference": .squaredDifference, "Greater": nil, "GreaterEqual": nil, "Less": nil, "LessEqual": nil,
    "Equal": nil, "NotEqual": nil, "LogicalAnd": nil, "LogicalOr": nil, "Select": nil, "SelectV2": nil, "AddN": nil,
    "ClipByValue": nil, "FloorMod": .modulo,
  ]
  private static let reductions: [String: Step.Reduction] = [
    "Mean": .mean, "Sum": .sum, "Max": .maximum, "Min": .minimum, "Prod": .product,
  ]

  var step: Step {
    if Self.pointwise.contains(node.op) { return .pointwise(nil) }
    if let function = Self.functions[node.op] { return .pointwise(function) }
    if let arithmetic = Self.broadcast[node.op] { return .elementwise(arithmetic) }
    switch node.op {
    case "EnsureShape", "Identity", "PreventGradient", "ReadVariableOp", "Snapshot", "StopGradient": return .same
    case "Cast": return .cast(toWhole: Self.isWhole(node.attr["DstT"]?.type))
    case "Mean", "Sum", "Max", "Min", "Prod", "All", "Any", "EuclideanNorm":
      return .reduce(
        Self.reductions[node.op], axes: .input(1), keepsAxes: flag("keep_dims"), isNothingWithoutAxes: true)
    case "ArgMax", "ArgMin": return .reduce(nil, axes: .input(1), keepsAxes: false, isNothingWithoutAxes: true)
    default: return movement ?? .unknown()
    }
  }

  private static func isWhole(_ type: Int32?) -> Bool {
    type.map { [3, 4, 5, 6, 9, 17, 22, 23].contains($0) } ?? false
  }

  private var movement: Step? {
    switch node.op {
    case "Neg": return .elementwise(.negate)
    case "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3":
      return node.attr["is_training"]?.b == false ? .pointwise(nil) : .global
    case "Conv2D": return window(channels: .weights(axis: 3), hasWeights: true)
    case "Conv2DBackpropInput": return window(isTransposed: true, channels: .weights(axis: 2), hasWeights: true)
    case "DepthwiseConv2dNative": return window(channels: .unknown, hasWeights: true)
    case "MaxPool", "AvgPool": return window(channels: .kept, hasWeights: false)
    case "DepthToSpace", "SpaceToDepth":
      let size = integer("block_size", 1)
      guard size >= 1, size <= 64 else { return nil }
      return .pixelShuffle(block: size, first: isChannelsFirst ? 2 : 1, isToDepth: node.op == "SpaceToDepth")
    case "SpaceToBatchND": return .blocks(isInverse: false)
    case "BatchToSpaceND": return .blocks(isInverse: true)
    case "ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic": return resize
    case "Softmax", "LogSoftmax": return .normalize(axes: -1...(-1))
    case "Pad", "PadV2", "MirrorPad": return .pad(.input(1), axes: nil, isByAxis: true)
    case "ReverseV2": return .reverse(.input(1))
    case "Fill": return .fill(nil)
    case "Transpose": return .transpose(.input(1))
    case "ConcatV2":
      return inputCount > 1 ? .concatenate(axis: .input(inputCount - 1), count: inputCount - 1) : nil
    case "Pack": return .stack(axis: integer("axis"))
    case "Reshape": return .reshape(.input(1))
    case "Squeeze":
      let axes = integers("squeeze_dims")
      return .squeeze(axes.isEmpty ? nil : .fixed(axes))
    case "ExpandDims": return .unsqueeze(.input(1))
    case "StridedSlice":
      return .stridedSlice(
        Step.StridedSliceMasks(
          begin: integer("begin_mask"), end: integer("end_mask"), ellipsis: integer("ellipsis_mask"),
          newAxis: integer("new_axis_mask"), shrink: integer("shrink_axis_mask")))
    case "Split": return .split(axis: .input(1))
    case "SplitV": return .split(axis: .input(2))
    case "Shape": return .shape(start: 0, end: nil)
    case "MatMul", "BatchMatMulV2": return .matrixProduct
    case "Tile": return .expand
    case "Const": return .constant(constant)
    case "VarHandleOp":
      let shape = node.attr["shape"].flatMap { SavedModelGraph.shape($0.shape) }?.map { $0 ?? 0 }
      return .constant(Known(shape: shape.flatMap { $0.count <= FlowAnalysis.mostAxes ? $0 : nil }))
    default: return nil
    }
  }

  private func window(isTransposed: Bool = false, channels: Step.Channels, hasWeights: Bool) -> Step? {
    let first = isChannelsFirst ? 2 : 1
    /// The numbers for height and width out of a list for all four axes.
    func spatial(_ name: String) -> [Int]? {
      let list = integers(name)
      return list.count == 4 ? Array(list[first..<first + 2]) : nil
    }
    guard let strides = spatial("strides"), strides.allSatisfy({ $0 >= 1 && $0 <= 1 << 16 }) else { return nil }
    let padding: Step.Padding
    switch node.attr["padding"].map({ String(decoding: $0.s, as: UTF8.self) }) {
    case "SAME": padding = .same(isOddAfter: true)
    case "VALID": padding = .fixed(before: [0, 0], after: [0, 0])
    case "EXPLICIT":
      let list = integers("explicit_paddings")
      guard list.count == 8 else { return nil }
      padding = .fixed(
        before: [list[2 * first], list[2 * first + 2]], after: [list[2 * first + 1], list[2 * first + 3]])
    default: return nil
    }
    return .window(
      Step.Window(
        isTransposed: isTransposed, kernel: hasWeights ? nil : spatial("ksize") ?? [0, 0], strides: strides,
        dilations: spatial("dilations") ?? [1, 1], padding: padding, outputSizes: isTransposed ? .input(2) : nil,
        isCutAsGiven: true, first: first, channels: channels, hasWeights: hasWeights))
  }

  private var resize: Step? {
    if flag("align_corners") {
      return .unknown(why: "it stretches by a factor that depends on the image's size (align_corners)")
    }
    let isNearest = node.op == "ResizeNearestNeighbor", isCentered = flag("half_pixel_centers")
    return .resize(
      Step.Resize(
        sizes: 1, axes: [1, 2], filter: isNearest ? .floor : node.op == "ResizeBilinear" ? .linear : .cubic,
        place: !isCentered ? .corners : isNearest ? .centersInCorners : .centers))
  }

  private var constant: Known {
    guard let tensor = node.attr["value"]?.tensor, let sizes = SavedModelGraph.shape(tensor.tensorShape) else {
      return Known()
    }
    guard sizes.count <= FlowAnalysis.mostAxes else { return Known() }
    let shape = sizes.map { $0 ?? 0 }
    guard let count = FlowAnalysis.count(shape), count <= Known.mostElements else { return Known(shape: shape) }
    var numbers: [Double] = []
    if !tensor.tensorContent.isEmpty {
      numbers = tensor.tensorContent.withUnsafeBytes { raw -> [Double] in
        switch tensor.dtype {
        case 1 where raw.count == count * 4:
          (0..<count).map { Double(raw.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self)) }
        case 3 where raw.count == count * 4:
          (0..<count).map { Double(raw.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self)) }
        case 9 where raw.count == count * 8:
          (0..<count).map { Double(raw.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self)) }
        default: []
        }
      }
    } else {
      guard max(tensor.floatVal.count, tensor.intVal.count, tensor.int64Val.count) <= 64 else {
        return Known(shape: shape)
      }
      switch tensor.dtype {
      case 1: numbers = tensor.floatVal.map(Double.init)
      case 3: numbers = tensor.intVal.map(Double.init)
      case 9: numbers = tensor.int64Val.map(Double.init)
      default: break
      }
      // The last number stands for all that follow; none at all stands for zeros.
      if numbers.count < count, [1, 3, 9].contains(tensor.dtype) {
        numbers += Array(repeating: numbers.last ?? 0, count: count - numbers.count)
      }
    }
    return numbers.count == count
      ? Known(numbers, shape: shape, isWhole: Self.isWhole(tensor.dtype)) : Known(shape: shape)
  }
}
