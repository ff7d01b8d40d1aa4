// SPDX-License-Identifier: Apache-2.0
internal import Foundation
internal import SwiftProtobuf

/// Which of a network's operations keep an engine from giving a pixel the same bits in tiles of any size.
///
/// Numbers are rounded whenever two are added, so that another order of a sum gives another last digit. OpenVINO 2026.4
/// chooses the order of a convolution's sums by the image's width in three cases: the windows of a transposed convolution
/// overlap, the kernel takes every third pixel or fewer, or padding makes the result wider than the image. ONNX Runtime 1.32
/// computes some functions otherwise for the last few of the numbers that a thread gets. Convolutions of one channel each,
/// or one column wide, are not among these. What is not known, as weights that are computed, counts as such. All else was
/// seen to give the same bits for every width; the tests try it.
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
        let reason = "it cannot be converted to ONNX, where that would show: \(error.reason)"
        return SizeDependence(graph: self, ofOpenVINO: mayBeOfOpenVINO ? reason : nil, ofONNXRuntime: reason)
      }
      let found = try converted.sizeDependence(file: file)
      return found.ofOpenVINO == nil
        ? SizeDependence(graph: self, ofOpenVINO: nil, ofONNXRuntime: found.ofONNXRuntime) : found
    case .onnx(let bytes):
      var document = try ONNXDocument(bytes, file: file, member: nil)
      let nodes = document.model.graph.node.filter(\.isStandard)
      let rounded = nodes.first { roundedByONNXRuntime.contains($0.opType) }
        .map { "its operation \($0.title) is computed otherwise for the last of its numbers" }
      guard let reason = document.dependenceWithOpenVINO else {
        return SizeDependence(graph: self, ofOpenVINO: nil, ofONNXRuntime: rounded)
      }
      let graph = document.writesOutPadding() ? try document.graph(file: file, member: nil) : self
      return SizeDependence(graph: graph, ofOpenVINO: reason, ofONNXRuntime: rounded)
    }
  }
}

/// Operations that ONNX Runtime rounds by the number of pixels, which are all that were found among activations, poolings,
/// normalisations of channels and arithmetic, and those like them; TensorFlow has most of them under the same names.
private let roundedByONNXRuntime: Set = [
  "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Celu", "Cos", "Cosh", "Elu", "Log", "Log1p", "LRN", "Mish",
  "Selu", "Sin", "Sinh", "Softplus", "Tan",
]

/// A convolution's dilation from which on the order of its sums depends on the width.
private let wideDilation: Int64 = 3

extension ONNXDocument {
  fileprivate var dependenceWithOpenVINO: String? {
    let nodes = model.graph.node
    let producers = Dictionary(
      nodes.flatMap { node in node.output.map { ($0, node) } }, uniquingKeysWith: { first, _ in first })
    let finder = DependenceFinder(document: self, producers: producers)
    for node in nodes where node.isStandard {
      if let reason = finder.reason(node) { return "its operation \(node.title) \(reason)" }
    }
    return nil
  }

  /// Gives dilated convolutions their padding in numbers, where it is asked for by name and does not depend on the image:
  /// ONNX Runtime 1.32 takes no names there.
  ///
  /// - Returns: whether there were some.
  fileprivate mutating func writesOutPadding() -> Bool {
    var isChanged = false
    for index in model.graph.node.indices {
      let node = model.graph.node[index]
      guard node.isStandard, node.opType == "Conv", let kernel = shape(node.input.dropFirst().first)?.suffix(2),
        kernel.count == 2, let dilations = node.numbers("dilations"), dilations.count == 2,
        dilations.allSatisfy({ 1...1 << 16 ~= $0 }), kernel.allSatisfy({ 1...1 << 16 ~= $0 }),
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
      // Numbers beside a name mean nothing.
      model.graph.node[index].attribute.removeAll { ["auto_pad", "pads"].contains($0.name) }
      model.graph.node[index].attribute.append(.with { ($0.name, $0.type, $0.ints) = ("pads", 7, pads) })
      isChanged = true
    }
    return isChanged
  }
}

extension ONNXDocument {
  /// The sizes of a weight along its axes.
  fileprivate func shape(_ name: String?) -> [Int64]? {
    guard let name else { return nil }
    return (model.graph.initializer.first { $0.name == name } ?? weights.first { $0.name == name })?.dims
  }
}

/// Looks for operations whose sums OpenVINO adds up by the image's width.
private struct DependenceFinder {
  let document: ONNXDocument
  /// The node that makes a value.
  let producers: [String: ONNX_NodeProto]

  /// Operations that leave pixels as they are, or may; OpenVINO looks through them.
  private static let transparent: Set = [
    "Add", "Cast", "Concat", "Div", "Dropout", "Identity", "Mul", "Reshape", "Squeeze", "Sub", "Transpose", "Unsqueeze",
  ]
  /// What is no size of a kernel, a dilation or a padding of any network.
  private static let most: Int64 = 1 << 20

  func reason(_ node: ONNX_NodeProto) -> String? {
    switch node.opType {
    case "ConvTranspose": ofTransposed(node)
    case "Conv": ofConvolution(node)
    default: nil
    }
  }

  private func ofTransposed(_ node: ONNX_NodeProto) -> String? {
    guard let columns = columns(node) else { return "has weights of a size that is not known" }
    if columns <= node.numbers("strides")?.last ?? 1 { return nil }
    // A channel by itself.
    if node.group > 1, shape(node)?.first == node.group { return nil }
    return "has windows that overlap"
  }

  private func ofConvolution(_ node: ONNX_NodeProto) -> String? {
    guard let columns = columns(node) else { return "has weights of a size that is not known" }
    // A column, or a channel by itself.
    if columns == 1 || node.group > 1 && shape(node)?.dropFirst().first == 1 { return nil }
    let dilation = node.numbers("dilations")?.last ?? 1
    guard 1...Self.most ~= dilation else { return "has no plain dilation" }
    if dilation >= wideDilation { return "has a dilation of \(dilation)" }
    let own = dilation * (columns - 1)
    guard let padding = padding(node, same: own), let before = zeros(before: node) else {
      return "is padded by numbers that are not known"
    }
    return padding + before > own ? "gives more columns than it gets" : nil
  }

  /// The columns that a convolution puts around its image; `nil` where that is not known.
  ///
  /// - Parameter same: how many leave the image as wide as it is.
  private func padding(_ node: ONNX_NodeProto, same: Int64) -> Int64? {
    switch node.text("auto_pad") {
    case "SAME_UPPER", "SAME_LOWER": return same
    case "VALID": return 0
    default:
      guard let pads = node.numbers("pads"), !pads.isEmpty else { return 0 }
      return pads.count % 2 == 0 ? Self.sum([pads[pads.count / 2 - 1], pads[pads.count - 1]]) : nil
    }
  }

  /// Zeros that are put around an operation's image before it, along the axis that has most; `nil` where that is not known.
  private func zeros(before node: ONNX_NodeProto) -> Int64? {
    var name = node.input.first
    // A graph has no cycles, but a file may.
    for _ in 0..<64 {
      guard let source = name.flatMap({ producers[$0] }), source.isStandard else { return 0 }
      if source.opType == "Pad" {
        guard ["", "constant"].contains(source.text("mode")) else { return 0 }
        return amounts(source).flatMap { pads in
          let half = pads.count / 2
          return pads.count % 2 == 0 ? (0..<half).map { Self.sum([pads[$0], pads[$0 + half]]) }.max() ?? 0 : nil
        }
      }
      guard Self.transparent.contains(source.opType) else { return 0 }
      name = source.input.first { producers[$0] != nil && producers[$0]?.opType != "Constant" }
    }
    return nil
  }

  private func amounts(_ pad: ONNX_NodeProto) -> [Int64]? {
    if let pads = pad.numbers("pads") { return pads }
    guard let name = pad.input.dropFirst().first else { return nil }
    let constant = producers[name].flatMap { $0.opType == "Constant" ? $0 : nil }
    let tensor = constant?.attribute.first { $0.name == "value" }?.t ?? document.tensor(name)
    return tensor.flatMap { ONNXElementType.numbers($0) }.map { numbers in
      numbers.map { $0.isFinite ? Int64(max(-1e6, min(1e6, $0))) : Self.most }
    }
  }

  /// The sum of what is added; what is cut off is not undone by it.
  private static func sum(_ pads: [Int64]) -> Int64 { pads.reduce(0) { $0 + max(0, min(most, $1)) } }

  private func columns(_ node: ONNX_NodeProto) -> Int64? {
    let columns = node.numbers("kernel_shape")?.last ?? (shape(node)?.count == 4 ? shape(node)?.last : nil)
    return columns.flatMap { 1...Self.most ~= $0 ? $0 : nil }
  }

  /// The sizes of an operation's weights.
  private func shape(_ node: ONNX_NodeProto) -> [Int64]? {
    guard let name = node.input.dropFirst().first else { return nil }
    return document.shape(name)
      ?? producers[name]?.attribute.first { $0.name == "value" && $0.hasT }?.t.dims
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
