// SPDX-License-Identifier: Apache-2.0
private import CZip

#if canImport(Glibc)
  private import Glibc
#else
  private import Darwin
#endif

/// Writes a zip archive of stored (uncompressed) members, by libzip.
///
/// The same members give the same bytes: every member has the date 1980-01-01, the earliest of the format, and the
/// permissions of a file that its owner reads and writes.
package final class ArchiveWriter {
  /// What a member holds. Neither is read before ``finish()``.
  package enum Content: Sendable {
    case bytes([UInt8])
    /// A file that must not change until the archive is finished.
    case file(String)
  }

  private let path: String
  private let file: ArchiveFile
  private var handle: OpaquePointer?
  private var names: Set<String> = []
  /// libzip refers to them until the archive is closed.
  private var members: [StoredMember] = []

  /// - Parameter path: where the archive is created; nothing may be there.
  package init(path: String) throws(BytesError) {
    self.path = path
    file = ArchiveFile(path: path)
    guard access(path, F_OK) != 0 else {
      throw BytesError(.cannotWrite, file: path, "cannot be created: \(String(cString: strerror(EEXIST)))")
    }
    var error = zip_error_t()
    zip_error_init(&error)
    defer { zip_error_fini(&error) }
    let owner = Unmanaged.passUnretained(file).toOpaque()
    guard let source = zip_source_function_create(ArchiveFile.callback, owner, &error) else {
      throw BytesError(.cannotWrite, file: path, "cannot be created: \(String(cString: zip_error_strerror(&error)))")
    }
    guard let handle = zip_open_from_source(source, ZIP_CREATE, &error) else {
      zip_source_free(source)
      throw BytesError(.cannotWrite, file: path, "cannot be created: \(String(cString: zip_error_strerror(&error)))")
    }
    self.handle = handle
  }

  deinit { if let handle { zip_discard(handle) } }

  /// Adds a member behind those before it.
  ///
  /// - Parameter name: the path inside the archive, with `/` between its parts.
  package func add(_ name: String, _ content: Content) throws(BytesError) {
    guard let handle else { return }
    if let problem = Archive.problem(ofName: name) { throw BytesError(.cannotWrite, file: path, problem) }
    guard names.insert(name).inserted else {
      throw BytesError(.cannotWrite, file: path, "two of its members would be named \(name)")
    }
    let member = try StoredMember(content)
    let owner = Unmanaged.passUnretained(member).toOpaque()
    guard let source = zip_source_function(handle, StoredMember.callback, owner) else { throw failure() }
    let index = zip_file_add(handle, name, source, zip_flags_t(ZIP_FL_ENC_UTF_8))
    guard index >= 0 else {
      zip_source_free(source)
      throw failure()
    }
    members.append(member)
    let (place, earliestDay, ownerMayWrite) = (UInt64(index), UInt16(1 << 5 | 1), UInt32(0o600) << 16)
    guard zip_set_file_compression(handle, place, ZIP_CM_STORE, 0) == 0,
      zip_file_set_dostime(handle, place, 0, earliestDay, 0) == 0,
      zip_file_set_external_attributes(handle, place, 0, UInt8(ZIP_OPSYS_UNIX), ownerMayWrite) == 0
    else { throw failure() }
  }

  /// Writes the archive. Without this, nothing is left at its path.
  package func finish() throws(BytesError) {
    guard let handle else { return }
    guard zip_close(handle) == 0 else {
      if let failure = members.lazy.compactMap(\.failure).first { throw failure }
      throw failure()
    }
    self.handle = nil
  }

  /// What libzip says, and the system beneath it, as when the disk is full.
  private func failure() -> BytesError {
    let error = handle.map { zip_get_error($0) }
    let system = error.map { zip_error_code_system($0) } ?? 0
    let reason = system != 0 ? String(cString: strerror(system)) : error.map { String(cString: zip_error_strerror($0)) }
    return BytesError(.cannotWrite, file: path, "cannot be written: \(reason ?? "the archive is closed")")
  }
}

/// A member's content as libzip asks for it, piece by piece.
private final class StoredMember {
  private enum Source {
    case bytes([UInt8])
    case file(ByteSource)
  }

  private let source: Source
  private let count: Int
  private var position = 0
  /// Why the content could not be read.
  private(set) var failure: BytesError?
  private var error = zip_error_t()

  init(_ content: ArchiveWriter.Content) throws(BytesError) {
    switch content {
    case .bytes(let bytes): (source, count) = (.bytes(bytes), bytes.count)
    case .file(let path):
      let file = try ByteSource(path: path)
      (source, count) = (.file(file), file.count)
    }
    zip_error_init(&error)
  }

  deinit { zip_error_fini(&error) }

  static let callback: zip_source_callback = { owner, data, length, command in
    guard let owner else { return -1 }
    return Unmanaged<StoredMember>.fromOpaque(owner).takeUnretainedValue().answer(command, data, length)
  }

  private func answer(_ command: zip_source_cmd_t, _ data: UnsafeMutableRawPointer?, _ length: UInt64) -> Int64 {
    switch command {
    case ZIP_SOURCE_OPEN:
      position = 0
      return 0
    case ZIP_SOURCE_READ:
      return read(into: UnsafeMutableRawBufferPointer(start: data, count: Int(length)))
    case ZIP_SOURCE_CLOSE, ZIP_SOURCE_FREE: return 0
    case ZIP_SOURCE_STAT:
      guard let entry = data?.assumingMemoryBound(to: zip_stat_t.self) else { return -1 }
      zip_stat_init(entry)
      entry.pointee.size = UInt64(count)
      entry.pointee.valid = UInt64(ZIP_STAT_SIZE)
      return Int64(MemoryLayout<zip_stat_t>.size)
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&error, data, length)
    case ZIP_SOURCE_SUPPORTS:
      return [ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE]
        .reduce(0) { $0 | 1 << Int64($1.rawValue) }
    default:
      zip_error_set(&error, ZIP_ER_OPNOTSUPP, 0)
      return -1
    }
  }

  private func read(into buffer: UnsafeMutableRawBufferPointer) -> Int64 {
    let wanted = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, count - position)])
    do throws(BytesError) {
      switch source {
      case .bytes(let bytes):
        bytes.withUnsafeBytes {
          wanted.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[position...].prefix(wanted.count)))
        }
      case .file(let file): try file.read(at: position, into: wanted)
      }
    } catch {
      failure = error
      zip_error_set(&self.error, ZIP_ER_READ, 0)
      return -1
    }
    position += wanted.count
    return Int64(wanted.count)
  }
}
