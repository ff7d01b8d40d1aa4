// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes

/// Tells ONNX files from others. They have no signature: their outermost fields must fill the file.
enum ONNXFile {
  /// The fields of a model by their numbers in `onnx.proto`; the graph is number 7.
  private static let known: Set<UInt64> = [1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26]
  /// Files have a dozen fields outside of the graph.
  private static let mostFields = 10_000

  static func isONNX(_ source: ByteSource) -> Bool {
    var (at, fields, hasGraph) = (0, 0, false)
    func varint() -> UInt64? {
      guard let bytes = try? source.read(at: at, count: min(10, source.count - at)) else { return nil }
      var value: UInt64 = 0
      for (index, byte) in bytes.enumerated() {
        value |= UInt64(byte & 0x7F) << UInt64(7 * index)
        if byte < 0x80 {
          at += index + 1
          return value
        }
      }
      return nil
    }
    while at < source.count {
      fields += 1
      guard fields <= mostFields, let tag = varint(), known.contains(tag >> 3), let value = varint() else {
        return false
      }
      switch tag & 7 {
      case 0: break
      case 2:
        guard value <= UInt64(source.count - at) else { return false }
        at += Int(value)
        if tag >> 3 == 7 { hasGraph = true }
      default: return false
      }
    }
    return hasGraph
  }
}
