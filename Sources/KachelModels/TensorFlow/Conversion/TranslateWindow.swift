// SPDX-License-Identifier: Apache-2.0

/// Operations that slide a window over an image: convolutions and pooling, and the normalisation between them.
extension GraphTranslation {
  mutating func window(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphValue? {
    switch operation.kind {
    case "Conv2D", "DepthwiseConv2dNative": return .tensor(try convolution(operation, inputs))
    case "Conv2DBackpropInput": return .tensor(try transposedConvolution(operation, inputs))
    case "MaxPool", "AvgPool": return .tensor(try pooling(operation, inputs))
    case "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3": return .tensor(try normalization(operation, inputs))
    case "SpaceToBatchND": return .blocks(try blocks(operation, inputs))
    case "DepthToSpace", "SpaceToDepth": return .tensor(try rearranged(operation, inputs))
    default: return nil
    }
  }

  // MARK: Convolutions

  /// - Parameter dilated: blocks that the convolution sees as spread-out pixels, with the padding that is left of them.
  mutating func convolution(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue],
    dilated: (block: [Int], padding: [WindowAxis.Padding])? = nil
  ) throws(ModelError) -> GraphTensor {
    let image = try spatial(0, inputs, operation)
    let isDepthwise = operation.kind == "DepthwiseConv2dNative"
    let (filter, kernel) = try filter(operation, inputs, isDepthwise ? [2, 3, 0, 1] : [3, 2, 0, 1], isDepthwise)
    let strides = try spatialNumbers("strides", operation)
    let dilations = if let dilated { dilated.block } else { try spatialNumbers("dilations", operation, standard: 1) }
    var axes: [WindowAxis] = []
    for axis in 0..<2 {
      let padding = if let dilated { dilated.padding[axis] } else { try padding(operation, axis) }
      guard
        let window = WindowAxis(
          size: image.shape[image.order[axis + 2]], kernel: kernel[axis], stride: strides[axis],
          dilation: dilations[axis],
          padding: padding)
      else { throw unsupported(operation, "its sizes are impossible") }
      axes.append(window)
    }
    guard let channels = image.shape[image.order[1]].number, channels > 0 else {
      throw unsupported(operation, "the number of its input's channels is not known")
    }
    let inputChannels = kernel[2], outputChannels = isDepthwise ? kernel[2] * kernel[3] : kernel[3]
    let group = isDepthwise ? channels : channels / max(1, inputChannels)
    guard isDepthwise ? inputChannels == channels : group * inputChannels == channels, outputChannels % group == 0
    else {
      throw damaged("the filter of the node \(operation.name) does not fit its input's channels")
    }
    let name = builder.add(
      "Conv", [image.name, filter], operation.name,
      [
        .init("kernel_shape", Array(kernel.prefix(2))), .init("strides", strides),
        dilations == [1, 1] ? nil : .init("dilations", dilations), group == 1 ? nil : .init("group", group),
      ] + WindowAxis.attributes(axes))
    return windowed(name, image, axes.map(\.output), channels: Dimension(outputChannels))
  }

  /// TensorFlow writes a transposed convolution as the gradient of one, with the size of its output as an input.
  private mutating func transposedConvolution(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor {
    guard inputs.count == 3, let sizes = try known(inputs[0])?.elements, sizes.count == 4 else {
      throw unsupported(operation, "the size of its output is not known before the network runs")
    }
    let image = try spatial(2, inputs, operation)
    let (filter, kernel) = try filter(operation, inputs, [3, 2, 0, 1], false)
    guard image.shape[image.order[1]].number == kernel[3] else {
      throw damaged("the filter of the node \(operation.name) does not fit its input's channels")
    }
    let strides = try spatialNumbers("strides", operation)
    let dilations = try spatialNumbers("dilations", operation, standard: 1)
    var begins: [Int] = [], ends: [Int] = [], outputPadding: [Int] = []
    for axis in 0..<2 {
      let size = image.shape[image.order[axis + 2]], target = sizes[image.order[axis + 2]]
      guard let grown = size * Dimension(strides[axis]), let difference = (target - grown)?.number,
        let pads = WindowAxis.transposedPadding(
          beyondStride: difference, kernel: (kernel[axis] - 1) * dilations[axis] + 1, stride: strides[axis],
          padding: try padding(operation, axis))
      else {
        throw unsupported(
          operation, "the size of its output is none that a stride of \(strides[axis]) gives for its input")
      }
      begins.append(pads.begin)
      ends.append(pads.end)
      outputPadding.append(pads.added)
    }
    let name = builder.add(
      "ConvTranspose", [image.name, filter], operation.name,
      [
        .init("kernel_shape", Array(kernel.prefix(2))), .init("strides", strides),
        dilations == [1, 1] ? nil : .init("dilations", dilations),
        begins + ends == [0, 0, 0, 0] ? nil : .init("pads", begins + ends),
        outputPadding == [0, 0] ? nil : .init("output_padding", outputPadding),
      ])
    return windowed(name, image, [sizes[image.order[2]], sizes[image.order[3]]], channels: Dimension(kernel[2]))
  }

  private mutating func pooling(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor {
    let image = try spatial(0, inputs, operation)
    let kernel = try spatialNumbers("ksize", operation)
    let strides = try spatialNumbers("strides", operation)
    var axes: [WindowAxis] = []
    for axis in 0..<2 {
      guard
        let window = WindowAxis(
          size: image.shape[image.order[axis + 2]], kernel: kernel[axis], stride: strides[axis], dilation: 1,
          padding: try padding(operation, axis))
      else { throw unsupported(operation, "its sizes are impossible") }
      axes.append(window)
    }
    let name = builder.add(
      operation.kind == "MaxPool" ? "MaxPool" : "AveragePool", [image.name], operation.name,
      [.init("kernel_shape", kernel), .init("strides", strides)] + WindowAxis.attributes(axes))
    return windowed(name, image, axes.map(\.output), channels: image.shape[image.order[1]])
  }

  // MARK: Dilation by blocks

  private mutating func blocks(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> DilatedBlocks {
    let image = try tensor(0, inputs, operation)
    let block = try integers(1, inputs, operation)
    guard image.rank == 4, block.count == 2, block.allSatisfy({ $0 > 0 && $0 < 1 << 16 }),
      let padding = try known(input(2, inputs, operation)), padding.shape == [2, 2]
    else { throw unsupported(operation, "only images are cut into blocks, with paddings that are computed from sizes") }
    return DilatedBlocks(
      image: image, block: block, padding: [Array(padding.elements[0..<2]), Array(padding.elements[2..<4])])
  }

  /// An operation on blocks: the convolution, what it is followed by, and in the end the way back.
  mutating func onBlocks(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue], _ blocks: DilatedBlocks
  ) throws(ModelError) -> GraphValue {
    let following: Set = ["BiasAdd", "Relu", "Relu6", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "FusedBatchNormV3"]
    let isConvolution = operation.kind == "Conv2D" || operation.kind == "DepthwiseConv2dNative"
    guard case .blocks? = inputs.first else { throw unsupported(operation, "it takes blocks of SpaceToBatchND") }
    if blocks.steps.isEmpty ? isConvolution : following.contains(operation.kind) {
      var blocks = blocks
      blocks.steps.append((operation, Array(inputs.dropFirst())))
      return .blocks(blocks)
    }
    guard operation.kind == "BatchToSpaceND", let convolution = blocks.steps.first,
      try integers(1, inputs, operation) == blocks.block, let crops = try known(input(2, inputs, operation)),
      crops.shape == [2, 2], !operation.isChannelsFirst, convolution.operation.text("padding") == "VALID",
      try spatialNumbers("strides", convolution.operation) == [1, 1],
      try spatialNumbers("dilations", convolution.operation, standard: 1) == [1, 1]
    else { throw unsupported(operation, "it follows SpaceToBatchND otherwise than in a dilated convolution") }
    var padding: [WindowAxis.Padding] = []
    for axis in 0..<2 {
      // What is cut off in the end need not be added before.
      guard let begin = (blocks.padding[axis][0] - crops.elements[axis * 2])?.number,
        let end = (blocks.padding[axis][1] - crops.elements[axis * 2 + 1])?.number, begin >= 0, end >= 0
      else { throw unsupported(operation, "its paddings are none of a dilated convolution") }
      padding.append(.explicit(begin, end))
    }
    var result = GraphValue.tensor(
      try self.convolution(
        convolution.operation, [.tensor(blocks.image)] + convolution.inputs, dilated: (blocks.block, padding)))
    for step in blocks.steps.dropFirst() { result = try translate(step.operation, [result] + step.inputs)[0] }
    return result
  }

  // MARK: Other windows

  private mutating func rearranged(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor {
    let image = try spatial(0, inputs, operation)
    let size = operation.integer("block_size")
    let isUp = operation.kind == "DepthToSpace"
    let channels = image.shape[image.order[1]]
    let squared = size.multipliedReportingOverflow(by: size)
    guard size > 1, !squared.overflow, let number = channels.number, !isUp || number % squared.partialValue == 0 else {
      throw unsupported(operation, "its sizes are impossible")
    }
    let name = builder.add(operation.kind, [image.name], operation.name, [.init("blocksize", size)])
    let sizes = (2..<4).map { axis in
      isUp ? image.shape[image.order[axis]] * Dimension(size) : image.shape[image.order[axis]] / size
    }
    let factor = Dimension(squared.partialValue)
    guard let grown = isUp ? channels.divided(exactlyBy: factor) : channels * factor else {
      throw unsupported(operation, "its sizes are impossible")
    }
    return windowed(name, image, sizes, channels: grown)
  }

  // MARK: Parts of translations

  /// An image with its channels before its rows and columns.
  mutating func spatial(
    _ index: Int, _ inputs: [GraphValue], _ operation: TensorFlowOperation
  ) throws(ModelError) -> GraphTensor {
    let image = try tensor(index, inputs, operation)
    guard image.rank == 4 else {
      throw damaged("the input of the node \(operation.name) has \(image.rank) axes, not 4")
    }
    if let format = operation.text("data_format"), format != "NHWC", format != "NCHW" {
      throw unsupported(operation, "its data format is \(format)")
    }
    return builder.arranged(image, operation.isChannelsFirst ? [0, 1, 2, 3] : GraphTensor.channelsFirst)
  }

  private func windowed(
    _ name: String, _ image: GraphTensor, _ sizes: [Dimension?], channels: Dimension
  ) -> GraphTensor {
    var shape: [Dimension?] = image.shape
    shape[image.order[1]] = channels
    (shape[image.order[2]], shape[image.order[3]]) = (sizes[0], sizes[1])
    return GraphTensor(name, image.type, shape, order: image.order)
  }

  /// The name of the filter with its axes in ONNX' order, and its shape in TensorFlow's: height, width, and channels.
  private mutating func filter(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue], _ order: [Int], _ isDepthwise: Bool
  ) throws(ModelError) -> (name: String, shape: [Int]) {
    let value = try input(1, inputs, operation)
    let known: [Int]
    if case .constant(let constant) = value {
      known = constant.shape
    } else {
      known = try tensor(value, operation).shape.compactMap(\.number)
    }
    guard known.count == 4, known.allSatisfy({ $0 > 0 && $0 < 1 << 20 }) else {
      throw unsupported(operation, "the shape of its filter is not known, or is none")
    }
    let grouped = [known[2] * known[3], 1, known[0], known[1]]
    if case .constant(let constant) = value {
      return (builder.initializer(constant, permutation: order, shape: isDepthwise ? grouped : nil), known)
    }
    let tensor = try tensor(value, operation)
    guard tensor.rank == 4 else { throw unsupported(operation, "the shape of its filter is not known, or is none") }
    let arranged = builder.arranged(tensor, order).name
    guard isDepthwise else { return (arranged, known) }
    let shape = builder.integers(grouped, "\(operation.name)/shape")
    return (builder.add("Reshape", [arranged, shape], "\(operation.name)/filter"), known)
  }

  /// The two numbers of a list for four axes that belong to rows and columns.
  func spatialNumbers(
    _ name: String, _ operation: TensorFlowOperation, standard: Int? = nil
  ) throws(ModelError) -> [Int] {
    let numbers = operation.integers(name)
    if numbers.isEmpty, let standard { return [standard, standard] }
    let others = operation.isChannelsFirst ? numbers.prefix(2) : numbers.prefix(1) + numbers.suffix(1)
    guard numbers.count == 4, others.allSatisfy({ $0 == 1 }), numbers.allSatisfy({ $0 >= 1 && $0 < 1 << 16 }) else {
      throw unsupported(operation, "its \(name) are \(numbers)")
    }
    return operation.isChannelsFirst ? Array(numbers[2...3]) : Array(numbers[1...2])
  }

  private func padding(_ operation: TensorFlowOperation, _ axis: Int) throws(ModelError) -> WindowAxis.Padding {
    switch operation.text("padding") {
    case "SAME": return .same
    case "VALID": return .explicit(0, 0)
    case "EXPLICIT":
      let numbers = operation.integers("explicit_paddings")
      let start = (operation.isChannelsFirst ? 4 : 2) + axis * 2
      guard numbers.count == 8, numbers.allSatisfy({ $0 >= 0 && $0 < 1 << 16 }) else {
        throw damaged("the node \(operation.name) has no valid paddings")
      }
      return .explicit(numbers[start], numbers[start + 1])
    case let other: throw unsupported(operation, "its padding is \(other ?? "missing")")
    }
  }
}
