// SPDX-License-Identifier: Apache-2.0
private import Foundation
private import KachelBytes

#if canImport(Glibc)
  private import Glibc
#endif

/// Creating the folders and files of an output, with errors that say what failed.
enum OutputFolder {
  static func create(_ path: String) throws(ImageError) {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw ImageError(.cannotWrite, file: path, "the folder cannot be created: \(error.localizedDescription)")
    }
  }

  static func write(_ bytes: some Collection<UInt8>, to path: String) throws(ImageError) {
    // Foundation does not tell why it could not write, such as that the disk is full.
    func failure() -> ImageError {
      ImageError(.cannotWrite, file: path, "cannot be written: \(String(cString: strerror(errno)))")
    }
    guard let stream = fopen(path, "wb") else { throw failure() }
    let bytes = ContiguousArray(bytes)
    guard bytes.withUnsafeBytes({ fwrite($0.baseAddress, 1, $0.count, stream) }) == bytes.count else {
      let failure = failure()
      fclose(stream)
      throw failure
    }
    // What waits in the stream is written only now.
    guard fclose(stream) == 0 else { throw failure() }
  }

  static func write(json value: some Encodable, to path: String) throws(ImageError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let data: Data
    do {
      data = try encoder.encode(value)
    } catch {
      throw ImageError(.cannotWrite, file: path, "cannot be expressed in JSON: \(error)")
    }
    try write(data, to: path)
  }
}
