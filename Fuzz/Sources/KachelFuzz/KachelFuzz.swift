// SPDX-License-Identifier: Apache-2.0
private import CLibFuzzer
private import Foundation

/// Runs libFuzzer on one of the parsers, which the environment variable `KACHEL_FUZZ` names. Arguments are libFuzzer's.
@main enum KachelFuzz {
  static func main() {
    guard FuzzTarget.selected != nil else {
      print("KACHEL_FUZZ must be one of: " + FuzzTarget.allCases.map(\.rawValue).joined(separator: " "))
      exit(64)
    }
    var count = CommandLine.argc
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
    exit(
      LLVMFuzzerRunDriver(&count, &arguments) { bytes, count in
        FuzzTarget.selected?.run(UnsafeRawBufferPointer(start: bytes, count: count))
        return 0
      })
  }
}

/// What is fuzzed. Every target takes any bytes and returns; what is wrong with Kachel ends the process.
enum FuzzTarget: String, CaseIterable {
  /// A CZI file: directory, sub-blocks, metadata, attachments.
  case czi
  /// A TIFF file.
  case tiff
  /// The OME-XML of a TIFF file and of a companion file.
  case omexml
  /// A Zarr hierarchy: all its files, as ``ZarrTargets/files(in:)`` tells them apart.
  case zarr
  /// Chunks and shards of Zarr arrays.
  case codecs
  case png
  case jpeg
  /// A model package's zip archive.
  case package
  /// The metadata and network of a model package.
  case model

  static let selected = ProcessInfo.processInfo.environment["KACHEL_FUZZ"].flatMap { FuzzTarget(rawValue: $0) }

  private static let isShowing = ProcessInfo.processInfo.environment["KACHEL_FUZZ_SHOW"] != nil

  /// Tells what came of an input, where single ones are looked at.
  static func show(_ text: @autoclosure () -> String) { if isShowing { print(text()) } }

  func run(_ input: UnsafeRawBufferPointer) {
    switch self {
    case .czi: ImageTargets.file(input, name: "a.czi")
    case .tiff: ImageTargets.file(input, name: "a.tif")
    case .omexml: ImageTargets.omeXML(input)
    case .zarr: ZarrTargets.hierarchy(input)
    case .codecs: ZarrTargets.chunk(input)
    case .png: ImageTargets.png(input)
    case .jpeg: ImageTargets.file(input, name: "a.jpg")
    case .package: ModelTargets.archive(input)
    case .model: ModelTargets.model(input)
    }
  }
}

/// A folder in memory, where the system has one, for the files that are fuzzed.
enum Scratch {
  static let folder: String = {
    let folder = FileManager.default.temporaryDirectory.path + "/kachel-fuzz-\(getpid())"
    try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    return folder
  }()

  /// Writes a file of the folder and returns its path.
  @discardableResult static func write(_ bytes: UnsafeRawBufferPointer, to name: String) -> String {
    let path = folder + "/" + name
    guard let stream = fopen(path, "wb") else { fatalError("\(path) cannot be written") }
    let written = bytes.count == 0 ? 0 : fwrite(bytes.baseAddress, 1, bytes.count, stream)
    guard fclose(stream) == 0, written == bytes.count else { fatalError("\(path) cannot be written") }
    return path
  }

  @discardableResult static func write(_ bytes: [UInt8], to name: String) -> String {
    bytes.withUnsafeBytes { write($0, to: name) }
  }
}
