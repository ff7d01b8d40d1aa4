// SPDX-License-Identifier: Apache-2.0
private import Kachel

/// Model packages.
enum ModelTargets {
  static func archive(_ input: UnsafeRawBufferPointer) { open(Scratch.write(input, to: "a.czann")) }

  /// A package of which only the content is fuzzed: the metadata (XML or JSON), a byte 0, then the network. A network
  /// that begins with `PB` is the content of a SavedModel's `saved_model.pb`.
  static func model(_ input: UnsafeRawBufferPointer) {
    let parts = input.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false).map { Array($0) }
    let isXML = parts[0].first { $0 > 0x20 && $0 < 0x80 } == UInt8(ascii: "<")
    var network = parts.count > 1 ? parts[1] : [8, 7]
    if network.starts(with: "PB".utf8) {
      network = ZipFixture([.init("saved_model.pb", network.dropFirst(2))]).bytes
    }
    let package = ZipFixture([.init(isXML ? "a.xml" : "model.json", parts[0]), .init("a.model", network)])
    open(Scratch.write(package.bytes, to: "a.czann"))
  }

  private static func open(_ path: String) {
    do {
      let package = try ModelPackage(at: path)
      do { _ = try package.graphFacts() } catch { check(error, path) }
      try package.checkRunnable()
    } catch {
      check(error, path)
    }
  }

  private static func check(_ error: any Error, _ path: String) {
    FuzzTarget.show("\(error)")
    guard let error = error as? ModelError, error.file == path, !error.reason.isEmpty else {
      fatalError("a promise was broken: \(error)")
    }
  }
}
