// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes

/// A sorted table of LevelDB, as TensorFlow writes the index of a model's variables: blocks of entries, a block that
/// says where these are, and at the end of the file where that one is.
/// The format: https://github.com/google/leveldb/blob/main/doc/table_format.md
struct SortedTable {
  let entries: [(key: String, value: ArraySlice<UInt8>)]

  private static let footerSize = 48
  private static let magic: [UInt8] = [0x57, 0xFB, 0x80, 0x8B, 0x24, 0x75, 0x47, 0xDB]
  private static let mostEntries = 1_000_000
  private static let mostKeyBytes = 4096

  /// `nil` where the bytes are no complete table, or where a checksum differs.
  init?(_ bytes: [UInt8]) {
    guard bytes.count >= Self.footerSize, bytes.suffix(8).elementsEqual(Self.magic) else { return nil }
    var footer = TableReader(bytes.suffix(Self.footerSize))
    // The block of statistics comes first; there is none in these tables.
    guard footer.varint() != nil, footer.varint() != nil, let index = Self.block(bytes, at: &footer),
      let blocks = Self.entries(index)
    else { return nil }
    var entries: [(key: String, value: ArraySlice<UInt8>)] = []
    for (_, place) in blocks {
      var reader = TableReader(place)
      guard let block = Self.block(bytes, at: &reader), let found = Self.entries(block),
        entries.count + found.count <= Self.mostEntries
      else { return nil }
      entries += found
    }
    self.entries = entries
  }

  /// The block at an offset and of a size that are read. Behind it stand a byte for its compression, of which these
  /// tables have none, and a checksum.
  private static func block(_ bytes: [UInt8], at place: inout TableReader) -> ArraySlice<UInt8>? {
    guard let offset = place.varint(), let size = place.varint(), offset <= bytes.count,
      size <= bytes.count - offset - 5, size >= 4
    else { return nil }
    let end = offset + size
    guard bytes[end] == 0,
      VariableBundle.masked(CRC32C.checksum(bytes[offset...end])) == CRC32C.stored(bytes[end + 1..<end + 5])
    else { return nil }
    return bytes[offset..<end]
  }

  /// Each key shares its first bytes with the one before; the places where they share none are listed at the end.
  private static func entries(_ block: ArraySlice<UInt8>) -> [(key: String, value: ArraySlice<UInt8>)]? {
    let restarts = Int(CRC32C.stored(block.suffix(4)))
    guard restarts <= (block.count - 4) / 4 else { return nil }
    var reader = TableReader(block.dropLast(4 + 4 * restarts))
    var entries: [(key: String, value: ArraySlice<UInt8>)] = []
    var key: [UInt8] = []
    while !reader.isAtEnd {
      guard let shared = reader.varint(), let added = reader.varint(), let length = reader.varint(),
        shared <= key.count, added <= mostKeyBytes - shared, let rest = reader.take(added),
        let value = reader.take(length), entries.count < mostEntries
      else { return nil }
      key = Array(key.prefix(shared)) + rest
      entries.append((String(decoding: key, as: UTF8.self), value))
    }
    return entries
  }
}

/// Reads numbers of variable length and bytes, never beyond the end.
struct TableReader {
  private let bytes: ArraySlice<UInt8>
  private var position: Int

  init(_ bytes: ArraySlice<UInt8>) { (self.bytes, position) = (bytes, bytes.startIndex) }

  var isAtEnd: Bool { position == bytes.endIndex }

  /// A number of at most 63 bits.
  mutating func varint() -> Int? {
    var (value, shift) = (0 as UInt64, 0 as UInt64)
    while position < bytes.endIndex, shift < 63 {
      let byte = bytes[position]
      position += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return Int(exactly: value) }
      shift += 7
    }
    return nil
  }

  mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
    guard count >= 0, count <= bytes.endIndex - position else { return nil }
    defer { position += count }
    return bytes[position..<position + count]
  }
}
