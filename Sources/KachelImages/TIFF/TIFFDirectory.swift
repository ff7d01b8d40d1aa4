// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
import KachelPixels

/// What a directory of a TIFF file says of its page, unchecked; tables are referred to, not read.
struct TIFFDirectory: Sendable, Hashable {
  let offset: UInt64
  /// The offset of the page that follows; 0 ends the list.
  private(set) var next: UInt64 = 0
  /// Bytes of the directory itself and of the values that were read for it.
  private(set) var byteCount = 0
  private(set) var width = 0
  private(set) var height = 0
  /// Bits of a sample; 0 where samples differ.
  private(set) var bits = 1
  /// 1 unsigned, 2 signed, 3 floating point.
  private(set) var sampleFormat = 1
  private(set) var samples = 1
  private(set) var compression = 1
  private(set) var photometric: Int?
  private(set) var isPlanar = false
  private(set) var fillOrder = 1
  private(set) var predictor = 1
  private(set) var tileWidth: Int?
  private(set) var tileHeight: Int?
  private(set) var rowsPerStrip = Int(UInt32.max)
  private(set) var resolutionUnit = 2
  private var subfileType = 0
  /// The first extra sample's meaning: 1 and 2 are alpha.
  private(set) var firstExtra: Int?
  private(set) var offsets: TIFFFile.Values?
  private(set) var byteCounts: TIFFFile.Values?
  private(set) var subIFDs: TIFFFile.Values?
  private(set) var text: TIFFFile.Values?
  private(set) var software: TIFFFile.Values?
  private(set) var xmp: TIFFFile.Values?
  /// Whether it has the tag that only Hamamatsu's NDPI files have.
  private(set) var isNDPI = false
  private(set) var colorMap: TIFFFile.Values?
  private(set) var xResolution: TIFFFile.Values?
  private(set) var yResolution: TIFFFile.Values?

  /// The most samples of a pixel that are read.
  static let mostSamples = 4096

  var size: Size { Size(width: width, height: height) }
  var isReduced: Bool { subfileType & 1 != 0 }
  var isMask: Bool { subfileType & 4 != 0 }
  var isTiled: Bool { tileWidth != nil || tileHeight != nil }

  init(at offset: UInt64, _ reader: TIFFValueReader) throws(ImageError) {
    self.offset = offset
    let (file, big) = (reader.source.path, reader.isBigTIFF)
    let (head, each) = (big ? 8 : 2, big ? 20 : 12)
    let count = reader.number(try reader.bytes(at: offset, count: head))
    guard 1...4096 ~= count else {
      throw ImageError(.damaged, file: file, offset: Int(clamping: offset), "a page has \(count) tags")
    }
    byteCount = head + Int(count) * each + (big ? 8 : 4)
    // The head was read, so this does not overflow.
    let bytes = try reader.bytes(at: offset + UInt64(head), count: byteCount - head)
    next = reader.number(bytes[(Int(count) * each)...])
    var seen: Set<Int> = []
    for index in 0..<Int(count) {
      let entry = bytes[index * each..<(index + 1) * each]
      let start = entry.startIndex
      let tag = Int(reader.number(entry[start..<start + 2]))
      // The first of a tag counts, as for libtiff.
      guard seen.insert(tag).inserted else { continue }
      let type = UInt16(reader.number(entry[start + 2..<start + 4]))
      // Readers skip types that they do not know.
      guard let size = TIFFValueReader.size(ofType: type) else { continue }
      let number = reader.number(entry[start + 4..<start + (big ? 12 : 8)])
      guard number > 0 else { continue }
      let inline = entry[(start + (big ? 12 : 8))...]
      let total = number.multipliedReportingOverflow(by: UInt64(size))
      let isInline = !total.overflow && total.partialValue <= inline.count
      let position =
        isInline ? Int(offset) + head + start + (big ? 12 : 8) : Int(clamping: reader.number(inline))
      let values = TIFFFile.Values(type: type, count: Int(clamping: number), position: position)
      let first = isInline ? Int(clamping: reader.number(inline.prefix(size))) : nil
      try take(tag, values, first: first, reader)
    }
    guard 1...Int(Int32.max) ~= width, 1...Int(Int32.max) ~= height else {
      throw ImageError(
        .damaged, file: file, offset: Int(clamping: offset), "a page has a size of \(width) x \(height) pixels")
    }
  }

  /// - Parameter first: the first value as an integer where it stands in the directory itself.
  private mutating func take(
    _ tag: Int, _ values: TIFFFile.Values, first: Int?, _ reader: TIFFValueReader
  ) throws(ImageError) {
    switch tag {
    case 254: subfileType = first ?? 0
    case 256: width = first ?? 0
    case 257: height = first ?? 0
    case 258: bits = try common(values, isInline: first != nil, reader)
    case 259: compression = first ?? 0
    case 262: photometric = first
    case 266: fillOrder = first ?? 1
    case 270: text = values
    case 273, 324: offsets = values
    case 277: samples = first ?? 0
    case 278: rowsPerStrip = max(1, first ?? 1)
    case 279, 325: byteCounts = values
    case 282: xResolution = values
    case 283: yResolution = values
    case 284: isPlanar = first == 2
    case 296: resolutionUnit = first ?? 2
    case 305: software = values
    case 317: predictor = first ?? 1
    case 320: colorMap = values
    case 322: tileWidth = first ?? 0
    case 323: tileHeight = first ?? 0
    case 330: subIFDs = values
    case 338: firstExtra = try Int(clamping: reader.integer(values, at: 0))
    case 339: sampleFormat = try common(values, isInline: first != nil, reader)
    case 700: xmp = values
    case 65420: isNDPI = true
    default: break
    }
  }

  /// The value that all samples have; 0 where they differ.
  private mutating func common(
    _ values: TIFFFile.Values, isInline: Bool, _ reader: TIFFValueReader
  ) throws(ImageError) -> Int {
    let all = Set(try reader.integers(values, most: Self.mostSamples))
    if !isInline { byteCount += values.count }
    return all.count == 1 ? all.first.map { Int(clamping: $0) } ?? 0 : 0
  }

  /// The type of number in memory; samples of less than 8 bits become 8. `nil` for numbers that are not read.
  var pixelType: PixelType? {
    switch (sampleFormat, bits) {
    case (1, 1), (1, 2), (1, 4), (4, 1), (1, 8), (4, 8): .uint8
    case (1, 16), (4, 16): .uint16
    case (1, 32), (4, 32): .uint32
    case (1, 64): .uint64
    case (2, 8): .int8
    case (2, 16): .int16
    case (2, 32): .int32
    case (2, 64): .int64
    case (3, 32): .float32
    case (3, 64): .float64
    default: nil
    }
  }

  func hasSameSamples(as other: Self) -> Bool {
    samples == other.samples && bits == other.bits && sampleFormat == other.sampleFormat
      && (photometric == other.photometric || isColor && other.isColor)
  }

  /// RGB, or what JPEG makes RGB of.
  var isColor: Bool { photometric == 2 || photometric == 6 }

  /// Whether this can be the same picture with fewer pixels: smaller, with sides of about the same ratio.
  func isSmaller(than other: Self) -> Bool {
    let (across, down) = (Double(width) / Double(other.width), Double(height) / Double(other.height))
    return width <= other.width && height <= other.height && (width, height) != (other.width, other.height)
      // Sides are rounded up or down, or cut off at some multiple.
      && abs(across - down) <= 0.05 * across + 2 / Double(min(other.width, other.height))
  }
}

/// The grid of strips or tiles of a page, called blocks.
struct TIFFGrid: Sendable {
  let blockWidth: Int
  let blockHeight: Int
  var block: Size { Size(width: blockWidth, height: blockHeight) }
  let across: Int
  /// Blocks of one plane of samples.
  let perPlane: Int
  /// Blocks of all planes.
  let count: Int
  /// Samples of a pixel of a block.
  let samples: Int

  /// `nil` where blocks are too many or empty.
  init?(_ page: TIFFDirectory) {
    blockWidth = page.isTiled ? page.tileWidth ?? 0 : page.width
    blockHeight = page.isTiled ? page.tileHeight ?? 0 : min(page.rowsPerStrip, page.height)
    guard 1...Int(Int32.max) ~= blockWidth, 1...Int(Int32.max) ~= blockHeight else { return nil }
    across = (page.width - 1) / blockWidth + 1
    perPlane = across * ((page.height - 1) / blockHeight + 1)
    samples = page.isPlanar ? 1 : page.samples
    guard perPlane <= Int(Int32.max) / 4 / page.samples else { return nil }
    count = perPlane * (page.isPlanar ? page.samples : 1)
  }

  /// Where a block of the first plane stands; at the right and lower edge it may reach beyond the page.
  func region(of block: Int) -> Region {
    Region(x: block % across * blockWidth, y: block / across * blockHeight, width: blockWidth, height: blockHeight)
  }
}
