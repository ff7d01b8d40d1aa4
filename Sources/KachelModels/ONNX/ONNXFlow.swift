// SPDX-License-Identifier: Apache-2.0
private import Foundation

extension ONNXGraph {
  /// The graph's operations by what they do to an image's axes.
  func flow(input: ONNX_ValueInfoProto?, weights: Set<String>) -> Flow {
    var flow = Flow()
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
      flow.inputShape = input.type.tensorType.shape.dim.map(Self.size)
    }
    for node in model.graph.node {
      let isStandard = node.domain.isEmpty || node.domain == "ai.onnx"
      let reader = ONNXNode(node: node, opset: opset ?? 1)
      flow.nodes.append(
        Flow.Node(
          operation: node.opType, step: isStandard ? reader.step : .unknown, inputs: node.input.map(value),
          outputs: node.output.map(value),
          hidden: node.attribute.flatMap { Self.names(in: $0) }.map(value)))
    }
    flow.output = model.graph.output.first.map { value($0.name) } ?? -1
    return flow
  }

  static func known(_ tensor: ONNX_TensorProto) -> Known {
    let shape = ONNXElementType.count(tensor) == nil ? nil : tensor.dims.map { Int($0) }
    guard let numbers = ONNXElementType.numbers(tensor), tensor.dims.count <= 1 else { return Known(shape: shape) }
    return Known(numbers, shape: shape)
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
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BatchNormalization", "BitwiseNot", "Cast", "CastLike",
    "Ceil", "Celu", "Clip", "Cos", "Cosh", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish",
    "Identity", "IsInf", "IsNaN", "LRN", "LeakyRelu", "Log", "Mish", "Not", "Reciprocal", "Relu", "Round", "Selu",
    "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "ThresholdedRelu",
    "QuantizeLinear", "DequantizeLinear",
  ]
  private static let broadcast: [String: Step.Arithmetic?] = [
    "Add": .add, "Sub": .subtract, "Mul": .multiply, "Div": .divide, "Max": .maximum, "Min": .minimum, "Pow": nil,
    "PRelu": nil, "And": nil, "Or": nil, "Xor": nil, "Equal": nil, "Greater": nil, "GreaterOrEqual": nil, "Less": nil,
    "LessOrEqual": nil, "Where": nil, "Mean": nil, "Sum": nil, "Mod": nil, "BitwiseAnd": nil, "BitwiseOr": nil,
  ]

  var step: Step {
    let name = node.opType
    if Self.pointwise.contains(name) { return isTraining ? .unknown : .same }
    if let arithmetic = Self.broadcast[name] { return .elementwise(arithmetic) }
    if name.hasPrefix("Reduce") {
      return .reduce(
        axes: numbers("axes", input: 1), keepsAxes: integer("keepdims", 1) != 0,
        isNothingWithoutAxes: integer("noop_with_empty_axes", 0) != 0)
    }
    return movement ?? .unknown
  }

  /// Batch normalisation over the batch at hand, not with learned statistics.
  private var isTraining: Bool { node.opType == "BatchNormalization" && integer("training_mode", 0) != 0 }

  private var movement: Step? {
    switch node.opType {
    case "Neg": return .elementwise(.negate)
    case "Conv", "ConvInteger", "QLinearConv", "DeformConv":
      return node.opType == "Conv" ? window(isInverse: false, channels: .weights(axis: 0)) : nil
    case "ConvTranspose":
      return window(isInverse: true, channels: integer("group", 1) == 1 ? .weights(axis: 1) : .unknown)
    case "MaxPool", "AveragePool", "LpPool":
      return node.output.count > 1 ? nil : window(isInverse: false, channels: .kept)
    case "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool": return .globalPool
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
        axes: .fixed([integer("axis", 0)]), keepsAxes: integer("keepdims", 1) != 0, isNothingWithoutAxes: false)
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
    case "Pad": return .pad
    case "Gather": return .gather(axis: integer("axis", 0))
    case "Shape": return .shape(start: integer("start", 0), end: attribute("end").flatMap { Int(exactly: $0.i) })
    case "DepthToSpace", "SpaceToDepth":
      let size = Double(max(1, integer("blocksize", 1)))
      let scale = node.opType == "DepthToSpace" ? 1 / size : size
      return .window(scale: [scale, scale], first: 2, channels: .unknown)
    case "Resize", "Upsample": return resize
    case "MatMul": return .matrixProduct
    case "Expand", "Tile": return .expand
    case "Constant": return constant
    default: return nil
    }
  }

  private func normalize(_ axis: Int) -> Step { .normalize(axes: axis...axis) }

  private func window(isInverse: Bool, channels: Step.Channels) -> Step? {
    let strides = integers("strides") ?? [1, 1]
    guard strides.count == 2, strides.allSatisfy({ $0 >= 1 && $0 <= 1 << 16 }) else { return nil }
    return .window(scale: strides.map { isInverse ? 1 / Double($0) : Double($0) }, first: 2, channels: channels)
  }

  private var resize: Step? {
    // Aligned corners stretch an image by a factor that depends on its size.
    let mode = text("coordinate_transformation_mode") ?? "half_pixel"
    guard mode != "align_corners", mode != "tf_crop_and_resize" else { return nil }
    if node.opType == "Upsample" || opset < 11 {
      return has(1) ? .resize(scales: 1, sizes: nil, axes: nil) : nil
    }
    return .resize(scales: has(2) ? 2 : nil, sizes: has(3) ? 3 : nil, axes: integers("axes"))
  }

  private var constant: Step {
    if let value = attribute("value"), value.hasT { return .constant(ONNXGraph.known(value.t)) }
    if let value = attribute("value_int") { return .constant(Known([Double(value.i)], shape: [])) }
    if let value = attribute("value_float") { return .constant(Known([Double(value.f)], shape: [])) }
    if let value = attribute("value_ints"), value.ints.count <= 64 {
      return .constant(Known(value.ints.map(Double.init)))
    }
    if let value = attribute("value_floats"), value.floats.count <= 64 {
      return .constant(Known(value.floats.map(Double.init)))
    }
    return .constant(Known())
  }
}
