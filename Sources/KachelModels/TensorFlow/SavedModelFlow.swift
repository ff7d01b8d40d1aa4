// SPDX-License-Identifier: Apache-2.0
private import Foundation

extension SavedModelGraph {
  /// The operations from the signature's input to its output, with the functions that are called written out.
  func flow() -> Flow {
    var builder = SavedModelFlowBuilder(functions: functions)
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

  init(functions: [String: TF_FunctionDef]) { self.functions = functions }

  mutating func build(_ graph: TF_GraphDef, _ signature: TF_SignatureDef) -> Flow {
    var names = Names()
    add(graph.node, &names, depth: 0)
    if signature.inputs.count == 1, let input = signature.inputs.values.first {
      flow.input = value(input.name, &names)
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
            append("Identity", .same, [input], [value("\(node.name):\(index)", &names)])
          }
          continue
        }
        let outputs = (0..<reader.outputCount).map { value("\(node.name):\($0)", &names) }
        append(node.op, reader.step, reader.order(inputs), outputs)
      }
    }
  }

  private mutating func append(_ operation: String, _ step: Step, _ inputs: [Int], _ outputs: [Int]) {
    remaining -= outputs.count
    flow.nodes.append(Flow.Node(operation: operation, step: step, inputs: inputs, outputs: outputs))
  }

  private mutating func call(
    _ function: TF_FunctionDef, _ name: String, _ inputs: [Int], _ outer: inout Names, depth: Int
  ) {
    remaining -= function.signature.outputArg.count
    var names = Names()
    for (argument, input) in zip(function.signature.inputArg, inputs) { names.values["\(argument.name):0"] = input }
    add(function.nodeDef, &names, depth: depth + 1)
    for (index, result) in function.signature.outputArg.enumerated() {
      guard let source = function.ret[result.name] else { continue }
      append("Identity", .same, [value(source, &names)], [value("\(name):\(index)", &outer)])
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
    "Abs", "BiasAdd", "Cast", "Ceil", "CheckNumerics", "Cos", "Elu", "EnsureShape", "Erf", "Exp", "Expm1", "Floor",
    "Identity", "Inv", "IsFinite", "IsNan", "LeakyRelu", "Log", "Log1p", "LogicalNot", "PreventGradient",
    "ReadVariableOp", "Reciprocal", "Relu", "Relu6", "Rint", "Round", "Rsqrt", "Selu", "Sigmoid", "Sign", "Sin",
    "Snapshot", "Softplus", "Softsign", "Sqrt", "Square", "StopGradient", "Tanh", "ZerosLike", "OnesLike",
  ]
  private static let broadcast: [String: Step.Arithmetic?] = [
    "Add": .add, "AddV2": .add, "Sub": .subtract, "Mul": .multiply, "RealDiv": .divide, "Div": .divide,
    "FloorDiv": nil, "DivNoNan": nil, "Maximum": .maximum, "Minimum": .minimum, "Pow": nil, "SquaredDifference": nil,
    "Greater": nil, "GreaterEqual": nil, "Less": nil, "LessEqual": nil, "Equal": nil, "NotEqual": nil,
    "LogicalAnd": nil, "LogicalOr": nil, "Select": nil, "SelectV2": nil, "AddN": nil, "ClipByValue": nil,
    "FloorMod": nil,
  ]

  var step: Step {
    if Self.pointwise.contains(node.op) { return .same }
    if let arithmetic = Self.broadcast[node.op] { return .elementwise(arithmetic) }
    switch node.op {
    case "Mean", "Sum", "Max", "Min", "Prod", "All", "Any", "EuclideanNorm":
      return .reduce(axes: .input(1), keepsAxes: flag("keep_dims"), isNothingWithoutAxes: true)
    case "ArgMax", "ArgMin": return .reduce(axes: .input(1), keepsAxes: false, isNothingWithoutAxes: true)
    default: return movement ?? .unknown
    }
  }

  private var movement: Step? {
    switch node.op {
    case "Neg": return .elementwise(.negate)
    case "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3":
      return node.attr["is_training"]?.b == false ? .same : .global
    case "Conv2D": return window(isInverse: false, channels: .weights(axis: 3))
    case "Conv2DBackpropInput": return window(isInverse: true, channels: .weights(axis: 2))
    case "DepthwiseConv2dNative": return window(isInverse: false, channels: .unknown)
    case "MaxPool", "AvgPool": return window(isInverse: false, channels: .kept)
    case "DepthToSpace", "SpaceToDepth":
      let size = Double(max(1, integer("block_size", 1)))
      let scale = node.op == "DepthToSpace" ? 1 / size : size
      return .window(scale: [scale, scale], first: isChannelsFirst ? 2 : 1, channels: .unknown)
    case "SpaceToBatchND": return .blocks(isInverse: false)
    case "BatchToSpaceND": return .blocks(isInverse: true)
    case "ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic":
      // Aligned corners stretch an image by a factor that depends on its size.
      return flag("align_corners") ? nil : .resize(scales: nil, sizes: 1, axes: [1, 2])
    case "Softmax", "LogSoftmax": return .normalize(axes: -1...(-1))
    case "Pad", "PadV2", "MirrorPad": return .pad
    case "Transpose": return .transpose(.input(1))
    case "ConcatV2":
      return inputCount > 1 ? .concatenate(axis: .input(inputCount - 1), count: inputCount - 1) : nil
    case "Pack": return .stack
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
      return .constant(Known(shape: shape))
    default: return nil
    }
  }

  private func window(isInverse: Bool, channels: Step.Channels) -> Step? {
    let strides = integers("strides")
    guard strides.count == 4, strides.allSatisfy({ $0 >= 1 && $0 <= 1 << 16 }) else { return nil }
    let spatial = isChannelsFirst ? strides[2...3] : strides[1...2]
    return .window(
      scale: spatial.map { isInverse ? 1 / Double($0) : Double($0) }, first: isChannelsFirst ? 2 : 1,
      channels: channels)
  }

  private var constant: Known {
    guard let tensor = node.attr["value"]?.tensor, let sizes = SavedModelGraph.shape(tensor.tensorShape) else {
      return Known()
    }
    let shape = sizes.map { $0 ?? 0 }
    guard shape.count <= 1, (shape.first ?? 1) <= 64 else { return Known(shape: shape) }
    let count = shape.first ?? 1
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
    return numbers.count == count ? Known(numbers, shape: shape) : Known(shape: shape)
  }
}
