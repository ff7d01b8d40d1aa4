// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import Testing

@Suite struct XMLWriterTests {
  @Test func elementsInElements() {
    var xml = XMLWriter()
    xml.element("a", ["x": "1", "none": nil, "y": ""]) { xml in
      xml.element("b")
      xml.element("c", text: "")
      xml.element("d") { $0.element("e", ["z": "2"], text: "text") }
    }
    #expect(
      xml.text == """
        <?xml version="1.0" encoding="UTF-8"?>
        <a x="1" y="">
          <b/>
          <c></c>
          <d>
            <e z="2">text</e>
          </d>
        </a>

        """)
  }

  /// What comes back from a parser is what was written, but for characters that XML has not.
  @Test(arguments: [
    ("<&>\"'", "<&>\"'"), ("a\tb\nc\r\nd", "a\tb\nc\r\nd"), ("µ😀e\u{301}\u{FFFD}", "µ😀e\u{301}\u{FFFD}"),
    ("a\u{0}b\u{1F}c\u{FFFE}d\u{FFFF}e\u{7F}", "abcde\u{7F}"), ("]]>", "]]>"), ("\u{301}x", "\u{301}x"),
  ]) func everyCharacter(_ text: String, _ readable: String) throws {
    var xml = XMLWriter()
    xml.element("a", ["x": text], text: text)
    let root = try XMLTree(Array(xml.text.utf8), file: "test.xml").root
    // Compared by their scalars: strings are equal that are written differently.
    #expect(root.attributes["x"].map { Array($0.unicodeScalars) } == Array(readable.unicodeScalars))
    #expect(Array(root.text.unicodeScalars) == Array(readable.unicodeScalars))
  }
}
