// SPDX-License-Identifier: Apache-2.0
public import Foundation

/// The reference data beside the repository, in `../shared/data`.
public enum SharedData {
  /// The repository's root folder.
  public static let repository = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  public static let root = repository.deletingLastPathComponent().appending(path: "shared/data")

  /// The path of a reference file, which must exist: a missing one fails the test that asks for it.
  public static func path(_ name: String) throws -> String {
    let path = root.appending(path: name).path
    guard FileManager.default.fileExists(atPath: path) else { throw Missing(path: path) }
    return path
  }

  public static func data(_ name: String) throws -> Data { try Data(contentsOf: URL(filePath: path(name))) }

  struct Missing: Error, CustomStringConvertible {
    let path: String
    var description: String { "the reference file \(path) is missing" }
  }
}

/// A folder for a test's files that is deleted with the value.
public final class ScratchFolder: Sendable {
  public let path: String

  public init() throws {
    path = FileManager.default.temporaryDirectory.appending(path: "kachel-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  public func file(_ name: String) -> String { path + "/" + name }

  /// Writes a file into the folder and returns its path.
  public func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> String {
    // `Data` waits for the disk with every file; tests write thousands.
    let bytes = Array(bytes)
    guard let stream = fopen(file(name), "wb") else { throw CocoaError(.fileWriteUnknown) }
    let written = fwrite(bytes, 1, bytes.count, stream)
    guard fclose(stream) == 0, written == bytes.count else { throw CocoaError(.fileWriteOutOfSpace) }
    return file(name)
  }
}
