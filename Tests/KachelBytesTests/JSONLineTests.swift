// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import Testing

@Suite struct JSONLineTests {
  @Test func asPythonWrites() throws {
    var line = JSONLine()
    line.add("b", .integer(-3))
    line.add("none", nil)
    line.add("a\"", JSONValue([1e-07, 1.0, 0.5, 1e16]))
    line.add("t", .string("µ\u{7F}😀\n\\/"))
    line.add("o", ["z": .null, "y": .bool(true), "x": .array([])])
    let text =
      #"{"b": -3, "a\"": [1e-07, 1.0, 0.5, 1e+16], "t": "\u00b5\u007f\ud83d\ude00\n\\/", "#
      + #""o": {"x": [], "y": true, "z": null}}"#
    #expect(line.text == text)
    #expect(try JSONValue(Array(text.utf8))["t"]?.string == "µ\u{7F}😀\n\\/")
  }
}
