// SPDX-License-Identifier: Apache-2.0

/// Copies of some bytes, each damaged at random: the same ones for the same seed on every machine.
public struct Mutations: Sequence, IteratorProtocol {
  private let original: [UInt8]
  /// Where numbers and words stand, as far as zeros tell.
  private let filled: [Int]
  private var random: SeededRandom
  private var remaining: Int

  public init(of original: [UInt8], count: Int, seed: UInt64) {
    self.original = original
    filled = original.indices.filter { original[$0] != 0 }
    random = SeededRandom(seed: seed)
    remaining = original.isEmpty ? 0 : count
  }

  public mutating func next() -> [UInt8]? {
    guard remaining > 0 else { return nil }
    remaining -= 1
    var bytes = original
    for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty { change(&bytes) }
    return bytes
  }

  /// Often at the start, where headers are.
  private mutating func place(in bytes: [UInt8]) -> Int {
    switch Int.random(in: 0..<4, using: &random) {
    case 0: Int.random(in: 0..<Swift.min(512, bytes.count), using: &random)
    case 1: Swift.min(filled.randomElement(using: &random) ?? 0, bytes.count - 1)
    default: Int.random(in: 0..<bytes.count, using: &random)
    }
  }

  private mutating func change(_ bytes: inout [UInt8]) {
    let place = place(in: bytes)
    switch Int.random(in: 0..<16, using: &random) {
    case 0...2: bytes[place] = UInt8.random(in: 0...255, using: &random)
    case 3, 4: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 5, 6: bytes[place] = [0, 0xFF, 0x7F, 0x80][Int.random(in: 0..<4, using: &random)]
    case 7...9:
      // A number of 32 bits that is extreme in either byte order.
      let numbers: [UInt32] = [0, 0x7FFF_FFFF, 0xFFFF_FF7F, 0x8000_0000, 0xFFFF_FFFF]
      let number = numbers[Int.random(in: 0..<5, using: &random)]
      for index in 0..<4 where place + index < bytes.count {
        bytes[place + index] = UInt8(truncatingIfNeeded: number >> (8 * UInt32(index)))
      }
    case 10, 11:
      // A number in a text.
      let end = bytes[place...].firstIndex { !(0x30...0x39).contains($0) } ?? bytes.count
      let numbers = ["0", "-1", "65537", "4294967296", "9223372036854775807", "1e999", "0.5", ""]
      bytes.replaceSubrange(place..<end, with: numbers[Int.random(in: 0..<numbers.count, using: &random)].utf8)
    case 12, 13:
      let count = Swift.min(Int.random(in: 1...40, using: &random), bytes.count - place)
      let from = Int.random(in: 0...bytes.count - count, using: &random)
      bytes.replaceSubrange(place..<place + count, with: Array(bytes[from..<from + count]))
    case 14:
      let count = Swift.min(Int.random(in: 1...40, using: &random), bytes.count - place)
      if Bool.random(using: &random) {
        bytes.removeSubrange(place..<place + count)
      } else {
        bytes.insert(contentsOf: bytes[place..<place + count], at: place)
      }
    default: bytes.removeSubrange(place...)
    }
  }
}
