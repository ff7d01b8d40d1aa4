// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes
internal import SwiftProtobuf

/// The values of a SavedModel's variables: `variables/variables.index`, a sorted table of LevelDB, names for every
/// variable its type, its shape, and where in which `variables.data-NNNNN-of-NNNNN` its bytes lie. Variables are read
/// one at a time, and their checksums compared.
struct VariableBundle: Sendable {
  let files: SavedModelFiles
  private let entries: [String: TF_BundleEntryProto]
  private let shardCount: Int

  /// Most bytes of an index. Networks of a thousand variables have some hundred thousand.
  private static let mostIndexBytes = 64 << 20
  private static let mostEntryBytes = 4096
  private static let mostShards = 10_000
  static let objectGraphKey = "_CHECKPOINTABLE_OBJECT_GRAPH"

  init(_ files: SavedModelFiles) throws(ModelError) {
    let index = try files.read(SavedModelFiles.indexName, limit: Self.mostIndexBytes)
    guard let table = SortedTable(index) else {
      throw Self.damaged(files, "\(SavedModelFiles.indexName) is damaged: copy it again")
    }
    var entries: [String: TF_BundleEntryProto] = [:]
    var header: TF_BundleHeaderProto?
    for (key, value) in table.entries {
      if key.isEmpty {
        header = try? TF_BundleHeaderProto(serializedBytes: Array(value))
      } else {
        guard value.count <= Self.mostEntryBytes, let entry = try? TF_BundleEntryProto(serializedBytes: Array(value))
        else {
          throw Self.damaged(files, "\(SavedModelFiles.indexName) is damaged: copy it again")
        }
        entries[key] = entry
      }
    }
    guard let header, (1...Self.mostShards).contains(Int(header.numShards)) else {
      throw Self.damaged(files, "\(SavedModelFiles.indexName) has no valid header: copy it again")
    }
    guard header.endianness == 0 else {
      throw ModelError(
        .unsupported, file: files.file, member: files.member, "its variables are big-endian; export the model anew")
    }
    self.files = files
    self.entries = entries
    shardCount = Int(header.numShards)
  }

  /// One variable in the bundle.
  struct Variable: Sendable {
    let key: String
    let type: StoredType
    let shape: [Int]
    let count: Int
    fileprivate let entry: TF_BundleEntryProto
    fileprivate let bundle: VariableBundle

    /// The bytes as they are stored.
    ///
    /// - Throws: `damaged` where their checksum differs.
    func read() throws(ModelError) -> [UInt8] {
      let bytes = try bundle.read(entry, key)
      guard VariableBundle.masked(CRC32C.checksum(bytes)) == entry.crc32C else {
        throw bundle.damaged("the values of the variable \(key) are damaged (their checksum differs): copy them again")
      }
      return bytes
    }
  }

  subscript(key: String) -> Variable? {
    get throws(ModelError) {
      guard let entry = entries[key] else { return nil }
      guard let type = StoredType(rawValue: entry.dtype) else {
        throw ModelError(
          .unsupported, file: files.file, member: files.member,
          "the variable \(key) is of TensorFlow's type \(entry.dtype), which is not read")
      }
      guard let shape = SavedModelGraph.shape(entry.shape).flatMap(Self.known), let count = Self.count(shape),
        // Variables that are stored in slices have no bytes of their own.
        Int(exactly: entry.size) == count * type.size
      else { throw damaged("the variable \(key) in \(SavedModelFiles.indexName) has no valid shape or size") }
      return Variable(key: key, type: type, shape: shape, count: count, entry: entry, bundle: self)
    }
  }

  /// The objects of the saved program with the keys of their values.
  func objectGraph() throws(ModelError) -> TF_TrackableObjectGraph? {
    guard let entry = entries[Self.objectGraphKey] else { return nil }
    // One text: its length, a checksum of the length in four bytes, the text.
    let bytes = try read(entry, Self.objectGraphKey)
    var reader = TableReader(bytes[...])
    guard let length = reader.varint(), reader.take(4) != nil, let text = reader.take(length), reader.isAtEnd else {
      throw damaged("the list of objects among the variables is damaged: copy it again")
    }
    let content = Array(text)
    guard ObjectMessages.graph.holds(atMost: PackageLimits.graphFields, in: content),
      let graph = try? TF_TrackableObjectGraph(serializedBytes: content)
    else { throw damaged("the list of objects among the variables is damaged: copy it again") }
    return graph
  }

  private func read(_ entry: TF_BundleEntryProto, _ key: String) throws(ModelError) -> [UInt8] {
    guard let offset = Int(exactly: entry.offset), let size = Int(exactly: entry.size),
      (0..<Int32(shardCount))
        .contains(entry.shardID)
    else { throw damaged("the variable \(key) lies outside the files of variables") }
    func padded(_ number: Int) -> String { String(repeating: "0", count: max(0, 5 - "\(number)".count)) + "\(number)" }
    let name = "variables/variables.data-\(padded(Int(entry.shardID)))-of-\(padded(shardCount))"
    return try files.read(name, at: offset, count: size)
  }

  private static func known(_ shape: [Int?]) -> [Int]? {
    let known = shape.compactMap { $0 }
    return known.count == shape.count && shape.count <= 16 ? known : nil
  }

  /// How many elements a shape has; `nil` where that is absurd.
  static func count(_ shape: [Int]) -> Int? {
    var count = 1
    for size in shape {
      // Where one size is 0 the others are bounded too.
      let product = count.multipliedReportingOverflow(by: max(size, 1))
      guard size >= 0, !product.overflow, product.partialValue <= Int(Int32.max) else { return nil }
      count = product.partialValue
    }
    return shape.contains(0) ? 0 : count
  }

  /// LevelDB's way to store a checksum of bytes that may hold checksums.
  static func masked(_ checksum: UInt32) -> UInt32 { (checksum >> 15 | checksum << 17) &+ 0xA282_EAD8 }

  private func damaged(_ reason: String) -> ModelError { Self.damaged(files, reason) }
  private static func damaged(_ files: SavedModelFiles, _ reason: String) -> ModelError {
    ModelError(.damaged, file: files.file, member: files.member, reason)
  }
}

/// The messages of the list of objects; see `TrackableObjectGraph` in `saved_model.proto`.
private enum ObjectMessages: ProtobufMessages {
  case graph, node, other

  func message(inField number: UInt64) -> Self? {
    switch (self, number) {
    case (.graph, 1): .node
    case (.node, 1), (.node, 2): .other
    default: nil
    }
  }
}

/// The types of TensorFlow's numbers that are read, by their numbers in the format.
enum StoredType: Int32, Sendable {
  case float32 = 1, float64 = 2, int32 = 3, uint8 = 4, int16 = 5, int8 = 6, int64 = 9, bool = 10, bfloat16 = 14
  case uint16 = 17, float16 = 19

  /// Bytes of one number.
  var size: Int {
    switch self {
    case .uint8, .int8, .bool: 1
    case .int16, .uint16, .bfloat16, .float16: 2
    case .float32, .int32: 4
    case .float64, .int64: 8
    }
  }
}
