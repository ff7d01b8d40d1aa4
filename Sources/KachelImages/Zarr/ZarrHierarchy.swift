// SPDX-License-Identifier: Apache-2.0

/// The arrays and groups of a store, of either version of Zarr.
struct ZarrHierarchy: Sendable {
  let store: any ZarrStore
  /// Zarr 2's copy of all metadata in one entry, for stores that lack the single ones.
  private let consolidated: [String: JSONValue]

  init(_ store: any ZarrStore) throws(ImageError) {
    self.store = store
    // A damaged copy does no harm where the originals are there.
    consolidated = (try? store.json(".zmetadata"))?["metadata"]?.object ?? [:]
  }

  enum Node {
    case array(ZarrLayout, attributes: JSONValue)
    case group(attributes: JSONValue, file: String)
  }

  /// The array or group of a key; `nil` where there is none.
  func node(_ key: String) throws(ImageError) -> Node? {
    if let document = try document(key, "zarr.json") {
      let attributes = document.json["attributes"] ?? .object([:])
      guard document.json["node_type"]?.string == "group" else {
        return .array(try ZarrLayout(version3: document), attributes: attributes)
      }
      guard document.json["zarr_format"]?.int == 3 else { throw document.damaged("is no group of zarr_format 3") }
      return .group(attributes: attributes, file: document.file)
    }
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
    var json = try store.json(key)
    if json == nil { json = consolidated[key] }
    guard let json else { return nil }
    let document = ZarrDocument(json: json, file: store.file(key))
    guard json.object != nil else { throw document.damaged("is no JSON object") }
    return document
  }
}
