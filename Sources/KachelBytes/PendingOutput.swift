// SPDX-License-Identifier: Apache-2.0
private import Foundation

/// An output file or folder that is written under a temporary name beside its final one and gets the final name only
/// when it is complete. Dropped without ``commit()`` it is deleted.
///
/// `@unchecked Sendable`: the state is guarded by the single call of ``commit()`` or by the last reference going away.
public final class PendingOutput: @unchecked Sendable {
  public let path: String
  /// Where to write until then.
  public let temporaryPath: String
  private let overwrites: Bool
  private var isCommitted = false

  /// - Throws: `cannotWrite` where something exists at `path` and `overwrite` is false, where the folder that would hold
  ///   the output is missing or may not be written, or where `path` is no name, as `.` is none.
  public init(path: String, overwrite: Bool) throws(BytesError) {
    var path = path
    while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
    // Replacing `.` would rename the very folder that the user works in.
    guard !["", ".", "..", "/"].contains(path.split(separator: "/").last.map(String.init) ?? "") else {
      throw BytesError(.cannotWrite, file: "\"\(path)\"", "is no name of an output; name a file or folder to create")
    }
    let url = URL(filePath: path)
    let folder = url.deletingLastPathComponent().path
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue else {
      throw BytesError(.cannotWrite, file: path, "the folder \(folder) does not exist; create it first")
    }
    guard FileManager.default.isWritableFile(atPath: folder) else {
      throw BytesError(.cannotWrite, file: path, "the folder \(folder) may not be written")
    }
    guard overwrite || !FileManager.default.fileExists(atPath: path) else {
      throw BytesError(.cannotWrite, file: path, "exists already; name another output or pass --overwrite")
    }
    self.path = path
    temporaryPath = folder + "/.\(url.lastPathComponent).\(UUID().uuidString.prefix(8)).partial"
    overwrites = overwrite
  }

  deinit { if !isCommitted { try? FileManager.default.removeItem(atPath: temporaryPath) } }

  /// Gives the output its final name. What stood there before is deleted after that, never before.
  public func commit() throws(BytesError) { try Self.commit([self]) }

  /// Gives all outputs their final names, or none: if one cannot have its name, the others give theirs back.
  public static func commit(_ outputs: [PendingOutput]) throws(BytesError) {
    var placed: [PendingOutput] = []
    for output in outputs {
      do {
        try output.place()
        placed.append(output)
      } catch {
        for output in placed.reversed() { output.takeBack() }
        throw error
      }
    }
    for output in placed {
      output.isCommitted = true
      try? FileManager.default.removeItem(atPath: output.replacedPath)
    }
  }

  /// Where what stood at the path is kept until the new output has its name.
  private var replacedPath: String { Self.replacedPath(temporaryPath) }
  private static func replacedPath(_ temporaryPath: String) -> String { temporaryPath + ".old" }

  /// Removes what the process left that wrote under a temporary name, and that ended before its end. What it was about to
  /// replace gets its name back.
  ///
  /// - Parameter temporaryPath: nothing happens where it is no name such as outputs have.
  package static func clear(leftAt temporaryPath: String) {
    guard let path = finalPath(of: temporaryPath) else { return }
    let files = FileManager.default
    let (folder, name) = (
      URL(filePath: path).deletingLastPathComponent().path, URL(filePath: temporaryPath).lastPathComponent
    )
    let replaced = replacedPath(temporaryPath)
    if files.fileExists(atPath: replaced), !files.fileExists(atPath: path) {
      try? files.moveItem(atPath: replaced, toPath: path)
    }
    // What was written for it under temporary names of its own has them after that.
    for entry in (try? files.contentsOfDirectory(atPath: folder)) ?? []
    where entry == name || entry.hasPrefix(name + ".") || entry.hasPrefix("." + name + ".") {
      try? files.removeItem(atPath: folder + "/" + entry)
    }
  }

  /// The path of the output that is written under a temporary name; `nil` where it is no such name.
  package static func finalPath(of temporaryPath: String) -> String? {
    let url = URL(filePath: temporaryPath)
    guard let match = url.lastPathComponent.wholeMatch(of: /\.(.+)\.[0-9A-F]{8}\.partial/) else { return nil }
    return url.deletingLastPathComponent().appending(path: String(match.1)).path
  }

  private func place() throws(BytesError) {
    let files = FileManager.default
    do {
      if files.fileExists(atPath: path) {
        guard overwrites else {
          throw BytesError(.cannotWrite, file: path, "appeared while the output was written; it was not replaced")
        }
        try files.moveItem(atPath: path, toPath: replacedPath)
      }
      do {
        try files.moveItem(atPath: temporaryPath, toPath: path)
      } catch {
        try? files.moveItem(atPath: replacedPath, toPath: path)
        throw error
      }
    } catch let error as BytesError {
      throw error
    } catch {
      throw BytesError(.cannotWrite, file: path, "cannot be given its final name: \(error.localizedDescription)")
    }
  }

  private func takeBack() {
    try? FileManager.default.moveItem(atPath: path, toPath: temporaryPath)
    try? FileManager.default.moveItem(atPath: replacedPath, toPath: path)
  }
}
