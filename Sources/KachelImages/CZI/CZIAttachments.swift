// SPDX-License-Identifier: Apache-2.0
package import KachelBytes

/// What a CZI file carries beside its pixels and metadata: a thumbnail, time stamps, events and more.
///
/// Nothing of the image depends on it, so a damaged list is like none, and a damaged attachment is left out.
package struct CZIAttachments: Sendable {
  package struct Entry: Sendable, Equatable {
    package var name: String
    /// The kind of content, as in `JPG` or `CZTIMS`.
    package var type: String
    /// Where the content stands in the file, which holds all of it.
    package var content: Range<Int>
  }

  package private(set) var entries: [Entry] = []
  /// When the time points were taken, in seconds from the acquisition's start; empty where the file does not say.
  package private(set) var timeStamps: [Double] = []

  /// Files have a handful; a list of more is damaged.
  private static let most = 10_000
  private static let entrySize = 128

  /// - Parameter position: where the list stands; 0 where there is none.
  package init(_ source: ByteSource, at position: Int64) {
    guard position != 0, let listed = try? Self.list(source, at: position) else { return }
    entries = listed.compactMap { try? Self.entry(source, $0) }
    if let times = entries.first(where: { $0.type == "CZTIMS" }) {
      timeStamps = (try? Self.timeStamps(source, times.content)) ?? []
    }
  }

  /// Positions, types and names as the list says them.
  private static func list(
    _ source: ByteSource, at position: Int64
  ) throws -> [(position: Int64, type: String, name: String)] {
    let segment = try CZISegment("ZISRAWATTDIR", at: position, of: source)
    var reader = ByteReader(try source.read(at: segment.payload, count: 4), file: source.path)
    let count = Int(try reader.int32())
    guard 0...most ~= count else { return [] }
    reader = ByteReader(
      try source.read(at: segment.payload + 256, count: count * entrySize), file: source.path,
      offset: segment.payload + 256)
    return try (0..<count).map { index in
      try reader.seek(to: index * entrySize + 12)
      let position = try reader.int64()
      try reader.skip(20)
      return (position, try reader.text(8), try reader.text(80))
    }
  }

  private static func entry(
    _ source: ByteSource, _ listed: (position: Int64, type: String, name: String)
  ) throws -> Entry? {
    let segment = try CZISegment("ZISRAWATTACH", at: listed.position, of: source)
    var reader = ByteReader(try source.read(at: segment.payload, count: 8), file: source.path)
    let start = segment.payload + 256
    guard let size = Int(exactly: try reader.int64()), size >= 0, start <= source.count, size <= source.count - start
    else { return nil }
    return Entry(name: listed.name, type: listed.type, content: start..<start + size)
  }

  /// A size that is not reliable, how many there are, then the numbers.
  private static func timeStamps(_ source: ByteSource, _ content: Range<Int>) throws -> [Double] {
    guard content.count >= 8 else { return [] }
    var reader = ByteReader(try source.read(at: content.lowerBound, count: 8), file: source.path)
    try reader.skip(4)
    let count = Int(try reader.int32())
    guard count > 0, count <= (content.count - 8) / 8 else { return [] }
    reader = ByteReader(
      try source.read(at: content.lowerBound + 8, count: 8 * count), file: source.path, offset: content.lowerBound + 8)
    let times = try (0..<count).map { _ in try reader.float64() }
    return times.allSatisfy(\.isFinite) ? times : []
  }
}
