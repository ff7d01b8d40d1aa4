// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// The pyramids of CZI files as levels, and the masks of valid pixels on their tiles.
@Suite struct CZILevelTests {
  func read(_ image: Image, _ region: Region, _ plane: PlaneIndex) throws -> [UInt8] {
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(region, of: plane, into: pixels)
    return Array(pixels.bytes)
  }

  func image(_ blocks: [CZIFixture.SubBlock]) throws -> Image {
    let folder = try ScratchFolder()
    return try Image(at: folder.write(CZIFixture(blocks).bytes, to: "test.czi"))
  }

  @Test func levelsAreTheirComposedSubBlocks() throws {
    let path = try SharedData.path("czi/synthetic/raw_pyramid_2scenes_gray8.czi")
    let image = try Image(at: path)
    let compositor = try CZICompositor(at: path)
    let scenes = image.description.scenes
    #expect(scenes[0].levels.map(\.downsampling) == [1, 2, 4, 8])
    #expect(scenes[0].levels.map(\.size.width) == [512, 256, 128, 64])
    #expect(scenes[1].levels.map(\.size).first == Size(width: 256, height: 384))
    for (index, scene) in scenes.enumerated() {
      for (level, resolution) in scene.levels.enumerated() {
        let factor = Int(resolution.downsampling), size = resolution.size
        var expected = [UInt8](repeating: 0, count: size.area)
        for block in compositor.directory.subBlocks
        where Int(block.scene) == scene.index && block.width == factor * Int(block.storedWidth) {
          let pixels = try compositor.decoder.decode(block)
          let left = (Int(block.x) - scene.box.x) / factor, top = (Int(block.y) - scene.box.y) / factor
          for y in 0..<Int(block.storedHeight) where top + y < size.height {
            for x in 0..<Int(block.storedWidth) where left + x < size.width {
              expected[(top + y) * size.width + left + x] = pixels[y * Int(block.storedWidth) + x]
            }
          }
        }
        let found = try read(image, Region(size), .init(scene: index, level: level))
        #expect(found == expected, "scene \(index), level \(level)")
        // Any region is that part of the whole.
        let part = Region(x: size.width / 3, y: size.height / 4, width: size.width / 2, height: size.height / 2)
        let row = try read(image, part, .init(scene: index, level: level))
        for y in 0..<part.height {
          let start = (part.y + y) * size.width + part.x
          #expect(Array(row[y * part.width..<(y + 1) * part.width]) == Array(expected[start..<start + part.width]))
        }
        if level > 0 {
          try expectSimilar(found, size, to: image, scene: index, factor: factor)
        }
      }
    }
  }

  /// Compares with the means of the pixels of full resolution.
  func expectSimilar(_ pixels: [UInt8], _ size: Size, to image: Image, scene: Int, factor: Int) throws {
    let full = image.description.scenes[scene].size
    let all = try read(image, Region(full), .init(scene: scene))
    var difference = 0
    // Some of the pixels are enough, and tests are not optimised.
    for y in stride(from: 0, to: size.height, by: 8) {
      for x in stride(from: 0, to: size.width, by: 8) {
        var sum = 0
        for dy in 0..<factor {
          for dx in 0..<factor { sum += Int(all[(y * factor + dy) * full.width + x * factor + dx]) }
        }
        difference += abs(Int(pixels[y * size.width + x]) - sum / factor / factor)
      }
    }
    #expect(64 * difference / size.area < 24, "scene \(scene), factor \(factor): \(64 * difference / size.area)")
  }

  @Test func aRealPyramidWithItsMask() throws {
    let path = try SharedData.path("czi/real/1_tileregion.czi")
    let image = try Image(at: path)
    #expect(
      image.description.scenes[0].levels == [
        .init(size: Size(width: 1480, height: 570), downsampling: 1, tile: Size(width: 400, height: 300)),
        .init(size: Size(width: 740, height: 285), downsampling: 2, tile: Size(width: 740, height: 285)),
      ])
    let compositor = try CZICompositor(at: path)
    let block = compositor.directory.subBlocks[7]
    let mask = try #require(try compositor.decoder.mask(of: block))
    var valid = 0
    var expected = try compositor.decoder.decode(block)
    for y in 0..<285 {
      for x in 0..<740 {
        if mask.isValid(x: x, y: y) {
          valid += 1
        } else {
          expected.replaceSubrange((y * 740 + x) * 2..<(y * 740 + x) * 2 + 2, with: [0, 0])
        }
      }
    }
    #expect(valid == 186465)
    #expect(try read(image, Region(x: 0, y: 0, width: 740, height: 285), .init(level: 1)) == expected)
    let golden = try CZIGolden("real/1_tileregion.czi").subblocks[7].sha256
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try compositor.compose(
      Region(x: 0, y: 0, width: 740, height: 285), plane: 0, scene: 0, type: .gray16,
      grid: CZIGrid(x: 118583, y: 88865, factor: 2), usesMasks: false, into: pixels)
    #expect(sha256Hex(.init(pixels.bytes)) == golden)
    for index in 0..<7 { #expect(try compositor.decoder.mask(of: compositor.directory.subBlocks[index]) == nil) }
  }

  @Test func everyLevelOfEveryFile() throws {
    var levels = 0
    for file in CZIFiles.all {
      let image = try Image(at: CZIFiles.path(file))
      for (index, scene) in image.description.scenes.enumerated() {
        #expect(scene.levels[0].size == scene.size && scene.levels[0].downsampling == 1)
        for level in scene.levels.indices.dropFirst() {
          let size = scene.levels[level].size
          let bytes = try read(image, Region(size), .init(scene: index, level: level))
          #expect(
            bytes.contains { $0 != 0 } && image.hasPixels(in: Region(size), of: .init(scene: index, level: level)))
          levels += 1
        }
        #expect(throws: ImageError.self) {
          try read(image, Region(x: 0, y: 0, width: 1, height: 1), .init(scene: index, level: scene.levels.count))
        }
      }
    }
    #expect(levels > 5)
  }

  static let full = CZIFixture.SubBlock(
    Region(x: -9, y: 4, width: 18, height: 9), ["C": 0], pixels: Array(repeating: 5, count: 162))

  static func third(_ x: Int, _ width: Int, _ value: UInt8) -> CZIFixture.SubBlock {
    CZIFixture.reduced(
      Region(x: x, y: 4, width: 3 * width, height: 9), Size(width: width, height: 3), ["C": 0],
      pixels: Array(repeating: value, count: 3 * width))
  }

  @Test func aThirdOfTheSize() throws {
    let image = try image([Self.third(0, 3, 8), Self.full, Self.third(-9, 3, 7)])
    #expect(image.description.scenes[0].levels.map(\.downsampling) == [1, 3])
    #expect(image.description.scenes[0].levels[1].size == Size(width: 6, height: 3))
    #expect(
      try read(image, Region(x: 1, y: 2, width: 6, height: 2), .init(level: 1)) == [7, 7, 8, 8, 8, 0, 0, 0, 0, 0, 0, 0])
    #expect(
      image.coveredRegions(in: Region(x: 2, y: 0, width: 9, height: 9), of: .init(level: 1)).sorted { $0.x < $1.x } == [
        Region(x: 2, y: 0, width: 1, height: 3), Region(x: 3, y: 0, width: 3, height: 3),
      ])
    #expect(!image.hasPixels(in: Region(x: 6, y: 0, width: 9, height: 9), of: .init(level: 1)))
  }

  @Test func incompleteOrUnreadableLevelsAreNotOffered() throws {
    func factors(_ blocks: [CZIFixture.SubBlock]) throws -> [Double] {
      try image([Self.full] + blocks).description.scenes[0].levels.map(\.downsampling)
    }
    let left = Self.third(-9, 3, 7), right = Self.third(0, 3, 8)
    #expect(try factors([left, right]) == [1, 3])
    #expect(try factors([left]) == [1])
    var other = right
    other.compression = 1001
    #expect(try factors([left, other]) == [1])
    (other.compression, other.pixelType) = (0, 1)
    #expect(try factors([left, right, other]) == [1])
    other = right
    other.filePart = 1
    #expect(try factors([left, other]) == [1])
    other = right
    other.dimensions[2].start = 3
    #expect(try factors([left, other]) == [1])
    other = right
    other.declaredPosition = 1 << 40
    #expect(try factors([left, other]) == [1])
    // Neither a power of 2 nor of 3.
    #expect(
      try factors([
        CZIFixture.reduced(
          Region(x: -9, y: 4, width: 18, height: 9), Size(width: 7, height: 5), ["C": 0], pixels: Array(0..<35))
      ]) == [1])
  }

  static let schema =
    "<METADATA><AttachmentSchema><DataFormat>CHUNKCONTAINER</DataFormat></AttachmentSchema></METADATA>"

  /// An attachment with another chunk, then a mask.
  static func mask(_ rows: [UInt8], width: Int32 = 6, height: Int32 = 3) -> [UInt8] {
    var chunk = ByteList()
    chunk.bytes += Array(repeating: 9, count: 16)
    chunk.append(2)
    chunk.bytes += [1, 2]
    chunk.bytes += [
      0x67, 0xEA, 0xE3, 0xCB, 0xFC, 0x5B, 0x2B, 0x49, 0xA1, 0x6A, 0xEC, 0xE3, 0x78, 0x03, 0x14, 0x48,
    ]
    chunk.append(Int32(16 + rows.count))
    for number in [width, height, 0, 1] { chunk.append(number) }
    return chunk.bytes + rows
  }

  /// A file with a level of two tiles, one of which has a mask.
  static let masked: CZIFixture = {
    var masked = third(-9, 6, 7)
    (masked.attachment, masked.metadata) = (mask([0b1010_0100, 0, 0b1111_1100]), schema)
    return CZIFixture([full, masked, third(0, 3, 8)])
  }()

  @Test func masksByHand() throws {
    func level(_ attachment: [UInt8], _ metadata: String = Self.schema) throws -> [UInt8] {
      var top = Self.third(-9, 6, 7)
      (top.attachment, top.metadata) = (attachment, metadata)
      return try read(
        image([Self.full, Self.third(-9, 6, 3), top]), Region(x: 0, y: 0, width: 6, height: 3), .init(level: 1))
    }
    let bits: [UInt8] = [0b1010_0100, 0, 0b1111_1100]
    let masked: [UInt8] = [7, 3, 7, 3, 3, 7, 3, 3, 3, 3, 3, 3, 7, 7, 7, 7, 7, 7]
    let whole = [UInt8](repeating: 7, count: 18)
    #expect(try level(Self.mask(bits)) == masked)
    #expect(try level(Self.mask(bits), "<METADATA/>") == whole)
    #expect(try level(Self.mask(bits), "no XML") == whole)
    #expect(try level(Self.mask(bits, width: 5)) == whole)
    #expect(try level([]) == whole)
    #expect(throws: ImageError.self) { try level(Self.mask(Array(bits.dropLast()))) }
    #expect(throws: ImageError.self) { try level(Self.mask(bits, width: -5)) }
    #expect(throws: ImageError.self) { try level(Self.mask(bits, height: .max)) }
  }

  private struct ByteList {
    var bytes: [UInt8] = []
    mutating func append(_ value: Int32) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
  }

  @Test func factors() {
    func factor(_ width: Int, _ height: Int, _ storedWidth: Int, _ storedHeight: Int) -> Int32 {
      CZIGrid.factor(size: Size(width: width, height: height), stored: Size(width: storedWidth, height: storedHeight))
    }
    #expect(factor(7, 9, 7, 9) == 1)
    #expect(factor(2048, 1000, 1024, 500) == 2 && factor(2049, 1, 1024, 1) == 2 && factor(5, 5, 3, 3) == 2)
    #expect(factor(900, 9, 300, 3) == 3 && factor(1000, 700, 250, 175) == 4 && factor(8, 8, 1, 1) == 8)
    #expect(factor(81_000, 8_100, 1_000, 100) == 81 && factor(1_030_000, 1024, 1_000, 1) == 1024)
    #expect(factor(600, 600, 100, 100) == 0 && factor(100, 100, 200, 200) == 0 && factor(1000, 1000, 500, 100) == 0)
    #expect(factor(1 << 30, 1 << 30, 1, 1) == 0)
  }
}
