// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// Files that contradict themselves: each must be refused with a reason or be read, and never crash.
@Suite struct CZIDamageTests {
  static let small: CZIFixture = {
    var fixture = CZIFixture.mosaic(
      [Region(x: -3, y: 0, width: 6, height: 5), Region(x: 2, y: 2, width: 7, height: 4)], scene: 1,
      xml: "<ImageDocument><Metadata><Scaling/></Metadata></ImageDocument>"
    ) { x, y, tile in UInt8(truncatingIfNeeded: x &+ 16 &* y &+ tile) }
    fixture.subBlocks[1].dimensions.append(.init("Z", 4))
    fixture.subBlocks.append(
      .init(
        Region(x: 0, y: 0, width: 4, height: 2), ["C": 1], pixelType: 1, compression: .zstd1HiLo,
        pixels: Array(0..<16)))
    return fixture
  }()

  /// Opens a file and reads parts of it.
  func probe(_ bytes: [UInt8], _ folder: ScratchFolder) throws -> DamageProbe {
    try DamageProbe.open(folder.write(bytes, to: "test.czi"), cacheBytes: 1 << 16)
  }

  func failure(_ fixture: CZIFixture) throws -> ImageError {
    try #require(probe(fixture.bytes, ScratchFolder()).refusals.first)
  }

  @Test func theSmallFileIsRead() throws {
    let probe = try probe(Self.small.bytes, ScratchFolder())
    #expect(probe.read == 12 && probe.refusals.isEmpty)
  }

  @Test func cutAnywhere() throws {
    let folder = try ScratchFolder()
    let bytes = Self.small.bytes
    var refused = 0, cuts = 0
    for length in stride(from: 0, to: bytes.count, by: 5) {
      cuts += 1
      guard let error = try probe(Array(bytes[..<length]), folder).refusals.first else { continue }
      #expect(error.kind == .damaged || error.kind == .notAnImage, "\(error)")
      refused += 1
    }
    // Only the padding after the metadata can be missed.
    #expect(refused >= cuts - 6)
  }

  @Test func everyNumberOfTheDirectoryBecomesExtreme() throws {
    let folder = try ScratchFolder()
    let bytes = Self.small.bytes
    let directory = try #require(bytes.firstRange(of: Array("ZISRAWDIRECTORY".utf8))).lowerBound
    for place in stride(from: directory, to: min(bytes.count - 4, directory + 640), by: 1) {
      for value: UInt32 in [0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0] {
        var changed = bytes
        for byte in 0..<4 { changed[place + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte)) }
        _ = try probe(changed, folder)
      }
    }
  }

  static let wrong: [(String, ImageError.Kind, @Sendable (inout CZIFixture) -> Void)] = [
    ("format", .notAnImage, { $0.fileSignature = "ZISRAWFOLD" }),
    ("several files", .unsupported, { $0.filePart = 1 }),
    ("several files", .unsupported, { $0.subBlocks[0].filePart = 2 }),
    ("version 2", .unsupported, { $0.majorVersion = 2 }),
    ("1000000 entries", .damaged, { $0.declaredEntryCount = 1_000_000 }),
    ("2147483647 entries", .damaged, { $0.declaredEntryCount = .max }),
    ("-1 entries", .damaged, { $0.declaredEntryCount = -1 }),
    ("begin with its schema", .damaged, { $0.declaredEntryCount = 4 }),
    ("no directory", .damaged, { $0.declaredDirectoryPosition = 0 }),
    ("should stand here", .damaged, { $0.declaredDirectoryPosition = 1 << 40 }),
    ("should stand here", .damaged, { $0.declaredDirectoryPosition = .max }),
    ("before the file", .damaged, { $0.declaredDirectoryPosition = -1 }),
    ("should stand here", .damaged, { $0.declaredDirectoryPosition = 544 }),
    ("schema DE", .unsupported, { $0.subBlocks[1].schema = "DE" }),
    ("begin with its schema", .damaged, { $0.subBlocks[1].schema = "XY" }),
    ("points to byte", .damaged, { $0.subBlocks[1].declaredPosition = 1 << 33 }),
    ("points to byte", .damaged, { $0.subBlocks[1].declaredPosition = -32 }),
    ("should stand here", .damaged, { $0.subBlocks[0].declaredPosition = 0 }),
    ("segment of 20 bytes", .damaged, { $0.subBlocks[0].declaredAllocatedSize = 20 }),
    ("size -5", .damaged, { $0.subBlocks[0].declaredAllocatedSize = -5 }),
    ("bytes of pixels", .damaged, { $0.subBlocks[0].declaredDataSize = 1 << 40 }),
    ("bytes of pixels", .damaged, { $0.subBlocks[0].declaredDataSize = .max }),
    ("of pixels", .damaged, { $0.subBlocks[0].declaredDataSize = -1 }),
    (
      "the file ends", .damaged,
      {
        $0.subBlocks[0].declaredDataSize = 1 << 40; $0.subBlocks[0].declaredAllocatedSize = 1 << 41
      }
    ),
    ("lossless JPEG in 1 of 3", .unsupported, { $0.subBlocks[0].compression = 3 }),
    ("compression JPEG in 1 of 3", .unsupported, { $0.subBlocks[2].compression = 1 }),
    ("chunked in 1 of 3", .unsupported, { $0.subBlocks[2].compression = 7 }),
    ("Gray64ComplexFloat in 1 of 3", .unsupported, { $0.subBlocks[2].pixelType = 10 }),
    ("unknown (code 42)", .unsupported, { $0.subBlocks[0].compression = 42 }),
    ("camera RAW (code 101)", .unsupported, { $0.subBlocks[0].compression = 101 }),
    ("system RAW (code 1001)", .unsupported, { $0.subBlocks[0].compression = 1001 }),
    ("unknown (code -7)", .unsupported, { $0.subBlocks[0].pixelType = -7 }),
    ("several pixel types", .unsupported, { $0.subBlocks[0].pixelType = 1 }),
    ("size -6 along X", .damaged, { $0.subBlocks[0].dimensions[0].size = -6 }),
    ("size 0 along Y", .damaged, { $0.subBlocks[0].dimensions[1].size = 0 }),
    ("0 x 5 pixels", .damaged, { $0.subBlocks[0].dimensions[0].storedSize = 0 }),
    ("0 x 5 pixels", .damaged, { $0.subBlocks[0].dimensions.remove(at: 0) }),
    ("beyond 2^31", .damaged, { $0.subBlocks[0].dimensions[0].start = .max }),
    (
      "wider or higher", .damaged,
      {
        $0.subBlocks[0].dimensions[0].start = .min; $0.subBlocks[1].dimensions[0].start = .max - 100
      }
    ),
    ("along T", .unsupported, { $0.subBlocks[0].dimensions.append(.init("T", 0, size: 3)) }),
    ("along S", .unsupported, { $0.subBlocks[0].dimensions[4].size = 2 }),
    (
      "positions along Z", .damaged,
      {
        $0.subBlocks[1].dimensions.append(.init("Z", .max)); $0.subBlocks[0].dimensions.append(.init("Z", -5))
      }
    ),
    ("channels", .damaged, { $0.subBlocks[1].dimensions[2].start = 500_000 }),
    (
      "41 dimensions", .damaged, { for index in 0..<36 { $0.subBlocks[0].dimensions.append(.init("H", Int32(index))) } }
    ),
    (
      "kinds of dimensions", .damaged,
      { for index in 0..<30 { $0.subBlocks[0].dimensions.append(.init("D\(index)", 0)) } }
    ),
    ("frame says 7 bytes", .damaged, { $0.subBlocks[0].payload = CZIFixture.encode(Array(0..<7), .zstd1) }),
    ("zstd", .damaged, { $0.subBlocks[0].payload.removeLast(4) }),
    ("unknown size", .damaged, { $0.subBlocks[0].payload = [1, 2, 3, 4, 5, 6, 7, 8, 9] }),
    ("header is", .damaged, { $0.subBlocks[0].payload[0] = 2 }),
    ("header is", .damaged, { $0.subBlocks[0].payload = [] }),
    ("not 16-bit", .damaged, { $0.subBlocks[0].payload = CZIFixture.encode(Array(0..<30), .zstd1HiLo) }),
    ("bytes of Zstd", .damaged, { $0.subBlocks[0].payload = Array(repeating: 1, count: 9000) }),
    (
      "2 GiB", .unsupported,
      { fixture in
        for index in 0..<2 {
          fixture.subBlocks[0].dimensions[index].size = 100_000;
          fixture.subBlocks[0].dimensions[index].storedSize = 100_000
        }
      }
    ),
    ("no pixels", .damaged, { $0.subBlocks = [] }),
    (
      "no pixels", .damaged, { fixture in for index in 0..<3 { fixture.subBlocks[index].dimensions[0].storedSize = 2 } }
    ),
    ("bytes are wanted", .damaged, { $0.declaredXMLSize = .max }),
    ("bytes are wanted", .damaged, { $0.declaredXMLSize = -1 }),
    ("DOCTYPE", .damaged, { $0.xml = "<!DOCTYPE a><a/>" }),
    ("well formed", .damaged, { $0.xml = "<ImageDocument>" }),
  ]

  @Test(arguments: wrong.indices) func refusedWithItsReason(_ index: Int) throws {
    let (words, kind, change) = Self.wrong[index]
    var fixture = Self.small
    change(&fixture)
    let error = try failure(fixture)
    #expect(error.kind == kind && error.reason.contains(words), "\(words): \(error)")
    #expect(error.file.hasSuffix("test.czi"))
  }

  @Test func severalObstaclesAreNamedTogether() throws {
    var fixture = Self.small
    fixture.subBlocks[0].compression = 3
    fixture.subBlocks[1].pixelType = 11
    let error = try failure(fixture)
    #expect(error.reason.contains("JPEG in 1 of 3") && error.reason.contains("Bgr192ComplexFloat in 1 of 3"))
  }

  @Test func sizesThatTheFileCannotHoldCostNoMemory() throws {
    // Uncompressed pixels that are missing are 0, however many they should be.
    let folder = try ScratchFolder()
    var block = CZIFixture.SubBlock(Region(x: 0, y: 0, width: 1 << 30, height: 1 << 30), pixelType: 4, pixels: [7])
    block.payload = [1, 2, 3, 4, 5, 6]
    let image = try Image(at: folder.write(CZIFixture([block]).bytes, to: "test.czi"))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(Region(x: 0, y: 0, width: 2, height: 1), of: .init(), into: pixels)
    #expect(Array(pixels.bytes) == [1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0])
    try image.read(Region(x: (1 << 30) - 1, y: (1 << 30) - 1, width: 2, height: 1), of: .init(), into: pixels)
    #expect(Array(pixels.bytes) == Array(repeating: 0, count: 12))
  }

  /// Nine tiles that touch, of which the middle one's pixels are damaged.
  @Test(arguments: [CZIFixture.Compression.zstd1, .zstd0, .lzw, .jpeg]) func damageStaysInItsTile(
    _ compression: CZIFixture.Compression
  ) throws {
    let folder = try ScratchFolder()
    let tiles = (0..<9).map { Region(x: $0 % 3 * 8, y: $0 / 3 * 8, width: 8, height: 8) }
    var fixture = CZIFixture.mosaic(tiles, compression: .zstd1) { x, y, tile in UInt8(x * 9 + y + tile) }
    let whole = try Image(at: folder.write(fixture.bytes, to: "whole.czi"))
    fixture.subBlocks[4].compression = compression.code
    fixture.subBlocks[4].payload = [1, 2, 3] + fixture.subBlocks[4].payload
    // With a cache, and without.
    for cacheBytes in [1 << 20, 0] {
      let image = try Image(at: folder.write(fixture.bytes, to: "damaged.czi"), cacheBytes: cacheBytes)
      #expect(try problems(reading: tiles, damaged: [4], of: image, like: whole).isEmpty)
      let middle = Region(x: 7, y: 7, width: 3, height: 3)
      #expect(try problems(reading: [middle], damaged: [0], of: image, like: whole).isEmpty)
    }
  }

  /// A sub-block that says to be large and holds next to nothing.
  @Test func tooFewBytesCostNoMemory() throws {
    func block(_ compression: CZIFixture.Compression, _ payload: [UInt8]) -> CZIFixture {
      var block = CZIFixture.SubBlock(
        Region(x: 0, y: 0, width: 30_000, height: 30_000), compression: .uncompressed, pixels: payload)
      block.compression = compression.code
      return CZIFixture([block])
    }
    // A frame of 900 000 000 bytes.
    let frame: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0xA0, 0x00, 0xE9, 0xA4, 0x35, 1, 2, 3]
    for (compression, payload) in [
      (.zstd0, frame), (.zstd1, [1] + frame), (.jpeg, [0xFF, 0xD8, 0xFF]), (.lzw, [0x80, 0, 0]),
      (.jpegXR, [0x49, 0x49, 0xBC, 1, 8, 0, 0, 0]),
    ] as [(CZIFixture.Compression, [UInt8])] {
      let error = try failure(block(compression, payload))
      #expect(error.kind == .damaged && error.reason.contains("for 900000000 bytes of pixels"), "\(error)")
    }
  }

  /// libjpeg-turbo would need memory for all coefficients of a progressive JPEG before it meets its end.
  @Test func largeJPEGOfFewBytes() throws {
    var jpeg = try Array(SharedData.data("ometiff/png_jpeg/rgb_prog.jpg"))
    let frame = try #require(jpeg.firstRange(of: [0xFF, 0xC2])).lowerBound
    // 8000 x 8000 pixels.
    jpeg.replaceSubrange(frame + 5..<frame + 9, with: [0x1F, 0x40, 0x1F, 0x40])
    var block = CZIFixture.SubBlock(Region(x: 0, y: 0, width: 8000, height: 8000), pixelType: 3, pixels: [])
    block.compression = CZIFixture.Compression.jpeg.code
    block.payload = jpeg + [UInt8](repeating: 0, count: 8000)
    let error = try failure(CZIFixture([block]))
    #expect(error.reason.contains("bytes of JPEG for 8000 x 8000 pixels"), "\(error)")
  }

  /// Entries of the directory that all name the same bytes would decode them over and over.
  @Test func manySubBlocksOfTheSameBytes() throws {
    let folder = try ScratchFolder()
    let region = Region(x: 0, y: 0, width: 4096, height: 4096)
    let zeros = CZIFixture.SubBlock(region, compression: .zstd0, pixels: [UInt8](repeating: 0, count: region.area))
    var fixture = CZIFixture([zeros])
    func probe(_ fixture: CZIFixture) throws -> DamageProbe {
      try DamageProbe.open(folder.write(fixture.bytes, to: "test.czi"), cacheBytes: 1 << 16)
    }
    #expect(try probe(fixture).refusals.isEmpty)
    fixture.subBlocks += (1...80).map { tile in
      var block = zeros
      block.dimensions.append(.init("M", Int32(tile)))
      (block.payload, block.declaredPosition) = ([], 544)
      return block
    }
    let error = try #require(try probe(fixture).refusals.first)
    #expect(error.kind == .damaged && error.reason.contains("more than the file can hold"), "\(error)")
  }
}
