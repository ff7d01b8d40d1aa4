// SPDX-License-Identifier: Apache-2.0
private import CZip

#if canImport(Glibc)
  private import Glibc
#else
  private import Darwin
#endif

/// A zip archive that is read: members stored or deflated, by libzip.
///
/// Archives come from unknown places, so what could write outside a folder, hide one member behind another or exhaust
/// the memory is refused when the archive is opened, before any member is read: see ``Limits``. An archive is used by
/// one thread at a time.
public final class Archive {
  /// One file of the archive. Folders have no members of their own.
  public struct Member: Sendable, Hashable {
    /// The path inside the archive, with `/` between its parts, whatever the archive uses.
    public let name: String
    /// Bytes when decompressed, as the archive declares; no more are ever read.
    public let size: Int
    public let isEncrypted: Bool
    fileprivate let index: UInt64
    fileprivate let isCompressed: Bool

    /// The last part of the path.
    public var baseName: String { name.split(separator: "/").last.map(String.init) ?? name }
  }

  /// What an archive may declare. Model packages have a handful of members and hardly compress.
  public struct Limits: Sendable {
    public var members = 10_000
    /// All members together, in bytes when decompressed.
    public var totalSize = 16 << 30
    /// Above ``freeSize`` bytes in total, how much larger than the archive its content may be.
    public var ratio = 100
    public var freeSize = 64 << 20
    public init() {}
  }

  /// The archive's file, or what errors call an archive in memory.
  public let file: String
  public let members: [Member]
  private let handle: OpaquePointer
  /// What libzip reads from, where that is memory.
  private let storage: UnsafeMutableRawBufferPointer?

  /// Opens an archive on disk.
  ///
  /// - Throws: `cannotRead`; `truncated` or `damaged` where the file is no complete zip; `unsupported` where it is
  ///   encrypted or exceeds `limits`.
  public convenience init(path: String, limits: Limits = Limits()) throws(BytesError) {
    let source = try ByteSource(path: path)
    let start = try source.read(at: 0, count: min(4, source.count))
    guard source.count >= 4 else { throw Self.notAnArchive(path, start: start) }
    var code: Int32 = 0
    guard let handle = zip_open(path, ZIP_RDONLY, &code) else { throw Self.openingFailed(path, code, start: start) }
    try self.init(handle: handle, storage: nil, file: path, size: source.count, limits: limits)
  }

  /// Opens an archive in memory, of which a copy is kept.
  public convenience init(
    bytes: UnsafeRawBufferPointer, file: String, limits: Limits = Limits()
  ) throws(BytesError) {
    let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
    storage.copyMemory(from: bytes)
    let handle: OpaquePointer
    do throws(BytesError) { handle = try Self.open(UnsafeRawBufferPointer(storage), file: file) } catch {
      storage.deallocate()
      throw error
    }
    try self.init(handle: handle, storage: storage, file: file, size: bytes.count, limits: limits)
  }

  /// Opens an archive in memory without a copy of it. The archive is not used after `body`.
  package static func reading<Answer>(
    _ bytes: [UInt8], file: String, limits: Limits = Limits(), _ body: (Archive) throws(BytesError) -> Answer
  ) throws(BytesError) -> Answer {
    let answer: Result<Answer, BytesError> = bytes.withUnsafeBytes { raw in
      do throws(BytesError) {
        let handle = try open(raw, file: file)
        return .success(
          try body(Archive(handle: handle, storage: nil, file: file, size: raw.count, limits: limits)))
      } catch {
        return .failure(error)
      }
    }
    return try answer.get()
  }

  private static func open(_ bytes: UnsafeRawBufferPointer, file: String) throws(BytesError) -> OpaquePointer {
    guard bytes.count >= 4 else { throw notAnArchive(file, start: Array(bytes)) }
    var failure = zip_error_t()
    zip_error_init(&failure)
    defer { zip_error_fini(&failure) }
    guard let source = zip_source_buffer_create(bytes.baseAddress, UInt64(bytes.count), 0, &failure) else {
      throw BytesError(.cannotRead, file: file, "there is not enough memory to open it")
    }
    guard let handle = zip_open_from_source(source, ZIP_RDONLY, &failure) else {
      zip_source_free(source)
      throw openingFailed(file, zip_error_code_zip(&failure), start: Array(bytes.prefix(4)))
    }
    return handle
  }

  private init(
    handle: OpaquePointer, storage: UnsafeMutableRawBufferPointer?, file: String, size: Int, limits: Limits
  ) throws(BytesError) {
    self.handle = handle
    self.storage = storage
    self.file = file
    do throws(BytesError) {
      members = try Self.list(handle, file: file, size: size, limits: limits)
    } catch {
      // A class whose initialiser throws before all its properties are set is not deinitialised.
      zip_discard(handle)
      storage?.deallocate()
      throw error
    }
  }

  deinit {
    zip_discard(handle)
    storage?.deallocate()
  }

  /// The member of that name, with `/` between its parts.
  public subscript(name: String) -> Member? { members.first { $0.name == name } }

  /// A member's whole content, checked against its declared size and CRC-32.
  ///
  /// - Parameter limit: the most bytes that the caller takes.
  public func read(_ member: Member, limit: Int) throws(BytesError) -> [UInt8] {
    guard member.size <= limit else {
      throw BytesError(.unsupported, file: file, "\(member.name) has \(member.size) bytes; at most \(limit) are read")
    }
    let stream = try open(member)
    defer { zip_fclose(stream) }
    let bytes = try take(member.size, from: stream, of: member)
    try finish(stream, of: member)
    return bytes
  }

  /// A part of a member's content, without a check of its CRC-32; `nil` where the member is compressed, so that a part
  /// alone cannot be read.
  package func read(_ member: Member, at offset: Int, count: Int) throws(BytesError) -> [UInt8]? {
    guard offset >= 0, count >= 0, offset <= member.size, count <= member.size - offset else {
      throw BytesError(.truncated, file: file, "\(member.name) has \(member.size) bytes; more are wanted")
    }
    guard !member.isCompressed else { return nil }
    let stream = try open(member)
    defer { zip_fclose(stream) }
    guard zip_fseek(stream, zip_int64_t(offset), SEEK_SET) == 0 else { throw failure(of: stream, member) }
    return try take(count, from: stream, of: member)
  }

  /// Writes members as files below an existing folder, and makes the folders in between.
  ///
  /// - Parameter name: where a member goes, as a path relative to `folder`; `nil` leaves it out. It is checked like
  ///   the archive's own names.
  /// - Throws: `cannotWrite`, as where a file of that name exists.
  public func extract(
    to folder: String, as name: (Member) -> String? = { $0.name }
  ) throws(BytesError) {
    for member in members {
      guard let name = name(member) else { continue }
      if let problem = Self.problem(ofName: name) { throw BytesError(.damaged, file: file, problem) }
      let path = folder + "/" + name
      let parts = name.split(separator: "/")
      for depth in 1..<max(1, parts.count) {
        let parent = folder + "/" + parts[..<depth].joined(separator: "/")
        guard mkdir(parent, 0o777) == 0 || errno == EEXIST else {
          throw BytesError(.cannotWrite, file: parent, "cannot be created: \(ByteSource.systemReason())")
        }
      }
      try write(member, to: path)
    }
  }

  private func write(_ member: Member, to path: String) throws(BytesError) {
    let stream = try open(member)
    defer { zip_fclose(stream) }
    let descriptor = createFile(path)
    guard descriptor >= 0 else {
      throw BytesError(.cannotWrite, file: path, "cannot be created: \(ByteSource.systemReason())")
    }
    defer { close(descriptor) }
    let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { chunk.deallocate() }
    var written = 0
    while written < member.size {
      let wanted = UnsafeMutableRawBufferPointer(rebasing: chunk[..<min(chunk.count, member.size - written)])
      let got = try fill(wanted, from: stream, of: member)
      guard got > 0 else { throw wrongSize(member) }
      var done = 0
      while done < got {
        let count = writeBytes(descriptor, UnsafeRawBufferPointer(rebasing: chunk[done..<got]))
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else {
          throw BytesError(.cannotWrite, file: path, "cannot be written: \(ByteSource.systemReason())")
        }
        done += count
      }
      written += got
    }
    try finish(stream, of: member)
  }

  // MARK: Reading a member

  private func open(_ member: Member) throws(BytesError) -> OpaquePointer {
    guard !member.isEncrypted else {
      throw BytesError(.unsupported, file: file, "\(member.name) is encrypted; pack it without a password")
    }
    guard let stream = zip_fopen_index(handle, member.index, 0) else {
      let reason = String(cString: zip_strerror(handle))
      throw BytesError(.damaged, file: file, "\(member.name) cannot be opened: \(reason)")
    }
    return stream
  }

  /// The next `count` bytes.
  private func take(_ count: Int, from stream: OpaquePointer, of member: Member) throws(BytesError) -> [UInt8] {
    var failure: BytesError?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      do throws(BytesError) {
        let whole = UnsafeMutableRawBufferPointer(buffer)
        while initialized < count {
          let rest = UnsafeMutableRawBufferPointer(rebasing: whole[initialized..<count])
          let got = try fill(rest, from: stream, of: member)
          guard got > 0 else { throw wrongSize(member) }
          initialized += got
        }
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  private func fill(
    _ buffer: UnsafeMutableRawBufferPointer, from stream: OpaquePointer, of member: Member
  ) throws(BytesError) -> Int {
    let got = zip_fread(stream, buffer.baseAddress, UInt64(buffer.count))
    guard got >= 0 else { throw failure(of: stream, member) }
    return Int(got)
  }

  /// Only the read behind the last byte makes libzip compare the CRC.
  private func finish(_ stream: OpaquePointer, of member: Member) throws(BytesError) {
    var byte: UInt8 = 0
    let got = zip_fread(stream, &byte, 1)
    guard got >= 0 else { throw failure(of: stream, member) }
    guard got == 0 else { throw wrongSize(member) }
  }

  private func failure(of stream: OpaquePointer, _ member: Member) -> BytesError {
    BytesError(
      .damaged, file: file, "\(member.name) is damaged: \(String(cString: zip_file_strerror(stream))); copy it again")
  }

  private func wrongSize(_ member: Member) -> BytesError {
    BytesError(.damaged, file: file, "\(member.name) does not have the \(member.size) bytes that the archive declares")
  }

  // MARK: Opening

  private static func list(
    _ handle: OpaquePointer, file: String, size: Int, limits: Limits
  ) throws(BytesError) -> [Member] {
    let count = Int(zip_get_num_entries(handle, 0))
    guard count <= limits.members else {
      throw BytesError(.unsupported, file: file, "has \(count) members; at most \(limits.members) are read")
    }
    var members: [Member] = []
    var names: Set<String> = []
    var total = 0, packed = 0
    for index in 0..<UInt64(max(0, count)) {
      var entry = zip_stat_t()
      zip_stat_init(&entry)
      let needed = UInt64(
        ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD)
      guard zip_stat_index(handle, index, 0, &entry) == 0, entry.valid & needed == needed,
        let size = Int(exactly: entry.size), let packedSize = Int(exactly: entry.comp_size)
      else { throw BytesError(.damaged, file: file, "the archive's list of members is damaged at number \(index)") }
      let name = String(cString: entry.name).replacing("\\", with: "/")
      let isFolder = name.hasSuffix("/")
      let bare = isFolder ? String(name.dropLast()) : name
      if let problem = problem(ofName: bare) { throw BytesError(.damaged, file: file, problem) }
      guard names.insert(bare).inserted else {
        throw BytesError(.damaged, file: file, "has two members named \(bare); it is not clear which one is meant")
      }
      let sum = total.addingReportingOverflow(size), packedSum = packed.addingReportingOverflow(packedSize)
      guard !sum.overflow, !packedSum.overflow, sum.partialValue <= limits.totalSize else {
        throw BytesError(
          .unsupported, file: file, "declares more than \(limits.totalSize) bytes of content; that is not read")
      }
      (total, packed) = (sum.partialValue, packedSum.partialValue)
      if !isFolder {
        members.append(
          Member(
            name: name, size: size, isEncrypted: Int32(entry.encryption_method) != ZIP_EM_NONE, index: index,
            isCompressed: Int32(entry.comp_method) != ZIP_CM_STORE))
      }
    }
    // Members that share their bytes, and runs of one byte, are how small archives become huge.
    guard packed <= size, total <= limits.freeSize || total / limits.ratio <= size else {
      throw BytesError(
        .unsupported, file: file, "declares \(total) bytes of content in \(size) bytes of archive; that is not read")
    }
    return members
  }

  /// What is wrong with a member's name; libzip has replaced NUL bytes by spaces.
  static func problem(ofName name: String) -> String? {
    let shown = String(name.prefix(200)).debugDescription
    if name.isEmpty { return "a member has no name" }
    if name.hasPrefix("/") { return "the member name \(shown) is an absolute path, which is not accepted" }
    if name.utf8.count > 4096 { return "the member name \(shown) is too long" }
    if name.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) {
      return "the member name \(shown) holds control characters, which are not accepted"
    }
    let head = Array(name.utf8.prefix(2))
    if head.count == 2, head[1] == UInt8(ascii: ":"), Character(UnicodeScalar(head[0])).isLetter {
      return "the member name \(shown) starts with a drive letter, which is not accepted"
    }
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    if parts.contains(where: { $0 == ".." || $0 == "." || $0.isEmpty }) {
      return "the member name \(shown) has an empty part, . or .., which is not accepted"
    }
    return nil
  }

  private static func openingFailed(_ file: String, _ code: Int32, start: [UInt8]) -> BytesError {
    switch code {
    case ZIP_ER_NOZIP: return notAnArchive(file, start: start)
    case ZIP_ER_MEMORY: return BytesError(.cannotRead, file: file, "there is not enough memory to open it")
    case ZIP_ER_READ, ZIP_ER_OPEN, ZIP_ER_NOENT, ZIP_ER_SEEK:
      return BytesError(.cannotRead, file: file, "cannot be read")
    default:
      return BytesError(.damaged, file: file, "the zip archive's list of members is damaged; copy the file again")
    }
  }

  private static func notAnArchive(_ file: String, start: [UInt8]) -> BytesError {
    if start == [0x50, 0x4B, 0x03, 0x04] {
      return BytesError(
        .truncated, file: file, "the end of the zip archive is missing; the file was cut off: copy it again")
    }
    if start.isEmpty { return BytesError(.truncated, file: file, "is empty") }
    return BytesError(.damaged, file: file, "is not a zip archive")
  }
}

/// Creates a file that did not exist; a link is not followed.
private func createFile(_ path: String) -> Int32 {
  open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o666)
}

private func writeBytes(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
  write(descriptor, bytes.baseAddress, bytes.count)
}
