// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages
import KachelPixels
import KachelTesting
import Testing

@Suite struct CZIImageTests {
  func image(_ fixture: CZIFixture, _ folder: ScratchFolder, cacheBytes: Int = 64 << 20) throws -> Image {
    try Image(at: folder.write(fixture.bytes, to: "test.czi"), cacheBytes: cacheBytes)
  }

  func read(_ image: Image, _ region: Region, _ plane: PlaneIndex = .init()) throws -> [UInt8] {
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(region, of: plane, into: pixels)
    return Array(pixels.bytes)
  }

  /// The same goldens through the public way: positions from 0, the scene's own box.
  @Test func scenesOfGoldens() throws {
    var compared = 0
    for file in CZIFiles.all {
      let image = try Image(at: CZIFiles.path(file))
      let golden = try CZIGolden(file)
      let description = image.description
      let boxes = golden.scenesNoPyramid ?? [:]
      for (index, box) in boxes where !boxes.isEmpty {
        let scene = try #require(description.scenes.first { String($0.index) == index })
        #expect(scene.box == Region(x: box[0], y: box[1], width: box[2], height: box[3]), "\(file)")
      }
      if boxes.isEmpty { #expect(description.scenes.count == 1 && description.scenes[0].index == 0) }
      for plane in golden.planes where plane.maskAware == false {
        // A plane of all scenes is that of the only scene.
        guard let scene = description.scenes.firstIndex(where: { plane.scene == nil || $0.index == plane.scene }),
          plane.scene != nil || description.scenes.count == 1
        else { continue }
        #expect(plane.region == description.scenes[scene].box, "\(file)")
        let further = Dictionary(
          uniqueKeysWithValues: description.furtherDimensions.compactMap { dimension in
            plane.plane[dimension.name].map { (dimension.name, $0) }
          })
        let place = PlaneIndex(
          scene: scene, channel: plane.plane["C"] ?? 0, z: plane.plane["Z"] ?? 0, time: plane.plane["T"] ?? 0,
          further: further)
        let bytes = try read(image, Region(plane.region.size), place)
        #expect(bytes.withUnsafeBytes { sha256Hex($0) } == plane.sha256, "\(file) \(place)")
        #expect(image.hasPixels(in: Region(plane.region.size), of: place))
        compared += 1
      }
    }
    #expect(compared == 426)
  }

  @Test func tilesPutTogetherAreThePlane() throws {
    let image = try Image(at: SharedData.path("czi/synthetic/mosaic_neg_overlap_gray8.czi"), cacheBytes: 1 << 14)
    let size = image.description.scenes[0].size
    let whole = try read(image, Region(size))
    for side in [1, 7, 64, 500] where side > 1 || size.width < 400 {
      var parts = [UInt8](repeating: 1, count: whole.count)
      for y in stride(from: 0, to: size.height, by: side == 1 ? 97 : side) {
        for x in stride(from: 0, to: size.width, by: side) {
          let part = Region(x: x, y: y, width: side, height: side == 1 ? 97 : side)
          let bytes = try read(image, part)
          let inside = part.intersection(Region(size))
          for row in 0..<inside.height {
            for column in 0..<inside.width {
              parts[(y + row) * size.width + x + column] = bytes[row * side + column]
            }
          }
        }
      }
      #expect(parts == whole, "tiles of \(side)")
    }
  }

  @Test func outsideIsZero() throws {
    let folder = try ScratchFolder()
    let image = try image(
      .mosaic([Region(x: -5, y: 7, width: 3, height: 2)]) { _, _, _ in 9 }, folder)
    #expect(
      try read(image, Region(x: -1, y: -1, width: 5, height: 4)) == [
        0, 0, 0, 0, 0, 0, 9, 9, 9, 0, 0, 9, 9, 9, 0, 0, 0, 0, 0, 0,
      ])
    #expect(image.hasPixels(in: Region(x: 2, y: 1, width: 9, height: 9), of: .init()))
    #expect(!image.hasPixels(in: Region(x: 3, y: 0, width: 9, height: 9), of: .init()))
    #expect(try read(image, Region(x: 0, y: 0, width: 0, height: 4)).isEmpty)
  }

  @Test func paintOrderIsSceneTileDirectory() throws {
    func tile(_ value: UInt8, _ positions: KeyValuePairs<String, Int32>) -> CZIFixture.SubBlock {
      .init(Region(x: 0, y: 0, width: 1, height: 1), positions, pixels: [value])
    }
    let folder = try ScratchFolder()
    func first(_ blocks: [CZIFixture.SubBlock]) throws -> UInt8 {
      try read(image(.init(blocks), folder), .init(x: 0, y: 0, width: 1, height: 1))[0]
    }
    #expect(try first([tile(1, ["M": 1]), tile(2, ["M": 0])]) == 1)
    #expect(try first([tile(1, ["M": 0]), tile(2, ["M": 0])]) == 2)
    #expect(try first([tile(1, ["M": 0]), tile(2, [:])]) == 1)
    #expect(try first([tile(1, ["S": 0, "M": 0]), tile(2, ["M": 5])]) == 1)
    #expect(try first([tile(1, ["M": -1]), tile(2, [:])]) == 1)
  }

  @Test func scenesAreSortedAndSeparate() throws {
    func tile(_ x: Int, _ value: UInt8, _ scene: Int32) -> CZIFixture.SubBlock {
      .init(Region(x: x, y: 0, width: 2, height: 1), ["S": scene], pixels: [value, value])
    }
    let folder = try ScratchFolder()
    let xml = """
      <ImageDocument><Metadata><Information><Image><Dimensions><S><Scenes><Scene Index="7" Name="B3"/></Scenes></S>
      </Dimensions></Image></Information></Metadata></ImageDocument>
      """
    let image = try image(.init([tile(1, 9, 7), tile(0, 5, 2), tile(4, 6, 2)], xml: xml), folder)
    #expect(image.description.scenes.map(\.index) == [2, 7])
    #expect(image.description.scenes.map(\.name) == [nil, "B3"])
    #expect(image.description.scenes[0].box == Region(x: 0, y: 0, width: 6, height: 1))
    #expect(try read(image, Region(x: 0, y: 0, width: 6, height: 1)) == [5, 5, 0, 0, 6, 6])
    #expect(try read(image, Region(x: 0, y: 0, width: 2, height: 1), .init(scene: 1)) == [9, 9])
  }

  @Test func planesAreCountedFromTheirMinimum() throws {
    func block(_ c: Int32, _ z: Int32, _ t: Int32, _ h: Int32, _ value: UInt8) -> CZIFixture.SubBlock {
      .init(Region(x: 0, y: 0, width: 1, height: 1), ["C": c, "H": h, "T": t, "Z": z], pixels: [value])
    }
    let folder = try ScratchFolder()
    let image = try image(.init([block(0, 5, -3, 2, 1), block(0, 7, -2, 2, 2), block(1, 5, -3, 4, 3)]), folder)
    let description = image.description
    #expect(description.depth == 3 && description.times == 2 && description.channels.count == 2)
    #expect(description.axes == ["c", "z", "t"])
    #expect(description.furtherDimensions == [.init(name: "H", count: 3)])
    let pixel = Region(x: 0, y: 0, width: 1, height: 1)
    #expect(try read(image, pixel, .init()) == [1])
    #expect(try read(image, pixel, .init(z: 2, time: 1)) == [2])
    #expect(try read(image, pixel, .init(channel: 1, further: ["H": 2])) == [3])
    // Broken off or sparse acquisitions lack planes.
    #expect(try read(image, pixel, .init(z: 1)) == [0])
    #expect(image.hasPixels(in: pixel, of: .init()) && !image.hasPixels(in: pixel, of: .init(z: 1)))
    for plane: PlaneIndex in [
      .init(scene: 1), .init(scene: -1), .init(channel: 2), .init(z: 3), .init(z: -1), .init(time: 2),
      .init(further: ["H": 3]), .init(further: ["V": 0]),
    ] {
      #expect(try #require(throws: ImageError.self) { try read(image, pixel, plane) }.kind == .outOfRange)
      #expect(!image.hasPixels(in: pixel, of: plane))
    }
  }

  @Test func aBoxOfTwoToThe31Pixels() throws {
    let folder = try ScratchFolder()
    let low = -(1 << 30), high = 1 << 30
    let image = try image(
      .mosaic([Region(x: low, y: low, width: 4, height: 4), Region(x: high - 4, y: high - 4, width: 4, height: 4)]) {
        _, _, tile in UInt8(tile + 1)
      }, folder)
    #expect(image.description.scenes[0].size == Size(width: 1 << 31, height: 1 << 31))
    #expect(try read(image, Region(x: 3, y: 3, width: 2, height: 2)) == [1, 0, 0, 0])
    let end = (1 << 31) - 1
    #expect(try read(image, Region(x: end, y: end, width: 2, height: 1)) == [2, 0])
    let empty = Region(x: 1 << 20, y: 1 << 20, width: 1 << 30, height: 1 << 30)
    #expect(!image.hasPixels(in: empty, of: .init()))
    let error = #expect(throws: ImageError.self) {
      try read(image, Region(x: 0, y: 0, width: 1 << 31, height: 1 << 31))
    }
    #expect(error?.kind == .outOfRange)
    for region in [
      Region(x: .max, y: 0, width: .max, height: 1), Region(x: 0, y: .min, width: 1, height: 1),
      Region(x: 0, y: 0, width: -1, height: 4),
    ] {
      #expect(throws: ImageError.self) { try read(image, region) }
      #expect(!image.hasPixels(in: region, of: .init()))
    }
  }

  @Test(arguments: [0, 10, 1 << 20]) func shortAndLongPayloads(_ cacheBytes: Int) throws {
    let folder = try ScratchFolder()
    var short = CZIFixture.SubBlock(Region(x: 0, y: 0, width: 4, height: 3), pixels: [1, 2, 3, 4, 5, 6])
    let all = Region(x: 0, y: 0, width: 4, height: 3)
    #expect(
      try read(image(.init([short]), folder, cacheBytes: cacheBytes), all) == [1, 2, 3, 4, 5, 6]
        + Array(repeating: 0, count: 6))
    short.payload = (1...20).map(UInt8.init)
    #expect(try read(image(.init([short]), folder, cacheBytes: cacheBytes), all) == (1...12).map(UInt8.init))
    let part = Region(x: 1, y: 1, width: 2, height: 2)
    #expect(try read(image(.init([short]), folder, cacheBytes: cacheBytes), part) == [6, 7, 10, 11])
  }

  @Test(arguments: CZIFixture.Compression.allCases.filter { $0 != .jpeg && $0 != .lzw })
  func compressionsByName(_ compression: CZIFixture.Compression) throws {
    let folder = try ScratchFolder()
    let pixels = (0..<64).map { UInt8($0) }
    let block = CZIFixture.SubBlock(
      Region(x: 0, y: 0, width: 8, height: 4), pixelType: 1, compression: compression, pixels: pixels)
    let image = try image(.init([block]), folder)
    #expect(image.description.channels[0].pixelType == .uint16)
    #expect(try read(image, Region(x: 0, y: 0, width: 8, height: 4)) == pixels)
    let name = CZICompression.name(of: compression.code)
    #expect(image.description.compressions == [name])
  }

  @Test(arguments: [3, 4]) func hiLoOfColour(_ pixelType: Int32) throws {
    let folder = try ScratchFolder()
    let pixels = (0..<36).map { UInt8($0 * 7) }
    let region = Region(x: 0, y: 0, width: pixelType == 4 ? 3 : 6, height: 2)
    let block = CZIFixture.SubBlock(region, pixelType: pixelType, compression: .zstd1HiLo, pixels: pixels)
    let image = try image(.init([block]), folder)
    #expect(image.description.channels[0].layout == .bgr)
    if pixelType == 4 {
      #expect(try read(image, region) == pixels)
    } else {
      #expect(throws: ImageError.self) { try read(image, region) }
    }
  }

  @Test func readingFromManyThreads() async throws {
    let image = try Image(at: SharedData.path("czi/synthetic/sparse_40k_gray8_zstd1.czi"), cacheBytes: 100_000)
    let golden = try CZIGolden("synthetic/sparse_40k_gray8_zstd1.czi")
    let origin = image.description.scenes[0].box
    let rois = golden.rois.filter { $0.background?.first == 0 }
    #expect(rois.count == 12)
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for index in 0..<96 {
        let roi = rois[index % rois.count]
        group.addTask {
          let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
          try image.read(roi.region.offsetBy(x: -origin.x, y: -origin.y), of: .init(), into: pixels)
          return sha256Hex(.init(pixels.bytes)) == roi.sha256
        }
      }
      for try await isEqual in group { #expect(isEqual) }
    }
  }
}
