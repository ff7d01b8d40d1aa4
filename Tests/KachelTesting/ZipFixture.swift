// SPDX-License-Identifier: Apache-2.0

/// A zip archive written byte by byte, so that every header can lie.
public struct ZipFixture {
  public struct Member {
    public var name: [UInt8]
    public var content: [UInt8]
    /// What stands in the archive, where that is not the content itself (method 0).
    public var packed: [UInt8]?
    /// 0: stored, 8: deflated.
    public var method: UInt16 = 0
    public var flags: UInt16 = 0
    public var declaredSize: UInt32?
    public var declaredPackedSize: UInt32?
    public var declaredCRC: UInt32?
    /// Where the directory says that the member starts.
    public var declaredOffset: UInt32?

    public init(_ name: String, _ content: some Sequence<UInt8>) { self.init(Array(name.utf8), content) }
    public init(_ name: String, _ content: String) { self.init(Array(name.utf8), content.utf8) }
    public init(_ name: [UInt8], _ content: some Sequence<UInt8>) {
      self.name = name
      self.content = Array(content)
    }

    /// The content in stored blocks of a deflate stream: a deflated member without a compressor.
    public func deflated() -> Self {
      var member = self
      var packed: [UInt8] = []
      var rest = content[...]
      repeat {
        let block = rest.prefix(65535)
        rest = rest.dropFirst(block.count)
        let count = UInt16(block.count)
        packed += [rest.isEmpty ? 1 : 0] + ZipFixture.little(count) + ZipFixture.little(~count) + block
      } while !rest.isEmpty
      member.packed = packed
      member.method = 8
      return member
    }

    /// Zeros, deflated to about 1/158.
    public static func zeros(_ name: String, count: Int) -> Self {
      // Blocks of fixed codes: a literal 0, then runs of 258 at distance 1, each of 13 bits.
      var bits = BitWriter()
      bits.write(1, count: 1)
      bits.write(1, count: 2)
      bits.writeCode(0x30, count: 8)
      var written = 1
      while written + 258 <= count {
        bits.writeCode(0b11000101, count: 8)
        bits.writeCode(0, count: 5)
        written += 258
      }
      bits.writeCode(0, count: 7)
      var member = Member(name, [UInt8](repeating: 0, count: written))
      member.packed = bits.bytes
      member.method = 8
      return member
    }
  }

  public var members: [Member]
  public init(_ members: [Member] = []) { self.members = members }

  /// The archive.
  public var bytes: [UInt8] {
    var file: [UInt8] = [], directory: [UInt8] = []
    for member in members {
      let packed = member.packed ?? member.content
      let size = Self.little(member.declaredSize ?? UInt32(member.content.count))
      let packedSize = Self.little(member.declaredPackedSize ?? UInt32(packed.count))
      let common =
        Self.little(UInt16(20)) + Self.little(member.flags) + Self.little(member.method) + [0, 0, 0x21, 0x58]
        + Self.little(member.declaredCRC ?? Self.crc32(member.content)) + packedSize + size
        + Self.little(UInt16(member.name.count)) + [0, 0]
      let offset = member.declaredOffset ?? UInt32(file.count)
      file += [0x50, 0x4B, 3, 4] + common + member.name + packed
      let attributes = [UInt8](repeating: 0, count: 10)
      directory += [0x50, 0x4B, 1, 2, 20, 3] + common + attributes + Self.little(offset) + member.name
    }
    let count = Self.little(UInt16(truncatingIfNeeded: members.count))
    return file + directory + [0x50, 0x4B, 5, 6, 0, 0, 0, 0] + count + count + Self.little(UInt32(directory.count))
      + Self.little(UInt32(file.count)) + [0, 0]
  }

  static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian, Array.init)
  }

  public static func crc32(_ bytes: [UInt8]) -> UInt32 {
    var crc = ~UInt32(0)
    for byte in bytes {
      crc = table[Int((crc ^ UInt32(byte)) & 0xFF)] ^ crc >> 8
    }
    return ~crc
  }

  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ value >> 1 : value >> 1 }
  }

  /// Bits as deflate packs them: from the lowest of each byte on, codes with their highest bit first.
  private struct BitWriter {
    var bytes: [UInt8] = []
    private var free = 0

    init() {}

    mutating func write(_ value: Int, count: Int) {
      for bit in 0..<count {
        if free == 0 {
          bytes.append(0)
          free = 8
        }
        if value >> bit & 1 == 1 { bytes[bytes.count - 1] |= 1 << UInt8(8 - free) }
        free -= 1
      }
    }

    mutating func writeCode(_ code: Int, count: Int) {
      for bit in (0..<count).reversed() { write(code >> bit & 1, count: 1) }
    }
  }
}
