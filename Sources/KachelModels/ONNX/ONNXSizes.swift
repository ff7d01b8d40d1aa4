// SPDX-License-Identifier: Apache-2.0
internal import SwiftProtobuf

extension ONNXGraph {
  /// The axes of the input and of the output. A graph does not say which its axes are, but a convolution slides over the
  /// last two: the meaning with which the image can be followed is the right one.
  func layouts(
    input: ONNX_ValueInfoProto, weights: Set<String>
  ) -> (input: ONNXEditor.Layout, output: ONNXEditor.Layout) {
    let flows = [ONNXEditor.Layout.channelsLast, .channelsFirst].map {
      ($0, sizes(input: input, weights: weights, layout: $0))
    }
    let best = flows.max { $0.1.followedWindows < $1.1.followedWindows }
    guard let (layout, sizes) = best, sizes.followedWindows > 0 else {
      // Only the sizes are left to go by; packages have their channels last.
      let sizes = input.type.tensorType.shape.dim.map(Self.size)
      let isFirst = sizes.count == 4 && (sizes[1] ?? .max) <= 16 && (sizes[3] ?? .max) > 16
      return isFirst ? (.channelsFirst, .channelsFirst) : (.channelsLast, .channelsLast)
    }
    guard let axes = sizes.outputAxes, axes.count == 4 else { return (layout, layout) }
    return (layout, axes[1].isSpatial ? .channelsLast : .channelsFirst)
  }

  /// The sizes in the graph, with its operations in the order of the graph.
  func sizes(input: ONNX_ValueInfoProto, weights: Set<String>, layout: ONNXEditor.Layout) -> BakedSizes {
    var flow = flow(input: input, weights: weights)
    if layout == .channelsFirst, flow.inputShape.count == 4 {
      let original = flow.input
      flow.input = flow.newValue()
      flow.inputShape = [0, 2, 3, 1].map { flow.inputShape[$0] }
      flow.nodes.append(
        Flow.Node(
          operation: "Transpose", step: .transpose(.fixed([0, 3, 1, 2])), inputs: [flow.input], outputs: [original]))
    }
    return BakedSizes(flow)
  }
}

extension ONNXEditor {
  private typealias Dimension = ONNX_TensorShapeProto.Dimension

  /// Where height and width are among the axes.
  private static func spatial(_ layout: Layout) -> (y: Int, x: Int) { layout == .channelsFirst ? (2, 3) : (1, 2) }

  private var sizes: BakedSizes {
    let outline = ONNXGraph(model: document.outline, file: "", member: "")
    let weights = Set(outline.model.graph.initializer.map(\.name))
    let input = outline.model.graph.input.first { $0.name == inputName } ?? ONNX_ValueInfoProto()
    return outline.sizes(input: input, weights: weights, layout: inputLayout)
  }

  mutating func setSpatialDimensions(height: Int, width: Int) throws(ModelError) {
    let place = Self.spatial(inputLayout)
    let old = (y: ONNXGraph.size(inputShape[place.y]), x: ONNXGraph.size(inputShape[place.x]))
    guard old.y != height || old.x != width else { return }
    let sizes = sizes
    let growth = AxisPair(y: old.y.map { height - $0 } ?? 0, x: old.x.map { width - $0 } ?? 0)
    if let misfit = sizes.misfit(height: height, width: width, old: old) { throw fail(.mismatch, misfit) }
    if growth.y != 0 || growth.x != 0 {
      try growShapeAttributes(sizes, growth)
      try apply(sizes) { sizes throws(BakedSizes.Obstacle) in try sizes.changes(growth: growth) }
    }
    setOutputSize(old: old, growth: growth, height: height, width: width)
    inputShape[place.y].dimValue = Int64(height)
    inputShape[place.x].dimValue = Int64(width)
    // Sizes of values inside, which engines find by themselves.
    document.model.graph.valueInfo = []
  }

  /// What the graph says of its output's size grows with the input's; sizes that have the same name are the same.
  private mutating func setOutputSize(old: (y: Int?, x: Int?), growth: AxisPair, height: Int, width: Int) {
    let (inner, outer) = (Self.spatial(inputLayout), Self.spatial(outputLayout))
    for (input, output, growth, size) in [(inner.y, outer.y, growth.y, height), (inner.x, outer.x, growth.x, width)] {
      if let before = ONNXGraph.size(outputShape[output]) {
        outputShape[output].dimValue = Int64(before &+ growth)
      } else if case .dimParam(let name)? = outputShape[output].value, !name.isEmpty,
        case .dimParam(name)? = inputShape[input].value
      {
        outputShape[output].dimValue = Int64(size)
      }
    }
  }

  mutating func setBatch(_ size: Int?) throws(ModelError) {
    let old = ONNXGraph.size(inputShape[0])
    guard old != size else { return }
    if let old { try apply(sizes) { sizes throws(BakedSizes.Obstacle) in try sizes.changes(batch: old, to: size) } }
    let dimension = Dimension.with {
      if let size { $0.dimValue = Int64(size) } else { $0.dimParam = "batch" }
    }
    inputShape[0] = dimension
    outputShape[0] = dimension
    document.model.graph.valueInfo = []
  }

  private func refusal(_ obstacle: BakedSizes.Obstacle) -> ModelError {
    let nodes = document.model.graph.node
    guard let index = obstacle.node, nodes.indices.contains(index) else { return fail(.unsupported, obstacle.reason) }
    let name = nodes[index].name.isEmpty ? nodes[index].output.first ?? "" : nodes[index].name
    return fail(.unsupported, BakedSizes.sentence(operation: nodes[index].opType, name: name, obstacle.reason))
  }

  private mutating func apply(
    _ sizes: BakedSizes, _ changes: (BakedSizes) throws(BakedSizes.Obstacle) -> [BakedSizes.Change]
  ) throws(ModelError) {
    let found: [BakedSizes.Change]
    do throws(BakedSizes.Obstacle) { found = try changes(sizes) } catch { throw refusal(error) }
    // From the end, so that places before stay.
    for change in found.sorted(by: { $0.node > $1.node }) {
      var builder = builder
      let old = document.model.graph.node[change.node].input[change.input]
      document.model.graph.node[change.node].input[change.input] =
        change.numbers.map { builder.integers($0) } ?? builder.add("Add", [old, builder.integers(change.difference)])
      insert(builder, at: change.node)
      removeInitializer(old)
    }
  }

  /// A transposed convolution may have its size in an attribute.
  private mutating func growShapeAttributes(_ sizes: BakedSizes, _ growth: AxisPair) throws(ModelError) {
    for index in document.model.graph.node.indices where document.model.graph.node[index].opType == "ConvTranspose" {
      let node = document.model.graph.node[index]
      guard let place = node.attribute.firstIndex(where: { $0.name == "output_shape" }) else { continue }
      let shape = node.attribute[place].ints
      guard shape.count == 2 || shape.count == 4, let axes = sizes.resultAxes(index), axes.count == 4
      else { throw refusal(BakedSizes.Obstacle(node: index, reason: "has its size in an attribute")) }
      for (number, axis) in zip(shape.indices, axes.suffix(shape.count)) where axis.isSpatial {
        let pixels = axis.role == .y ? growth.y : growth.x
        document.model.graph.node[index].attribute[place].ints[number] &+= Int64((Double(pixels) / axis.pitch).rounded())
      }
    }
  }
}
