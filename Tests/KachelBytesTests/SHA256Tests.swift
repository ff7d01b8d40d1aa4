// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelTesting
import Testing

@Suite struct SHA256Tests {
  /// The examples of FIPS 180-4 and its test vectors.
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ])
  func examples(text: String, hex: String) throws {
    #expect(Array(text.utf8).withUnsafeBytes { SHA256.hex(of: $0) } == hex)
    let folder = try ScratchFolder()
    #expect(try SHA256.hex(ofFile: folder.write(text.utf8, to: "text")) == hex)
  }

  /// A million letters, which is more than is read at once.
  @Test func aMillionLetters() throws {
    let folder = try ScratchFolder()
    let path = try folder.write([UInt8](repeating: UInt8(ascii: "a"), count: 3_000_000), to: "letters")
    let bytes = [UInt8](repeating: UInt8(ascii: "a"), count: 3_000_000)
    #expect(try SHA256.hex(ofFile: path) == bytes.withUnsafeBytes { SHA256.hex(of: $0) })
    #expect(
      [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000).withUnsafeBytes { SHA256.hex(of: $0) }
        == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }

  @Test func aMissingFile() {
    #expect(throws: BytesError.self) { try SHA256.hex(ofFile: "/nowhere/at/all") }
  }
}
