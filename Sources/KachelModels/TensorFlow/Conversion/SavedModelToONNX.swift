// SPDX-License-Identifier: Apache-2.0
private import Foundation
internal import SwiftProtobuf

/// Converts a TensorFlow SavedModel to ONNX, without TensorFlow.
///
/// What is converted is the graph behind the signature `serving_default`. Inputs and outputs keep their names, their
/// shapes (with free sizes where the SavedModel leaves them free) and their layout, usually batch, height, width,
/// channels; inside, channels come second, as ONNX's operators want them. Normalisation by fixed statistics becomes part
/// of the convolution before it. The results equal TensorFlow's within what float32 loses; networks of half precision
/// are computed in float32. The file has operators of the standard set alone and holds its weights.
///
/// ```swift
/// let onnx = try SavedModelToONNX(SavedModelFiles(folder: "model")).convert()
/// ```
public struct SavedModelToONNX: Sendable {
  private let model: SavedModelFiles
  private let opset: Int

  /// - Parameter opset: The version of ONNX's operators: 12, which ZEN's oldest versions with ONNX take, or 18.
  public init(_ model: SavedModelFiles, opset: Int = 12) {
    self.model = model
    self.opset = opset
  }

  /// - Returns: The network as an ONNX file. The same SavedModel gives the same bytes.
  /// - Throws: ``ModelError``: `unsupported` where an operation is not translated, which names the operation and its
  ///   node; `damaged` where the SavedModel or its variables contradict themselves.
  public func convert() throws(ModelError) -> ModelGraph {
    guard opset == 12 || opset == 18 else {
      throw error(.unsupported, "ONNX is written with its operators' version 12 or 18, not \(opset)")
    }
    let graph = try SavedModelGraph(model)
    var translation = try GraphTranslation(graph, model, opset: opset)
    var results: [ONNX_ValueInfoProto] = []
    var taken = Set(translation.builder.inputs.map(\.name))
    var names: [(from: String, to: String)] = []
    for (name, value) in try translation.outputs() {
      let operation = TensorFlowOperation(
        node: .with {
          $0.name = name; $0.op = "Identity"
        })
      var tensor = translation.builder.inOrder(try translation.tensor(value, operation))
      // An input or another output that is an output too.
      if taken.contains(tensor.name) || translation.builder.initializers[tensor.name] != nil
        || names.contains(where: { $0.from == tensor.name })
      {
        tensor.name = translation.builder.add("Identity", [tensor.name], "\(name)/output")
      }
      let output = taken.insert(name).inserted ? name : translation.builder.unique("\(name)_output")
      names.append((tensor.name, output))
      results.append(ONNXBuilder.value(output, tensor.type, sizes(of: tensor, translation.builder)))
    }
    guard !results.isEmpty else { throw error(.damaged, "the signature serving_default has no output") }
    var builder = try ONNXSimplification.simplified(translation.builder, outputs: Set(names.map(\.from)))
    builder.rename(names)
    let writer = ONNXWriter(builder: builder, outputs: results, name: "SavedModel")
    guard let bytes = try writer.bytes() else {
      throw error(.unsupported, "cannot be converted to ONNX: an ONNX file holds less than 2 GB")
    }
    return .onnx(bytes)
  }

  /// Sizes as numbers, or by the name that the input has for them.
  private func sizes(of tensor: GraphTensor, _ builder: ONNXBuilder) -> [ONNX_TensorShapeProto.Dimension.OneOf_Value?] {
    tensor.shape.map { size in
      if let number = size.number { return .dimValue(Int64(number)) }
      for input in builder.inputs {
        for (axis, dimension) in input.type.tensorType.shape.dim.enumerated()
        where size == Dimension(axis: axis, of: input.name) { return dimension.value }
      }
      return nil
    }
  }

  private func error(_ kind: ModelError.Kind, _ reason: String) -> ModelError {
    ModelError(kind, file: model.file, member: model.member, reason)
  }
}
