// SPDX-License-Identifier: Apache-2.0
private import Dispatch
private import Synchronization

#if canImport(Glibc)
  private import Glibc
#else
  private import Darwin
#endif

/// A file of records that is appended to, and whose records are whole after its process has ended at any moment.
///
/// After eight bytes that name the kind of file come the records: their size and checksum (CRC-32C), four little-endian
/// bytes each, and their bytes. What is torn or damaged ends the file. One process has the file at a time.
///
/// `@unchecked Sendable`: one thread at a time reads and appends; what waits for the disk touches the descriptor only.
package final class RecordFile: @unchecked Sendable {
  package let path: String
  /// What errors call the file: the output that it is for.
  private let name: String
  private let magic: [UInt8]
  private let descriptor: Int32
  /// Where the next record goes; 0 before there is any.
  package private(set) var end = 0
  private var lastSync = ContinuousClock.now
  /// The system's code for what was wrong when the disk was last waited for.
  private let failure = Mutex<Int32>(0)
  private let isSyncing = Mutex(false)

  private static let headSize = 8
  /// How long records may be in the system's memory only.
  private static let syncInterval = Duration.seconds(3)

  /// Opens the file, or creates an empty one, and keeps other processes from it.
  ///
  /// - Parameters:
  ///   - name: what errors call it.
  ///   - magic: the eight bytes that it begins with.
  /// - Throws: `cannotWrite`: it cannot be opened, another process has it, or it is another kind of file.
  package init(at path: String, calling name: String, magic: String) throws(BytesError) {
    self.path = path
    self.name = name
    self.magic = Array(magic.utf8)
    descriptor = try Self.openLocked(path, name)
    var start = [UInt8](repeating: 0, count: self.magic.count)
    let got = pread(descriptor, &start, start.count, 0)
    // A file that ends within these bytes is one whose process ended when it had made it.
    guard got >= 0, start.prefix(got) == self.magic.prefix(got) else {
      throw BytesError(.cannotWrite, file: path, "is no journal of a run, which has this name; move it away")
    }
    end = got == self.magic.count ? got : 0
  }

  deinit { close(descriptor) }

  private static func openLocked(_ path: String, _ name: String) throws(BytesError) -> Int32 {
    for _ in 0..<16 {
      let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o666)
      guard descriptor >= 0 else {
        throw BytesError(.cannotWrite, file: name, "its journal cannot be created: \(ByteSource.systemReason())")
      }
      if flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
        close(descriptor)
        throw BytesError(
          .cannotWrite, file: name, "is being written by another run; wait for its end, or name another output")
      }
      var own = stat()
      guard fstat(descriptor, &own) == 0, own.st_mode & S_IFMT == S_IFREG else {
        close(descriptor)
        throw BytesError(.cannotWrite, file: path, "is no file, but has the name of a run's journal; move it away")
      }
      // Another run may have removed the file before it was locked here.
      if has(path, descriptor) { return descriptor }
      close(descriptor)
    }
    throw BytesError(.cannotWrite, file: name, "its journal appears and vanishes again and again")
  }

  /// Whether a path is that of an open file.
  private static func has(_ path: String, _ descriptor: Int32) -> Bool {
    var own = stat(), named = stat()
    return fstat(descriptor, &own) == 0 && stat(path, &named) == 0 && named.st_ino == own.st_ino
      && named.st_dev == own.st_dev
  }

  /// Whether the file still has its name: it may have been removed, or its folder moved.
  package var hasItsName: Bool { Self.has(path, descriptor) }

  // MARK: Reading

  /// One record and where it stands.
  package struct Record: Sendable {
    package let offset: Int
    package let count: Int
    /// Of the next record.
    package var end: Int { offset + RecordFile.headSize + count }
  }

  /// Where the first record stands.
  package var start: Int { magic.count }

  /// The record at an offset, if it is whole; its bytes are read piece by piece.
  package func record(at offset: Int) throws(BytesError) -> Record? {
    var head = [UInt8](repeating: 0, count: Self.headSize)
    guard try read(at: offset, into: &head) == head.count else { return nil }
    let record = Record(offset: offset, count: Int(CRC32C.stored(head[..<4])))
    // Where the system has lost the bytes there are zeros.
    guard record.count > 0 else { return nil }
    var (piece, checksum, done) = ([UInt8](repeating: 0, count: min(record.count, 1 << 18)), UInt32(0), 0)
    while done < record.count {
      let wanted = min(piece.count, record.count - done)
      if wanted < piece.count { piece.removeLast(piece.count - wanted) }
      guard try read(at: offset + Self.headSize + done, into: &piece) == wanted else { return nil }
      checksum = piece.withUnsafeBytes { CRC32C.checksum($0, after: checksum) }
      done += wanted
    }
    return checksum == CRC32C.stored(head[4...]) ? record : nil
  }

  /// The first bytes of a record, or all.
  ///
  /// - Parameter limit: the most bytes to read.
  package func bytes(of record: Record, upTo limit: Int) throws(BytesError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: min(limit, record.count))
    guard try read(at: record.offset + Self.headSize, into: &bytes) == bytes.count else {
      throw BytesError(.damaged, file: path, offset: record.offset, "became shorter while it was read")
    }
    return bytes
  }

  private func read(at offset: Int, into bytes: inout [UInt8]) throws(BytesError) -> Int {
    var done = 0
    while done < bytes.count {
      let (start, wanted) = (done, bytes.count - done)
      let got = bytes.withUnsafeMutableBytes {
        pread(descriptor, $0.baseAddress! + start, wanted, off_t(offset + start))
      }
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else {
        throw BytesError(.cannotRead, file: path, offset: offset, "cannot be read: \(ByteSource.systemReason())")
      }
      if got == 0 { break }
      done += got
    }
    return done
  }

  // MARK: Writing

  /// Forgets all records from an offset on, and goes on there.
  package func cut(at offset: Int) throws(BytesError) {
    guard ftruncate(descriptor, off_t(offset)) == 0 else { throw failed(errno) }
    end = offset
  }

  /// Appends a record of at least one byte.
  package func append(_ bytes: [UInt8]) throws(BytesError) {
    if end == 0 {
      try write(magic, at: 0)
      end = magic.count
    }
    guard let count = UInt32(exactly: bytes.count), count > 0 else {
      throw BytesError(.cannotWrite, file: name, "\(bytes.count) bytes are too many for a record of its journal")
    }
    let head = [count, CRC32C.checksum(bytes)].flatMap { value in withUnsafeBytes(of: value.littleEndian, Array.init) }
    try write(head, at: end)
    try write(bytes, at: end + head.count)
    end += head.count + bytes.count
    let problem = failure.withLock { $0 }
    guard problem == 0 else { throw failed(problem) }
    if ContinuousClock.now - lastSync > Self.syncInterval { syncLater() }
  }

  private func write(_ bytes: [UInt8], at offset: Int) throws(BytesError) {
    let problem = bytes.withUnsafeBytes { FileDescriptor.write($0, to: descriptor, at: offset) }
    guard problem == 0 else { throw failed(problem) }
  }

  /// Waits on another thread until the disk has all records, so that who appends need not.
  private func syncLater() {
    lastSync = .now
    let isFree = isSyncing.withLock { isSyncing in
      defer { isSyncing = true }
      return !isSyncing
    }
    guard isFree else { return }
    DispatchQueue.global(qos: .utility).async { [self] in
      sync()
      isSyncing.withLock { $0 = false }
    }
  }

  /// Waits until the disk has all records.
  package func sync() {
    // Some file systems cannot do that at all.
    guard fsync(descriptor) != 0, errno != EINVAL, errno != ENOTSUP else { return }
    let problem = errno
    failure.withLock { $0 = problem }
  }

  /// Removes the file.
  package func remove() { unlink(path) }

  private func failed(_ problem: Int32) -> BytesError {
    BytesError(.cannotWrite, file: name, "its journal cannot be written: \(String(cString: strerror(problem)))")
  }
}
