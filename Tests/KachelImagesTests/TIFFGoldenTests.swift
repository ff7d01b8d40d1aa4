// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// Every TIFF of the reference data against what tifffile reads of it.
@Suite struct TIFFGoldenTests {
  struct Golden: Decodable {
    struct Series: Decodable {
      var axes: String
      var shape: [Int]
      var dtype: String
      var levels: [[Int]]
      // swift-format-ignore: AlwaysUseLowerCamelCase
      var sha256_levels: [String]
    }
    var series: [Series]
  }

  static func goldens() throws -> [String: Golden] {
    try JSONDecoder().decode([String: Golden].self, from: SharedData.data("ometiff/manifest.json"))
  }

  static let names = (try? goldens().keys.sorted()) ?? []

  static func path(_ name: String) throws -> String {
    for folder in ["ometiff/", "ometiff/syn/", "large/"] {
      if let path = try? SharedData.path(folder + name) { return path }
    }
    return try SharedData.path("ometiff/" + name)
  }

  /// All planes of a level in the order t, z, c, or t, c, z.
  static func bytes(of image: Image, level: Int, slicesFirst: Bool, planar: Bool) throws -> [UInt8] {
    let description = image.description
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    var all: [UInt8] = []
    let (channels, depth) = (description.channels.count, description.depth)
    for time in 0..<description.times {
      for index in 0..<channels * depth {
        let (channel, z) = slicesFirst ? (index % channels, index / channels) : (index / depth, index % depth)
        let size = description.scenes[0].levels[level].size
        try image.read(Region(size), of: .init(channel: channel, z: z, time: time, level: level), into: pixels)
        if planar {
          for sample in 0..<pixels.samples {
            for pixel in 0..<size.area {
              let start = (pixel * pixels.samples + sample) * pixels.type.size
              all += pixels.bytes[start..<start + pixels.type.size]
            }
          }
        } else {
          all += pixels.bytes
        }
      }
    }
    return all
  }

  @Test func allAreThere() { #expect(Self.names.count == 26) }

  @Test(arguments: names) func matches(_ name: String) throws {
    let golden = try #require(Self.goldens()[name]).series[0]
    let image = try Image(at: Self.path(name))
    let description = image.description
    #expect(description.scenes.count == 1)
    #expect(description.channels.allSatisfy { $0.pixelType.rawValue == golden.dtype })
    for (axis, count) in zip(golden.axes, golden.shape) {
      switch axis {
      case "T": #expect(description.times == count)
      case "C": #expect(description.channels.count == count)
      case "Z": #expect(description.depth == count)
      case "Y": #expect(description.scenes[0].size.height == count)
      case "X": #expect(description.scenes[0].size.width == count)
      default: #expect(description.channels[0].layout.samples == count)
      }
    }
    #expect(description.scenes[0].levels.count == golden.levels.count)
    for level in golden.levels.indices {
      var bytes = try Self.bytes(
        of: image, level: level, slicesFirst: golden.axes.contains("ZC"), planar: golden.axes.hasPrefix("S"))
      // tifffile gives what is stored, where white is 0.
      if name.hasPrefix("miniswhite") { for index in bytes.indices { bytes[index] = ~bytes[index] } }
      #expect(sha256Hex(bytes) == golden.sha256_levels[level], "level \(level)")
    }
    #expect(description.scenes[0].levels.map(\.downsampling) == (0..<golden.levels.count).map { Double(1 << $0) })
  }

  /// Any part is the same as that part of the whole.
  @Test(arguments: names) func regions(_ name: String) throws {
    let image = try Image(at: Self.path(name), cacheBytes: 100_000)
    let (whole, part) = (PixelBuffer(width: 0, height: 0, type: .uint8), PixelBuffer(width: 0, height: 0, type: .uint8))
    var random = SeededRandom(seed: 7)
    let description = image.description
    for level in description.scenes[0].levels.indices {
      let size = description.scenes[0].levels[level].size
      let plane = PlaneIndex(
        channel: description.channels.count - 1, z: description.depth - 1, time: description.times - 1, level: level)
      try image.read(Region(size), of: plane, into: whole)
      for _ in 0..<5 {
        let region = Region(
          x: .random(in: -9..<size.width, using: &random), y: .random(in: -9..<size.height, using: &random),
          width: .random(in: 1...80, using: &random), height: .random(in: 1...80, using: &random))
        try image.read(region, of: plane, into: part)
        let covered = region.intersection(Region(size))
        #expect(image.coveredRegions(in: region, of: plane) == (covered.isEmpty ? [] : [covered]))
        let isSame = (0..<region.height).allSatisfy { y in
          (0..<region.bytesPerRow(part)).allSatisfy { byte in
            let x = byte / part.bytesPerPixel
            let inside = Region(size).contains(Region(x: region.x + x, y: region.y + y, width: 1, height: 1))
            let value = part.bytes[y * part.bytesPerRow + byte]
            return value
              == (inside ? whole.bytes[(region.y + y) * whole.bytesPerRow + region.x * part.bytesPerPixel + byte] : 0)
          }
        }
        #expect(isSame, "\(region) of level \(level)")
      }
    }
  }

  @Test func multipleFiles() throws {
    let folder = "ometiff/multifile"
    let parts = try (1...5).map { try Image(at: SharedData.path("\(folder)-Z\($0).ome.tiff")) }
    let companion = try Image(at: SharedData.path(folder + ".companion.ome"))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    var planes: Set<[UInt8]> = []
    for image in parts + [companion] {
      #expect(image.description.depth == 5 && image.description.scenes[0].size == Size(width: 18, height: 24))
      #expect(image.description.scenes[0].name == "multifile" && image.description.format == "OME-TIFF")
      #expect(image.description.channels[0].color == RGB(red: 128, green: 0, blue: 0))
      var all: [UInt8] = []
      for z in 0..<5 {
        try image.read(Region(x: 0, y: 0, width: 18, height: 24), of: .init(z: z), into: pixels)
        all += pixels.bytes
      }
      planes.insert(all)
    }
    #expect(planes.count == 1)
  }

  @Test func metadata() throws {
    let strips = try Image(at: Self.path("tczyx_u16_strips.ome.tif")).description
    #expect(strips.channels.map(\.name) == ["DAPI", "EGFP", "mCherry"] && strips.axes == ["t", "c", "z"])
    #expect(strips.physicalSize == .init(x: 0.325, y: 0.325, z: 1))
    #expect(strips.scenes[0].name == "Image0" && strips.compressions == ["uncompressed"])
    let dapi = try Image(at: Self.path("OAD_01_DAPI.ome.tiff")).description
    #expect(dapi.channels.map(\.name) == ["AF568_2"] && dapi.physicalSize.x == 0.454)
    #expect(dapi.channels[0].color == RGB(red: 0xFF, green: 0x18, blue: 0x00))
    let stack = try Image(at: Self.path("imagej_hyperstack_tzc.tif")).description
    #expect(stack.format == "ImageJ TIFF" && stack.physicalSize.z == 0.5)
    #expect(try Image(at: Self.path("qupath/cells-2c.ome.tif")).description.compressions == ["Deflate"])
    let jpeg = try Image(at: Self.path("pyramid_subifd_c3_u8_jpeg.ome.tif")).description
    #expect(jpeg.channels.map(\.layout) == [.rgb] && jpeg.compressions == ["JPEG"])
  }

  static let others = [
    "instanseg_Fluorescence_example", "instanseg_HE_example", "stardist_img2d", "stardist_img3d", "stardist_mask2d",
    "stardist_mask3d",
  ]

  @Test(arguments: others) func otherFilesOpen(_ name: String) throws {
    let image = try Image(at: SharedData.path("extra_images/\(name).tif"))
    let description = image.description
    #expect(description.depth == (name.hasSuffix("3d") ? 31 : 1))
    #expect(description.channels.count == (name.contains("Fluorescence") ? 2 : 1))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(Region(description.scenes[0].size), of: .init(z: description.depth - 1), into: pixels)
    #expect(pixels.bytes.contains { $0 != 0 })
  }

  /// Slides are OpenSlide's; what libtiff can decode of one is the same.
  @Test func slides() throws {
    let path = try SharedData.path("wsi/CMU-1-Small-Region.svs")
    let slide = try TIFFImage(ByteSource(path: path), cacheBytes: 1 << 20)
    let region = Region(x: 0, y: 0, width: 2220, height: 2967)
    #expect(Region(slide.description.scenes[0].size) == region)
    #expect(slide.description.scenes.allSatisfy { $0.levels.count == 1 })
    let hashes = try [slide, Image(at: path)].map { (image: any ImageSource) in
      let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
      try image.read(region, of: .init(), into: pixels)
      return sha256Hex(Array(pixels.bytes))
    }
    #expect(hashes[0] == hashes[1])
    let compressed = try ByteSource(path: SharedData.path("wsi/TCGA-CR-7395-01A-01-TS1.svs"))
    let error = #expect(throws: ImageError.self) { try TIFFImage(compressed, cacheBytes: 0) }
    #expect(error?.kind == .unsupported && error?.reason.contains("JPEG 2000") == true)
  }

  @Test(.timeLimit(.minutes(1))) func manyReadersAtOnce() async throws {
    for name in ["pyramid_subifd_c3_u16_zstd_bigtiff.ome.tif", "tczyx_u16_tiled_deflate_pred.ome.tif"] {
      let image = try Image(at: Self.path(name), cacheBytes: 300_000)
      let description = image.description
      let region = Region(description.scenes[0].size)
      let expected = try (0..<description.channels.count).map { channel in
        let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
        try image.read(region, of: .init(channel: channel), into: pixels)
        return sha256Hex(Array(pixels.bytes))
      }
      try await withThrowingTaskGroup { group in
        for task in 0..<12 {
          group.addTask {
            let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
            let channel = task % expected.count
            try image.read(region, of: .init(channel: channel), into: pixels)
            #expect(sha256Hex(Array(pixels.bytes)) == expected[channel])
          }
        }
        try await group.waitForAll()
      }
    }
  }
}

extension Region {
  fileprivate func bytesPerRow(_ pixels: PixelBuffer) -> Int { width * pixels.bytesPerPixel }
}
