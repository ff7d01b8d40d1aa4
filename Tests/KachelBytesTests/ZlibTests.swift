// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelTesting
import Testing

@Suite struct ZlibTests {
  private static func decompressed(_ stream: [UInt8], count: Int) -> (bytes: [UInt8], problem: String?) {
    var bytes = [UInt8](repeating: 77, count: count)
    let problem = bytes.withUnsafeMutableBytes { bytes in stream.withUnsafeBytes { Zlib.decompress($0, into: bytes) } }
    return (bytes, problem)
  }

  @Test(arguments: [Int32(1), 6, 12], [0, 1, 5000]) func thereAndBack(_ level: Int32, _ count: Int) {
    var random = SeededRandom(seed: 3)
    let bytes = (0..<count).map { $0 % 100 < 50 ? 0 : UInt8.random(in: 0...255, using: &random) }
    let compressor = ZlibCompressor(level: level)
    let stream = bytes.withUnsafeBytes { compressor.compress($0) }
    // The two bytes that begin a stream of zlib (RFC 1950, section 2.2).
    #expect(stream[0] == 0x78 && (Int(stream[0]) << 8 | Int(stream[1])).isMultiple(of: 31))
    #expect(bytes.withUnsafeBytes { compressor.compress($0) } == stream)
    let back = Self.decompressed(stream, count: count)
    #expect(back.bytes == bytes && back.problem == nil)
    #expect(Self.decompressed(stream, count: count + 1).problem == "zlib: fewer than \(count + 1) bytes")
    if count > 0 {
      #expect(Self.decompressed(stream, count: count - 1).problem == "zlib: more than \(count - 1) bytes")
    }
    var damaged = stream
    damaged[damaged.count - 1] ^= 1
    #expect(Self.decompressed(damaged, count: count).problem == "zlib: the data are damaged")
    #expect(Self.decompressed([], count: count).problem == "zlib: the data are damaged")
  }
}
