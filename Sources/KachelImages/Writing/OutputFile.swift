// SPDX-License-Identifier: Apache-2.0
import KachelBytes

#if canImport(Glibc)
  private import Glibc
#else
  private import Darwin
#endif

/// A file that is written from start to end, in large pieces, under its temporary name.
final class OutputFile {
  /// What the file is called in errors.
  private let path: String
  private var descriptor: Int32
  private var buffer: [UInt8] = []
  private var written = 0

  init(creating output: PendingOutput) throws(ImageError) {
    path = output.path
    descriptor = open(output.temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw ImageError(.cannotWrite, file: path, "cannot be created: \(String(cString: strerror(errno)))")
    }
    buffer.reserveCapacity(1 << 18)
  }

  deinit { if descriptor >= 0 { _ = Self.closeDescriptor(descriptor) } }

  /// How many bytes the file has.
  var count: Int { written + buffer.count }

  func append(_ bytes: some Sequence<UInt8>) throws(ImageError) {
    buffer.append(contentsOf: bytes)
    if buffer.count >= 1 << 17 { try flush() }
  }

  /// Replaces bytes that were written before.
  func overwrite(_ bytes: [UInt8], at offset: Int) throws(ImageError) {
    try flush()
    try check(bytes.withUnsafeBytes { FileDescriptor.write($0, to: descriptor, at: offset) })
  }

  /// Writes what is left and reports what the system could not write.
  func close() throws(ImageError) {
    guard descriptor >= 0 else { return }
    try flush()
    let result = Self.closeDescriptor(descriptor)
    descriptor = -1
    try check(result == 0 ? 0 : errno)
  }

  private func flush() throws(ImageError) {
    try check(buffer.withUnsafeBytes { FileDescriptor.write($0, to: descriptor, at: written) })
    written += buffer.count
    buffer.removeAll(keepingCapacity: true)
  }

  private func check(_ code: Int32) throws(ImageError) {
    guard code != 0 else { return }
    throw ImageError(.cannotWrite, file: path, "cannot be written: \(String(cString: strerror(code)))")
  }

  private static func closeDescriptor(_ descriptor: Int32) -> Int32 {
    #if canImport(Glibc)
      Glibc.close(descriptor)
    #else
      Darwin.close(descriptor)
    #endif
  }
}
