// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// Whole slides against what OpenSlide itself gives, and against what made files are known to hold.
@Suite struct WholeSlideTests {
  struct Golden: Decodable {
    struct Part: Decodable {
      var x: Int
      var y: Int
      var level: Int
      var w: Int
      var h: Int
      // swift-format-ignore: AlwaysUseLowerCamelCase
      var rgba_sha256: String
    }
    // swift-format-ignore: AlwaysUseLowerCamelCase
    var level_dimensions: [[Int]]
    var mpp: [String?]
    var regions: [Part]
  }

  static func goldens() throws -> [String: Golden] {
    try JSONDecoder().decode([String: Golden].self, from: SharedData.data("wsi/manifest.json"))
  }

  static let names = (try? goldens().keys.sorted()) ?? []
  static let damagedTile = 29663..<34944

  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  static func buffer() -> PixelBuffer { PixelBuffer(width: 0, height: 0, type: .uint8) }

  @Test func allAreThere() { #expect(Self.names == ["CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs"]) }

  @Test(arguments: names) func matches(_ name: String) throws {
    let golden = try #require(Self.goldens()[name])
    let path = try SharedData.path("wsi/" + name)
    let image = try Image(at: path)
    let description = image.description
    #expect(description.format == "Aperio SVS" && description.channels.map(\.layout) == [.rgb])
    #expect(description.compressions == [name.hasPrefix("CMU") ? "JPEG" : "JPEG 2000"])
    #expect(description.scenes.count == 1)
    #expect(description.scenes[0].levels.map { [$0.size.width, $0.size.height] } == golden.level_dimensions)
    #expect(
      description.scenes[0].levels.map(\.downsampling) == (0..<golden.level_dimensions.count).map { Double(1 << $0) })
    #expect([description.physicalSize.x, description.physicalSize.y] == golden.mpp.map { $0.flatMap(Double.init) })

    let handle = try #require(try OpenSlideHandle(path, OpenSlideLibrary.ofThisProcess.get()))
    let pixels = Self.buffer()
    for part in golden.regions {
      // The goldens' places are pixels of level 0, whatever the level.
      let size = Size(width: part.w, height: part.h)
      var argb = [UInt32](repeating: 1, count: size.area)
      try argb.withUnsafeMutableBufferPointer {
        try handle.read(x: part.x, y: part.y, level: Int32(part.level), size: size, into: $0)
      }
      let rgba = argb.flatMap { pixel in [16, 8, 0, 24].map { UInt8(truncatingIfNeeded: pixel >> UInt32($0)) } }
      #expect(sha256Hex(rgba) == part.rgba_sha256, "\(part)")
      guard part.level == 0 else { continue }
      let region = Region(x: part.x, y: part.y, width: part.w, height: part.h)
      try image.read(region, of: .init(), into: pixels)
      #expect(
        (0..<size.area).allSatisfy { pixel in
          pixels.bytes[3 * pixel..<3 * pixel + 3].elementsEqual(rgba[4 * pixel..<4 * pixel + 3])
        })
    }
  }

  /// Any part is the same as that part of the whole, and 0 beyond the border.
  @Test(arguments: names) func regions(_ name: String) throws {
    let image = try Image(at: SharedData.path("wsi/" + name))
    let (whole, part) = (Self.buffer(), Self.buffer())
    var random = SeededRandom(seed: 5)
    for (number, level) in image.description.scenes[0].levels.enumerated() {
      let (plane, size) = (PlaneIndex(level: number), level.size)
      try image.read(Region(size), of: plane, into: whole)
      for _ in 0..<12 {
        let region = Region(
          x: .random(in: -200..<size.width, using: &random), y: .random(in: -200..<size.height, using: &random),
          width: .random(in: 1...1100, using: &random), height: .random(in: 1...500, using: &random))
        try image.read(region, of: plane, into: part)
        let expected = PixelBuffer(width: region.width, height: region.height, samples: 3, type: .uint8)
        expected.fill(byte: 0)
        let covered = region.intersection(Region(size))
        expected.copy(covered, of: whole, toX: covered.x - region.x, y: covered.y - region.y)
        #expect(sha256Hex(Array(part.bytes)) == sha256Hex(Array(expected.bytes)), "\(region) of level \(number)")
        #expect(image.coveredRegions(in: region, of: plane) == (covered.isEmpty ? [] : [covered]))
      }
      let beyond = Region(x: size.width, y: 0, width: 10, height: 10)
      try image.read(beyond, of: plane, into: part)
      #expect(part.isZero && !image.hasPixels(in: beyond, of: plane))
    }
  }

  /// A level of 2221 pixels for 4443: what OpenSlide interpolates stays between the neighbours of the place.
  @Test func inexactLevels() throws {
    let path = try SharedData.path("wsi/TCGA-CR-7395-01A-01-TS1.svs")
    let image = try Image(at: path)
    let size = image.description.scenes[0].levels[1].size
    var exact = [UInt32](repeating: 0, count: size.area)
    let handle = try #require(try OpenSlideHandle(path, OpenSlideLibrary.ofThisProcess.get()))
    try exact.withUnsafeMutableBufferPointer { try handle.read(x: 0, y: 0, level: 1, size: size, into: $0) }
    let pixels = Self.buffer()
    try image.read(Region(size), of: .init(level: 1), into: pixels)
    var random = SeededRandom(seed: 8)
    for _ in 0..<20_000 {
      let (x, y) = (
        Int.random(in: 1..<size.width - 1, using: &random), Int.random(in: 1..<size.height - 1, using: &random)
      )
      for (sample, shift) in [16, 8, 0].enumerated() {
        let value = Int(pixels.bytes[(y * size.width + x) * 3 + sample])
        func true_(_ x: Int, _ y: Int) -> Int { Int(exact[y * size.width + x] >> UInt32(shift) & 255) }
        if x < 1024, y < 1024 {
          #expect(value == true_(x, y))
        } else {
          let near = (-1...1).flatMap { dy in (-1...1).map { dx in true_(x + dx, y + dy) } }
          #expect((near.min() ?? 0) - 2...(near.max() ?? 0) + 2 ~= value)
        }
      }
    }
  }

  // MARK: Made files

  static func pixels(_ size: Size, _ random: inout SeededRandom) -> TIFFFixture.Page {
    let words = (0..<(size.area * 3 + 7) / 8).map { _ in random.next() }
    return SlideFixture.page(size, pixels: Array(words.withUnsafeBytes { $0.prefix(size.area * 3) }))
  }

  @Test func exactLevels() throws {
    var random = SeededRandom(seed: 2)
    let sizes = [Size(width: 1600, height: 512), Size(width: 800, height: 256), Size(width: 200, height: 64)]
    let pages = sizes.map { Self.pixels($0, &random) }
    let image = try Image(at: folder.write(SlideFixture.aperio(pages).bytes, to: "no-name"))
    #expect(image.description.physicalSize == .init(x: 0.25, y: 0.25))
    #expect(image.description.compressions == ["uncompressed"])
    #expect(image.description.scenes[0].levels == zip(sizes, [1, 2, 8]).map { .init(size: $0, downsampling: $1) })
    let pixels = Self.buffer()
    for (level, page) in pages.enumerated() {
      try image.read(Region(page.size), of: .init(level: level), into: pixels)
      #expect(pixels.bytes.elementsEqual(page.pixels), "level \(level)")
      try image.read(Region(x: 101, y: 7, width: 1, height: 1), of: .init(level: level), into: pixels)
      let start = (7 * page.size.width + 101) * 3
      #expect(Array(pixels.bytes) == Array(page.pixels[start..<start + 3]))
    }
    for plane in [PlaneIndex(level: 3), .init(channel: 1), .init(z: 1), .init(scene: 1), .init(further: ["H": 0])] {
      let error = #expect(throws: ImageError.self) {
        try image.read(Region(x: 0, y: 0, width: 1, height: 1), of: plane, into: pixels)
      }
      #expect(error?.kind == .outOfRange && !image.hasPixels(in: Region(sizes[0]), of: plane))
    }
    #expect(throws: ImageError.self) {
      try image.read(Region(x: 0, y: 0, width: 1 << 20, height: 1 << 20), of: .init(), into: pixels)
    }
  }

  /// Levels for which OpenSlide 3 gives nonsense are left out.
  @Test func levelsSmallerThanATile() throws {
    var random = SeededRandom(seed: 6)
    let small = Self.pixels(Size(width: 128, height: 60), &random)
    let pages = [Self.pixels(Size(width: 256, height: 120), &random), small]
    let image = try Image(at: folder.write(SlideFixture.aperio(pages).bytes, to: "small"))
    if image.description.scenes[0].levels.count == 2 {
      let pixels = Self.buffer()
      try image.read(Region(small.size), of: .init(level: 1), into: pixels)
      #expect(pixels.bytes.elementsEqual(small.pixels))
    } else {
      #expect(try OpenSlideLibrary.ofThisProcess.get().version.hasPrefix("3."))
    }
    guard try OpenSlideLibrary.ofThisProcess.get().version.hasPrefix("3.") else { return }
    let path = try folder.write(SlideFixture.aperio([small]).bytes, to: "small")
    let error = #expect(throws: ImageError.self) { try Image(at: path) }
    #expect(error?.kind == .unsupported)
  }

  /// Scanned areas on a larger canvas: only they are covered, and between them it is white.
  @Test func areas() throws {
    var random = SeededRandom(seed: 3)
    let canvas = Size(width: 1200, height: 800)
    let places = [Region(x: 100, y: 50, width: 300, height: 200), Region(x: 800, y: 400, width: 200, height: 300)]
    let areas = places.map {
      (
        place: $0, full: Self.pixels($0.size, &random),
        half: Self.pixels(Size(width: $0.width / 2, height: $0.height / 2), &random)
      )
    }
    let image = try Image(at: folder.write(SlideFixture.leica(canvas, areas: areas).bytes, to: "slide"))
    #expect(image.description.format == "Leica SCN")
    #expect(image.description.scenes[0].levels.map(\.size) == [canvas, Size(width: 600, height: 400)])
    let pixels = Self.buffer()
    for level in 0...1 {
      let (plane, size) = (PlaneIndex(level: level), image.description.scenes[0].levels[level].size)
      try image.read(Region(size), of: plane, into: pixels)
      let expected = PixelBuffer(width: size.width, height: size.height, samples: 3, type: .uint8)
      expected.fill(byte: 255)
      let reduced = places.map {
        Region(x: $0.x >> level, y: $0.y >> level, width: $0.width >> level, height: $0.height >> level)
      }
      for (area, place) in zip(areas, reduced) {
        let part = PixelBuffer(width: place.width, height: place.height, samples: 3, type: .uint8)
        part.bytes.copyBytes(from: level == 0 ? area.full.pixels : area.half.pixels)
        expected.copy(Region(place.size), of: part, toX: place.x, y: place.y)
      }
      #expect(pixels.bytes.elementsEqual(expected.bytes), "level \(level)")
      #expect(image.coveredRegions(in: Region(size), of: plane) == reduced)
      #expect(!image.hasPixels(in: Region(x: 410 >> level, y: 0, width: 300 >> level, height: 300 >> level), of: plane))
    }
  }

  // MARK: Damage

  /// A copy of a slide, one of whose tiles (240 x 240 from 1200, 0 on) is none.
  func damaged() throws -> Image {
    var bytes = try Array(SharedData.data("wsi/CMU-1-Small-Region.svs"))
    for index in Self.damagedTile { bytes[index] = 0xAA }
    return try Image(at: folder.write(bytes, to: "damaged.svs"))
  }

  @Test func damagedTilePoisonsOnlyItself() throws {
    let (damaged, whole) = (try damaged(), try Image(at: SharedData.path("wsi/CMU-1-Small-Region.svs")))
    let (pixels, expected) = (Self.buffer(), Self.buffer())
    for _ in 0..<3 {
      let error = #expect(throws: ImageError.self) {
        try damaged.read(Region(x: 1300, y: 100, width: 40, height: 9), of: .init(), into: pixels)
      }
      #expect(error?.kind == .damaged && error?.file == damaged.path)
      #expect(error?.reason.contains("1300,100,40,9") == true && error?.reason.contains("JPEG") == true)
      for region in [Region(x: 0, y: 0, width: 1200, height: 240), Region(x: 1200, y: 240, width: 300, height: 300)] {
        try damaged.read(region, of: .init(), into: pixels)
        try whole.read(region, of: .init(), into: expected)
        #expect(pixels.bytes.elementsEqual(expected.bytes), "\(region)")
      }
    }
  }

  /// Readers of sound regions are not disturbed by those of a damaged one.
  @Test(.timeLimit(.minutes(1))) func manyReadersAtOnce() async throws {
    let (damaged, whole) = (try damaged(), try Image(at: SharedData.path("wsi/CMU-1-Small-Region.svs")))
    let regions = (0..<8).map { Region(x: 300 * ($0 % 4), y: 300 + 900 * ($0 / 4), width: 290, height: 800) }
    let expected = try regions.map { region in
      let pixels = Self.buffer()
      try whole.read(region, of: .init(), into: pixels)
      return sha256Hex(Array(pixels.bytes))
    }
    try await withThrowingTaskGroup { group in
      for task in 0..<48 {
        group.addTask {
          let pixels = Self.buffer()
          if task % 3 == 0 {
            #expect(throws: ImageError.self) {
              try damaged.read(Region(x: 1150, y: 0, width: 99, height: 99), of: .init(), into: pixels)
            }
          } else {
            try damaged.read(regions[task % 8], of: .init(), into: pixels)
            #expect(sha256Hex(Array(pixels.bytes)) == expected[task % 8])
          }
        }
      }
      try await group.waitForAll()
    }
  }

  @Test func cutAnywhere() throws {
    var random = SeededRandom(seed: 4)
    let page = Self.pixels(Size(width: 130, height: 70), &random)
    let bytes = SlideFixture.aperio([page, Self.pixels(Size(width: 65, height: 35), &random)]).bytes
    let pixels = Self.buffer()
    for length in stride(from: 0, to: bytes.count, by: 997) {
      let path = try folder.write(bytes[..<length], to: "cut.svs")
      #expect(throws: ImageError.self, "\(length) of \(bytes.count)") {
        let image = try Image(at: path)
        for level in 0...1 {
          try image.read(Region(image.description.scenes[0].levels[level].size), of: .init(level: level), into: pixels)
        }
      }
    }
  }
}
