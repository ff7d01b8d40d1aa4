// SPDX-License-Identifier: Apache-2.0
#if canImport(Glibc)
  private import Glibc
#else
  private import Darwin
#endif

/// A file that is read by position, by many threads at once.
public final class ByteSource: Sendable {
  public let path: String
  /// The file's size in bytes when it was opened.
  public let count: Int
  private let descriptor: Int32

  public init(path: String) throws(BytesError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw BytesError(.cannotRead, file: path, "cannot be opened: \(Self.systemReason())") }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw BytesError(.cannotRead, file: path, "is not a file")
    }
    self.path = path
    self.descriptor = descriptor
    count = Int(status.st_size)
  }

  deinit { close(descriptor) }

  /// Fills `buffer` with the bytes from `offset` on; throws `truncated` unless the file holds all of them.
  public func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(BytesError) {
    guard offset >= 0, offset <= count, buffer.count <= count - offset else {
      throw BytesError(
        .truncated, file: path, offset: offset, "\(buffer.count) bytes are wanted, but the file has \(count) bytes")
    }
    var done = 0
    while done < buffer.count {
      let got = pread(descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(offset + done))
      if got < 0 && errno == EINTR { continue }
      guard got > 0 else {
        let reason = got == 0 ? "the file became shorter while it was read" : Self.systemReason()
        throw BytesError(.cannotRead, file: path, offset: offset + done, "cannot be read: \(reason)")
      }
      done += got
    }
  }

  /// The `count` bytes from `offset` on. Checked against the file's size before anything is allocated.
  public func read(at offset: Int, count wanted: Int) throws(BytesError) -> [UInt8] {
    guard offset >= 0, offset <= count, wanted >= 0, wanted <= count - offset else {
      throw BytesError(
        .truncated, file: path, offset: offset, "\(wanted) bytes are wanted, but the file has \(count) bytes")
    }
    var failure: BytesError?
    let bytes = [UInt8](unsafeUninitializedCapacity: wanted) { buffer, initialized in
      Self.expectLargePages(UnsafeMutableRawBufferPointer(buffer))
      do throws(BytesError) {
        try read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
        initialized = wanted
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Asks for fresh memory in large pages, where there is room for some: the weights of a network come as one piece, and
  /// in small pages the system takes longer to hand out the memory than to read the file.
  private static func expectLargePages(_ buffer: UnsafeMutableRawBufferPointer) {
    #if canImport(Glibc)
      let page = 2 << 20
      guard buffer.count >= 4 * page, let start = buffer.baseAddress else { return }
      let offset = (page - Int(bitPattern: start) % page) % page
      madvise(start + offset, (buffer.count - offset) / page * page, MADV_HUGEPAGE)
    #endif
  }

  /// What the operating system says of the last failed call.
  static func systemReason() -> String { String(cString: strerror(errno)) }
}
