// SPDX-License-Identifier: Apache-2.0

/// An object as Python's `json.dumps` writes it by default: on one line, members in the order given, `, ` and `: `
/// between them, and everything beyond ASCII escaped.
package struct JSONLine {
  /// The members so far.
  package private(set) var members: [(name: String, value: JSONValue)] = []

  package init() {}

  /// Adds a member, where it has a value.
  package mutating func add(_ name: String, _ value: JSONValue?) {
    if let value { members.append((name, value)) }
  }

  package var text: String { Self.object(members) }

  private static func object(_ members: [(name: String, value: JSONValue)]) -> String {
    "{" + members.map { "\(text(.string($0.name))): \(text($0.value))" }.joined(separator: ", ") + "}"
  }

  private static func text(_ value: JSONValue) -> String {
    switch value {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .unsigned(let value): "\(value)"
    case .number(let value):
      value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : "\(value)"
    case .string(let text): "\"" + text.utf16.map(escaped).joined() + "\""
    case .array(let values): "[" + values.map(text).joined(separator: ", ") + "]"
    case .object(let members): object(members.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    }
  }

  private static func escaped(_ unit: UInt16) -> String {
    switch unit {
    case 0x22: return "\\\""
    case 0x5C: return "\\\\"
    case 0x08: return "\\b"
    case 0x0C: return "\\f"
    case 0x0A: return "\\n"
    case 0x0D: return "\\r"
    case 0x09: return "\\t"
    case 0x20..<0x7F: return String(UnicodeScalar(UInt8(unit)))
    default:
      let digits = String(unit, radix: 16)
      return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }
  }
}
