// SPDX-License-Identifier: Apache-2.0
private import Foundation

extension ONNXGraph {
  /// The graph's operations by what they do to an image's axes.
  func flow(input: ONNX_ValueInfoProto?, layout: ImageLayout) -> Flow {
    var flow = Flow()
    flow.layout = layout
    var values: [String: Int] = [:]
    func value(_ name: String) -> Int {
      if name.isEmpty { return -1 }
      if let value = values[name] { return value }
      let value = flow.newValue()
      values[name] = value
      return value
    }

    for tensor in model.graph.initializer { flow.constants[value(tensor.name)] = Self.known(tensor) }
    if let input {
      flow.input = value(input.name)
      flow.inputName = input.name
      flow.inputShape = input.type.tensorType.shape.dim.map(Self.size)
    }
    for node in model.graph.node {
      let isStandard = node.isStandard
      let reader = ONNXNode(node: node, opset: opset ?? 1)
      flow.nodes.append(
        Flow.Node(
          operation: node.opType, step: isStandard ? reader.step : .unknown(), inputs: node.input.map(value),
          outputs: node.output.map(value),
          hidden: node.attribute.flatMap { Self.names(in: $0) }.map(value),
          place: Flow.Place(
            name: node.place, result: node.output.first ?? "")))
    }
    flow.output = model.graph.output.first.map { value($0.name) } ?? -1
    return flow
  }

  static func known(_ tensor: ONNX_TensorProto) -> Known {
    let isPlain = tensor.dims.count <= FlowAnalysis.mostAxes && ONNXElementType.count(tensor) != nil
    let shape = isPlain ? tensor.dims.map { Int($0) } : nil
    let isWhole = ONNXElementType.isWhole(tensor.dataType)
    guard let shape, let numbers = ONNXElementType.numbers(tensor) else { return Known(shape: shape, isWhole: isWhole) }
    return Known(numbers, shape: shape, isWhole: isWhole)
  }

  /// All names that the graphs inside an operation read; some are values of the graph around it.
  private static func names(in attribute: ONNX_AttributeProto, depth: Int = 0) -> [String] {
    let graphs = (attribute.hasG ? [attribute.g] : []) + attribute.graphs
    guard depth < 100 else { return [] }
    return graphs.flatMap { graph in
      graph.node.flatMap { $0.input + $0.attribute.flatMap { names(in: $0, depth: depth + 1) } }
        + graph.output.map(\.name)
    }
  }
}

/// One ONNX operation and its attributes.
private struct ONNXNode {
  let node: ONNX_NodeProto
  let opset: Int

  private func attribute(_ name: String) -> ONNX_AttributeProto? { node.attribute.first { $0.name == name } }
  private func integer(_ name: String, _ standard: Int) -> Int {
    attribute(name).flatMap { Int(exactly: $0.i) } ?? standard
  }
  private func integers(_ name: String) -> [Int]? {
    guard let attribute = attribute(name), !attribute.ints.isEmpty else { return nil }
    let values = attribute.ints.compactMap { Int(exactly: $0) }
    return values.count == attribute.ints.count ? values : nil
  }
  private func text(_ name: String) -> String? { attribute(name).map { String(decoding: $0.s, as: UTF8.self) } }
  private func has(_ input: Int) -> Bool { node.input.indices.contains(input) && !node.input[input].isEmpty }

  /// Numbers that are an attribute in old versions and an input in new ones.
  private func numbers(_ name: String, input: Int) -> Numbers? {
    if let values = integers(name) { return .fixed(values) }
    return has(input) ? .input(input) : nil
  }

  private static let pointwise: Set = [
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BatchNormalization", "BitwiseNot", "Celu", "Clip", "Cos",
    "Cosh", "Dropout", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "IsInf", "IsNaN", "LRN", "LeakyRelu",
    "Log", "Mish", "Not", "Reciprocal", "Relu", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus",
    "Softsign", "Tan", "Tanh", "ThresholdedRelu", "QuantizeLinear", "DequantizeLinear",
  ]
  private static let functions: [String: Step.Function] = [
    "Floor": .floor, "Ceil": .ceiling, "Round": .round, "Sqrt": .squareRoot,
  ]
  private static let broadcast: [String: Step.Arithmetic?] = [
    "Add": .add, "Sub": .subtract, "Mul": .multiply, "Div": .divide, "Max": .maximum, "Min": .minimum, "Pow": .power,
    "PRelu": nil, "And": nil, "Or": nil, "Xor": nil, "Equal": nil, "Greater": nil, "GreaterOrEqual": nil, "Less": nil,
    "LessOrEqual": nil, "Where": nil, "Mean": nil, "Sum": nil, "Mod": .modulo, "BitwiseAnd": nil, "BitwiseOr": nil,
  ]

  var step: Step {
    let name = node.opType
    if Self.pointwise.contains(name) {
      return isTraining ? .unknown(why: "it normalises with the statistics of the batch at hand") : .pointwise(nil)
    }
    if let function = Self.functions[name] { return .pointwise(function) }
    if let arithmetic = Self.broadcast[name] { return .elementwise(arithmetic) }
    if name.hasPrefix("Reduce") {
      return .reduce(
        Self.reductions[name], axes: numbers("axes", input: 1), keepsAxes: integer("keepdims", 1) != 0,
        isNothingWithoutAxes: integer("noop_with_empty_axes", 0) != 0)
    }
    return movement ?? .unknown()
  }

  private static let reductions: [String: Step.Reduction] = [
    "ReduceMean": .mean, "ReduceSum": .sum, "ReduceMax": .maximum, "ReduceMin": .minimum, "ReduceProd": .product,
  ]

  /// Batch normalisation over the batch at hand, not with learned statistics.
  private var isTraining: Bool { node.opType == "BatchNormalization" && integer("training_mode", 0) != 0 }

  private var movement: Step? {
    switch node.opType {
    case "Identity", "CastLike": return .same
    case "Cast": return .cast(toWhole: ONNXElementType.isWhole(Int32(clamping: integer("to", 1))))
    case "Neg": return .elementwise(.negate)
    case "Conv":
      return window(channels: .weights(axis: 0), hasWeights: true)
    case "ConvTranspose":
      return window(
        isTransposed: true, channels: integer("group", 1) == 1 ? .weights(axis: 1) : .unknown, hasWeights: true)
    case "MaxPool", "AveragePool", "LpPool":
      return node.output.count > 1 ? nil : window(channels: .kept, hasWeights: false)
    case "GlobalAveragePool": return .globalPool(.mean)
    case "GlobalMaxPool": return .globalPool(.maximum)
    case "GlobalLpPool": return .globalPool(nil)
    case "InstanceNormalization", "GroupNormalization", "MeanVarianceNormalization": return .global
    case "LayerNormalization": return .normalize(axes: min(-1, integer("axis", -1))...(-1))
    case "LpNormalization": return normalize(integer("axis", -1))
    case "Softmax", "LogSoftmax", "Hardmax":
      // Before version 13 everything from the axis on is one axis.
      if opset >= 13 { return normalize(integer("axis", -1)) }
      let axis = integer("axis", 1)
      return .normalize(axes: axis < 0 ? axis...(-1) : axis...max(axis, 1 << 20))
    case "ArgMax", "ArgMin":
      return .reduce(
        nil, axes: .fixed([integer("axis", 0)]), keepsAxes: integer("keepdims", 1) != 0, isNothingWithoutAxes: false)
    case "Transpose": return .transpose(integers("perm").map { .fixed($0) })
    case "Concat": return .concatenate(axis: .fixed([integer("axis", 1)]), count: node.input.count)
    case "Split": return .split(axis: .fixed([integer("axis", 0)]))
    case "Reshape": return numbers("shape", input: 1).map { .reshape($0) }
    case "Squeeze": return .squeeze(numbers("axes", input: 1))
    case "Unsqueeze": return numbers("axes", input: 1).map { .unsqueeze($0) }
    case "Slice":
      guard let starts = numbers("starts", input: 1) else { return nil }
      let isOld = integers("starts") != nil
      return .slice(
        starts: starts, axes: isOld ? integers("axes").map { .fixed($0) } : has(3) ? .input(3) : nil,
        steps: !isOld && has(4) ? .input(4) : nil, ends: numbers("ends", input: 2))
    case "Pad": return pad
    case "Gather": return .gather(axis: integer("axis", 0))
    case "Shape": return .shape(start: integer("start", 0), end: attribute("end").flatMap { Int(exactly: $0.i) })
    case "DepthToSpace", "SpaceToDepth":
      let size = integer("blocksize", 1)
      guard size >= 1, size <= 64 else { return nil }
      return .pixelShuffle(block: size, first: 2, isToDepth: node.opType == "SpaceToDepth")
    case "Resize", "Upsample": return resize
    case "MatMul": return .matrixProduct
    case "Expand", "Tile": return .expand
    case "Constant": return constant
    case "ConstantOfShape":
      let value = attribute("value").flatMap { $0.hasT ? ONNXElementType.numbers($0.t)?.first : nil }
      return .fill(attribute("value") == nil ? 0 : value)
    default: return nil
    }
  }

  private func normalize(_ axis: Int) -> Step { .normalize(axes: axis...axis) }

  private func window(isTransposed: Bool = false, channels: Step.Channels, hasWeights: Bool) -> Step? {
    let kernel = integers("kernel_shape")
    let strides = integers("strides") ?? Array(repeating: 1, count: kernel?.count ?? 2)
    let count = strides.count
    let dilations = integers("dilations") ?? Array(repeating: 1, count: count)
    guard count == 2, strides.allSatisfy({ $0 >= 1 && $0 <= 1 << 16 }), dilations.count == count,
      (kernel ?? strides).count == count
    else { return nil }
    var padding = Step.Padding.fixed(before: [0, 0], after: [0, 0])
    switch text("auto_pad") ?? "NOTSET" {
    case "SAME_UPPER": padding = .same(isOddAfter: true)
    case "SAME_LOWER": padding = .same(isOddAfter: false)
    case "VALID": break
    default:
      if let pads = integers("pads") {
        guard pads.count == 2 * count else { return nil }
        padding = .fixed(before: Array(pads[..<count]), after: Array(pads[count...]))
      }
    }
    return .window(
      Step.Window(
        isTransposed: isTransposed, kernel: kernel, weightsFirst: 2, strides: strides, dilations: dilations,
        padding: padding, roundsUp: integer("ceil_mode", 0) != 0, outputPadding: integers("output_padding") ?? [],
        outputSizes: isTransposed ? integers("output_shape").map { .fixed($0) } : nil, first: 2, channels: channels,
        hasWeights: hasWeights))
  }

  private var pad: Step? {
    // Pixels of the other side are no neighbours.
    if text("mode") == "wrap" { return .unknown(why: "it pads with pixels of the other side") }
    // An attribute in old versions, under two names.
    guard let amounts = integers("paddings").map({ .fixed($0) }) ?? numbers("pads", input: 1) else { return nil }
    return .pad(amounts, axes: has(3) ? .input(3) : nil, isByAxis: false)
  }

  private var resize: Step? {
    var resize = Step.Resize(filter: .floor, place: .corners)
    let isOld = node.opType == "Upsample" || opset < 11
    switch isOld ? "asymmetric" : text("coordinate_transformation_mode") ?? "half_pixel" {
    case "half_pixel", "pytorch_half_pixel", "half_pixel_symmetric": resize.place = .centers
    case "asymmetric": resize.place = .corners
    case "tf_half_pixel_for_nn": resize.place = .centersInCorners
    case "align_corners":
      return .unknown(why: "it stretches by a factor that depends on the image's size (align_corners)")
    default: return nil
    }
    switch text("mode") ?? "nearest" {
    case "nearest":
      switch isOld ? "floor" : text("nearest_mode") ?? "round_prefer_floor" {
      case "round_prefer_floor": resize.filter = .roundHalfDown
      case "round_prefer_ceil": resize.filter = .roundHalfUp
      case "floor": resize.filter = .floor
      case "ceil": resize.filter = .ceiling
      default: return nil
      }
    case "linear", "bilinear": resize.filter = .linear
    case "cubic": resize.filter = .cubic
    default: return nil
    }
    guard text("keep_aspect_ratio_policy") ?? "stretch" == "stretch" else { return nil }
    resize.isAntialiased = integer("antialias", 0) != 0
    resize.axes = integers("axes")
    if isOld {
      resize.scales = has(1) ? 1 : nil
    } else {
      (resize.scales, resize.sizes) = (has(2) ? 2 : nil, has(3) ? 3 : nil)
    }
    return .resize(resize)
  }

  private var constant: Step {
    if let value = attribute("value"), value.hasT { return .constant(ONNXGraph.known(value.t)) }
    if let value = attribute("value_int") { return .constant(Known([Double(value.i)], shape: [], isWhole: true)) }
    if let value = attribute("value_float") { return .constant(Known([Double(value.f)], shape: [])) }
    if let value = attribute("value_ints"), value.ints.count <= 64 {
      return .constant(Known(value.ints.map(Double.init), isWhole: true))
    }
    if let value = attribute("value_floats"), value.floats.count <= 64 {
      return .constant(Known(value.floats.map(Double.init)))
    }
    return .constant(Known())
  }
}
