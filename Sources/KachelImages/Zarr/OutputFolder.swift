// SPDX-License-Identifier: Apache-2.0
import KachelBytes
private import Foundation

#if canImport(Glibc)
  private import Glibc
#endif

/// Creating the folders and files of an output, with errors that say what failed.
enum OutputFolder {
  /// Creates a folder in one that exists, if it is not there yet.
  ///
  /// Never more: when the folder of an output has vanished, as that of a network share does, another one of its name
  /// would get the rest of the output only.
  static func create(_ path: String) throws(ImageError) {
    guard mkdir(path, 0o777) != 0, errno != EEXIST else { return }
    throw ImageError(
      .cannotWrite, file: path, "the folder cannot be created: \(String(cString: strerror(errno)))")
  }

  static func write(_ bytes: [UInt8], to path: String) throws(ImageError) {
    let file = try SequentialFile(path)
    try file.append(bytes)
    try file.close()
  }

  static func write(_ json: JSONValue, to path: String) throws(ImageError) {
    try write(try text(json, for: path), to: path)
  }

  /// Replaces a file, or makes it, so that it has its old or its new content whatever happens.
  static func replace(_ path: String, with json: JSONValue) throws(ImageError) {
    let text = try text(json, for: path)
    let url = URL(filePath: path)
    let temporary = url.deletingLastPathComponent().path + "/.\(url.lastPathComponent).\(getpid()).partial"
    do throws(ImageError) {
      try write(text, to: temporary)
      guard rename(temporary, path) == 0 else { throw SequentialFile.failure(path, errno) }
    } catch {
      unlink(temporary)
      throw error
    }
  }

  private static func text(_ json: JSONValue, for path: String) throws(ImageError) -> [UInt8] {
    do { return try json.text() } catch {
      throw ImageError(.cannotWrite, file: path, "cannot be expressed in JSON: \(error)")
    }
  }
}

/// A file that is written from its start to its end.
final class SequentialFile {
  private let path: String
  private var descriptor: Int32
  /// How many bytes it has so far.
  private(set) var count = 0

  init(_ path: String) throws(ImageError) {
    self.path = path
    descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw Self.failure(path, errno) }
  }

  deinit { if descriptor >= 0 { _ = systemClose(descriptor) } }

  func append(_ bytes: [UInt8]) throws(ImageError) {
    let problem = bytes.withUnsafeBytes { bytes -> Int32 in
      var done = 0
      while done < bytes.count {
        let written = write(descriptor, bytes.baseAddress! + done, bytes.count - done)
        if written < 0 && errno == EINTR { continue }
        guard written > 0 else { return written == 0 ? ENOSPC : errno }
        done += written
      }
      return 0
    }
    guard problem == 0 else { throw Self.failure(path, problem) }
    count += bytes.count
  }

  /// Ends the file. Some file systems tell only now that they could not write it.
  func close() throws(ImageError) {
    let open = descriptor
    descriptor = -1
    guard systemClose(open) == 0 else { throw Self.failure(path, errno) }
  }

  /// Foundation does not tell why it could not write, such as that the disk is full.
  static func failure(_ path: String, _ number: Int32) -> ImageError {
    ImageError(.cannotWrite, file: path, "cannot be written: \(String(cString: strerror(number)))")
  }
}

private func systemClose(_ descriptor: Int32) -> Int32 { close(descriptor) }
