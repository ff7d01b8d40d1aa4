// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelPixels
import KachelTesting
import Testing

@testable import KachelImages

/// Single codecs and their limits; that they decode what others encode is tested with golden arrays.
@Suite struct ZarrCodecTests {
  /// A gzip file without compression.
  private static func gzip(_ content: [UInt8]) -> [UInt8] {
    var register = ~0 as UInt32
    for byte in content {
      register ^= UInt32(byte)
      for _ in 0..<8 { register = register & 1 == 1 ? register >> 1 ^ 0xEDB8_8320 : register >> 1 }
    }
    func bytes(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    let count = UInt16(content.count)
    return [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255, 1] + bytes(count) + bytes(~count) + content + bytes(~register)
      + bytes(UInt32(content.count))
  }

  @Test func gzipFilesInARow() throws {
    let codec = ZarrCodec.deflate(name: "gzip")
    let input = Self.gzip([1, 2, 3]) + Self.gzip([]) + Self.gzip([4])
    #expect(try codec.decode(input, limit: 4) == [1, 2, 3, 4])
    #expect(throws: ZarrCodec.Failure.self) { try codec.decode(input, limit: 3) }
    for count in 1..<input.count where input[..<count] != Self.gzip([1, 2, 3])[...] {
      // A file that ends between two members is whole; anywhere else it is not.
      if let bytes = try? codec.decode(Array(input[..<count]), limit: 4) {
        #expect([[1, 2, 3], [1, 2, 3, 4]].contains(bytes))
      }
    }
  }

  @Test func whatIsLargerThanItMayBe() throws {
    let zeros = [UInt8](repeating: 0, count: 1 << 24)
    let bomb = zeros.withUnsafeBytes { Zstandard.compress($0) }
    #expect(bomb.count < 5000)
    #expect(try ZarrCodec.zstd.decode(bomb, limit: 1 << 24).count == 1 << 24)
    #expect(throws: ZarrCodec.Failure.self) { try ZarrCodec.zstd.decode(bomb, limit: 1000) }
    // The sizes that headers claim.
    for codec in [ZarrCodec.lz4, .blosc(compressor: "lz4"), .zstd, .deflate(name: "zlib"), .crc32c] {
      for input in [[], [0xFF], [UInt8](repeating: 0xFF, count: 5), [UInt8](repeating: 0xFF, count: 40)] {
        // No frame of zstd at all is nothing; that a chunk is not nothing is checked by its size.
        #expect((try? codec.decode(input, limit: 1000))?.isEmpty ?? true)
      }
    }
    // Version 2, no flags, one byte a number, a size of 2^31 - 1 in blocks of 16, and the buffer's size.
    let header: [UInt8] = [2, 1, 0, 1, 255, 255, 255, 127, 16, 0, 0, 0, 24, 0, 0, 0] + [UInt8](repeating: 0, count: 8)
    #expect(throws: ZarrCodec.Failure.self) { try ZarrCodec.blosc(compressor: "").decode(header, limit: 1000) }
  }

  @Test func checksums() throws {
    let content: [UInt8] = [1, 2, 3, 4, 5]
    let sum = withUnsafeBytes(of: ZarrFixture.crc32c(content).littleEndian) { Array($0) }
    #expect(try ZarrCodec.crc32c.decode(content + sum, limit: 5) == content)
    #expect(try ZarrCodec.crc32c.decode([0, 0, 0, 0], limit: 5) == [])
    #expect(throws: ZarrCodec.Failure.self) { try ZarrCodec.crc32c.decode([0] + content.dropFirst() + sum, limit: 5) }
  }

  /// Sizes are checked before anything is read: these files are gigabytes of nothing.
  @Test func hugeFiles() throws {
    let folder = try ScratchFolder()
    func makeHuge(_ name: String) throws {
      _ = try folder.write([], to: name)
      let file = try FileHandle(forWritingTo: URL(filePath: folder.file(name)))
      try file.truncate(atOffset: 8 << 30)
      try file.close()
    }
    var fixture = ZarrFixture(shape: [8, 8], chunk: [4, 4]) { _ in 1 }
    try fixture.write(to: folder.file("a"))
    try makeHuge("a/c/0/0")
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint16)
    let array = try ZarrArray(folder: folder.file("a"))
    let error = #expect(throws: ImageError.self) {
      try array.read(Region(x: 0, y: 0, width: 8, height: 8), of: 0, into: pixels)
    }
    #expect(error?.file == folder.file("a/c/0/0") && error?.kind == .damaged)
    try array.read(Region(x: 4, y: 0, width: 4, height: 8), of: 0, into: pixels)
    fixture.version = 2
    try fixture.write(to: folder.file("b"))
    try makeHuge("b/.zarray")
    #expect(throws: ImageError.self) { try Image(at: folder.file("b")) }
  }

  @Test(arguments: [
    ("null", "[]", true), ("null", "[{\"id\":\"zlib\",\"level\":1}]", true), ("null", "[{\"id\":\"delta\"}]", false),
    ("{\"id\":\"bz2\"}", "null", false), ("{\"id\":\"crc32c\"}", "null", false), ("{}", "null", false),
  ]) func filters(compressor: String, filters: String, isRead: Bool) throws {
    let folder = try ScratchFolder()
    var fixture = ZarrFixture(shape: [8, 8], chunk: [4, 4]) { _ in 1 }
    fixture.version = 2
    let metadata = fixture.metadata.replacingOccurrences(of: "\"filters\":null", with: "\"filters\":\(filters)")
      .replacingOccurrences(of: "\"compressor\":null", with: "\"compressor\":\(compressor)")
    _ = try folder.write(metadata.utf8, to: ".zarray")
    if isRead {
      #expect(try Image(at: folder.path).description.compressions.count == 1)
    } else {
      let error = #expect(throws: ImageError.self) { try Image(at: folder.path) }
      #expect(error?.kind == .unsupported && error?.reason.contains("compression or filter") == true)
    }
  }
}
