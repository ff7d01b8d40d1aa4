// SPDX-License-Identifier: Apache-2.0
#if canImport(Glibc)
  private import Glibc
#else
  private import Darwin
#endif

/// Writing into open files.
package enum FileDescriptor {
  /// Writes all bytes at an offset.
  ///
  /// - Returns: 0, or the system's code for what is wrong.
  package static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, at offset: Int) -> Int32 {
    var done = 0
    while done < bytes.count {
      let written = pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
      if written < 0 && errno == EINTR { continue }
      guard written > 0 else { return written == 0 ? EIO : errno }
      done += written
    }
    return 0
  }
}
