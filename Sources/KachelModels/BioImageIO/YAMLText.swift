// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes
private import Yams

/// YAML texts as JSON values, with bounds for what comes from unknown places.
///
/// Unquoted texts are read by the core schema of YAML 1.2, in which `y` and `no` are texts: axes are called `y`.
enum YAMLText {
  /// Most bytes of a text. Descriptions of models have some kilobytes.
  static let mostBytes = 1 << 20
  /// Most values, those that aliases repeat counted as often as they are repeated.
  private static let mostValues = 100_000
  private static let deepest = 64
  /// Most aliases. Each may repeat what others repeat, and texts with more of them could grow beyond all bounds.
  private static let mostAliases = 32

  struct Failure: Error {
    let reason: String
  }

  static func read(_ bytes: [UInt8]) throws(Failure) -> JSONValue {
    guard bytes.count <= mostBytes else {
      throw Failure(reason: "the YAML text has \(bytes.count) bytes; at most \(mostBytes) are read")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Failure(reason: "the YAML text is not UTF-8")
    }
    guard aliases(in: bytes) <= mostAliases else {
      throw Failure(reason: "the YAML text has more than \(mostAliases) aliases; that is not read")
    }
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch {
      // The error's own text repeats lines of the file.
      throw Failure(reason: "is no YAML, or it is damaged: \("\(error)".prefix { $0 != "\n" }.prefix(200))")
    }
    guard let root else { throw Failure(reason: "the YAML text is empty") }
    var remaining = mostValues
    return try value(root, &remaining, depth: 0)
  }

  /// How many aliases a text may have: an asterisk where a value can start, and a name.
  private static func aliases(in bytes: [UInt8]) -> Int {
    var count = 0
    var startsValue = true
    for (index, byte) in bytes.enumerated() {
      switch byte {
      case UInt8(ascii: " "), UInt8(ascii: "\t"): continue
      case UInt8(ascii: "*") where startsValue:
        if index + 1 < bytes.count, bytes[index + 1] > 0x20, bytes[index + 1] != byte { count += 1 }
        startsValue = false
      default: startsValue = "\n\r:-?,[{".utf8.contains(byte)
      }
    }
    return count
  }

  private static func value(_ node: Node, _ remaining: inout Int, depth: Int) throws(Failure) -> JSONValue {
    remaining -= 1
    guard remaining > 0, depth < deepest else {
      throw Failure(reason: "the YAML text has more than \(mostValues) values, or they are nested too deep")
    }
    switch node {
    case .scalar(let scalar):
      return scalar.style == .plain ? plain(scalar.string) : .string(scalar.string)
    case .sequence(let sequence):
      var values: [JSONValue] = []
      for node in sequence { values.append(try value(node, &remaining, depth: depth + 1)) }
      return .array(values)
    case .mapping(let mapping):
      var members: [String: JSONValue] = [:]
      for (key, node) in mapping {
        guard case .scalar(let name) = key else { throw Failure(reason: "a key in the YAML text is not a text") }
        members[name.string] = try value(node, &remaining, depth: depth + 1)
      }
      return .object(members)
    case .alias: throw Failure(reason: "the YAML text has an alias without a value")
    }
  }

  private static func plain(_ text: String) -> JSONValue {
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE": return .bool(true)
    case "false", "False", "FALSE": return .bool(false)
    case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": return .number(.infinity)
    case "-.inf", "-.Inf", "-.INF": return .number(-.infinity)
    case ".nan", ".NaN", ".NAN": return .number(.nan)
    default: break
    }
    if let integer = Int(text) { return .integer(integer) }
    // `Double` also reads words and hexadecimal numbers.
    if text.utf8.allSatisfy({ (48...57).contains($0) || "+-.eE".utf8.contains($0) }), let number = Double(text) {
      return .number(number)
    }
    return .string(text)
  }
}
