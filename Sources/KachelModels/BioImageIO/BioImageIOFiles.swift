// SPDX-License-Identifier: Apache-2.0
private import Foundation
internal import KachelBytes

/// The files of a bioimage.io package, in a folder or in a zip archive.
struct BioImageIOFiles: Sendable {
  private enum Place: Sendable {
    case folder(String)
    /// `root` is the folder inside the archive that holds the description: empty, or ending in `/`.
    case archive(root: String)
  }

  /// The folder or the archive, as errors call it.
  let path: String
  /// The description's name.
  let description: String
  private let place: Place

  /// Descriptions by their names in the order in which they are looked for; the last also ends longer names.
  private static let names = ["bioimageio.yaml", "rdf.yaml", ".bioimageio.yaml"]
  private static let mostFiles = 10_000

  /// - Returns: `nil` where there is no description.
  /// - Throws: `cannotRead`; `damaged` where there are several.
  init?(at path: String) throws(ModelError) {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw ModelError(.cannotRead, file: path, "does not exist")
    }
    if isFolder.boolValue {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
      guard names.count <= Self.mostFiles, let found = try Self.description(names, path) else { return nil }
      (self.path, description, place) = (path, found, .folder(path))
    } else if path.hasSuffix(".yaml") || path.hasSuffix(".yml") {
      let url = URL(filePath: path)
      let folder = url.deletingLastPathComponent().path
      (self.path, description, place) = (folder, url.lastPathComponent, .folder(folder))
    } else {
      guard let archive = try? Archive(path: path) else { return nil }
      let members = archive.members.map(\.name).sorted {
        $0.split(separator: "/").count < $1.split(separator: "/").count
      }
      // Some archives hold everything in one folder.
      guard let first = members.first(where: { name in Self.names.contains { name.hasSuffix($0) } }) else { return nil }
      let root = String(first.dropLast(first.split(separator: "/").last?.count ?? 0))
      let inRoot = members.filter { $0.hasPrefix(root) }.map { String($0.dropFirst(root.count)) }
      guard let found = try Self.description(inRoot, path) else { return nil }
      (self.path, description, place) = (path, found, .archive(root: root))
    }
  }

  private static func description(_ all: [String], _ path: String) throws(ModelError) -> String? {
    for name in names.dropLast() where all.contains(name) { return name }
    let others = all.filter { $0.hasSuffix(names[2]) && !$0.contains("/") }.sorted()
    guard others.count <= 1 else {
      throw ModelError(
        .damaged, file: path,
        "has several descriptions (\(others.prefix(4).joined(separator: ", "))); name one of them instead")
    }
    return others.first
  }

  /// A file's content.
  ///
  /// - Throws: ``ModelError``: there is no such file, or it has more than `limit` bytes.
  func read(_ name: String, limit: Int) throws(ModelError) -> [UInt8] {
    guard !name.contains("://") else {
      throw ModelError(
        .unsupported, file: path, member: name,
        "is not in the package but on the web: download it, put it into the package and name it there")
    }
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard !name.isEmpty, !name.contains("\0"), !parts.contains(".."), !name.hasPrefix("/") else {
      throw ModelError(.damaged, file: path, member: name, "is not the name of a file inside the package")
    }
    let plain = parts.filter { $0 != "." && !$0.isEmpty }.joined(separator: "/")
    do throws(BytesError) {
      switch place {
      case .folder(let folder):
        let source = try ByteSource(path: folder + "/" + plain)
        guard source.count <= limit else {
          throw BytesError(.unsupported, file: path, "has \(source.count) bytes; at most \(limit) are read")
        }
        return try source.read(at: 0, count: source.count)
      case .archive(let root):
        let archive = try Archive(path: path)
        guard let member = archive[root + plain] else {
          throw BytesError(.damaged, file: path, "is not in the archive, though the description names it")
        }
        return try archive.read(member, limit: limit)
      }
    } catch {
      throw ModelError(error, file: path, member: name)
    }
  }

  /// A file's content, which must have the hash that the description states, where it states one.
  func read(_ file: BioImageIOPackage.File, limit: Int) throws(ModelError) -> [UInt8] {
    let bytes = try read(file.source, limit: limit)
    guard let stated = file.sha256 else { return bytes }
    let own = bytes.withUnsafeBytes { SHA256.hex(of: $0) }
    guard own == stated.lowercased() else {
      throw ModelError(
        .damaged, file: path, member: file.source,
        "is not the file that the description means (its SHA-256 is \(own.prefix(12))..., not \(stated.prefix(12))...):"
          + " download the package again")
    }
    return bytes
  }
}
