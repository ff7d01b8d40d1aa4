// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import Testing

@Suite struct ByteReaderTests {
  @Test func numbersAreLittleEndian() throws {
    var reader = ByteReader(
      [0x01, 0x02, 0x03, 0xFE, 0xFF, 0xFF, 0xFF, 0x04, 0, 0, 0x80] + [8, 7, 6, 5, 4, 3, 2, 1]
        + [0, 0, 0x80, 0x3F] + [0, 0, 0, 0, 0, 0, 0xF0, 0xBF], file: "x")
    #expect(try reader.uint8() == 1)
    #expect(try reader.uint16() == 0x0302)
    #expect(try reader.int32() == -2)
    #expect(try reader.uint32() == 0x8000_0004)
    #expect(try reader.int64() == 0x0102_0304_0506_0708)
    #expect(try reader.float32() == 1)
    #expect(try reader.float64() == -1)
    #expect(reader.remaining == 0)
  }

  @Test func textEndsAtNUL() throws {
    var reader = ByteReader(Array("DV\0x".utf8) + [9], file: "x")
    #expect(try reader.text(4) == "DV")
    #expect(try reader.bytes(1) == [9])
  }

  @Test func nothingIsReadBeyondTheEnd() throws {
    var reader = ByteReader([1, 2, 3], file: "slide.czi", offset: 100)
    try reader.skip(2)
    let error = #expect(throws: BytesError.self) { try reader.uint16() }
    #expect(error?.kind == .truncated && error?.file == "slide.czi" && error?.offset == 102)
    #expect(try reader.uint8() == 3)
    #expect(throws: BytesError.self) { try reader.uint8() }
  }

  @Test(arguments: [-1, 4, Int.max, Int.min]) func wrongCountsAndPositions(_ value: Int) {
    var reader = ByteReader([1, 2, 3], file: "x", offset: 7)
    #expect(throws: BytesError.self) { try reader.bytes(value) }
    #expect(throws: BytesError.self) { try reader.skip(value) }
    #expect(throws: BytesError.self) { try reader.seek(to: value) }
    #expect(reader.position == 0)
  }
}
