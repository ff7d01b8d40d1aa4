// SPDX-License-Identifier: Apache-2.0
private import Foundation

extension JSONValue: Encodable {
  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    case .integer(let value): try container.encode(value)
    case .unsigned(let value): try container.encode(value)
    case .number(let value): try container.encode(value)
    case .string(let value): try container.encode(value)
    case .array(let values): try container.encode(values)
    case .object(let members): try container.encode(members)
    }
  }

  /// A value in the form in which it is encoded.
  package init(encoding value: some Encodable) throws { self = try JSONValue(Array(JSONEncoder().encode(value))) }

  /// The text that files get: members in the order of their names.
  ///
  /// - Throws: where a number is not finite, which JSON does not have.
  package func text() throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return try Array(encoder.encode(self))
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int) { self = .integer(value) }
  package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  package init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(Dictionary(elements, uniquingKeysWith: { $1 }))
  }
}

extension JSONValue {
  package init(_ values: [Int]) { self = .array(values.map { .integer($0) }) }
  package init(_ values: [Double]) { self = .array(values.map { .number($0) }) }
  package init(_ values: [String]) { self = .array(values.map { .string($0) }) }
}
