// SPDX-License-Identifier: Apache-2.0

/// The checksum CRC-32C (Castagnoli), as in iSCSI (RFC 3720).
package enum CRC32C {
  /// Eight tables of 256: what a byte does to the checksum when so many zero bytes follow it, so that eight bytes are
  /// taken at a time.
  private static let tables: [UInt32] = {
    var tables: [UInt32] = []
    for index in 0..<256 as Range<UInt32> {
      var value = index
      for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
      tables.append(value)
    }
    for index in 256..<2048 {
      let value = tables[index - 256]
      tables.append(value >> 8 ^ tables[Int(value & 0xFF)])
    }
    return tables
  }()

  package static func checksum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { checksum($0) } }
  package static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 { bytes.withUnsafeBytes { checksum($0) } }

  /// - Parameter start: the checksum of the bytes before these, where they come piece by piece.
  package static func checksum(_ bytes: UnsafeRawBufferPointer, after start: UInt32 = 0) -> UInt32 {
    tables.withUnsafeBufferPointer { tables in
      var value = ~start
      let whole = bytes.count & ~7
      for start in stride(from: 0, to: whole, by: 8) {
        let word =
          UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self)) ^ UInt64(value)
        value = 0
        for byte in 0..<8 {
          let place = Int(word >> UInt64(8 * byte) & 0xFF)
          value ^= tables[(7 - byte) << 8 | place]
        }
      }
      for index in whole..<bytes.count {
        value = value >> 8 ^ tables[Int(UInt8(truncatingIfNeeded: value) ^ bytes[index])]
      }
      return ~value
    }
  }

  /// Four little-endian bytes as a number.
  package static func stored(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }
}
