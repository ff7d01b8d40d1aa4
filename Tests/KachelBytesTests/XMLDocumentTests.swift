// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import Testing

@Suite struct XMLDocumentTests {
  @Test func textsComeBack() throws {
    let text = "a<b>&amp;\"']]>\u{7F}µ😀\n\t\rz"
    let root = XMLTree.Element(
      "root", ["b": text, "a": ""],
      [.init("child", text: text), .init("empty", ["c": "1"], []), .init("empty", text: "")])
    let document = root.document
    #expect(document.hasPrefix(#"<?xml version="1.0" encoding="utf-8"?><root a="" b="a&lt;b&gt;&amp;amp;&quot;"#))
    #expect(document.hasSuffix(#"<empty c="1"/><empty/></root>"#))
    let back = try XMLTree(Array(document.utf8), file: "test").root
    #expect(back.name == "root" && back.attributes == ["a": "", "b": text])
    #expect(back.children.map(\.name) == ["child", "empty", "empty"])
    #expect(back.children[0].text == text && back.children[1].attributes == ["c": "1"])
  }

  /// No document may hold them, so that they are replaced.
  @Test func controlCharactersAreReplaced() throws {
    let root = XMLTree.Element("a", text: "x\u{0}\u{8}\u{1F}\u{FFFE}\u{FFFF}y")
    let back = try XMLTree(Array(root.document.utf8), file: "test").root
    #expect(back.text == "x\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}y")
  }
}
