// SPDX-License-Identifier: Apache-2.0

/// Documents to be written.
extension XMLTree.Element {
  /// An element with elements inside.
  ///
  /// - Parameter name: a name of XML, as those of the attributes.
  package init(_ name: String, _ attributes: [String: String] = [:], _ children: [Self]) {
    self.init(name: name, attributes: attributes, children: children, text: "")
  }

  /// An element with text inside.
  package init(_ name: String, _ attributes: [String: String] = [:], text: String) {
    self.init(name: name, attributes: attributes, children: [], text: text)
  }

  /// The document with this element as its root, to be written in UTF-8. Attributes are sorted by name, so that equal
  /// elements give equal text.
  package var document: String {
    var text = #"<?xml version="1.0" encoding="utf-8"?>"#
    write(to: &text)
    return text
  }

  private func write(to document: inout String) {
    document += "<\(name)"
    for (name, value) in attributes.sorted(by: { $0.key < $1.key }) {
      document += #" \#(name)="\#(Self.escaped(value))""#
    }
    guard !children.isEmpty || !text.isEmpty else {
      document += "/>"
      return
    }
    document += ">" + Self.escaped(text)
    for child in children { child.write(to: &document) }
    document += "</\(name)>"
  }

  private static func escaped(_ text: String) -> String {
    var escaped = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      case "\"": escaped += "&quot;"
      // White space that readers would change.
      case "\t", "\n", "\r": escaped += "&#\(scalar.value);"
      // No document may hold these, not even escaped (XML 1.0, section 2.2).
      case "\0"..<" ", "\u{FFFE}", "\u{FFFF}": escaped += "\u{FFFD}"
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    return escaped
  }
}
