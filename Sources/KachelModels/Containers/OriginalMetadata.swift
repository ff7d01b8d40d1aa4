// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes

/// A package's metadata as they stand in its file. What is not understood, or was not changed, is written as it was.
struct OriginalMetadata: Sendable {
  enum Document: Sendable {
    case xml(XMLTree.Element)
    case json([String: JSONValue])
  }

  let bytes: [UInt8]
  let document: Document
  /// What the document says.
  let metadata: ModelMetadata
  let format: PackageFormat

  init(xml bytes: [UInt8], file: String, member: String, fallbackName: String) throws(ModelError) {
    let root = try XMLMetadata.root(bytes, file: file, member: member)
    metadata = try XMLMetadata.read(root, file: file, member: member, fallbackName: fallbackName)
    (self.bytes, document, format) = (bytes, .xml(root), .czmodel(version: metadata.schemaVersion))
  }

  init(json bytes: [UInt8], file: String, member: String, fallbackName: String) throws(ModelError) {
    let keys = try JSONMetadata.keys(bytes, file: file, member: member)
    metadata = try JSONMetadata.read(keys, file: file, member: member, fallbackName: fallbackName)
    (self.bytes, document, format) = (bytes, .json(keys), .czann(version: metadata.schemaVersion))
  }

  /// The root of XML.
  var root: XMLTree.Element? { if case .xml(let root) = document { root } else { nil } }
  /// The members of JSON.
  var keys: [String: JSONValue]? { if case .json(let keys) = document { keys } else { nil } }

  /// Whether a property of the metadata is what the document says.
  func hasSame<Value: Equatable>(_ property: KeyPath<ModelMetadata, Value>, as metadata: ModelMetadata) -> Bool {
    self.metadata[keyPath: property] == metadata[keyPath: property]
  }
}
