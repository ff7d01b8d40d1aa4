// SPDX-License-Identifier: Apache-2.0
import KachelBytes

/// What ``ImageWriter/finish(scene:attributes:)`` has stored in a file, read back without any pixels.
package enum StoredAttribute {
  /// The value of an attribute of the first scene, in JSON.
  ///
  /// - Parameter path: a file or folder in one of the formats that are written.
  /// - Returns: `nil` where it has no such attribute.
  /// - Throws: ``ImageError`` where it cannot be read, or is no such image.
  package static func read(_ name: String, of path: String) throws(ImageError) -> [UInt8]? {
    let folder = LocalZarrStore(folder: path)
    if OMEZarrImage.isZarr(folder) { return try zarr(name, folder) }
    let (source, start) = try ImageError.wrapping { () throws(BytesError) in
      let source = try ByteSource(path: path)
      return (source, try source.read(at: 0, count: min(source.count, 4096)))
    }
    switch ImageFormat(start) {
    case .czi: return try czi(name, source)
    case .tiff: return try tiff(name, source)
    case .png: return try png(name, source)
    default: return nil
    }
  }

  private static func zarr(_ name: String, _ folder: LocalZarrStore) throws(ImageError) -> [UInt8]? {
    // Of several scenes the first is in a group of its own.
    for key in ["", "0/"] {
      for file in ["zarr.json", ".zattrs"] {
        guard let document = try folder.json(key + file) else { continue }
        let attributes = file == "zarr.json" ? document["attributes"] : document
        if let value = attributes?[name] { return try? value.text() }
      }
    }
    return nil
  }

  /// See ``CZIMetadataWriter``: a list with the value of every scene.
  private static func czi(_ name: String, _ source: ByteSource) throws(ImageError) -> [UInt8]? {
    let document = try CZIMetadata.document(source, at: try CZIHeader(source).metadataPosition)
    let values = document?.descendant("Metadata", "Information", "CustomAttributes", "KeyValue", name)?.text
    return values.flatMap { try? JSONValue(Array($0.utf8)) }?.array?.first.flatMap { try? $0.text() }
  }

  /// See ``OMEDocument``: a comment.
  private static func tiff(_ name: String, _ source: ByteSource) throws(ImageError) -> [UInt8]? {
    guard let text = try TIFFFile(source).description(ofPage: 0), OMEXML.isDocument(text) else { return nil }
    let root = try ImageError.wrapping { () throws(BytesError) in try XMLTree(text, file: source.path).root }
    let comments = root.child("StructuredAnnotations")?.children("CommentAnnotation") ?? []
    let comment = comments.first { $0.attributes["Namespace"] == name }
    return comment?.child("Value").map { Array($0.text.utf8) }
  }

  /// A chunk of text, which stands before the pixels.
  private static func png(_ name: String, _ source: ByteSource) throws(ImageError) -> [UInt8]? {
    var offset = 8
    while offset + 12 <= source.count {
      let head = try ImageError.wrapping { () throws(BytesError) in try source.read(at: offset, count: 8) }
      let count = head[..<4].reduce(0) { $0 << 8 | Int($1) }
      switch String(decoding: head[4...], as: UTF8.self) {
      case "iTXt" where count <= 64 << 20:
        let chunk = try ImageError.wrapping { () throws(BytesError) in try source.read(at: offset + 8, count: count) }
        // The keyword and a 0; whether and how it is compressed; the language and the translated keyword, both empty.
        let start = Array(name.utf8) + [0, 0, 0, 0, 0]
        if chunk.starts(with: start) { return Array(chunk[start.count...]) }
      case "IDAT", "IEND": return nil
      default: break
      }
      offset += 12 + count
    }
    return nil
  }
}
