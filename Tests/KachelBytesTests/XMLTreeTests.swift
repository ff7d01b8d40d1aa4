// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelTesting
import Testing

@Suite struct XMLTreeTests {
  func tree(_ text: String, limits: XMLTree.Limits = .init()) throws(BytesError) -> XMLTree {
    try XMLTree(Array(text.utf8), file: "test.xml", limits: limits)
  }

  @Test func elementsAttributesAndText() throws {
    let root = try tree("<?xml version=\"1.0\"?>\r\n<a x='1'>\r\n <b>one</b><ns:c y=\"&lt;2&gt;\"/><b> two </b></a>")
      .root
    #expect(root.name == "a" && root.attributes == ["x": "1"] && root.text.isEmpty)
    #expect(root.children.map(\.name) == ["b", "c", "b"])
    #expect(root.children("b").map(\.text) == ["one", "two"])
    #expect(root.child("c")?.attributes["y"] == "<2>")
    #expect(root.child("d") == nil)
  }

  @Test func descendantsTryEveryBranch() throws {
    let root = try tree("<a><b/><b><c>deep</c></b></a>").root
    #expect(root.descendant("b", "c")?.text == "deep")
    #expect(root.descendant("c") == nil)
  }

  @Test func byteOrderMarkPaddingCommentsAndCDATA() throws {
    let text = "\u{FEFF}<!-- c --><a><![CDATA[<!DOCTYPE x>]]> &amp; µ</a>\0\0"
    #expect(try tree(text).root.text == "<!DOCTYPE x> & µ")
  }

  @Test(arguments: [
    "<!DOCTYPE a><a/>", "<?xml version='1.0'?>\n<!-- c -->\n<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>",
    "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
  ])
  func documentTypesAreRefused(_ text: String) {
    let error = #expect(throws: BytesError.self) { try tree(text) }
    #expect(error?.reason.contains("DOCTYPE") == true && error?.kind == .damaged)
  }

  @Test(arguments: [
    "", "text", "<a>", "<a></b>", "<a/><b/>", "<a x=1/>", "<a>&unknown;</a>", "<!-- ", "<?xml", "\u{FEFF}",
    "<?xml version='1.0' encoding='UTF-16'?><a/>", "<\0a\0/\0>\0",
  ])
  func whatIsNotWellFormedIsDamaged(_ text: String) {
    let error = #expect(throws: BytesError.self) { try tree(text) }
    #expect(error?.kind == .damaged && error?.file == "test.xml")
  }

  @Test func limits() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth)
    }
    #expect(throws: Never.self) { try tree(nested(100)) }
    #expect(try #require(throws: BytesError.self) { try tree(nested(101)) }.reason.contains("nested deeper than 100"))
    #expect(throws: BytesError.self) { try tree(nested(50_000)) }
    var few = XMLTree.Limits()
    few.elements = 3
    #expect(throws: Never.self) { try tree("<a><b/><b/></a>", limits: few) }
    #expect(throws: BytesError.self) { try tree("<a><b/><b/><b/></a>", limits: few) }
    few.bytes = 3
    #expect(throws: BytesError.self) { try tree("<a/>", limits: few) }
  }

  @Test(arguments: ["ISO-8859-1", "windows-1252"]) func otherEncodings(_ encoding: String) throws {
    let start = Array("<?xml version='1.0' encoding='\(encoding)'?>\n<a x='".utf8)
    let document = start + [0xB5] + Array("'>".utf8) + [0xE4] + Array("</a>".utf8)
    let root = try XMLTree(document, file: "x").root
    #expect(root.attributes["x"] == "µ" && root.text == "ä")
  }

  @Test func invalidUTF8() {
    for text in ["<a \u{1}b='1'/>", "<a\u{1} b='1'/>", "<a b='\u{1}'/>", "<a>\u{1}</a>", "<\u{1}/>"] {
      let document = text.utf8.map { $0 == 1 ? 0xFF : $0 }
      #expect(throws: BytesError.self) { try XMLTree(document, file: "x") }
    }
  }

  /// Whatever is changed, a document is read or refused.
  @Test func randomBytesChanged() throws {
    let text =
      "<?xml version='1.0' encoding='utf-8'?><!-- c --><a xmlns='u' xmlns:p='q'><p:b p:x='&lt;µ'>t</p:b><![CDATA[x]]></a>"
    let bytes = Array(text.utf8)
    var state: UInt64 = 1
    func random(_ count: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % count
    }
    let fragments = ["<", ">", "&", "&#0;", "&#xD800;", "'", "<!", "]]>", "<?", ":", "xmlns=", "\u{FFFE}", "\u{FFFF}"]
    for _ in 0..<3000 {
      var changed = bytes
      for _ in 0...random(3) {
        let place = random(changed.count)
        switch random(3) {
        case 0: changed[place] = UInt8(random(256))
        case 1: changed.replaceSubrange(place..<place, with: fragments[random(fragments.count)].utf8)
        default: changed.removeSubrange(place..<min(changed.count, place + 1 + random(6)))
        }
      }
      _ = try? XMLTree(changed, file: "x")
    }
  }

  @Test func realMetadata() throws {
    let file = "czi/xml/WellD6_S1.xml"
    let root = try XMLTree(SharedData.data(file), file: file).root
    #expect(root.name == "ImageDocument")
    #expect(root.descendant("Metadata", "Scaling", "Items", "Distance")?.attributes["Id"] == "X")
  }

  @Test(arguments: 0..<2 as Range<UInt64>) func damagedDocuments(seed: UInt64) {
    let text =
      "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- c --><a x='1'><b y=\"&lt;2&gt;\">µ</b><ns:c/><![CDATA[<]]></a>"
    var outcomes: Set<Bool> = []
    for bytes in Mutations(of: Array(text.utf8), count: 500, seed: seed) {
      do throws(BytesError) {
        _ = try XMLTree(bytes, file: "test.xml")
        outcomes.insert(true)
      } catch {
        #expect(!error.reason.isEmpty && error.file == "test.xml")
        outcomes.insert(false)
      }
    }
    #expect(outcomes == [true, false])
  }
}
