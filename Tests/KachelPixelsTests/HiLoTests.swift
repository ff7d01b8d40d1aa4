// SPDX-License-Identifier: Apache-2.0
import KachelPixels
import Testing

@Suite struct HiLoTests {
  @Test(arguments: [0, 1, 2, 15, 16, 17, 33, 1000]) func lowBytesThenHighBytes(_ count: Int) {
    let samples = (0..<count).map { UInt16(truncatingIfNeeded: $0 &* 40503 &+ 257) }
    let packed = samples.map { UInt8($0 & 255) } + samples.map { UInt8($0 >> 8) }
    var unpacked = [UInt16](repeating: 0, count: count)
    packed.withUnsafeBytes { packed in unpacked.withUnsafeMutableBytes { HiLo.unpack(packed, into: $0) } }
    #expect(unpacked == samples)
    var again = [UInt8](repeating: 0, count: 2 * count)
    samples.withUnsafeBytes { samples in again.withUnsafeMutableBytes { HiLo.pack(samples, into: $0) } }
    #expect(again == packed)
  }
}
