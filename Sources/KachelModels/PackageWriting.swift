// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes
private import Foundation

extension ModelPackage {
  /// Writes the package, in the format that the name's extension says: `.czmodel` and `.czseg` (XML) or `.czann` (JSON).
  /// A package of the other family is converted first; see ``converted(to:)``.
  ///
  /// The file appears when it is complete. What was read and not changed is written as it was; the same package gives
  /// the same bytes.
  ///
  /// - Throws: ``ModelError``: the parts do not fit each other or the format (`mismatch`, `unsupported`), something must
  ///   be said that no file says (`option`), or the file cannot be written (`cannotWrite`).
  public func write(to path: String, overwrite: Bool = false) throws(ModelError) {
    let package = try converted(to: format(forName: path))
    try package.check()
    do throws(BytesError) {
      let output = try PendingOutput(path: path, overwrite: overwrite)
      // Deleted with everything in it when this ends.
      let scratch = try PendingOutput(path: path + ".model", overwrite: true)
      let archive = try ArchiveWriter(path: output.temporaryPath)
      for (name, content) in try package.entries(scratch: scratch.temporaryPath) { try archive.add(name, content) }
      try archive.finish()
      try output.commit()
    } catch {
      throw ModelError(error, file: error.kind == .cannotWrite ? path : error.file)
    }
  }

  /// The names of the members in their order: XML packages of the czmodel tools end with the member that names the
  /// id, those of ZEN begin with it.
  var memberNames: [String] {
    let further = [license?.name].compactMap { $0 } + attachments.map(\.name)
    guard case .czmodel = format else { return ["model.json", "model.model"] + further }
    let own = [metadata.id + ".xml", metadata.id + ".model"], mark = "modelid=" + metadata.id
    return format.isOfZEN ? [mark] + own + further : own + further + [mark]
  }

  private func entries(scratch: String) throws(BytesError) -> [(String, ArchiveWriter.Content)] {
    let files = Dictionary(
      ([license].compactMap { $0 } + attachments).map { ($0.name, $0.bytes) }, uniquingKeysWith: { first, _ in first })
    var entries: [(String, ArchiveWriter.Content)] = []
    for name in memberNames {
      if name.hasPrefix("modelid=") {
        entries.append((name, .bytes([])))
      } else if let bytes = files[name] {
        entries.append((name, .bytes(bytes)))
      } else if name.hasSuffix(".model") {
        switch graph {
        case .onnx(let bytes): entries.append((name, .bytes(bytes)))
        case .savedModel(let model): entries.append((name, try model.zipped(in: scratch)))
        case .classical: break
        }
      } else {
        entries.append((name, .bytes(metadataBytes)))
      }
    }
    return entries
  }

  /// The metadata in the package's format.
  var metadataBytes: [UInt8] {
    if let original, hasOriginalMetadata { return original.bytes }
    switch format {
    case .czmodel(let version): return XMLMetadata.write(metadata, version: version, original: original)
    case .czann(let version): return JSONMetadata.write(metadata, version: version, original: original)
    case .bioImageIO, .onnx, .savedModel: return []
    }
  }

  /// The format in which a file of that name is written: the package's own, where it is of the same family and can hold
  /// the content; otherwise the oldest that can, as the most versions of ZEN open it.
  public func format(forName path: String) throws(ModelError) -> PackageFormat {
    switch (URL(filePath: path).pathExtension.lowercased(), format) {
    case ("czann", .czann) where isAsRead, ("czmodel", .czmodel) where isAsRead, ("czseg", .czmodel) where isAsRead:
      return format
    case ("czann", _):
      let least = try leastJSON()
      if case .czann(let version) = format { return .czann(version: newer(version, least)) }
      return .czann(version: least)
    case ("czmodel", _), ("czseg", _):
      let least = leastXML()
      if case .czmodel(let version) = format, version != "1" { return .czmodel(version: newer(version, least)) }
      // Only 3.2, which ZEN writes into .czseg, takes what .czann packages hold without changes.
      if case .czann = format, path.lowercased().hasSuffix(".czseg") { return .czmodel(version: "3.2.0") }
      return .czmodel(version: least)
    default:
      throw ModelError(
        .option, file: path, "is no name of a model package; let it end in .czmodel, .czseg or .czann")
    }
  }

  /// 3.0 holds SavedModels for one image channel.
  private func leastXML() -> String {
    if case .onnx = graph { return "3.1.0" }
    return metadata.channels.count > 1 ? "3.1.0" : "3.0.0"
  }

  /// 1.0 has no pixel size, 1.1 none along z; up to 2.0, operations are those of ONNX' version 12.
  private func leastJSON() throws(ModelError) -> String {
    let facts = try graphFacts()
    if let opset = facts.opset, opset > 12 { return "2.1.0" }
    if facts.inputs.first?.shape?.count == 5 || metadata.pixelSize?.z != nil { return "2.0.0" }
    return metadata.pixelSize == nil ? "1.0.0" : "1.1.0"
  }

  private func newer(_ first: String, _ second: String) -> String {
    func numbers(_ version: String) -> [Int] { version.split(separator: ".").map { Int($0) ?? 0 } }
    return numbers(first).lexicographicallyPrecedes(numbers(second)) ? second : first
  }
}

extension SavedModelFiles {
  /// The files as one zip archive, as packages hold it: as it was where nothing changed, otherwise made in a folder.
  ///
  /// - Parameter folder: a folder to create.
  func zipped(in folder: String) throws(BytesError) -> ArchiveWriter.Content {
    if let original = originalZip { return .bytes(original) }
    do { try FileManager.default.createDirectory(atPath: folder + "/files", withIntermediateDirectories: true) } catch {
      throw BytesError(.cannotWrite, file: folder, "cannot be created: \(error.localizedDescription)")
    }
    let contents: [String: ArchiveWriter.Content]
    do throws(ModelError) { contents = try self.contents(extractingTo: folder + "/files") } catch {
      throw BytesError(error.kind == .cannotWrite ? .cannotWrite : .damaged, file: error.file, error.reason)
    }
    let archive = try ArchiveWriter(path: folder + "/model.zip")
    let members = contents.sorted { ($0.key.contains("/") ? 1 : 0, $0.key) < ($1.key.contains("/") ? 1 : 0, $1.key) }
    for (name, content) in members { try archive.add(name, content) }
    try archive.finish()
    return .file(folder + "/model.zip")
  }
}
