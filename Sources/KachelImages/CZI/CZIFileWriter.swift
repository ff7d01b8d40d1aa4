// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelPixels

/// Writes the segments of a CZI file from start to end; memory holds what the directory will say of the sub-blocks.
///
/// The layout is that of the libCZI documentation, see ``CZISegment``.
final class CZIFileWriter {
  /// A sub-block to be written.
  struct Tile {
    var pixelType: CZIPixelType
    /// What it covers at full resolution, in the file's own pixel coordinates.
    var region: Region
    /// How many pixels it has.
    var stored: Size
    /// Positions along further dimensions.
    var positions: [(name: Character, position: Int)]
  }

  private let path: String
  private let file: OutputFile
  private let digest = SHA256.Digest()
  private var entries = CZIBytes()
  private var entryCount = 0

  init(_ output: PendingOutput) throws(ImageError) {
    path = output.path
    file = try OutputFile(creating: output)
    // Says that the file is being written, until the end.
    try append("ZISRAWFILE", head: Self.header(isPending: true), headSize: 512)
  }

  /// Appends a sub-block.
  ///
  /// - Parameter payload: its pixels as Zstd1.
  func write(_ tile: Tile, _ payload: [UInt8]) throws(ImageError) {
    let entry = Self.entry(tile, at: file.count)
    var head = CZIBytes()
    head.integer(Int32(0))  // of metadata
    head.integer(Int32(0))  // of an attachment
    head.integer(Int64(payload.count))
    head.bytes += entry.bytes
    try append("ZISRAWSUBBLOCK", head: head, headSize: max(256, head.bytes.count), payload)
    entries.bytes += entry.bytes
    entryCount += 1
  }

  /// Appends the metadata and the directory, and completes the file.
  func finish(metadata: String) throws(ImageError) {
    guard let entryCount = Int32(exactly: entryCount), let size = Int32(exactly: metadata.utf8.count) else {
      throw ImageError(
        .unsupported, file: path, "\(entryCount) tiles or \(metadata.utf8.count) bytes of metadata are too many for CZI"
      )
    }
    var head = CZIBytes()
    head.integer(size)
    let metadataPosition = try append("ZISRAWMETADATA", head: head, headSize: 256, Array(metadata.utf8))
    head = CZIBytes()
    head.integer(entryCount)
    let directory = try append("ZISRAWDIRECTORY", head: head, headSize: 128, entries.bytes)
    // A list of no attachments, without which OpenSlide reads no file.
    head = CZIBytes()
    head.integer(Int32(0))
    let attachments = try append("ZISRAWATTDIR", head: head, headSize: 256)
    let header = Self.header(
      isPending: false, identifier: Self.identifier(of: digest.finish()), directory: directory,
      metadata: metadataPosition, attachments: attachments)
    try file.overwrite(header.bytes, at: CZISegment.headerSize)
    try file.close()
  }

  /// Appends a segment, filled up to a multiple of 32 bytes.
  ///
  /// - Parameters:
  ///   - head: the start of its payload; zeros up to `headSize` follow.
  ///   - body: the rest of its payload.
  /// - Returns: where the segment stands.
  @discardableResult
  private func append(
    _ id: String, head: CZIBytes, headSize: Int, _ body: [UInt8] = []
  ) throws(ImageError) -> Int {
    let position = file.count
    let used = headSize + body.count, allocated = (used + 31) / 32 * 32
    var start = CZIBytes()
    start.text(id, size: 16)
    start.integer(Int64(allocated))
    start.integer(Int64(used))
    start.bytes += head.bytes
    start.zeros(headSize - head.bytes.count)
    for part in [start.bytes, body, [UInt8](repeating: 0, count: allocated - used)] {
      part.withUnsafeBytes { digest.update($0) }
      try file.append(part)
    }
    return position
  }

  /// The start of the payload of ZISRAWFILE.
  private static func header(
    isPending: Bool, identifier: [UInt8] = [UInt8](repeating: 0, count: 16), directory: Int = 0, metadata: Int = 0,
    attachments: Int = 0
  ) -> CZIBytes {
    var bytes = CZIBytes()
    bytes.integer(Int32(1))  // the major version
    bytes.integer(Int32(0))
    bytes.zeros(8)
    // The file itself and the first of several files, which is this one.
    bytes.bytes += identifier + identifier
    bytes.integer(Int32(0))
    bytes.integer(Int64(directory))
    bytes.integer(Int64(metadata))
    bytes.integer(Int32(isPending ? 1 : 0))
    bytes.integer(Int64(attachments))
    return bytes
  }

  /// A UUID of version 8 (RFC 9562), so that equal files have equal ones.
  private static func identifier(of digest: [UInt8]) -> [UInt8] {
    var identifier = Array(digest.prefix(16))
    // The third part is a little-endian number in a GUID.
    identifier[7] = identifier[7] & 0x0F | 0x80
    identifier[8] = identifier[8] & 0x3F | 0x80
    return identifier
  }

  /// What the directory and the sub-block itself say of it.
  private static func entry(_ tile: Tile, at position: Int) -> CZIBytes {
    var bytes = CZIBytes()
    bytes.text("DV", size: 2)
    bytes.integer(tile.pixelType.rawValue)
    bytes.integer(Int64(position))
    bytes.integer(Int32(0))  // the part of several files
    bytes.integer(CZICompression.zstd1.rawValue)
    bytes.integer(UInt8(tile.stored == tile.region.size ? 0 : 2))  // 2: one of several tiles of a pyramid
    bytes.zeros(5)
    bytes.integer(Int32(2 + tile.positions.count))
    func dimension(_ name: Character, _ start: Int, _ size: Int = 1, stored: Int = 1) {
      bytes.text(String(name), size: 4)
      bytes.integer(Int32(start))
      bytes.integer(Int32(size))
      bytes.integer(Int32(0))  // the start in another unit
      bytes.integer(Int32(stored))
    }
    dimension("X", tile.region.x, tile.region.width, stored: tile.stored.width)
    dimension("Y", tile.region.y, tile.region.height, stored: tile.stored.height)
    for (name, position) in tile.positions { dimension(name, position) }
    return bytes
  }
}

/// Little-endian numbers and texts one after the other.
private struct CZIBytes {
  var bytes: [UInt8] = []

  mutating func integer(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }

  mutating func zeros(_ count: Int) { bytes += repeatElement(0, count: count) }

  mutating func text(_ text: String, size: Int) {
    bytes += text.utf8
    zeros(size - text.utf8.count)
  }
}
