// SPDX-License-Identifier: Apache-2.0
private import Foundation
internal import KachelBytes
internal import SwiftProtobuf

/// The files of a TensorFlow SavedModel: of a folder, or of a zipped folder in memory, as packages hold it.
public struct SavedModelFiles: Sendable {
  private enum Source {
    /// `root` is the folder inside the zip that holds `saved_model.pb`: empty, or ending in `/`.
    case zip([UInt8], root: String)
    case folder(String)
  }

  /// The files and their sizes in bytes, by their paths relative to the folder, as in `variables/variables.index`.
  public private(set) var files: [String: Int]
  /// Where the files come from, for errors: a file or folder, and the package's member.
  let file: String
  let member: String?
  private let source: Source
  /// What stands in for files of the source.
  private var replacements: [String: [UInt8]] = [:]
  private var isOriginal = true
  /// The parsed `saved_model.pb`, for all copies that have the same.
  private(set) var graph = ParsedSavedModel()

  static let graphName = "saved_model.pb"
  static let indexName = "variables/variables.index"
  /// Most files of a folder that are looked at: a SavedModel has a dozen.
  private static let mostFiles = 10_000

  init(zip bytes: [UInt8], file: String, member: String) throws(ModelError) {
    (self.file, self.member) = (file, member)
    let members = try Self.reading(bytes, file: file, member: member) { archive in archive.members }
    let graphs = members.filter { $0.baseName == Self.graphName }
    guard graphs.count == 1 else {
      throw ModelError(
        .damaged, file: file, member: member,
        graphs.isEmpty
          ? "the zipped model has no saved_model.pb: it is no SavedModel"
          : "the zipped model has several saved_model.pb; it is not clear which one is meant")
    }
    let root = String(graphs[0].name.dropLast(Self.graphName.count))
    source = .zip(bytes, root: root)
    files = Dictionary(
      uniqueKeysWithValues: members.filter { $0.name.hasPrefix(root) }.map {
        (String($0.name.dropFirst(root.count)), $0.size)
      })
  }

  /// The SavedModel in a folder. Only `saved_model.pb`, the files beside it, and those below `variables` and `assets`
  /// belong to it.
  ///
  /// - Throws: ``ModelError``: there is no such folder, or it is no SavedModel.
  public init(folder: String) throws(ModelError) {
    (file, member) = (folder, nil)
    source = .folder(folder)
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder) else {
      throw ModelError(.cannotRead, file: folder, "does not exist")
    }
    guard isFolder.boolValue, FileManager.default.fileExists(atPath: folder + "/" + Self.graphName) else {
      throw ModelError(.notAPackage, file: folder, "is no SavedModel: it has no saved_model.pb")
    }
    var files: [String: Int] = [:]
    for below in ["", "variables/", "assets/"] {
      guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder + "/" + below) else { continue }
      for name in names {
        let path = below + name
        let attributes = try? FileManager.default.attributesOfItem(atPath: folder + "/" + path)
        guard attributes?[.type] as? FileAttributeType == .typeRegular else { continue }
        files[path] = (attributes?[.size] as? NSNumber)?.intValue ?? 0
        guard files.count <= Self.mostFiles else {
          throw ModelError(.unsupported, file: folder, "has more than \(Self.mostFiles) files: it is no SavedModel")
        }
      }
    }
    self.files = files
  }

  /// The same SavedModel with another content in one of its files, or with a file more.
  func replacing(_ name: String, with bytes: [UInt8]) -> Self {
    var copy = self
    copy.files[name] = bytes.count
    copy.replacements[name] = bytes
    copy.isOriginal = false
    if name == Self.graphName { copy.graph = ParsedSavedModel() }
    return copy
  }

  /// The same SavedModel with another graph.
  func replacing(graph model: TF_SavedModel) throws(BinaryEncodingError) -> Self {
    var options = BinaryEncodingOptions()
    options.useDeterministicOrdering = true
    let bytes: [UInt8]
    do { bytes = try model.serializedBytes(options: options) } catch {
      throw (error as? BinaryEncodingError) ?? .missingRequiredFields
    }
    var copy = replacing(Self.graphName, with: bytes)
    copy.graph = ParsedSavedModel(model, size: bytes.count)
    return copy
  }

  /// The zip that the files came in, where nothing else was in it and none was replaced or removed.
  var originalZip: [UInt8]? { if case .zip(let bytes, root: "") = source, isOriginal { bytes } else { nil } }

  /// The same SavedModel without one of its files.
  func removing(_ name: String) -> Self {
    var copy = self
    copy.files[name] = nil
    copy.replacements[name] = nil
    copy.isOriginal = false
    return copy
  }

  /// A file's content.
  ///
  /// - Throws: ``ModelError``: there is no such file, it has more than `limit` bytes, or it cannot be read.
  func read(_ name: String, limit: Int) throws(ModelError) -> [UInt8] {
    guard let size = files[name] else { throw damaged("the SavedModel has no file \(name): copy it again") }
    guard size <= limit else {
      throw ModelError(
        .unsupported, file: file, member: member, "\(name) has \(size) bytes; at most \(limit) are read")
    }
    if let bytes = replacements[name] { return bytes }
    switch source {
    case .zip(let bytes, let root):
      return try Self.reading(bytes, file: file, member: member) { archive throws(BytesError) in
        guard let found = archive[root + name] else { throw BytesError(.damaged, file: file, "has no file \(name)") }
        return try archive.read(found, limit: limit)
      }
    case .folder(let folder):
      do throws(BytesError) { return try open(name, in: folder).read(at: 0, count: size) } catch {
        throw ModelError(error, file: folder, member: name)
      }
    }
  }

  /// A part of a file's content, of which no more than that is in memory, unless the file is compressed.
  ///
  /// - Throws: ``ModelError``: there is no such file, it does not have these bytes, or it cannot be read.
  func read(_ name: String, at offset: Int, count: Int) throws(ModelError) -> [UInt8] {
    guard let size = files[name] else { throw damaged("the SavedModel has no file \(name): copy it again") }
    guard offset >= 0, count >= 0, offset <= size, count <= size - offset else {
      throw damaged("\(name) is cut off: it has \(size) bytes, and more are wanted; copy it again")
    }
    if let bytes = replacements[name] { return Array(bytes[offset..<offset + count]) }
    switch source {
    case .zip(let bytes, let root):
      return try Self.reading(bytes, file: file, member: member) { archive throws(BytesError) in
        guard let found = archive[root + name] else { throw BytesError(.damaged, file: file, "has no file \(name)") }
        if let part = try archive.read(found, at: offset, count: count) { return part }
        return Array(try archive.read(found, limit: size)[offset..<offset + count])
      }
    case .folder(let folder):
      do throws(BytesError) { return try open(name, in: folder).read(at: offset, count: count) } catch {
        throw ModelError(error, file: folder, member: name)
      }
    }
  }

  private func open(_ name: String, in folder: String) throws(BytesError) -> ByteSource {
    let bytes = try ByteSource(path: folder + "/" + name)
    guard bytes.count == files[name] else {
      throw BytesError(.truncated, file: folder, "\(name) changes while it is read")
    }
    return bytes
  }

  /// The content of `saved_model.pb`.
  func graphBytes() throws(ModelError) -> [UInt8] { try read(Self.graphName, limit: PackageLimits.graph) }

  /// Writes the SavedModel's files into an existing folder.
  ///
  /// - Throws: `cannotWrite`, as where the folder is missing or has files of these names; `damaged`.
  public func extract(to folder: String) throws(ModelError) {
    switch source {
    case .zip(let bytes, let root):
      try Self.reading(bytes, file: file, member: member) { archive throws(BytesError) in
        try archive.extract(to: folder) { found in
          guard found.name.hasPrefix(root) else { return nil }
          let name = String(found.name.dropFirst(root.count))
          return replacements[name] == nil && files[name] != nil ? name : nil
        }
      }
      for (name, bytes) in replacements { try write(name, bytes, below: folder) }
    case .folder:
      for name in files.keys.sorted() { try write(name, read(name, limit: .max), below: folder) }
    }
  }

  /// Where each file's content is: a file of a folder stays there, one in a zip is written out, so that large ones need
  /// not be in memory.
  ///
  /// - Parameter folder: an empty folder.
  func contents(extractingTo folder: String) throws(ModelError) -> [String: ArchiveWriter.Content] {
    let place: String
    switch source {
    case .zip:
      try extract(to: folder)
      place = folder
    case .folder(let own): place = own
    }
    var contents: [String: ArchiveWriter.Content] = [:]
    for name in files.keys { contents[name] = replacements[name].map { .bytes($0) } ?? .file(place + "/" + name) }
    return contents
  }

  private func write(_ name: String, _ bytes: [UInt8], below folder: String) throws(ModelError) {
    let url = URL(filePath: folder + "/" + name)
    do {
      try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(bytes).write(to: url, options: .withoutOverwriting)
    } catch {
      throw ModelError(.cannotWrite, file: url.path, "cannot be written: \(error.localizedDescription)")
    }
  }

  private func damaged(_ reason: String) -> ModelError { ModelError(.damaged, file: file, member: member, reason) }

  /// Reads the zip in memory as it lies there.
  private static func reading<Answer>(
    _ bytes: [UInt8], file: String, member: String?, _ body: (Archive) throws(BytesError) -> Answer
  ) throws(ModelError) -> Answer {
    do throws(BytesError) { return try Archive.reading(bytes, file: file, body) } catch {
      // What cannot be written is another file than this one.
      if error.kind == .cannotWrite { throw ModelError(error, file: error.file, member: member) }
      let kind = ModelError(error, file: file).kind
      throw ModelError(kind, file: file, member: member, "the zipped model: \(error.reason)")
    }
  }
}
