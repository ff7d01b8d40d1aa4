// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
public import KachelPixels

/// Builds TIFF files for tests, right ones and wrong ones.
public struct TIFFFixture: Sendable {
  public struct Page: Sendable {
    public var size: Size
    public var type: PixelType
    public var samples: Int
    /// Bits of a sample where they are fewer than 8; then `pixels` are packed rows, stored as one strip.
    public var bits: Int?
    /// Tight rows of interleaved samples, little-endian.
    public var pixels: [UInt8]
    public var photometric = 1
    public var isPlanar = false
    /// Whether rows are stored as differences (predictor 2) in Zstandard; else they are not compressed.
    public var hasDifferences = false
    public var tile: Size?
    public var rowsPerStrip: Int?
    public var subfileType: Int?
    public var description: String?
    /// Smaller resolutions in SubIFDs.
    public var levels: [Page] = []
    /// Blocks that are not stored; their offset and count are 0.
    public var sparse: Set<Int> = []
    /// Further tags, or others in place of those that the page has: type and values.
    public var tags: [Int: (type: Int, values: [UInt64])] = [:]

    public init(_ size: Size, _ type: PixelType = .uint8, samples: Int = 1, pixels: [UInt8]) {
      (self.size, self.type, self.samples, self.pixels) = (size, type, samples, pixels)
      if samples >= 3 { photometric = 2 }
    }

    /// A page of one value.
    public init(_ size: Size, filledWith value: UInt8) {
      self.init(size, pixels: [UInt8](repeating: value, count: size.area))
    }
  }

  public var pages: [Page]
  public var isBigEndian = false
  public var isBigTIFF = false
  /// Where the last page says that the next one is; the first page's offset is `firstOffset`.
  public var lastNext: UInt64 = 0

  public init(_ pages: [Page]) { self.pages = pages }

  /// Where the first page's directory stands.
  public var firstOffset: UInt64 { isBigTIFF ? 16 : 8 }

  /// The file.
  public var bytes: [UInt8] {
    var file = Writer(isBigEndian: isBigEndian, isBigTIFF: isBigTIFF)
    file.bytes += isBigEndian ? Array("MM".utf8) : Array("II".utf8)
    file.number(isBigTIFF ? 43 : 42, 2)
    if isBigTIFF {
      file.number(8, 2)
      file.number(0, 2)
    }
    file.number(firstOffset, isBigTIFF ? 8 : 4)
    // A directory is written with zeros first, as what it points at stands behind it.
    for (index, page) in pages.enumerated() {
      let next = file.directory(of: page)
      file.set(next, to: index == pages.count - 1 ? lastNext : UInt64(file.bytes.count), isBigTIFF ? 8 : 4)
    }
    return file.bytes
  }
}

private struct Writer {
  let isBigEndian: Bool
  let isBigTIFF: Bool
  var bytes: [UInt8] = []

  static func encoded(_ value: UInt64, _ size: Int, isBigEndian: Bool) -> [UInt8] {
    let little = (0..<size).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    return isBigEndian ? little.reversed() : little
  }

  mutating func number(_ value: UInt64, _ size: Int) {
    bytes += Self.encoded(value, size, isBigEndian: isBigEndian)
  }

  mutating func set(_ place: Int, to value: UInt64, _ size: Int) {
    bytes.replaceSubrange(place..<place + size, with: Self.encoded(value, size, isBigEndian: isBigEndian))
  }

  /// Writes a page and returns where its offset of the next page stands.
  mutating func directory(of page: TIFFFixture.Page) -> Int {
    let blocks = Self.blocks(of: page, swaps: isBigEndian)
    let samples = [UInt64](repeating: UInt64(page.bits ?? 8 * page.type.size), count: page.samples)
    let format: UInt64 =
      switch page.type {
      case .uint8, .uint16, .uint32, .uint64: 1
      case .int8, .int16, .int32, .int64: 2
      case .float32, .float64: 3
      }
    var tags: [Int: (type: Int, values: [UInt64])] = [
      256: (4, [UInt64(page.size.width)]), 257: (4, [UInt64(page.size.height)]), 258: (3, samples), 259: (3, [1]),
      262: (3, [UInt64(page.photometric)]), 277: (3, [UInt64(page.samples)]), 284: (3, [page.isPlanar ? 2 : 1]),
      339: (3, samples.map { _ in format }),
    ]
    let zeros = [UInt64](repeating: 0, count: blocks.count)
    if let tile = page.tile {
      tags[322] = (3, [UInt64(tile.width)])
      tags[323] = (3, [UInt64(tile.height)])
    } else {
      tags[278] = (4, [UInt64(page.rowsPerStrip ?? page.size.height)])
    }
    let (offsets, counts) = page.tile == nil ? (273, 279) : (324, 325)
    tags[offsets] = (isBigTIFF ? 16 : 4, zeros)
    tags[counts] = (4, zeros)
    if page.hasDifferences { (tags[259], tags[317]) = ((3, [50000]), (3, [2])) }
    if let type = page.subfileType { tags[254] = (4, [UInt64(type)]) }
    if let text = page.description { tags[270] = (2, (Array(text.utf8) + [0]).map { UInt64($0) }) }
    if !page.levels.isEmpty { tags[330] = (isBigTIFF ? 18 : 4, page.levels.map { _ in 0 }) }
    tags.merge(page.tags) { $1 }

    number(UInt64(tags.count), isBigTIFF ? 8 : 2)
    let inline = isBigTIFF ? 8 : 4
    var (places, pending): ([Int: Int], [(at: Int, tag: Int)]) = ([:], [])
    for (tag, value) in tags.sorted(by: { $0.key < $1.key }) {
      number(UInt64(tag), 2)
      number(UInt64(value.type), 2)
      number(UInt64(value.values.count / (value.type == 5 ? 2 : 1)), inline)
      let content = Self.content(value, isBigEndian: isBigEndian)
      if content.count > inline { pending.append((bytes.count, tag)) } else { places[tag] = bytes.count }
      bytes += content.count > inline ? [UInt8](repeating: 0, count: inline) : content
      if content.count < inline { bytes += [UInt8](repeating: 0, count: inline - content.count) }
    }
    let next = bytes.count
    number(0, inline)
    for (at, tag) in pending {
      places[tag] = bytes.count
      set(at, to: UInt64(bytes.count), inline)
      if let value = tags[tag] { bytes += Self.content(value, isBigEndian: isBigEndian) }
    }
    for (index, block) in blocks.enumerated() where !page.sparse.contains(index) {
      let size = isBigTIFF ? 8 : 4
      if page.tags[offsets] == nil, let place = places[offsets] {
        set(place + index * size, to: UInt64(bytes.count), size)
      }
      if page.tags[counts] == nil, let place = places[counts] { set(place + index * 4, to: UInt64(block.count), 4) }
      bytes += block
    }
    for (index, level) in page.levels.enumerated() {
      if page.tags[330] == nil, let place = places[330] {
        set(place + index * (isBigTIFF ? 8 : 4), to: UInt64(bytes.count), isBigTIFF ? 8 : 4)
      }
      _ = directory(of: level)
    }
    return next
  }

  private static func content(_ value: (type: Int, values: [UInt64]), isBigEndian: Bool) -> [UInt8] {
    let size = [1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 16: 8, 18: 8][value.type] ?? 4
    return value.values.flatMap { encoded($0, size, isBigEndian: isBigEndian) }
  }

  /// Strips or tiles; tiles at the edge are filled up.
  private static func blocks(of page: TIFFFixture.Page, swaps: Bool) -> [[UInt8]] {
    if page.bits != nil { return [page.pixels] }
    let size = page.tile ?? Size(width: page.size.width, height: page.rowsPerStrip ?? page.size.height)
    let bytes = page.type.size
    var blocks: [[UInt8]] = []
    for plane in 0..<(page.isPlanar ? page.samples : 1) {
      for top in stride(from: 0, to: page.size.height, by: size.height) {
        for left in stride(from: 0, to: page.size.width, by: size.width) {
          var block: [UInt8] = []
          let bottom = page.tile == nil ? min(top + size.height, page.size.height) : top + size.height
          for y in top..<bottom {
            var last = [UInt64](repeating: 0, count: page.samples)
            for x in left..<left + size.width {
              for sample in page.isPlanar ? plane..<plane + 1 : 0..<page.samples {
                let start = ((y * page.size.width + x) * page.samples + sample) * bytes
                let isInside = x < page.size.width && y < page.size.height
                let value =
                  isInside ? page.pixels[start..<start + bytes].reversed().reduce(0) { $0 << 8 | UInt64($1) } : 9
                block += encoded(page.hasDifferences ? value &- last[sample] : value, bytes, isBigEndian: swaps)
                last[sample] = value
              }
            }
          }
          blocks.append(page.hasDifferences ? block.withUnsafeBytes { Zstandard.compress($0) } : block)
        }
      }
    }
    return blocks
  }
}
