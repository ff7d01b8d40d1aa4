// SPDX-License-Identifier: Apache-2.0
import KachelBytes

/// The arrays and groups of a store, of either version of Zarr.
struct ZarrHierarchy: Sendable {
  let store: any ZarrStore
  /// Copies of all metadata in one entry ("consolidated"), by key: for stores that lack the single ones, and to spare
  /// requests to a server.
  private let copies: [String: JSONValue]
  /// Whether the root is of version 3. All else is of the same version, so that the other one is looked for last.
  private let isVersion3: Bool

  init(_ store: any ZarrStore) throws(ImageError) {
    self.store = store
    if let root = try store.json("zarr.json") {
      isVersion3 = true
      var copies = ["zarr.json": root]
      for (key, node) in root["consolidated_metadata"]?["metadata"]?.object ?? [:] {
        copies[ZarrKey.join(key, "zarr.json")] = node
      }
      self.copies = copies
      return
    }
    isVersion3 = false
    do {
      copies = try store.json(".zmetadata")?["metadata"]?.object ?? [:]
    } catch {
      // A damaged copy does no harm where the originals are there.
      guard error.kind == .damaged else { throw error }
      copies = [:]
    }
  }

  enum Node {
    case array(ZarrLayout, attributes: JSONValue)
    case group(attributes: JSONValue, file: String)
  }

  /// The array or group of a key; `nil` where there is none.
  func node(_ key: String) throws(ImageError) -> Node? {
    if let node = isVersion3 ? try node3(key) : try node2(key) { return node }
    return isVersion3 ? try node2(key) : try node3(key)
  }

  /// The array of a key, without its attributes; `nil` where there is none.
  func array(_ key: String) throws(ImageError) -> ZarrLayout? {
    if !isVersion3, let document = try document(key, ".zarray") { return try ZarrLayout(version2: document) }
    if case .array(let layout, _) = try node(key) { return layout }
    return nil
  }

  private func node3(_ key: String) throws(ImageError) -> Node? {
    guard let document = try document(key, "zarr.json") else { return nil }
    let attributes = document.json["attributes"] ?? .object([:])
    guard document.json["node_type"]?.string == "group" else {
      return .array(try ZarrLayout(version3: document), attributes: attributes)
    }
    guard document.json["zarr_format"]?.int == 3 else { throw document.damaged("is no group of zarr_format 3") }
    return .group(attributes: attributes, file: document.file)
  }

  private func node2(_ key: String) throws(ImageError) -> Node? {
    let attributes = try document(key, ".zattrs")
    if let document = try document(key, ".zarray") {
      return .array(try ZarrLayout(version2: document), attributes: attributes?.json ?? .object([:]))
    }
    var group = attributes
    if group == nil { group = try document(key, ".zgroup") }
    guard let group else { return nil }
    return .group(attributes: attributes?.json ?? .object([:]), file: group.file)
  }

  private func document(_ key: String, _ name: String) throws(ImageError) -> ZarrDocument? {
    let key = ZarrKey.join(key, name)
    var json = store.isRemote ? copies[key] : nil
    if json == nil { json = try store.json(key) ?? copies[key] }
    guard let json else { return nil }
    let document = ZarrDocument(json: json, file: store.file(key))
    guard json.object != nil else { throw document.damaged("is no JSON object") }
    return document
  }
}
