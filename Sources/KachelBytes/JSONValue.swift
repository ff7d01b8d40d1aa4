// SPDX-License-Identifier: Apache-2.0

/// A value of a JSON text (RFC 8259) whose structure is not known beforehand.
///
/// Beyond the standard, `NaN`, `Infinity` and `-Infinity` are numbers: Python's `json` writes them, and attributes of
/// real images have them.
package enum JSONValue: Sendable, Hashable {
  case null
  case bool(Bool)
  case integer(Int)
  /// An integer that only `UInt64` holds.
  case unsigned(UInt64)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  /// Why a text is no JSON, and where.
  package struct Failure: Error {
    package var reason: String
    package var offset: Int
  }

  /// - Throws: ``Failure`` also where arrays and objects are nested more than 64 deep.
  package init(_ bytes: [UInt8]) throws(Failure) {
    var parser = Parser(bytes: bytes)
    self = try parser.document()
  }

  /// The member of an object; `nil` where there is none or this is no object, which then stays as it is.
  package subscript(name: String) -> JSONValue? {
    get { if case .object(let members) = self { members[name] } else { nil } }
    set {
      guard case .object(var members) = self else { return }
      members[name] = newValue
      self = .object(members)
    }
  }

  package var isNull: Bool { self == .null }
  package var int: Int? { if case .integer(let value) = self { value } else { nil } }
  package var string: String? { if case .string(let value) = self { value } else { nil } }
  package var array: [JSONValue]? { if case .array(let values) = self { values } else { nil } }
  package var object: [String: JSONValue]? { if case .object(let members) = self { members } else { nil } }
  package var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .unsigned(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
  /// The integers of an array of nothing else.
  package var ints: [Int]? { all(\.int) }
  package var doubles: [Double]? { all(\.double) }
  package var strings: [String]? { all(\.string) }

  private func all<T>(_ take: (JSONValue) -> T?) -> [T]? {
    guard let array else { return nil }
    let values = array.compactMap(take)
    return values.count == array.count ? values : nil
  }
}

extension JSONValue {
  private struct Parser {
    let bytes: [UInt8]
    var position = 0
    var depth = 0

    init(bytes: [UInt8]) {
      self.bytes = bytes
      // Some programs begin with a byte order mark.
      if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    }

    func failure(_ reason: String) -> Failure { Failure(reason: reason, offset: position) }
    var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skipSpace() {
      while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    mutating func take(_ byte: Character) -> Bool {
      guard let next, next == byte.asciiValue else { return false }
      position += 1
      return true
    }

    mutating func document() throws(Failure) -> JSONValue {
      let value = try value()
      skipSpace()
      guard position == bytes.count else { throw failure("more follows after the JSON text's end") }
      return value
    }

    mutating func value() throws(Failure) -> JSONValue {
      skipSpace()
      defer { skipSpace() }
      switch next {
      case UInt8(ascii: "{"): return try nested { (parser) throws(Failure) in try parser.object() }
      case UInt8(ascii: "["): return try nested { (parser) throws(Failure) in try parser.array() }
      case UInt8(ascii: "\""): return .string(try string())
      case nil: throw failure("the JSON text ends early")
      default: return try word()
      }
    }

    mutating func nested(_ body: (inout Parser) throws(Failure) -> JSONValue) throws(Failure) -> JSONValue {
      guard depth < 64 else { throw failure("JSON is nested more than 64 deep") }
      depth += 1
      position += 1
      let value = try body(&self)
      depth -= 1
      return value
    }

    mutating func object() throws(Failure) -> JSONValue {
      var members: [String: JSONValue] = [:]
      skipSpace()
      if take("}") { return .object(members) }
      repeat {
        skipSpace()
        guard next == UInt8(ascii: "\"") else { throw failure("a member's name is expected in JSON") }
        let name = try string()
        skipSpace()
        guard take(":") else { throw failure("a colon is expected in JSON") }
        members[name] = try value()
      } while take(",")
      guard take("}") else { throw failure("a comma or } is expected in JSON") }
      return .object(members)
    }

    mutating func array() throws(Failure) -> JSONValue {
      var values: [JSONValue] = []
      skipSpace()
      if take("]") { return .array(values) }
      repeat { values.append(try value()) } while take(",")
      guard take("]") else { throw failure("a comma or ] is expected in JSON") }
      return .array(values)
    }

    /// A number or one of the words.
    mutating func word() throws(Failure) -> JSONValue {
      let start = position
      while let byte = next, isWord(byte) { position += 1 }
      let text = String(decoding: bytes[start..<position], as: UTF8.self)
      switch text {
      case "null": return .null
      case "true": return .bool(true)
      case "false": return .bool(false)
      case "NaN": return .number(.nan)
      case "Infinity": return .number(.infinity)
      case "-Infinity": return .number(-.infinity)
      default: break
      }
      if let first = text.utf8.first, first == UInt8(ascii: "-") || (48...57).contains(first), text.utf8.count <= 400 {
        if let value = Int(text) { return .integer(value) }
        if let value = UInt64(text) { return .unsigned(value) }
        // `Double` also reads hexadecimal numbers and words, which JSON does not have.
        if text.utf8.allSatisfy({ (48...57).contains($0) || "+-.eE".utf8.contains($0) }), let value = Double(text) {
          return .number(value)
        }
      }
      position = start
      throw failure("a value is expected in JSON")
    }

    func isWord(_ byte: UInt8) -> Bool {
      switch byte {
      case 48...57, 65...90, 97...122, UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."): true
      default: false
      }
    }

    mutating func string() throws(Failure) -> String {
      position += 1
      var text: [UInt8] = []
      while let byte = next {
        position += 1
        switch byte {
        case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
        case UInt8(ascii: "\\"): try escape(into: &text)
        default: text.append(byte)
        }
      }
      throw failure("a text in JSON does not end")
    }

    mutating func escape(into text: inout [UInt8]) throws(Failure) {
      guard let byte = next else { throw failure("a text in JSON does not end") }
      position += 1
      switch byte {
      case UInt8(ascii: "b"): text.append(8)
      case UInt8(ascii: "t"): text.append(9)
      case UInt8(ascii: "n"): text.append(10)
      case UInt8(ascii: "f"): text.append(12)
      case UInt8(ascii: "r"): text.append(13)
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
      case UInt8(ascii: "u"):
        var units = [try unit()]
        if units[0] & 0xFC00 == 0xD800, bytes[position...].starts(with: "\\u".utf8) {
          position += 2
          units.append(try unit())
        }
        text += String(decoding: units, as: UTF16.self).utf8
      default: throw failure("an escape sequence in JSON is unknown")
      }
    }

    mutating func unit() throws(Failure) -> UInt16 {
      let digits = bytes[position...].prefix(4)
      guard digits.count == 4, digits.allSatisfy({ isWord($0) && $0 != 0x2B && $0 != 0x2D }),
        let unit = UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
      else { throw failure("an escape sequence in JSON is damaged") }
      position += 4
      return unit
    }
  }
}
