// SPDX-License-Identifier: Apache-2.0
package import KachelBytes
package import KachelPixels

/// One sub-block (a rectangle of pixels of one plane) as the directory describes it.
///
/// A million of them are common, so there is nothing here but numbers.
package struct CZISubBlock: Sendable {
  /// What `scene` and `tile` are where the sub-block has no such dimension; sorts before every value.
  package static let missing = Int32.min

  /// Where the sub-block's segment stands in the file.
  package var position: Int64
  /// Number of the plane, see ``CZIDirectory/plane(at:)``; -1 for sub-blocks that are not read.
  package var plane = -1
  package var x: Int32 = 0
  package var y: Int32 = 0
  /// What the sub-block covers at full resolution, and how many pixels it has.
  package var width: Int32 = 0
  package var height: Int32 = 0
  package var storedWidth: Int32 = 0
  package var storedHeight: Int32 = 0
  package var scene = missing
  package var tile = missing
  package var pixelType: Int32
  package var compression: Int32
  /// By how much the sub-block is reduced, see ``CZIGrid/factor(size:stored:)``: 1 at full resolution, 0 where it
  /// belongs to no resolution or is not read.
  package var factor: Int32 = 1

  package init(position: Int64, pixelType: Int32, compression: Int32) {
    self.position = position
    self.pixelType = pixelType
    self.compression = compression
  }

  /// Layer 0 is the image at full resolution; the other sub-blocks form its pyramid.
  package var isLayer0: Bool { width == storedWidth && height == storedHeight }

  /// In the file's own pixel coordinates.
  package var region: Region { Region(x: Int(x), y: Int(y), width: Int(width), height: Int(height)) }

  /// The size of the decoded pixels in bytes; `nil` for pixel types that are not read and sizes beyond 2^62.
  package var byteCount: Int? {
    guard let type = CZIPixelType(rawValue: pixelType) else { return nil }
    let count = (Int(storedWidth) * Int(storedHeight)).multipliedReportingOverflow(by: type.bytesPerPixel)
    return count.overflow ? nil : count.partialValue
  }
}

/// A dimension besides x, y, scene and mosaic tile.
package struct CZIDimension: Sendable {
  package let name: String
  /// Whether any sub-block has the dimension.
  package var exists = false
  package var minimum = 0
  package var count = 1
  /// By how much a plane's number grows from one position to the next.
  package var stride = 1
}

/// The directory of a CZI file: all sub-blocks and the dimensions that they span.
package struct CZIDirectory: Sendable {
  /// In the directory's order.
  package internal(set) var subBlocks: [CZISubBlock] = []
  /// `C`, `Z`, `T`, then further ones in alphabetical order.
  package internal(set) var dimensions: [CZIDimension] = []
  /// What the sub-blocks of layer 0 have that Kachel does not read, in words.
  package internal(set) var obstacles: [String] = []

  /// The number of the plane at positions counted from 0, or `nil` where a position is out of range.
  /// A dimension that is not named is at 0.
  package func plane(at positions: [String: Int]) -> Int? {
    var number = 0
    for (name, position) in positions {
      guard let dimension = dimensions.first(where: { $0.name == name }), 0..<dimension.count ~= position else {
        return nil
      }
      number += position * dimension.stride
    }
    return number
  }

  /// The position of a plane along a dimension, counted from 0.
  package func position(of plane: Int, along dimension: Int) -> Int {
    plane / dimensions[dimension].stride % dimensions[dimension].count
  }
}

extension CZIDirectory {
  package init(_ source: ByteSource, at position: Int64) throws(ImageError) {
    let segment = try CZISegment("ZISRAWDIRECTORY", at: position, of: source)
    let count = try ImageError.wrapping { () throws(BytesError) in
      var reader = ByteReader(try source.read(at: segment.payload, count: 4), file: source.path)
      return Int(try reader.int32())
    }
    let start = segment.payload + 128
    guard count >= 0, start <= source.count, count <= (source.count - start) / CZIEntryParser.fixedSize else {
      throw ImageError(
        .damaged, file: source.path, offset: segment.payload,
        "the directory should have \(count) entries, more than the file of \(source.count) bytes can hold")
    }
    var parser = CZIEntryParser(source: source, count: count)
    try parser.parse(from: start)
    self = try parser.directory()
  }
}

/// Reads directory entries and gathers what they have in common.
private struct CZIEntryParser {
  /// Bytes of an entry without its dimensions, of a dimension, and the most dimensions that libCZI accepts.
  static let fixedSize = 32
  static let dimensionSize = 20
  static let mostDimensions = 40

  let source: ByteSource
  /// How many entries the directory has.
  let count: Int
  var subBlocks: [CZISubBlock] = []
  /// Names of dimensions and, in the same order, where every sub-block stands along them.
  var names: [UInt32] = [Self.code("C"), Self.code("Z"), Self.code("T")]
  var columns: [[Int32]] = []
  var counts = ObstacleCounts()

  init(source: ByteSource, count: Int) {
    self.source = source
    self.count = count
    subBlocks.reserveCapacity(count)
    for _ in names { addColumn() }
  }

  /// Adds a column in which no sub-block so far stands anywhere. It has its final size from the start: to let it grow
  /// takes three times its memory for a while.
  private mutating func addColumn() {
    var column: [Int32] = []
    column.reserveCapacity(count)
    column.append(contentsOf: repeatElement(CZISubBlock.missing, count: subBlocks.count))
    columns.append(column)
  }

  static func code(_ name: String) -> UInt32 { name.utf8.reversed().reduce(0) { $0 << 8 | UInt32($1) } }

  /// Reads the directory in windows, as that of a large file has hundreds of megabytes.
  mutating func parse(from start: Int) throws(ImageError) {
    let longest = Self.fixedSize + Self.dimensionSize * Self.mostDimensions
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { buffer.deallocate() }
    var window = start..<start
    var offset = start
    for index in 0..<count {
      if window.upperBound - offset < longest, window.upperBound < source.count {
        window = offset..<min(source.count, offset + buffer.count)
        try ImageError.wrapping { () throws(BytesError) in
          try source.read(at: offset, into: .init(rebasing: buffer[0..<window.count]))
        }
      }
      let bytes = UnsafeRawBufferPointer(rebasing: buffer[(offset - window.lowerBound)..<window.count])
      offset += try parseEntry(bytes, index: index, offset: offset)
    }
  }

  private func damaged(_ index: Int, _ offset: Int, _ reason: String) -> ImageError {
    ImageError(.damaged, file: source.path, offset: offset, "entry \(index) of the directory \(reason)")
  }

  /// Reads one entry from the start of `bytes` and returns its size.
  private mutating func parseEntry(
    _ bytes: UnsafeRawBufferPointer, index: Int, offset: Int
  ) throws(ImageError) -> Int {
    guard bytes.count >= Self.fixedSize else { throw damaged(index, offset, "lies beyond the file's end") }
    func int32(_ at: Int) -> Int32 { Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Int32.self)) }
    func int64(_ at: Int) -> Int64 { Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Int64.self)) }
    guard bytes[0] == UInt8(ascii: "D"), bytes[1] == UInt8(ascii: "V") else {
      if bytes[0] == UInt8(ascii: "D"), bytes[1] == UInt8(ascii: "E") {
        throw ImageError(
          .unsupported, file: source.path, offset: offset,
          "the directory has entries of the old schema DE, which is not read; save the image again in ZEN")
      }
      throw damaged(index, offset, "does not begin with its schema DV")
    }
    let dimensionCount = Int(int32(28))
    guard 0...Self.mostDimensions ~= dimensionCount else {
      throw damaged(index, offset, "has \(dimensionCount) dimensions, more than \(Self.mostDimensions)")
    }
    let size = Self.fixedSize + Self.dimensionSize * dimensionCount
    guard bytes.count >= size else { throw damaged(index, offset, "lies beyond the file's end") }

    var block = CZISubBlock(position: int64(6), pixelType: int32(2), compression: int32(18))
    for column in columns.indices { columns[column].append(CZISubBlock.missing) }
    var chunked: String?
    for dimension in 0..<dimensionCount {
      let at = Self.fixedSize + Self.dimensionSize * dimension
      let name = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self))
      let start = int32(at + 4), extent = int32(at + 8), stored = int32(at + 16)
      guard extent > 0 else {
        throw damaged(index, offset, "has the size \(extent) along \(Self.text(name))")
      }
      switch name {
      case Self.code("X"): (block.x, block.width, block.storedWidth) = (start, extent, stored)
      case Self.code("Y"): (block.y, block.height, block.storedHeight) = (start, extent, stored)
      case Self.code("M"): block.tile = start
      case Self.code("S"):
        block.scene = start
        if extent != 1 { chunked = "S" }
      default:
        if extent != 1 { chunked = Self.text(name) }
        let column = try column(of: name, index: index, offset: offset)
        columns[column][subBlocks.count] = start
      }
    }
    guard block.storedWidth > 0, block.storedHeight > 0 else {
      throw damaged(index, offset, "has \(block.storedWidth) x \(block.storedHeight) pixels")
    }
    guard Int(block.x) + Int(block.width) <= 1 << 31, Int(block.y) + Int(block.height) <= 1 << 31 else {
      throw damaged(index, offset, "reaches beyond 2^31 pixels")
    }
    if block.isLayer0 {
      let part = int32(14)
      counts.add(block, chunked: chunked, part: part)
      guard part != 0 || (block.position >= 0 && block.position <= Int64(source.count - CZISegment.headerSize)) else {
        throw damaged(
          index, offset,
          "points to byte \(block.position), but the file has \(source.count) bytes; the file is incomplete")
      }
    } else {
      block.factor = factor(of: block, isChunked: chunked != nil, part: int32(14))
    }
    subBlocks.append(block)
    return size
  }

  /// A pyramid is a help and no part of the image: what is not read of it is as if it were not there.
  private func factor(of block: CZISubBlock, isChunked: Bool, part: Int32) -> Int32 {
    guard !isChunked, part == 0, 0...Int64(source.count) ~= block.position,
      let type = CZIPixelType(rawValue: block.pixelType),
      CZICompression(rawValue: block.compression)?.holds(type) == true
    else { return 0 }
    return CZIGrid.factor(
      size: block.region.size, stored: Size(width: Int(block.storedWidth), height: Int(block.storedHeight)))
  }

  private mutating func column(of name: UInt32, index: Int, offset: Int) throws(ImageError) -> Int {
    if let column = names.firstIndex(of: name) { return column }
    // Formats know 11 letters; without a bound every entry of a damaged file could add a column.
    guard names.count < 32 else { throw damaged(index, offset, "adds one more to 32 kinds of dimensions") }
    names.append(name)
    addColumn()
    columns[columns.count - 1].append(CZISubBlock.missing)
    return names.count - 1
  }

  private static func text(_ name: UInt32) -> String {
    let bytes = (0..<4).map { UInt8(truncatingIfNeeded: name >> (8 * $0)) }.prefix { $0 != 0 }
    return bytes.allSatisfy { 0x21...0x7E ~= $0 } ? String(decoding: bytes, as: UTF8.self) : "#\(name)"
  }

  /// Numbers the planes by their positions along all dimensions.
  mutating func directory() throws(ImageError) -> CZIDirectory {
    let order = Array(names.indices.prefix(3)) + names.indices.dropFirst(3).sorted { names[$0] < names[$1] }
    var dimensions: [CZIDimension] = []
    var stride = 1
    for column in order {
      var dimension = CZIDimension(name: Self.text(names[column]))
      var range: ClosedRange<Int>?
      for (index, start) in columns[column].enumerated() where start != CZISubBlock.missing {
        guard subBlocks[index].isLayer0 else { continue }
        let start = Int(start)
        range = range.map { min($0.lowerBound, start)...max($0.upperBound, start) } ?? start...start
      }
      if let range {
        dimension.exists = true
        dimension.minimum = range.lowerBound
        dimension.count = range.upperBound - range.lowerBound + 1
      }
      dimension.stride = stride
      let product = stride.multipliedReportingOverflow(by: dimension.count)
      guard dimension.count <= 1_000_000, !product.overflow else {
        throw ImageError(
          .damaged, file: source.path, "the directory spans \(dimension.count) positions along \(dimension.name)")
      }
      stride = product.partialValue
      dimensions.append(dimension)
    }
    for index in subBlocks.indices where subBlocks[index].factor > 0 {
      var plane = 0
      for (dimension, column) in zip(dimensions, order) where columns[column][index] != CZISubBlock.missing {
        let position = Int(columns[column][index]) - dimension.minimum
        // The planes are those of full resolution, in which all of its sub-blocks lie.
        guard 0..<dimension.count ~= position else {
          plane = -1
          break
        }
        plane += position * dimension.stride
      }
      subBlocks[index].plane = plane
      if plane < 0 { subBlocks[index].factor = 0 }
    }
    return CZIDirectory(subBlocks: subBlocks, dimensions: dimensions, obstacles: counts.sentences)
  }
}

/// How many sub-blocks of layer 0 have what Kachel does not read.
private struct ObstacleCounts {
  private var blocks = 0
  private var compressions: [Int32: Int] = [:]
  private var pixelTypes: [Int32: Int] = [:]
  private var chunked: [String: Int] = [:]
  private var parts = 0

  mutating func add(_ block: CZISubBlock, chunked name: String?, part: Int32) {
    blocks += 1
    if CZICompression(rawValue: block.compression) == nil { compressions[block.compression, default: 0] += 1 }
    if let type = CZIPixelType(rawValue: block.pixelType) {
      if CZICompression(rawValue: block.compression)?.holds(type) == false {
        compressions[block.compression, default: 0] += 1
      }
    } else {
      pixelTypes[block.pixelType, default: 0] += 1
    }
    if let name { chunked[name, default: 0] += 1 }
    if part != 0 { parts += 1 }
  }

  var sentences: [String] {
    func count(_ number: Int) -> String { "in \(number) of \(blocks) sub-blocks" }
    var all = compressions.sorted { $0.key < $1.key }.prefix(8).map {
      "compression \(CZICompression.name(of: $0.key)) \(count($0.value)) is not read; "
        + "save the image again in ZEN with Zstd compression or uncompressed"
    }
    all += pixelTypes.sorted { $0.key < $1.key }.prefix(8).map {
      "pixel type \(CZIPixelType.name(of: $0.key)) \(count($0.value)) is not read; "
        + "convert the image in ZEN to Gray8, Gray16, Gray32Float, Bgr24 or Bgr48"
    }
    all += chunked.sorted { $0.key < $1.key }.prefix(8).map {
      "several positions along \($0.key) in one sub-block, \(count($0.value)), are not read; "
        + "save the image again in ZEN"
    }
    if parts > 0 {
      all.append("pixels in other files of a CZI of several files, \(count(parts)), are not read; save it as one file")
    }
    return all
  }
}
