// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelTesting
import Testing

@Suite struct JSONValueTests {
  @Test func deepAndOddJSON() throws {
    for text in [
      String(repeating: "[", count: 100_000), "{\"a\":}", "[1,]", "tru", "\"\\u12\"", "\"\\x\"", "\"", "1 2", "", "[1",
      "{",
      "{\"a\"", "{\"a\" 1}", "0x10", "--1", "\\", "+1",
    ] {
      #expect(throws: JSONValue.Failure.self) { try JSONValue(Array(text.utf8)) }
    }
    let value = try JSONValue(Array(#" {"a":[1,-2.5e1,true,null,NaN],"\u00e9\ud83d\ude00\n":"x\/"} "#.utf8))
    #expect(value["a"]?.array?.count == 5 && value["a"]?.array?[1].double == -25 && value["é😀\n"]?.string == "x/")
  }

  @Test func failuresSayWhere() throws {
    let failure = #expect(throws: JSONValue.Failure.self) { try JSONValue(Array("{\"a\": [1, x]}".utf8)) }
    #expect(failure?.offset == 10 && failure?.reason.contains("value") == true)
  }

  @Test(arguments: 0..<3 as Range<UInt64>) func damagedTexts(seed: UInt64) {
    let text = #"{"shape":[64, 128],"codecs":[{"name":"zstd","level":-3.5e1}],"\u00e9\ud83d\ude00":["x\/",null,true]}"#
    var outcomes: Set<Bool> = []
    for bytes in Mutations(of: Array(text.utf8), count: 1000, seed: seed) {
      do throws(JSONValue.Failure) {
        _ = try JSONValue(bytes)
        outcomes.insert(true)
      } catch {
        #expect(!error.reason.isEmpty && 0...bytes.count ~= error.offset)
        outcomes.insert(false)
      }
    }
    #expect(outcomes == [true, false])
  }
}
