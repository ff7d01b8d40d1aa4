// SPDX-License-Identifier: Apache-2.0
import KachelBytes
private import Synchronization

/// The structure of a TIFF or BigTIFF file: its directories (one per page), read without any pixels.
///
/// Directories are read here and not by libtiff, which walks a list of pages anew for every page and holds the tables
/// of a page in memory; here a table's entry is read when it is wanted. libtiff decodes; see ``TIFFHandle``.
final class TIFFFile: Sendable {
  /// The values of one tag: where they stand in the file.
  struct Values: Sendable, Hashable {
    var type: UInt16
    var count: Int
    var position: Int
  }

  /// The most pages and levels of a page that are read.
  static let mostPages = 1 << 18
  static let mostLevels = 64

  let source: ByteSource
  let isBigEndian: Bool
  let isBigTIFF: Bool
  /// The directories of the file's main list.
  let pages: [TIFFDirectory]
  let handles: TIFFHandlePool
  private let levels = Mutex(Levels())

  /// The smaller resolutions of the pages that were asked for, and the bytes of their directories.
  private struct Levels {
    var known: [Int: [TIFFDirectory]] = [:]
    var byteCount = 0
  }

  var path: String { source.path }

  init(_ source: ByteSource) throws(ImageError) {
    let header = try ImageError.wrapping { () throws(BytesError) in
      try source.read(at: 0, count: min(16, source.count))
    }
    guard header.count >= 8 else {
      throw ImageError(.damaged, file: source.path, "the file ends within the header of a TIFF")
    }
    isBigEndian = header[0] == 0x4D
    isBigTIFF = header[isBigEndian ? 3 : 2] == 43
    self.source = source
    let reader = TIFFValueReader(source: source, isBigEndian: isBigEndian, isBigTIFF: isBigTIFF)
    if isBigTIFF {
      guard header.count == 16, reader.number(header[4..<6]) == 8, reader.number(header[6..<8]) == 0 else {
        throw ImageError(.damaged, file: source.path, offset: 4, "the header of the BigTIFF is not one of 64 bits")
      }
    }
    let first = reader.number(isBigTIFF ? header[8..<16] : header[4..<8])
    pages = try Self.pages(from: first, reader)
    handles = TIFFHandlePool(source)
  }

  var reader: TIFFValueReader { TIFFValueReader(source: source, isBigEndian: isBigEndian, isBigTIFF: isBigTIFF) }

  /// Walks the main list. Directories that do not overlap have together no more bytes than the file, which bounds the
  /// work in a file whose directories are laid over each other.
  private static func pages(from first: UInt64, _ reader: TIFFValueReader) throws(ImageError) -> [TIFFDirectory] {
    var (pages, next, seen, bytes): ([TIFFDirectory], UInt64, Set<UInt64>, Int) = ([], first, [], 0)
    let file = reader.source.path
    while next != 0 {
      guard seen.insert(next).inserted else {
        throw ImageError(.damaged, file: file, offset: Int(clamping: next), "the list of pages runs in a circle")
      }
      guard pages.count < mostPages else {
        throw ImageError(.unsupported, file: file, "the file has more than \(mostPages) pages")
      }
      let page = try TIFFDirectory(at: next, reader)
      bytes += page.byteCount
      guard bytes <= reader.source.count else {
        throw ImageError(.damaged, file: file, offset: Int(clamping: next), "the directories of pages overlap")
      }
      next = page.next
      pages.append(page)
    }
    guard !pages.isEmpty else { throw ImageError(.damaged, file: file, "the TIFF file has no page") }
    return pages
  }

  /// The smaller resolutions of a page, each smaller than the one before: its SubIFDs, or else the pages behind it
  /// that say that they are reduced.
  func levels(ofPage index: Int) throws(ImageError) -> [TIFFDirectory] {
    if let known = levels.withLock({ $0.known[index] }) { return known }
    let page = pages[index]
    var (found, bytes): ([TIFFDirectory], Int) = ([], 0)
    if let values = page.subIFDs {
      let offsets = try reader.integers(values, most: Self.mostLevels)
      for offset in Set(offsets).count == offsets.count ? offsets : [] where offset != 0 {
        let level = try TIFFDirectory(at: offset, reader)
        bytes += level.byteCount
        found.append(level)
      }
    } else if !page.isReduced {
      found = Array(pages[(index + 1)...].prefix { $0.isReduced }.prefix(Self.mostLevels))
    }
    var result: [TIFFDirectory] = []
    for level in found where !level.isMask {
      // Else it is another picture, as of a slide's label.
      guard level.hasSameSamples(as: page), level.isSmaller(than: result.last ?? page) else { continue }
      result.append(level)
    }
    // As in the main list, this bounds the work.
    let isOverlapping = levels.withLock {
      if $0.known.count > 4096 { $0 = Levels() }
      // Another thread may have been as far.
      guard $0.known[index] == nil else { return false }
      $0.known[index] = result
      $0.byteCount += bytes
      return $0.byteCount > source.count
    }
    guard !isOverlapping else {
      throw ImageError(.damaged, file: path, offset: Int(clamping: page.offset), "the directories of levels overlap")
    }
    return result
  }

  /// The text of a page's ImageDescription, without the NUL behind it.
  func description(ofPage index: Int) throws(ImageError) -> [UInt8]? {
    guard let values = pages[index].text, values.count <= 256 << 20 else { return nil }
    let file = source
    let bytes = try ImageError.wrapping { () throws(BytesError) in
      try file.read(at: values.position, count: values.count)
    }
    return Array(bytes.prefix { $0 != 0 })
  }
}

/// Reads numbers of tags in the file's byte order.
struct TIFFValueReader: Sendable {
  let source: ByteSource
  let isBigEndian: Bool
  let isBigTIFF: Bool

  func number(_ bytes: some BidirectionalCollection<UInt8>) -> UInt64 {
    var value: UInt64 = 0
    if isBigEndian {
      for byte in bytes { value = value << 8 | UInt64(byte) }
    } else {
      for byte in bytes.reversed() { value = value << 8 | UInt64(byte) }
    }
    return value
  }

  /// Bytes of one value of a type of tag; `nil` for types that do not exist.
  static func size(ofType type: UInt16) -> Int? {
    switch type {
    case 1, 2, 6, 7: 1
    case 3, 8: 2
    case 4, 9, 11, 13: 4
    case 5, 10, 12, 16, 17, 18: 8
    default: nil
    }
  }

  func bytes(at offset: UInt64, count: Int) throws(ImageError) -> [UInt8] {
    let file = source
    return try ImageError.wrapping { () throws(BytesError) in
      try file.read(at: Int(clamping: offset), count: count)
    }
  }

  /// One unsigned integer among a tag's values.
  func integer(_ values: TIFFFile.Values, at index: Int) throws(ImageError) -> UInt64 {
    guard index >= 0, index < values.count, let size = Self.size(ofType: values.type) else {
      throw ImageError(
        .damaged, file: source.path, offset: values.position, "a table has \(values.count) entries, not \(index + 1)")
    }
    let place = values.position.addingReportingOverflow(index * size)
    return number(try bytes(at: UInt64(place.overflow ? .max : place.partialValue), count: size))
  }

  /// All values as unsigned integers.
  func integers(_ values: TIFFFile.Values, most: Int) throws(ImageError) -> [UInt64] {
    guard values.count <= most, let size = Self.size(ofType: values.type) else {
      throw ImageError(
        .damaged, file: source.path, offset: values.position, "a tag has \(values.count) values, more than \(most)")
    }
    let all = try bytes(at: UInt64(values.position), count: values.count * size)
    return (0..<values.count).map { number(all[$0 * size..<($0 + 1) * size]) }
  }

  /// A fraction or floating-point number.
  func real(_ values: TIFFFile.Values) throws(ImageError) -> Double? {
    guard values.count > 0 else { return nil }
    switch values.type {
    case 5:
      let parts = try bytes(at: UInt64(values.position), count: 8)
      let (above, below) = (number(parts[0..<4]), number(parts[4..<8]))
      return below == 0 ? nil : Double(above) / Double(below)
    case 11: return Double(Float(bitPattern: UInt32(try integer(values, at: 0))))
    case 12: return Double(bitPattern: try integer(values, at: 0))
    default: return nil
    }
  }
}
