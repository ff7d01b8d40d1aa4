// SPDX-License-Identifier: Apache-2.0
internal import CZip

#if canImport(Glibc)
  private import Glibc
#else
  private import Darwin
#endif

/// The file that libzip writes an archive to. It writes in pieces of a megabyte: libzip's own are of 8 KB, with which the
/// system takes longer to write an archive of large members than to copy it.
///
/// The file is created when the writing begins, and deleted where it fails.
final class ArchiveFile {
  private let path: String
  private var descriptor: Int32 = -1
  private var piece: [UInt8] = []
  /// Where the piece goes in the file.
  private var start = 0
  private var error = zip_error_t()

  private static let pieceSize = 1 << 20

  init(path: String) {
    self.path = path
    zip_error_init(&error)
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    zip_error_fini(&error)
  }

  static let callback: zip_source_callback = { owner, data, length, command in
    guard let owner else { return -1 }
    return Unmanaged<ArchiveFile>.fromOpaque(owner).takeUnretainedValue().answer(command, data, length)
  }

  private func answer(_ command: zip_source_cmd_t, _ data: UnsafeMutableRawPointer?, _ length: UInt64) -> Int64 {
    switch command {
    case ZIP_SOURCE_STAT:
      // Nothing is there yet.
      zip_error_set(&error, ZIP_ER_READ, ENOENT)
      return -1
    case ZIP_SOURCE_BEGIN_WRITE: return begin()
    case ZIP_SOURCE_WRITE: return write(UnsafeRawBufferPointer(start: data, count: Int(length)))
    case ZIP_SOURCE_SEEK_WRITE:
      let place = zip_source_seek_compute_offset(UInt64(start + piece.count), UInt64.max >> 1, data, length, &error)
      guard place >= 0, flush() else { return -1 }
      start = Int(place)
      return 0
    case ZIP_SOURCE_TELL_WRITE: return Int64(start + piece.count)
    case ZIP_SOURCE_COMMIT_WRITE: return flush() && end() ? 0 : -1
    case ZIP_SOURCE_ROLLBACK_WRITE, ZIP_SOURCE_REMOVE:
      _ = end()
      unlink(path)
      return 0
    case ZIP_SOURCE_OPEN, ZIP_SOURCE_CLOSE, ZIP_SOURCE_FREE: return 0
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&error, data, length)
    case ZIP_SOURCE_SUPPORTS: return Self.commands
    default:
      zip_error_set(&error, ZIP_ER_OPNOTSUPP, 0)
      return -1
    }
  }

  private static let commands: Int64 = [
    ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE,
    ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, ZIP_SOURCE_SUPPORTS, ZIP_SOURCE_BEGIN_WRITE, ZIP_SOURCE_COMMIT_WRITE,
    ZIP_SOURCE_ROLLBACK_WRITE, ZIP_SOURCE_WRITE, ZIP_SOURCE_SEEK_WRITE, ZIP_SOURCE_TELL_WRITE, ZIP_SOURCE_REMOVE,
  ].reduce(0) { $0 | 1 << Int64($1.rawValue) }

  private func begin() -> Int64 {
    descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { return failure(ZIP_ER_TMPOPEN) }
    piece.reserveCapacity(Self.pieceSize)
    return 0
  }

  private func write(_ bytes: UnsafeRawBufferPointer) -> Int64 {
    if piece.count + bytes.count > Self.pieceSize, !flush() { return -1 }
    piece.append(contentsOf: bytes)
    return Int64(bytes.count)
  }

  private func flush() -> Bool {
    let code = piece.withUnsafeBytes { FileDescriptor.write($0, to: descriptor, at: start) }
    guard code == 0 else {
      errno = code
      return failure(ZIP_ER_WRITE) == 0
    }
    start += piece.count
    piece.removeAll(keepingCapacity: true)
    return true
  }

  /// Some file systems tell only now that they could not write it.
  private func end() -> Bool {
    guard descriptor >= 0 else { return true }
    defer { descriptor = -1 }
    return close(descriptor) == 0 || failure(ZIP_ER_CLOSE) == 0
  }

  /// Notes the system's reason.
  private func failure(_ code: Int32) -> Int64 {
    zip_error_set(&error, code, errno)
    return -1
  }
}
