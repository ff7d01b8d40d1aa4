// SPDX-License-Identifier: Apache-2.0

/// The messages of a protobuf format, as far as their fields are counted before the messages are parsed: an empty message
/// has two bytes in a file and takes a hundred times as many in memory, so that a small archive could fill it.
protocol ProtobufMessages {
  /// The message that a field of this one holds; `nil` where it is a text, bytes, or packed numbers.
  func message(inField number: UInt64) -> Self?
}

extension ProtobufMessages {
  /// Whether a message has at most `limit` fields with a length (texts, bytes and messages), those of the messages in it
  /// included. What is no protobuf is left to the parser to refuse.
  func holds(atMost limit: Int, in bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBytes { bytes in
      var remaining = limit
      count(bytes, &remaining, depth: 0)
      return remaining >= 0
    }
  }

  private func count(_ bytes: UnsafeRawBufferPointer, _ remaining: inout Int, depth: Int) {
    var at = 0
    func varint() -> UInt64? {
      var (value, shift) = (0 as UInt64, 0 as UInt64)
      while at < bytes.count, shift < 64 {
        let byte = bytes[at]
        at += 1
        value |= UInt64(byte & 0x7F) << shift
        if byte < 0x80 { return value }
        shift += 7
      }
      return nil
    }
    while remaining >= 0, let tag = varint() {
      switch tag & 7 {
      case 0: guard varint() != nil else { return }
      case 1: at += 8
      case 2:
        guard let size = varint(), size <= UInt64(bytes.count - at) else { return }
        let content = UnsafeRawBufferPointer(rebasing: bytes[at..<at + Int(size)])
        at += Int(size)
        remaining -= 1
        // Deeper messages than this do not get through the parser.
        if depth < 100, let inner = message(inField: tag >> 3) { inner.count(content, &remaining, depth: depth + 1) }
      case 5: at += 4
      default: return
      }
      guard at <= bytes.count else { return }
    }
  }
}

/// The messages of an ONNX file that hold lists; see `onnx.proto`.
enum ONNXMessages: ProtobufMessages {
  case model, graph, node, attribute, tensor, sparseTensor, value, type, tensorType, shape, other

  func message(inField number: UInt64) -> Self? {
    switch (self, number) {
    case (.model, 7), (.attribute, 6), (.attribute, 11): .graph
    case (.graph, 1): .node
    case (.graph, 5), (.attribute, 5), (.attribute, 10), (.sparseTensor, 1), (.sparseTensor, 2): .tensor
    case (.graph, 11), (.graph, 12), (.graph, 13): .value
    case (.graph, 15), (.attribute, 22): .sparseTensor
    case (.node, 5): .attribute
    case (.value, 2): .type
    case (.type, 1): .tensorType
    case (.tensorType, 2): .shape
    case (.model, 8), (.model, 14), (.model, 25), (.tensor, 13), (.shape, 1): .other
    default: nil
    }
  }
}

/// The messages of a `saved_model.pb` that hold lists; see `saved_model.proto`. An entry of a map is a message whose
/// field 2 is the value.
enum SavedModelMessages: ProtobufMessages {
  case model, metaGraph, info, signatureEntry, signature, tensorEntry, tensor, graph, library, function, operation
  case node, attributeEntry, attribute, list, shape, argumentEntry, argument
  case objects, object, variable, concreteEntry, concrete, value, values, dictionary, valueEntry, specification, other

  func message(inField number: UInt64) -> Self? {
    switch (self, number) {
    case (.model, 2): .metaGraph
    case (.metaGraph, 1): .info
    case (.metaGraph, 2): .graph
    case (.metaGraph, 5): .signatureEntry
    case (.signatureEntry, 2): .signature
    case (.signature, 1), (.signature, 2): .tensorEntry
    // Both kinds of tensor have nothing but a shape.
    case (.tensorEntry, 2), (.attribute, 8): .tensor
    case (.tensor, 2), (.tensor, 3), (.attribute, 7), (.list, 7), (.variable, 2), (.specification, 2): .shape
    case (.list, 8): .tensor
    case (.graph, 1), (.function, 3): .node
    case (.graph, 2): .library
    case (.library, 1): .function
    case (.function, 1): .operation
    case (.node, 5), (.function, 5), (.argument, 1): .attributeEntry
    case (.function, 7): .argumentEntry
    case (.argumentEntry, 2): .argument
    case (.attributeEntry, 2): .attribute
    case (.attribute, 1): .list
    case (.metaGraph, 7): .objects
    case (.objects, 1): .object
    case (.object, 7): .variable
    case (.objects, 2): .concreteEntry
    case (.concreteEntry, 2): .concrete
    case (.concrete, 3), (.concrete, 4), (.values, 1), (.valueEntry, 2): .value
    case (.value, 33): .specification
    case (.value, 51), (.value, 52): .values
    case (.value, 53): .dictionary
    case (.dictionary, 1): .valueEntry
    case (.object, 1), (.object, 4), (.object, 6), (.object, 8): .other
    case (.function, 4), (.operation, 2), (.operation, 3), (.attribute, 10), (.list, 9), (.shape, 2): .other
    default: nil
    }
  }
}
