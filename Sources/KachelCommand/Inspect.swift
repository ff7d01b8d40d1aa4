// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Say what an image or a model package holds.",
    discussion: "Files are recognised by their content, not by their names.")

  @Argument(help: "An image (CZI, PNG) or a model package (.czmodel, .czseg, .czann).") var file: String
  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let source = try ByteSource(path: file)
    // Packages are zip archives; no image that is read is one.
    if try source.read(at: 0, count: min(4, source.count)).starts(with: [0x50, 0x4B]) {
      let report = try ModelReport(ModelPackage(at: file))
      if json { try Console.print(json: report) } else { print(report.text) }
    } else {
      let report = ImageReport(try Image(at: file))
      if json { try Console.print(json: report) } else { print(report.text) }
    }
  }
}

/// Lines of `name: value`, the values under each other.
struct FactSheet {
  private var facts: [(name: String, value: String)] = []

  mutating func add(_ name: String, _ value: String?) {
    if let value { facts.append((name, value)) }
  }

  var text: String {
    let width = facts.map(\.name.count).max() ?? 0
    return facts.map { fact in
      let lines = fact.value.split(separator: "\n", omittingEmptySubsequences: false)
      let indent = "\n" + String(repeating: " ", count: width + 2)
      return fact.name.padding(toLength: width + 2, withPad: " ", startingAt: 0) + lines.joined(separator: indent)
    }.joined(separator: "\n")
  }
}
