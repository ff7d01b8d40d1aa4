// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel

/// The pixels of a synthetic slide: crops of a real image, mirrored, each tile another one.
struct SlideContent {
  private let image: any ImageSource
  private let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)

  init(of image: any ImageSource) throws {
    let channel = image.description.channels.first
    guard channel?.pixelType == .uint8, channel?.layout == .gray, let size = image.description.scenes.first?.size,
      min(size.width, size.height) >= SlideWriter.tileSide
    else {
      throw ValidationFailure("\(image.path): must be gray, 8 bit, and at least \(SlideWriter.tileSide) pixels a side")
    }
    self.image = image
  }

  /// The tile's pixels, always the same for the same index.
  func tile(_ index: Int, _ size: Size) throws -> [UInt8] {
    var random = SplitMix64(state: UInt64(index))
    let whole = image.description.scenes[0].size
    let corner = Region(
      x: .random(in: 0...whole.width - size.width, using: &random),
      y: .random(in: 0...whole.height - size.height, using: &random), width: size.width, height: size.height)
    let (isFlippedX, isFlippedY) = (Bool.random(using: &random), Bool.random(using: &random))
    try image.read(corner, of: PlaneIndex(), into: pixels)
    let source = pixels.values(as: UInt8.self)
    var tile: [UInt8] = []
    tile.reserveCapacity(size.area)
    for y in 0..<size.height {
      let start = (isFlippedY ? size.height - 1 - y : y) * size.width
      let row = source[start..<start + size.width]
      if isFlippedX { tile += row.reversed() } else { tile += row }
    }
    return tile
  }
}

/// The generator of Steele, Lea and Flood (2014): numbers that are the same on every machine.
private struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// Something about the benchmark's input that is not as it must be.
struct ValidationFailure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Writes a CZI mosaic of one plane, tile by tile; memory holds one tile and the directory.
final class SlideWriter {
  static let tileSide = 1024
  /// Micrometres per pixel.
  private static let pixelSize = "0.5"

  private let file: FileHandle
  /// Dimensions that every tile says it has, all at 0.
  private let dimensions: [String]
  private var position = 0
  private var lastTile = 0
  private var entries = Bytes()
  private var count = 0

  init(_ path: String, dimensions: [String] = ["C"]) throws {
    guard FileManager.default.createFile(atPath: path, contents: nil), let file = FileHandle(forWritingAtPath: path)
    else { throw ValidationFailure("\(path): cannot be written") }
    self.file = file
    self.dimensions = dimensions
    // Where directory and metadata are is written last.
    try append(Bytes.segment("ZISRAWFILE", [UInt8](repeating: 0, count: 512)))
  }

  func add(_ pixels: [UInt8], at region: Region) throws {
    lastTile = position
    try append(subBlock(enter(region), pixels))
  }

  /// Adds a tile with the pixels of the last one, which are not stored again.
  func repeatLast(at region: Region) { _ = enter(region) }

  /// What the directory says of the tile that was last written.
  private func enter(_ region: Region) -> [UInt8] {
    let entry = Bytes.entry(region, count, at: lastTile, dimensions)
    entries.values += entry
    count += 1
    return entry
  }

  func finish(_ size: Size) throws {
    let directory = position
    var head = Bytes()
    head.integer(Int32(count))
    head.zeros(to: 128)
    try append(Bytes.segment("ZISRAWDIRECTORY", head.values + entries.values))
    let metadata = position
    let xml = Array(Self.metadata(size).utf8)
    head = Bytes()
    head.integer(Int32(xml.count))
    head.zeros(to: 256)
    try append(Bytes.segment("ZISRAWMETADATA", head.values + xml))

    head = Bytes()
    head.integer(Int32(1))
    head.zeros(to: 52)
    head.integer(Int64(directory))
    head.integer(Int64(metadata))
    try file.seek(toOffset: 32)
    try file.write(contentsOf: head.values)
    try file.close()
  }

  /// A tile, compressed as `zstd1` without packing, which is the header byte 1 and a zstd frame.
  private func subBlock(_ entry: [UInt8], _ pixels: [UInt8]) -> [UInt8] {
    let payload = [1] + pixels.withUnsafeBytes { Zstandard.compress($0, level: 1) }
    var block = Bytes()
    block.integer(Int64(0))
    block.integer(Int64(payload.count))
    block.values += entry
    block.zeros(to: 256)
    return Bytes.segment("ZISRAWSUBBLOCK", block.values + payload)
  }

  private func append(_ bytes: [UInt8]) throws {
    try file.write(contentsOf: bytes)
    position += bytes.count
  }

  private static func metadata(_ size: Size) -> String {
    """
    <?xml version="1.0" encoding="utf-8"?>
    <ImageDocument><Metadata>
      <Information><Image><PixelType>Gray8</PixelType><SizeX>\(size.width)</SizeX>\
    <SizeY>\(size.height)</SizeY><SizeC>1</SizeC>
        <Dimensions><Channels><Channel Id="Channel:0" Name="DAPI"><PixelType>Gray8</PixelType></Channel></Channels>\
    </Dimensions></Image></Information>
      <Scaling><Items>
        <Distance Id="X"><Value>\(pixelSize)E-06</Value></Distance>
        <Distance Id="Y"><Value>\(pixelSize)E-06</Value></Distance>
      </Items></Scaling>
    </Metadata></ImageDocument>
    """
  }
}

/// Little-endian bytes as CZI has them.
private struct Bytes {
  var values: [UInt8] = []

  mutating func integer(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { values += $0 } }

  mutating func zeros(to count: Int) { values += repeatElement(0, count: max(0, count - values.count)) }

  /// A segment, filled up to a multiple of 32 bytes.
  static func segment(_ id: String, _ payload: [UInt8]) -> [UInt8] {
    let allocated = (payload.count + 31) / 32 * 32
    var bytes = Bytes(values: Array(id.utf8))
    bytes.zeros(to: 16)
    bytes.integer(Int64(allocated))
    bytes.integer(Int64(payload.count))
    bytes.values += payload
    bytes.zeros(to: 32 + allocated)
    return bytes.values
  }

  /// What the directory says of a Gray8 tile whose segment stands at `position`.
  static func entry(_ region: Region, _ index: Int, at position: Int, _ further: [String]) -> [UInt8] {
    var bytes = Bytes(values: Array("DV".utf8))
    bytes.integer(Int32(0))
    bytes.integer(Int64(position))
    bytes.integer(Int32(0))
    bytes.integer(Int32(6))
    bytes.zeros(to: 28)
    let dimensions =
      [("X", region.x, region.width), ("Y", region.y, region.height)] + further.map { ($0, 0, 1) } + [("M", index, 1)]
    bytes.integer(Int32(dimensions.count))
    for (name, start, size) in dimensions {
      bytes.values += Array(name.utf8) + [0, 0, 0]
      bytes.integer(Int32(start))
      bytes.integer(Int32(size))
      bytes.integer(Float(start).bitPattern)
      bytes.integer(Int32(size))
    }
    return bytes.values
  }
}
