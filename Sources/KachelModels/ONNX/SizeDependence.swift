// SPDX-License-Identifier: Apache-2.0
internal import Foundation
internal import SwiftProtobuf

/// Which of a network's operations keep an engine from giving a pixel the same bits in tiles of any size.
///
/// Numbers are rounded whenever two are added, so that another order of a sum gives another last digit. OpenVINO 2026.4
/// chooses the order of a convolution's sums by the image's width in three cases: the windows of a transposed convolution
/// overlap, the kernel takes every third pixel or fewer, or padding makes the result wider than the image. ONNX Runtime 1.32
/// computes some functions otherwise for the last few of the numbers that a thread gets. All else was seen to give the same
/// bits for every width; the tests try it.
package struct SizeDependence: Sendable {
  /// The network in a form that ONNX Runtime runs, where that is the better one; else as it was.
  package let graph: ModelGraph
  /// The operation with OpenVINO, as in `its operation Conv (Conv_3) has a dilation of 4`.
  package let ofOpenVINO: String?
  /// The operation with ONNX Runtime on the processor.
  package let ofONNXRuntime: String?
}

extension ModelGraph {
  /// Looks for such operations.
  ///
  /// - Parameter file: what errors call the network.
  /// - Throws: ``ModelError``: the graph is damaged.
  package func sizeDependence(file: String) throws(ModelError) -> SizeDependence {
    let none = SizeDependence(graph: self, ofOpenVINO: nil, ofONNXRuntime: nil)
    switch self {
    case .classical: return none
    case .savedModel(let files):
      let graph = try SavedModelGraph(files)
      let mayBeOfOpenVINO = graph.mayDependOnSizeWithOpenVINO
      guard mayBeOfOpenVINO || graph.dependsOnSizeWithONNXRuntime else { return none }
      let converted: ModelGraph
      do throws(ModelError) { converted = try SavedModelToONNX(files).convert() } catch {
        return SizeDependence(
          graph: self, ofOpenVINO: mayBeOfOpenVINO ? error.reason : nil, ofONNXRuntime: error.reason)
      }
      let found = try converted.sizeDependence(file: file)
      return found.ofOpenVINO == nil
        ? SizeDependence(graph: self, ofOpenVINO: nil, ofONNXRuntime: found.ofONNXRuntime) : found
    case .onnx(let bytes):
      var document = try ONNXDocument(bytes, file: file, member: nil)
      let nodes = document.model.graph.node.filter(\.isStandard)
      let rounded = nodes.first { roundedByONNXRuntime.contains($0.opType) }
        .map { "its operation \($0.title) is one of those that it rounds by how many pixels there are" }
      guard let reason = document.dependenceWithOpenVINO else {
        return SizeDependence(graph: self, ofOpenVINO: nil, ofONNXRuntime: rounded)
      }
      let graph = document.writesOutPadding() ? try document.graph(file: file, member: nil) : self
      return SizeDependence(graph: graph, ofOpenVINO: reason, ofONNXRuntime: rounded)
    }
  }
}

/// Operations of ONNX that ONNX Runtime rounds by the number of pixels, which are all that were found among activations,
/// poolings, normalisations of channels and arithmetic.
private let roundedByONNXRuntime: Set = ["Celu", "Elu", "Log", "LRN", "Mish", "Selu", "Softplus"]

/// A convolution's dilation from which on the order of its sums depends on the width.
private let wideDilation: Int64 = 3

extension ONNXDocument {
  fileprivate var dependenceWithOpenVINO: String? {
    let nodes = model.graph.node
    let producers = Dictionary(
      nodes.flatMap { node in node.output.map { ($0, node) } }, uniquingKeysWith: { first, _ in first })
    for node in nodes where node.isStandard {
      let reason: String?
      switch node.opType {
      case "ConvTranspose": reason = dependence(ofTransposed: node)
      case "Conv": reason = dependence(ofConvolution: node, producers)
      default: reason = nil
      }
      if let reason { return "its operation \(node.title) \(reason)" }
    }
    return nil
  }

  private func dependence(ofTransposed node: ONNX_NodeProto) -> String? {
    let stride = node.numbers("strides")?.last ?? 1
    guard let dims = weights(node)?.dims else { return "has no plain weights" }
    if dims[3] <= stride || node.group > 1 && node.group == dims[0] { return nil }
    return "has windows that overlap"
  }

  private func dependence(
    ofConvolution node: ONNX_NodeProto, _ producers: [String: ONNX_NodeProto]
  ) -> String? {
    guard let dims = weights(node)?.dims else { return "has no plain weights" }
    // A channel by itself, or a column.
    if dims[3] == 1 || dims[1] == 1 && node.group > 1 { return nil }
    let dilation = node.numbers("dilations")?.last ?? 1
    guard 1...1 << 16 ~= dilation, dims[3] <= 1 << 16 else { return "has no plain dilation" }
    if dilation >= wideDilation { return "has a dilation of \(dilation)" }
    var padding: Int64 = 0
    if let pads = node.numbers("pads"), pads.count == 4 { padding = Self.sum(pads[1], pads[3]) }
    // OpenVINO makes zeros around the image part of the convolution.
    var source = node.input.first.flatMap { producers[$0] }
    for _ in 0..<3 {
      guard let node = source, node.isStandard, ["Transpose", "Identity"].contains(node.opType) else { break }
      source = node.input.first.flatMap { producers[$0] }
    }
    if let source, source.isStandard, source.opType == "Pad", ["", "constant"].contains(source.text("mode")) {
      guard let zeros = zeros(around: source) else { return "is padded by numbers that are computed" }
      padding = Self.sum(padding, zeros)
    }
    return padding > dilation * (dims[3] - 1) ? "gives more columns than it gets" : nil
  }

  /// The most zeros that a node adds along an axis, before it and after it together.
  private func zeros(around node: ONNX_NodeProto) -> Int64? {
    let pads =
      node.numbers("pads")?.map(Double.init)
      ?? node.input.dropFirst().first.flatMap { tensor($0) }.flatMap { ONNXElementType.numbers($0) }
    guard let pads, pads.count % 2 == 0 else { return nil }
    let half = pads.count / 2
    return (0..<half).map { Int64(clamping: Int(min(pads[$0] + pads[$0 + half], 1e9))) }.max() ?? 0
  }

  private static func sum(_ a: Int64, _ b: Int64) -> Int64 {
    let (sum, isTooLarge) = a.addingReportingOverflow(b)
    return isTooLarge ? .max : sum
  }

  private func weights(_ node: ONNX_NodeProto) -> ONNX_TensorProto? {
    guard node.input.count > 1, let weights = tensor(node.input[1]), weights.dims.count == 4 else { return nil }
    return weights
  }

  /// Gives dilated convolutions their padding in numbers, where it is asked for by name and does not depend on the image:
  /// ONNX Runtime 1.32 takes no names there.
  ///
  /// - Returns: whether there were some.
  fileprivate mutating func writesOutPadding() -> Bool {
    var isChanged = false
    for index in model.graph.node.indices {
      let node = model.graph.node[index]
      guard node.isStandard, node.opType == "Conv", let kernel = weights(node)?.dims.suffix(2),
        let dilations = node.numbers("dilations"), dilations.count == 2,
        dilations.allSatisfy({ 1...1 << 16 ~= $0 }), kernel.allSatisfy({ 1...1 << 16 ~= $0 }),
        let name = node.attribute.firstIndex(where: { $0.name == "auto_pad" }),
        node.numbers("strides")?.allSatisfy({ $0 == 1 }) ?? true
      else { continue }
      let all = zip(kernel, dilations).map { ($0 - 1) * $1 }
      let less = all.map { $0 / 2 }, more = all.map { $0 - $0 / 2 }
      let pads: [Int64]
      switch node.text("auto_pad") {
      case "SAME_UPPER": pads = less + more
      case "SAME_LOWER": pads = more + less
      default: continue
      }
      model.graph.node[index].attribute[name] = .with { ($0.name, $0.type, $0.ints) = ("pads", 7, pads) }
      isChanged = true
    }
    return isChanged
  }
}

extension ONNX_NodeProto {
  fileprivate func numbers(_ name: String) -> [Int64]? { attribute.first { $0.name == name }?.ints }
  fileprivate func text(_ name: String) -> String {
    attribute.first { $0.name == name }.map { String(decoding: $0.s, as: UTF8.self) } ?? ""
  }
  fileprivate var group: Int64 { attribute.first { $0.name == "group" }?.i ?? 1 }
}

extension SavedModelGraph {
  /// Whether it has an operation that may be of those. Functions that are not called count, too.
  fileprivate var mayDependOnSizeWithOpenVINO: Bool {
    hasNode { node in
      switch node.op {
      case "Conv2DBackpropInput", "SpaceToBatchND", "Pad", "PadV2": true
      case "Conv2D":
        node.attr["dilations"]?.list.i.contains { $0 >= wideDilation } ?? false
          || node.attr["padding"]?.s == Data("EXPLICIT".utf8)
      default: false
      }
    }
  }

  fileprivate var dependsOnSizeWithONNXRuntime: Bool { hasNode { roundedByONNXRuntime.contains($0.op) } }

  private func hasNode(_ isMeant: (TF_NodeDef) -> Bool) -> Bool {
    ([meta.graphDef.node] + functions.values.map(\.nodeDef)).joined().contains(where: isMeant)
  }
}
