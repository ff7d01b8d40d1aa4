// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What the user sees: results on standard output, everything else on standard error.
enum Console {
  static let isTerminal = isatty(STDERR_FILENO) == 1
  static let hasColor = isTerminal && ProcessInfo.processInfo.environment["NO_COLOR"]?.isEmpty ?? true

  static func error(_ text: String) {
    note(hasColor ? "\u{1B}[31mkachel: \(text)\u{1B}[0m" : "kachel: \(text)")
  }

  static func warning(_ text: String) {
    note(hasColor ? "\u{1B}[33mkachel: warning: \(text)\u{1B}[0m" : "kachel: warning: \(text)")
  }

  static func note(_ text: String) { write(text + "\n") }

  static func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

  /// Prints a value as JSON on standard output.
  static func print(json value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    Swift.print(String(decoding: try encoder.encode(value), as: UTF8.self))
  }
}
