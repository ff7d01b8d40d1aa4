// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel

/// What the user sees: results on standard output, everything else on standard error.
enum Console {
  static let isTerminal = isatty(STDERR_FILENO) == 1
  static let hasColor = isTerminal && allowsColor
  /// Whether results may be coloured: they are when a person looks at them, not when they are piped.
  static let hasColorInResults = isatty(STDOUT_FILENO) == 1 && allowsColor
  private static let allowsColor =
    ProcessInfo.processInfo.environment["NO_COLOR"]?.isEmpty ?? true
    && ProcessInfo.processInfo.environment["TERM"] != "dumb"

  static func error(_ text: String) {
    note(hasColor ? "\u{1B}[31mkachel: \(text)\u{1B}[0m" : "kachel: \(text)")
  }

  static func warning(_ text: String) {
    note(hasColor ? "\u{1B}[33mkachel: warning: \(text)\u{1B}[0m" : "kachel: warning: \(text)")
  }

  static func note(_ text: String) { write(text + "\n") }

  static func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

  /// A block of a colour, for terminals that show all colours or the usual 256.
  static func block(_ color: RGB) -> String {
    let showsAll = ["truecolor", "24bit"].contains(ProcessInfo.processInfo.environment["COLORTERM"])
    func step(_ value: UInt8) -> Int { (Int(value) * 5 + 127) / 255 }
    let code =
      showsAll
      ? "2;\(color.red);\(color.green);\(color.blue)"
      : "5;\(16 + 36 * step(color.red) + 6 * step(color.green) + step(color.blue))"
    return "\u{1B}[48;\(code)m  \u{1B}[0m"
  }

  /// Prints a value as JSON on standard output.
  static func print(json value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    Swift.print(String(decoding: try encoder.encode(value), as: UTF8.self))
  }
}
