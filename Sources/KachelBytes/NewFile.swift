// SPDX-License-Identifier: Apache-2.0
#if canImport(Glibc)
  private import Glibc
#else
  private import Darwin
#endif

/// Files that are written at once.
package enum NewFile {
  /// Creates a file with that content.
  ///
  /// - Throws: `cannotWrite`, as where there is a file of that name.
  package static func write(_ bytes: [UInt8], to path: String) throws(BytesError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw BytesError(.cannotWrite, file: path, "cannot be created: \(ByteSource.systemReason())")
    }
    defer { close(descriptor) }
    let isWritten = bytes.withUnsafeBytes { bytes in
      var done = 0
      while done < bytes.count {
        let count = writeSome(descriptor, bytes.baseAddress! + done, bytes.count - done)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return false }
        done += count
      }
      return true
    }
    guard isWritten else {
      throw BytesError(.cannotWrite, file: path, "cannot be written: \(ByteSource.systemReason())")
    }
  }
}

/// The system's `write`, whose name the method hides.
private func writeSome(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
  write(descriptor, bytes, count)
}
