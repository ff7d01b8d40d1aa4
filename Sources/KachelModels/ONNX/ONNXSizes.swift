// SPDX-License-Identifier: Apache-2.0
internal import SwiftProtobuf

extension ONNXGraph {
  /// The axes of the input and of the output. A graph does not say which its axes are, but a convolution slides over the
  /// last two: the meaning with which the image can be followed is the right one.
  func layouts(input: ONNX_ValueInfoProto) -> (input: ImageLayout, output: ImageLayout) {
    let last = BakedSizes(flow(input: input, layout: .channelsLast))
    let first = BakedSizes(flow(input: input, layout: .channelsFirst))
    let isFirst = first.followedWindows > last.followedWindows
    let (layout, sizes) = isFirst ? (ImageLayout.channelsFirst, first) : (.channelsLast, last)
    guard sizes.followedWindows > 0 else {
      // Only the sizes are left to go by; packages have their channels last.
      let sizes = input.type.tensorType.shape.dim.map(Self.size)
      let isFirst = sizes.count == 4 && (sizes[1] ?? .max) <= 16 && (sizes[3] ?? .max) > 16
      return isFirst ? (.channelsFirst, .channelsFirst) : (.channelsLast, .channelsLast)
    }
    guard let axes = sizes.outputAxes, axes.count == 4 else { return (layout, layout) }
    return (layout, axes[1].isSpatial ? .channelsLast : .channelsFirst)
  }
}

extension ONNXEditor {
  private typealias Dimension = ONNX_TensorShapeProto.Dimension

  /// Where height and width are among the axes.
  private static func spatial(_ layout: ImageLayout) -> (y: Int, x: Int) { layout == .channelsFirst ? (2, 3) : (1, 2) }

  private var sizes: BakedSizes {
    let outline = ONNXGraph(model: document.outline, file: "", member: "")
    let input = outline.model.graph.input.first { $0.name == inputName }
    return BakedSizes(outline.flow(input: input, layout: inputLayout))
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
    let outer = Self.spatial(outputLayout)
    if let size = sizes.outputSize(height: height, width: width) {
      outputShape[outer.y].dimValue = Int64(size.y)
      outputShape[outer.x].dimValue = Int64(size.x)
    } else {
      // Engines find it by themselves.
      outputShape[outer.y].value = nil
      outputShape[outer.x].value = nil
    }
    inputShape[place.y].dimValue = Int64(height)
    inputShape[place.x].dimValue = Int64(width)
    // Sizes of values inside, which engines find by themselves.
    document.model.graph.valueInfo = []
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
    let name = nodes[index].place
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
        document.model.graph.node[index].attribute[place].ints[number] &+= Int64(
          (Double(pixels) / axis.pitch).rounded())
      }
    }
  }
}
