// SPDX-License-Identifier: Apache-2.0

/// Writes an XML 1.0 document, element by element.
package struct XMLWriter {
  /// The document so far, in UTF-8 when it is stored.
  package private(set) var text = #"<?xml version="1.0" encoding="UTF-8"?>"# + "\n"
  private var depth = 0

  package init() {}

  /// Adds an element with text in it.
  ///
  /// - Parameter attributes: those with a value, in their order.
  package mutating func element(
    _ name: String, _ attributes: KeyValuePairs<String, String?> = [:], text content: String
  ) {
    open(name, attributes)
    text += ">"
    escape(content, inAttribute: false)
    text += "</\(name)>\n"
  }

  /// Adds an element with those in it that `content` adds.
  package mutating func element(
    _ name: String, _ attributes: KeyValuePairs<String, String?> = [:], content: (inout XMLWriter) -> Void = { _ in }
  ) {
    open(name, attributes)
    let start = text.utf8.count
    text += ">\n"
    depth += 1
    content(&self)
    depth -= 1
    if text.utf8.count == start + 2 {
      text.removeLast(2)
      text += "/>\n"
    } else {
      indent()
      text += "</\(name)>\n"
    }
  }

  private mutating func indent() { for _ in 0..<depth { text += "  " } }

  private mutating func open(_ name: String, _ attributes: KeyValuePairs<String, String?>) {
    indent()
    text += "<\(name)"
    for (name, value) in attributes {
      guard let value else { continue }
      text += " \(name)=\""
      escape(value, inAttribute: true)
      text += "\""
    }
  }

  /// Adds characters as XML writes them, without those that it has no way to write (XML 1.0, section 2.2).
  private mutating func escape(_ content: String, inAttribute: Bool) {
    for scalar in content.unicodeScalars {
      switch scalar {
      case "&": text += "&amp;"
      case "<": text += "&lt;"
      case ">": text += "&gt;"
      case "\"" where inAttribute: text += "&quot;"
      // Parsers make spaces of them in attributes, and line feeds of carriage returns everywhere.
      case "\t" where inAttribute: text += "&#9;"
      case "\n" where inAttribute: text += "&#10;"
      case "\r": text += "&#13;"
      case "\t", "\n", "\u{20}"..."\u{FFFD}", "\u{10000}"...: text.unicodeScalars.append(scalar)
      default: break
      }
    }
  }
}
