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

  /// - Throws: `cannotWrite` where something exists at `path` and `overwrite` is false, or where the folder that would
  ///   hold the output is missing or may not be written.
  public init(path: String, overwrite: Bool) throws(BytesError) {
    var path = path
    while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
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
  public func commit() throws(BytesError) {
    let files = FileManager.default
    do {
      if files.fileExists(atPath: path) {
        guard overwrites else {
          throw BytesError(.cannotWrite, file: path, "appeared while the output was written; it was not replaced")
        }
        let old = temporaryPath + ".old"
        try files.moveItem(atPath: path, toPath: old)
        try files.moveItem(atPath: temporaryPath, toPath: path)
        try? files.removeItem(atPath: old)
      } else {
        try files.moveItem(atPath: temporaryPath, toPath: path)
      }
      isCommitted = true
    } catch let error as BytesError {
      throw error
    } catch {
      throw BytesError(.cannotWrite, file: path, "cannot be given its final name: \(error.localizedDescription)")
    }
  }
}
