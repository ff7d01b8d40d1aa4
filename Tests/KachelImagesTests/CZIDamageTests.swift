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

  /// Opens a file and reads a part of every scene and channel.
  func readAll(_ bytes: [UInt8], _ folder: ScratchFolder) throws {
    let image = try Image(at: folder.write(bytes, to: "test.czi"), cacheBytes: 1 << 16)
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    for scene in image.description.scenes.indices.prefix(4) {
      for channel in image.description.channels.indices.prefix(4) {
        try image.read(
          Region(x: -2, y: -2, width: 20, height: 20), of: .init(scene: scene, channel: channel), into: pixels)
      }
    }
  }

  func failure(_ fixture: CZIFixture) throws -> ImageError {
    let folder = try ScratchFolder()
    return try #require(throws: ImageError.self) { try readAll(fixture.bytes, folder) }
  }

  @Test func theSmallFileIsRead() throws {
    try readAll(Self.small.bytes, ScratchFolder())
  }

  @Test func cutAnywhere() throws {
    let folder = try ScratchFolder()
    let bytes = Self.small.bytes
    var refused = 0, cuts = 0
    for length in stride(from: 0, to: bytes.count, by: 5) {
      cuts += 1
      do {
        try readAll(Array(bytes[..<length]), folder)
      } catch let error as ImageError {
        #expect(error.kind == .damaged || error.kind == .notAnImage, "\(error)")
        refused += 1
      }
    }
    // Only the padding after the metadata can be missed.
    #expect(refused >= cuts - 6)
  }

  @Test(arguments: 0..<8) func randomBytesChanged(_ part: Int) throws {
    let folder = try ScratchFolder()
    let bytes = Self.small.bytes
    var random = SplitMix(seed: UInt64(part))
    // Half of the changes hit the headers and the directory, where they matter most.
    let interesting = bytes.indices.filter { bytes[$0] != 0 }
    for _ in 0..<500 {
      var changed = bytes
      for _ in 0..<random.next(in: 1...4) {
        let place =
          random.next(in: 0...1) == 0
          ? interesting[random.next(in: 0...interesting.count - 1)] : random.next(in: 0...bytes.count - 1)
        changed[place] =
          [changed[place] ^ UInt8(1 << random.next(in: 0...7)), 0, 0xFF, 0x7F, 0x80][random.next(in: 0...4)]
      }
      do { try readAll(changed, folder) } catch is ImageError {}
    }
  }

  @Test func everyNumberOfTheDirectoryBecomesExtreme() throws {
    let folder = try ScratchFolder()
    let bytes = Self.small.bytes
    let directory = try #require(bytes.firstRange(of: Array("ZISRAWDIRECTORY".utf8))).lowerBound
    for place in stride(from: directory, to: min(bytes.count - 4, directory + 640), by: 1) {
      for value: UInt32 in [0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0] {
        var changed = bytes
        for byte in 0..<4 { changed[place + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte)) }
        do { try readAll(changed, folder) } catch is ImageError {}
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
    ("should stand here", .damaged, { $0.declaredDirectoryPosition = -1 }),
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
}
