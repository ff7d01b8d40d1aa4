// SPDX-License-Identifier: Apache-2.0
internal import Foundation
internal import SwiftProtobuf

/// An ONNX file for editing: everything but the content of its large weights is a message; that content stays in the
/// file's bytes, and is copied from there once, when the edited file is made.
struct ONNXDocument {
  /// Without the large weights.
  var model: ONNX_ModelProto
  /// The large weights, without their content.
  let weights: [ONNX_TensorProto]
  /// Those of them by name whose content is not all there.
  let incomplete: Set<String>
  private let bytes: [UInt8]
  /// Where the large weights are, with their tags and lengths, as parts of a graph.
  private let weightRanges: [Range<Int>]

  /// Weights of so many bytes are not made messages.
  private static let large = 4096

  private enum Field {
    static let graph: UInt64 = 7
    static let initializer: UInt64 = 5
    static let rawContent: UInt64 = 9
    static let tensorContent: Set<UInt64> = [4, 5, 6, 7, 9, 10, 11]
  }

  init(_ bytes: [UInt8], file: String, member: String?) throws(ModelError) {
    guard ONNXMessages.model.holds(atMost: PackageLimits.graphFields, in: bytes) else {
      throw ModelError(
        .unsupported, file: file, member: member, "the model has more than \(PackageLimits.graphFields) parts")
    }
    let split = bytes.withUnsafeBytes { Self.split($0) }
    guard let split, let model = try? ONNX_ModelProto(serializedBytes: split.rest), model.hasGraph,
      !model.graph.node.isEmpty
    else {
      throw ModelError(
        .damaged, file: file, member: member, "the model is no ONNX file, or it is damaged or cut off: copy it again")
    }
    self.model = model
    self.bytes = bytes
    (weights, weightRanges, incomplete) = (split.weights, split.ranges, split.incomplete)
  }

  /// The graph with all its weights, the large ones without their content.
  var outline: ONNX_ModelProto {
    var outline = model
    outline.graph.initializer += weights
    return outline
  }

  /// A weight with its content.
  func tensor(_ name: String) -> ONNX_TensorProto? {
    if let small = model.graph.initializer.first(where: { $0.name == name }) { return small }
    guard let index = weights.firstIndex(where: { $0.name == name }), !incomplete.contains(name) else { return nil }
    // The bytes are those of a graph with nothing but that weight.
    return (try? ONNX_GraphProto(serializedBytes: Array(bytes[weightRanges[index]])))?.initializer.first
  }

  /// The network.
  ///
  /// - Parameters: what errors call it.
  func graph(file: String, member: String?) throws(ModelError) -> ModelGraph {
    do { return .onnx(try serialized()) } catch {
      throw ModelError(.unsupported, file: file, member: member, "the edited graph cannot be written: \(error)")
    }
  }

  /// The file's bytes.
  private func serialized() throws(BinaryEncodingError) -> [UInt8] {
    var options = BinaryEncodingOptions()
    options.useDeterministicOrdering = true
    var frame = model
    frame.clearGraph()
    do {
      let (head, graph): ([UInt8], [UInt8]) = (
        try frame.serializedBytes(options: options), try model.graph.serializedBytes(options: options)
      )
      let size = graph.count + weightRanges.reduce(0) { $0 + $1.count }
      var result: [UInt8] = []
      result.reserveCapacity(head.count + size + 16)
      result += head
      Self.append(Field.graph << 3 | 2, to: &result)
      Self.append(UInt64(size), to: &result)
      result += graph
      for range in weightRanges { result += bytes[range] }
      return result
    } catch {
      throw (error as? BinaryEncodingError) ?? .missingRequiredFields
    }
  }

  // MARK: The form of messages

  /// One field of a message.
  private struct WireField {
    let number: UInt64
    /// With its tag.
    let whole: Range<Int>
    /// The content, where it has a length.
    let content: Range<Int>?
  }

  private static func split(
    _ bytes: UnsafeRawBufferPointer
  ) -> (rest: [UInt8], weights: [ONNX_TensorProto], ranges: [Range<Int>], incomplete: Set<String>)? {
    guard let fields = fields(bytes, 0..<bytes.count) else { return nil }
    // Twice the same message would mean both put together.
    let graphs = fields.filter { $0.number == Field.graph }
    guard graphs.count == 1, let graph = graphs[0].content, let parts = Self.fields(bytes, graph) else { return nil }
    var (kept, weights, ranges): ([UInt8], [ONNX_TensorProto], [Range<Int>]) = ([], [], [])
    var incomplete: Set<String> = []
    for part in parts {
      if part.number == Field.initializer, part.whole.count > large, let content = part.content {
        guard let weight = outline(bytes, content) else { return nil }
        weights.append(weight.tensor)
        ranges.append(part.whole)
        if !ONNXElementType.holdsAll(weight.tensor, rawBytes: weight.rawBytes, otherBytes: weight.otherBytes) {
          incomplete.insert(weight.tensor.name)
        }
      } else {
        kept += bytes[part.whole]
      }
    }
    var rest: [UInt8] = []
    for field in fields where field.number != Field.graph { rest += bytes[field.whole] }
    append(Field.graph << 3 | 2, to: &rest)
    append(UInt64(kept.count), to: &rest)
    return (rest + kept, weights, ranges, incomplete)
  }

  /// A tensor without its content, and how much of that there is, as raw bytes and as numbers.
  private static func outline(
    _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>
  ) -> (tensor: ONNX_TensorProto, rawBytes: Int?, otherBytes: Int)? {
    guard let fields = fields(bytes, range) else { return nil }
    var (kept, rawBytes, otherBytes): ([UInt8], Int?, Int) = ([], nil, 0)
    for field in fields {
      if !Field.tensorContent.contains(field.number) {
        kept += bytes[field.whole]
      } else if field.number == Field.rawContent {
        rawBytes = field.content?.count
      } else {
        otherBytes += field.content?.count ?? field.whole.count
      }
    }
    guard let tensor = try? ONNX_TensorProto(serializedBytes: kept) else { return nil }
    return (tensor, rawBytes, otherBytes)
  }

  private static func fields(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> [WireField]? {
    var (at, fields) = (range.lowerBound, [] as [WireField])
    func varint() -> UInt64? {
      var (value, shift) = (0 as UInt64, 0 as UInt64)
      while at < range.upperBound, shift < 64 {
        let byte = bytes[at]
        at += 1
        value |= UInt64(byte & 0x7F) << shift
        if byte < 0x80 { return value }
        shift += 7
      }
      return nil
    }
    while at < range.upperBound {
      let start = at
      guard let tag = varint() else { return nil }
      var content: Range<Int>?
      switch tag & 7 {
      case 0: guard varint() != nil else { return nil }
      case 1: at += 8
      case 2:
        guard let size = varint(), size <= UInt64(range.upperBound - at) else { return nil }
        content = at..<at + Int(size)
        at += Int(size)
      case 5: at += 4
      default: return nil
      }
      guard at <= range.upperBound else { return nil }
      fields.append(WireField(number: tag >> 3, whole: start..<at, content: content))
    }
    return fields
  }

  private static func append(_ number: UInt64, to bytes: inout [UInt8]) {
    var number = number
    while number >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: number) | 0x80)
      number >>= 7
    }
    bytes.append(UInt8(number))
  }
}
