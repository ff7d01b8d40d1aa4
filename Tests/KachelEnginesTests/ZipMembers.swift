// SPDX-License-Identifier: Apache-2.0
internal import CZip
internal import Foundation
internal import KachelTesting

/// The members of a zip file, as the packages of the reference data are, by name. Folders are left out.
func zipMembers(_ bytes: [UInt8]) throws -> [String: [UInt8]] {
  struct Unreadable: Error {}
  return try bytes.withUnsafeBytes { raw in
    guard let source = zip_source_buffer_create(raw.baseAddress, zip_uint64_t(raw.count), 0, nil) else {
      throw Unreadable()
    }
    guard let archive = zip_open_from_source(source, ZIP_RDONLY, nil) else {
      zip_source_free(source)
      throw Unreadable()
    }
    defer { zip_discard(archive) }
    var members: [String: [UInt8]] = [:]
    for index in 0..<zip_uint64_t(zip_get_num_entries(archive, 0)) {
      var status = zip_stat_t()
      guard zip_stat_index(archive, index, 0, &status) == 0, let file = zip_fopen_index(archive, index, 0) else {
        throw Unreadable()
      }
      defer { zip_fclose(file) }
      var content = [UInt8](repeating: 0, count: Int(status.size))
      guard zip_fread(file, &content, status.size) == zip_int64_t(status.size) else { throw Unreadable() }
      let name = String(cString: status.name)
      if !name.hasSuffix("/") { members[name] = content }
    }
    return members
  }
}

/// The graph in a package of the reference data: the content of an ONNX file or of a zip with a SavedModel.
func packagedGraph(_ name: String) throws -> [UInt8] {
  struct NoGraph: Error {}
  let members = try zipMembers([UInt8](SharedData.data(name)))
  guard let graph = members.first(where: { $0.key.hasSuffix(".model") }) else { throw NoGraph() }
  return graph.value
}

/// Lays a zipped SavedModel out as a folder and returns its path.
func unzip(_ bytes: [UInt8], into folder: ScratchFolder) throws -> String {
  for (name, content) in try zipMembers(bytes) {
    let path = folder.file("model/" + name)
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    _ = try folder.write(content, to: "model/" + name)
  }
  return folder.file("model")
}
