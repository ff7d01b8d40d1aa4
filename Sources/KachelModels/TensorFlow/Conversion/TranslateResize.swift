// SPDX-License-Identifier: Apache-2.0

/// Images of another size.
extension GraphTranslation {
  mutating func resized(
    _ operation: TensorFlowOperation, _ inputs: [GraphValue]
  ) throws(ModelError) -> GraphTensor? {
    guard ["ResizeBilinear", "ResizeNearestNeighbor"].contains(operation.kind) else { return nil }
    let isNearest = operation.kind == "ResizeNearestNeighbor"
    var image = try spatial(0, inputs, operation)
    if image.type != .float {
      // TensorFlow interpolates integers as float32.
      guard isNearest || image.type.isInteger else { throw unsupported(operation, "its input is no float32") }
      if !isNearest { image = cast(image, .float, "\(operation.name)/cast") }
    }
    var attributes: [ONNX_AttributeProto] = [.init("mode", isNearest ? "nearest" : "linear")]
    if operation.flag("align_corners") {
      attributes.append(.init("coordinate_transformation_mode", "align_corners"))
      if isNearest { attributes.append(.init("nearest_mode", "round_prefer_ceil")) }
    } else if operation.flag("half_pixel_centers") {
      // TensorFlow takes the pixel in which the centre lies: floor(x + 0.5) where ONNX counts from the centres.
      attributes.append(.init("coordinate_transformation_mode", "half_pixel"))
      if isNearest { attributes.append(.init("nearest_mode", "round_prefer_ceil")) }
    } else {
      attributes.append(.init("coordinate_transformation_mode", "asymmetric"))
      if isNearest { attributes.append(.init("nearest_mode", "floor")) }
    }
    return try resized(image, to: input(1, inputs, operation), operation, attributes)
  }

  private mutating func resized(
    _ image: GraphTensor, to size: GraphValue, _ operation: TensorFlowOperation, _ attributes: [ONNX_AttributeProto]
  ) throws(ModelError) -> GraphTensor {
    let name = operation.name
    var shape: [Dimension?] = image.shape
    let sizes: String
    if let target = try known(size)?.elements {
      guard target.count == 2 else { throw damaged("the node \(name) does not say two sizes") }
      (shape[image.order[2]], shape[image.order[3]]) = (target[0], target[1])
      let factors = (0..<2).map { axis in
        target[axis].divided(exactlyBy: image.shape[image.order[axis + 2]])?.number.flatMap { $0 > 0 ? $0 : nil }
      }
      if let y = factors[0], let x = factors[1] {
        // Whole factors work for any size, and are exact.
        let scales = ConstantTensor.packed([1, 1, Double(y), Double(x)], as: .float)
        let constant = builder.constant(scales, .float, [4], "\(name)/scales")
        let output = builder.add(
          "Resize", [image.name, noRegion(name), builder.initializer(constant)], name, attributes)
        return GraphTensor(output, image.type, shape, order: image.order)
      }
      sizes = builder.vector([image.shape[image.order[0]], image.shape[image.order[1]]] + target, "\(name)/sizes")
    } else {
      let tensor = try tensor(size, operation)
      guard tensor.shape.count == 1, tensor.shape[0].number == 2 else {
        throw damaged("the node \(name) does not say two sizes")
      }
      let target = tensor.type == .int64 ? tensor : cast(tensor, .int64, "\(name)/cast")
      let others = builder.vector([image.shape[image.order[0]], image.shape[image.order[1]]], "\(name)/sizes")
      sizes = builder.add("Concat", [others, target.name], "\(name)/sizes", [.init("axis", 0)])
      (shape[image.order[2]], shape[image.order[3]]) = (nil, nil)
    }
    let none = noRegion(name)
    let output = builder.add("Resize", [image.name, none, none, sizes], name, attributes)
    return GraphTensor(output, image.type, shape, order: image.order)
  }

  /// What stands for inputs of `Resize` that are not used; they may not be left out before version 13.
  private mutating func noRegion(_ name: String) -> String {
    builder.opset >= 13 ? "" : builder.initializer(builder.constant([], .float, [0], "\(name)/none"))
  }
}
