// SPDX-License-Identifier: Apache-2.0
internal import SwiftProtobuf

extension ModelGraph {
  /// The network with its convolutions and matrix products on 16-bit floating point numbers, where GPUs compute several
  /// times as many. Everything between them stays on 32 bits, sums over many pixels above all, which 16 bits do not hold.
  /// A SavedModel becomes ONNX.
  ///
  /// Numbers beyond 65504 are infinite there, and what comes of them is no number, which a run reports.
  ///
  /// - Throws: ``ModelError``: `unsupported` where there is no such operation with weights of 32 bits, or where the
  ///   SavedModel cannot be converted.
  package func inHalfPrecision(file: String) throws(ModelError) -> ModelGraph {
    switch self {
    case .savedModel(let files): return try SavedModelToONNX(files).convert().inHalfPrecision(file: file)
    case .classical(let description):
      throw ModelError(.unsupported, file: file, "is a \(description): only neural networks have a precision")
    case .onnx(let bytes):
      var document = try ONNXDocument(bytes, file: file, member: nil)
      var casts = HalfPrecisionCasts(document.outline.graph)
      let nodes = document.model.graph.node
      document.model.graph.node = nodes.flatMap { casts.around($0) }
      guard document.model.graph.node.count > nodes.count else {
        throw ModelError(
          .unsupported, file: file,
          "has no convolutions or matrix products with weights of 32 bits, which could be computed on 16 bits")
      }
      return try document.graph(file: file, member: nil)
    }
  }
}

/// Puts conversions around the operations of a graph that are worth it.
private struct HalfPrecisionCasts {
  private static let operations: Set<String> = ["Conv", "ConvTranspose", "MatMul", "Gemm"]

  private let weights: Set<String>
  private var names: ONNXNames
  /// Values that are converted already, and what they are called then.
  private var converted: [String: String] = [:]

  init(_ graph: ONNX_GraphProto) {
    weights = Set(graph.initializer.filter { $0.dataType == ONNXElementType.float32 }.map(\.name))
    names = ONNXNames(graph)
  }

  /// The operation with what converts its inputs before it and its output behind it.
  mutating func around(_ node: ONNX_NodeProto) -> [ONNX_NodeProto] {
    guard node.isStandard, Self.operations.contains(node.opType),
      node.input.dropFirst().contains(where: weights.contains), node.output.count == 1
    else { return [node] }
    var (node, before) = (node, [ONNX_NodeProto]())
    for (index, input) in node.input.enumerated() where !input.isEmpty {
      if let half = converted[input] {
        node.input[index] = half
        continue
      }
      let half = names.fresh("half")
      before.append(Self.cast(input, to: ONNXElementType.float16, as: half))
      converted[input] = half
      node.input[index] = half
    }
    let (output, half) = (node.output[0], names.fresh("half"))
    node.output[0] = half
    return before + [node, Self.cast(half, to: ONNXElementType.float32, as: output)]
  }

  private static func cast(_ input: String, to type: Int32, as output: String) -> ONNX_NodeProto {
    .with {
      ($0.opType, $0.input, $0.output) = ("Cast", [input], [output])
      $0.attribute = [
        .with {
          // 2: an integer.
          ($0.name, $0.i, $0.type) = ("to", Int64(type), 2)
        }
      ]
    }
  }
}
