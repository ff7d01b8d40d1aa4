// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// What TIFF files may hold, one kind after the other, in files made here.
@Suite struct TIFFImageTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  func open(_ pages: [TIFFFixture.Page]) throws -> Image {
    try Image(at: folder.write(TIFFFixture(pages).bytes, to: "image.tif"))
  }

  func bytes(_ image: Image, _ plane: PlaneIndex = .init()) throws -> [UInt8] {
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(Region(image.description.scenes[plane.scene].levels[plane.level].size), of: plane, into: pixels)
    return Array(pixels.bytes)
  }

  func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var random = SeededRandom(seed: seed)
    return (0..<count).map { _ in .random(in: 0...255, using: &random) }
  }

  @Test(arguments: PixelType.allCases, [false, true]) func typesOrdersAndBlocks(_ type: PixelType, _ isBig: Bool) throws
  {
    let (size, tileSize) = (Size(width: 37, height: 21), Size(width: 16, height: 16))
    for (samples, layout) in [(1, SampleLayout.gray), (3, .rgb), (4, .rgba)] {
      let pixels = noise(size.area * samples * type.size)
      for (isBigEndian, isPlanar) in [(false, false), (true, false), (false, true), (true, true)] {
        for (tile, hasDifferences) in [(nil, false), (nil, true), (tileSize, false), (tileSize, true)] {
          var page = TIFFFixture.Page(size, type, samples: samples, pixels: pixels)
          (page.isPlanar, page.tile, page.rowsPerStrip) = (isPlanar, tile, 5)
          page.hasDifferences = hasDifferences
          var fixture = TIFFFixture([page])
          (fixture.isBigEndian, fixture.isBigTIFF) = (isBigEndian, isBig)
          // With and without keeping what was decoded.
          let image = try Image(
            at: folder.write(fixture.bytes, to: "image.tif"), cacheBytes: isPlanar ? 0 : 1 << 20)
          #expect(image.description.channels.map(\.layout) == [layout])
          #expect(image.description.channels[0].pixelType == type && image.description.format == "TIFF")
          #expect(try bytes(image) == pixels)
        }
      }
    }
  }

  @Test func bitsBecomeBytes() throws {
    // Ten pixels a row in 1 and 4 bits.
    var page = TIFFFixture.Page(Size(width: 10, height: 2), pixels: [0b1010_0000, 0b0100_0000, 0xFF, 0xFF])
    page.bits = 1
    #expect(try bytes(open([page])) == [255, 0, 255, 0, 0, 0, 0, 0, 0, 255] + [UInt8](repeating: 255, count: 10))
    page.photometric = 0
    #expect(try bytes(open([page])) == [0, 255, 0, 255, 255, 255, 255, 255, 255, 0] + [UInt8](repeating: 0, count: 10))
    page = TIFFFixture.Page(Size(width: 3, height: 2), pixels: [0x01, 0xF0, 0x23, 0x40])
    page.bits = 4
    #expect(try bytes(open([page])) == [0, 17, 255, 34, 51, 68])
  }

  @Test func whiteIsZero() throws {
    var page = TIFFFixture.Page(Size(width: 2, height: 1), .uint16, pixels: [0, 0, 0x34, 0x12])
    page.photometric = 0
    #expect(try bytes(open([page])) == [255, 255, 0xCB, 0xED])
  }

  @Test func palettesBecomeColors() throws {
    var page = TIFFFixture.Page(Size(width: 3, height: 1), pixels: [0, 1, 255])
    page.photometric = 3
    page.tags[320] = (3, (0..<768).map { UInt64($0 % 256) << 8 | UInt64($0 / 256) })
    var image = try open([page])
    #expect(image.description.channels.map(\.layout) == [.rgb])
    #expect(try bytes(image) == [0, 0, 0, 1, 1, 1, 255, 255, 255])
    // ImageJ's palettes only display numbers.
    page.description = "ImageJ=1.54\n"
    image = try open([page])
    #expect(image.description.channels.map(\.layout) == [.gray])
    #expect(try bytes(image) == [0, 1, 255])
    page.description = nil
    page.tags[320] = nil
    let error = #expect(throws: ImageError.self) { try bytes(open([page])) }
    #expect(error?.reason.contains("palette") == true)
  }

  @Test func moreSamplesAreChannels() throws {
    let size = Size(width: 5, height: 3)
    for isPlanar in [false, true] {
      var page = TIFFFixture.Page(size, .uint16, samples: 5, pixels: noise(size.area * 10))
      (page.photometric, page.isPlanar) = (1, isPlanar)
      let image = try open([page])
      #expect(image.description.channels.count == 5 && image.description.axes == ["c"])
      for channel in 0..<5 {
        var expected: [UInt8] = []
        for pixel in 0..<size.area { expected += page.pixels[pixel * 10 + channel * 2..<pixel * 10 + channel * 2 + 2] }
        #expect(try bytes(image, .init(channel: channel)) == expected)
      }
    }
    var page = TIFFFixture.Page(size, samples: 2, pixels: noise(size.area * 2))
    page.tags[338] = (3, [2])
    #expect(try open([page]).description.channels.map(\.layout) == [.grayAlpha])
  }

  @Test func pagesAreSlicesAndReducedOnesLevels() throws {
    let (full, half) = (Size(width: 40, height: 30), Size(width: 20, height: 15))
    var pages: [TIFFFixture.Page] = []
    for z in 0..<3 {
      pages.append(.init(full, filledWith: UInt8(10 + z)))
      var level = TIFFFixture.Page(half, filledWith: UInt8(20 + z))
      level.subfileType = 1
      pages.append(level)
    }
    pages.append(.init(Size(width: 7, height: 7), filledWith: 99))
    let image = try open(pages)
    #expect(image.description.depth == 3 && image.description.scenes.count == 2)
    #expect(image.description.scenes[0].levels.map(\.size) == [full, half])
    #expect(image.description.scenes[0].levels.map(\.downsampling) == [1, 2])
    for z in 0..<3 {
      #expect(try bytes(image, .init(z: z))[0] == 10 + UInt8(z))
      #expect(try bytes(image, .init(z: z, level: 1))[0] == 20 + UInt8(z))
    }
    #expect(try bytes(image, .init(scene: 1))[0] == 99)
    // The second scene has one plane only.
    #expect(try bytes(image, .init(scene: 1, z: 2))[0] == 0)
    #expect(!image.hasPixels(in: Region(x: 0, y: 0, width: 5, height: 5), of: .init(scene: 1, z: 2)))
    #expect(throws: ImageError.self) { try bytes(image, .init(z: 3)) }
  }

  @Test func subIFDsAreLevels() throws {
    var page = TIFFFixture.Page(Size(width: 65, height: 33), filledWith: 1)
    page.levels = [
      .init(Size(width: 32, height: 16), filledWith: 2), .init(Size(width: 16, height: 8), filledWith: 3),
      // Neither smaller nor of the same kind.
      .init(Size(width: 16, height: 8), filledWith: 4), .init(Size(width: 4, height: 2), .uint16, pixels: noise(16)),
    ]
    let image = try open([page])
    #expect(image.description.scenes[0].levels.map(\.downsampling) == [1, 2, 4])
    #expect(try bytes(image, .init(level: 2)) == [UInt8](repeating: 3, count: 128))
  }

  @Test func imageJPagesWithoutDirectories() throws {
    let size = Size(width: 6, height: 4)
    let pixels = noise(size.area * 2 * 12)
    var page = TIFFFixture.Page(size, .uint16, pixels: Array(pixels[..<(size.area * 2)]))
    page.description =
      "ImageJ=1.11a\nimages=12\nchannels=2\nslices=3\nframes=2\nunit=\\u00B5m\nspacing=2.5\n"
    page.tags[282] = (5, [4, 1])
    page.tags[283] = (5, [2, 1])
    let image = try Image(at: folder.write(TIFFFixture([page]).bytes + pixels[(size.area * 2)...], to: "stack.tif"))
    let description = image.description
    #expect(description.channels.count == 2 && description.depth == 3 && description.times == 2)
    #expect(description.physicalSize == .init(x: 0.25, y: 0.5, z: 2.5) && description.axes == ["c", "z", "t"])
    for plane in 0..<12 {
      let place = PlaneIndex(channel: plane % 2, z: plane / 2 % 3, time: plane / 6)
      #expect(try bytes(image, place) == Array(pixels[plane * 48..<(plane + 1) * 48]))
    }
  }

  @Test func resolutions() throws {
    var page = TIFFFixture.Page(Size(width: 1, height: 1), filledWith: 0)
    page.tags[296] = (3, [3])
    (page.tags[282], page.tags[283]) = ((5, [20_000, 1]), (5, [40_000, 1]))
    #expect(try open([page]).description.physicalSize == .init(x: 0.5, y: 0.25))
    // A resolution of paper is none of a microscope.
    page.tags[296] = (3, [2])
    (page.tags[282], page.tags[283]) = ((5, [300, 1]), (5, [300, 1]))
    #expect(try open([page]).description.physicalSize == .init())
  }

  @Test func sparseTilesAreZero() throws {
    var page = TIFFFixture.Page(Size(width: 32, height: 16), filledWith: 7)
    (page.tile, page.sparse) = (Size(width: 16, height: 16), [1])
    let all = try bytes(open([page]))
    #expect(all[15] == 7 && all[16] == 0)
  }

  static let unsupported: [(Int, UInt64, String)] = [
    (259, 6, "old-style JPEG"), (259, 34712, "JPEG 2000"), (259, 50001, "WebP"), (259, 99, "unknown (code 99)"),
    (258, 12, "12 bits"), (262, 5, "CMYK"), (262, 8, "Lab"), (262, 32803, "CFA"), (339, 6, "complex"),
    (262, 6, "YCbCr"),
  ]

  @Test(arguments: unsupported) func refusedByName(_ tag: Int, _ value: UInt64, _ words: String) throws {
    var page = TIFFFixture.Page(Size(width: 4, height: 4), filledWith: 0)
    page.tags[tag] = (3, [value])
    let error = #expect(throws: ImageError.self) { try open([page]) }
    #expect(error?.kind == .unsupported && error?.reason.contains(words) == true, "\(error?.reason ?? "")")
  }
}
