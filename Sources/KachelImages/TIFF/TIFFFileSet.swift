// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
private import Synchronization

/// The files of an image that is spread over several, which are opened when they are read; some stay open.
final class TIFFFileSet: Sendable {
  private static let mostOpen = 32
  /// The most files of a set.
  static let mostFiles = 1 << 20

  /// The folder of all files with a `/` at its end, or empty.
  let folder: String
  let names: [String]
  private let open = Mutex<[Int: TIFFFile]>([:])

  /// - Parameters:
  ///   - names: file names without folder, checked with ``isPlain(_:)``.
  ///   - opened: the one that is open.
  init(folder: String, names: [String], opened: (number: Int, file: TIFFFile)?) {
    self.folder = folder
    self.names = names
    if let opened { open.withLock { $0[opened.number] = opened.file } }
  }

  /// The folder part of a path and the name in it.
  static func split(_ path: String) -> (folder: String, name: String) {
    guard let slash = path.lastIndex(of: "/") else { return ("", path) }
    return (String(path[...slash]), String(path[path.index(after: slash)...]))
  }

  /// Whether a name that a file gives can only mean a file in the same folder.
  static func isPlain(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= 255 && name != "." && name != ".."
      && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") || $0 < 32 }
  }

  func file(_ number: Int) throws(ImageError) -> TIFFFile {
    if let file = open.withLock({ $0[number] }) { return file }
    let path = folder + names[number]
    let file = try TIFFFile(
      ImageError.wrapping { () throws(BytesError) in
        do throws(BytesError) {
          return try ByteSource(path: path)
        } catch {
          throw BytesError(
            error.kind, file: path, "\(error.reason); the image is spread over several files, which belong together")
        }
      })
    return open.withLock { open in
      if let other = open[number] { return other }
      if open.count >= Self.mostOpen, let victim = open.keys.first { open[victim] = nil }
      open[number] = file
      return file
    }
  }
}
