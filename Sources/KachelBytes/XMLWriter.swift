// SPDX-License-Identifier: Apache-2.0

/// Writes an XML 1.0 document, element by element.
package struct XMLWriter {
  /// How a document is laid out, which matters to nobody but those who compare files.
  package struct Style: Sendable {
    package var declaration = #"<?xml version="1.0" encoding="UTF-8"?>"# + "\n"
    /// What ends a line; empty for a document on one line.
    package var lineEnd = "\n"
    package var indent = "  "
    /// How an element ends that holds nothing.
    package var emptyEnd = "/>"
    /// A tab and a line feed in attributes.
    package var (tab, lineFeed) = ("&#9;", "&#10;")

    package init() {}
  }

  /// The document so far, in UTF-8 when it is stored.
  package private(set) var text: String
  private let style: Style
  private var depth = 0

  package init(style: Style = Style()) {
    self.style = style
    text = style.declaration
  }

  /// Adds an element with text in it.
  ///
  /// - Parameter attributes: those with a value, in their order.
  package mutating func element(
    _ name: String, _ attributes: KeyValuePairs<String, String?> = [:], text content: String
  ) {
    open(name, attributes.map { ($0, $1) })
    text += ">"
    escape(content, inAttribute: false)
    text += "</\(name)>\(style.lineEnd)"
  }

  /// Adds an element with those in it that `content` adds.
  package mutating func element(
    _ name: String, _ attributes: KeyValuePairs<String, String?> = [:], content: (inout XMLWriter) -> Void = { _ in }
  ) {
    element(name, attributes: attributes.map { ($0, $1) }, content: content)
  }

  /// The same with attributes that are not known beforehand.
  package mutating func element(
    _ name: String, attributes: [(String, String?)], content: (inout XMLWriter) -> Void = { _ in }
  ) {
    open(name, attributes)
    let end = ">\(style.lineEnd)"
    text += end
    let opened = text.utf8.count
    depth += 1
    content(&self)
    depth -= 1
    if text.utf8.count == opened {
      text.removeLast(end.count)
      text += style.emptyEnd + style.lineEnd
    } else {
      indent()
      text += "</\(name)>\(style.lineEnd)"
    }
  }

  /// Adds an element as it was read: its attributes sorted by name, its text before its elements.
  package mutating func element(_ element: XMLTree.Element) {
    open(element.name, element.attributes.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    if element.children.isEmpty {
      if element.text.isEmpty { return text += style.emptyEnd + style.lineEnd }
      text += ">"
      escape(element.text, inAttribute: false)
    } else {
      text += ">"
      escape(element.text, inAttribute: false)
      text += style.lineEnd
      depth += 1
      for child in element.children { self.element(child) }
      depth -= 1
      indent()
    }
    text += "</\(element.name)>\(style.lineEnd)"
  }

  private mutating func indent() { for _ in 0..<depth { text += style.indent } }

  private mutating func open(_ name: String, _ attributes: some Sequence<(String, String?)>) {
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
      case "\t" where inAttribute: text += style.tab
      case "\n" where inAttribute: text += style.lineFeed
      case "\r": text += "&#13;"
      case "\t", "\n", "\u{20}"..."\u{FFFD}", "\u{10000}"...: text.unicodeScalars.append(scalar)
      default: break
      }
    }
  }
}
