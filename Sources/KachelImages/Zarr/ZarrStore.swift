// SPDX-License-Identifier: Apache-2.0
private import Foundation
import KachelBytes

/// Named byte sequences, as the files of a folder: all that reading Zarr needs of the place where an array lies.
package protocol ZarrStore: Sendable {
  /// What the store is called in errors: the folder's path, or its address.
  var name: String { get }
  /// Whether entries are on another machine, so that few of them should be asked for.
  var isRemote: Bool { get }
  /// What to tell where none of the entries are there that make an image.
  var absence: String { get }

  /// Bytes of the entry of a key (names joined by `/`); `nil` where there is no such entry.
  ///
  /// - Parameter limit: the most bytes to return; more of them is an error before any is read.
  func read(_ key: String, _ part: ZarrBytePart, limit: Int) throws(ImageError) -> [UInt8]?
}

/// Which bytes of an entry.
package enum ZarrBytePart: Sendable, Hashable {
  case all
  case range(offset: Int, count: Int)
  case last(Int)
}

extension ZarrStore {
  /// What an entry is called in errors.
  func file(_ key: String) -> String { key.isEmpty ? name : name + "/" + key }

  /// The JSON text of an entry.
  func json(_ key: String) throws(ImageError) -> JSONValue? {
    guard let bytes = try read(key, .all, limit: 16 << 20) else { return nil }
    do throws(JSONValue.Failure) {
      return try JSONValue(bytes)
    } catch {
      throw ImageError(.damaged, file: file(key), offset: error.offset, error.reason)
    }
  }
}

/// The files of a local folder.
package struct LocalZarrStore: ZarrStore {
  package let name: String
  package var isRemote: Bool { false }
  package var absence: String { "is no Zarr array or group" }

  package init(folder: String) {
    var name = folder[...]
    while name.count > 1, name.last == "/" { name.removeLast() }
    self.name = String(name)
  }

  package func read(_ key: String, _ part: ZarrBytePart, limit: Int) throws(ImageError) -> [UInt8]? {
    let path = file(key)
    guard !name.isEmpty, FileManager.default.fileExists(atPath: path) else { return nil }
    return try ImageError.wrapping { () throws(BytesError) in
      let source = try ByteSource(path: path)
      let (offset, count) =
        switch part {
        case .all: (0, source.count)
        case .range(let offset, let count): (offset, count)
        case .last(let count): (max(0, source.count - count), count)
        }
      guard count <= limit else {
        throw BytesError(.damaged, file: path, offset: offset, "\(count) bytes are more than belong here (\(limit))")
      }
      return try source.read(at: offset, count: count)
    }
  }
}

/// Keys inside a store.
enum ZarrKey {
  /// A key below another one.
  static func join(_ parent: String, _ child: String) -> String { parent.isEmpty ? child : parent + "/" + child }

  /// A path that metadata gives, relative to `parent`; `nil` where it would lead anywhere but to something inside.
  static func inside(_ parent: String, path: String) -> String? {
    var names = path.split(separator: "/", omittingEmptySubsequences: false)
    if names.first == "." { names.removeFirst() }
    if names.last == "" { names.removeLast() }
    guard !names.isEmpty, path.utf8.count <= 1024,
      names.allSatisfy({ name in
        !name.isEmpty && name != "." && name != ".." && !name.utf8.contains { $0 < 0x20 || $0 == UInt8(ascii: "\\") }
      })
    else { return nil }
    return join(parent, names.joined(separator: "/"))
  }
}
