// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// Files that are cut off, changed or made to do harm: errors, never a crash, a hang or too much memory.
@Suite struct TIFFDamageTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  /// Reads parts of every kind of plane, as whole images may be of any size after a change.
  func readParts(_ path: String) throws {
    let image = try Image(at: path)
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    let description = image.description
    for scene in description.scenes.indices.prefix(2) {
      for (level, size) in description.scenes[scene].levels.map(\.size).enumerated() {
        for channel in description.channels.indices.prefix(3) {
          let region = Region(Size(width: min(size.width, 300), height: min(size.height, 300)))
          let plane = PlaneIndex(
            scene: scene, channel: channel, z: description.depth - 1, time: description.times - 1, level: level)
          try image.read(region, of: plane, into: pixels)
        }
      }
    }
  }

  static let files = [
    "syn/tczyx_u16_tiled_deflate_pred.ome.tif", "syn/big_endian_lzw.ome.tif", "syn/f32_zstd_bigtiff.ome.tif",
    "syn/pyramid_subifd_c3_u8_jpeg.ome.tif", "syn/packbits.tif", "syn/planar_rgb.tif", "syn/f32_pred3.tif",
    "syn/imagej_hyperstack_tzc.tif", "multifile-Z1.ome.tiff", "viv_multi-channel_small.ome.tif",
    "qupath/cells-2c.ome.tif", "qupath/cells.tif",
  ]

  @Test(arguments: files) func cutAnywhere(_ name: String) throws {
    let bytes = try Array(SharedData.data("ometiff/\(name)"))
    for length in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 60)) {
      let path = try folder.write(bytes[..<length], to: "cut.tif")
      do { try readParts(path) } catch is ImageError {}
    }
  }

  @Test(arguments: files) func randomBytesChanged(_ name: String) throws {
    let bytes = try Array(SharedData.data("ometiff/\(name)"))
    var random = SeededRandom(seed: 3)
    for round in 0..<120 {
      var changed = bytes
      for _ in 0...round % 8 {
        // Half of the changes hit the start, where many files have their directory.
        let end = Bool.random(using: &random) ? min(bytes.count, 600) : bytes.count
        changed[.random(in: 4..<end, using: &random)] = .random(in: 0...255, using: &random)
      }
      do { try readParts(folder.write(changed, to: "changed.tif")) } catch is ImageError {}
    }
  }

  @Test func damagedTilePoisonsOnlyItself() throws {
    let name = "ometiff/syn/tczyx_u16_tiled_deflate_pred.ome.tif"
    var bytes = try Array(SharedData.data(name))
    // The first tile of the first page; it has 32 x 32 pixels.
    for index in 272..<2202 { bytes[index] = 0xAA }
    let (damaged, whole) = (
      try Image(at: folder.write(bytes, to: "damaged.tif")), try Image(at: SharedData.path(name))
    )
    let (pixels, expected) = (
      PixelBuffer(width: 0, height: 0, type: .uint8), PixelBuffer(width: 0, height: 0, type: .uint8)
    )
    let error = #expect(throws: ImageError.self) {
      try damaged.read(Region(x: 0, y: 0, width: 40, height: 9), of: .init(), into: pixels)
    }
    #expect(error?.kind == .damaged && error?.reason.contains("libtiff") == true && error?.offset != nil)
    for region in [Region(x: 32, y: 0, width: 51, height: 60), Region(x: 0, y: 32, width: 83, height: 28)] {
      try damaged.read(region, of: .init(), into: pixels)
      try whole.read(region, of: .init(), into: expected)
      #expect(Array(pixels.bytes) == Array(expected.bytes))
    }
  }

  @Test func circlesEnd() throws {
    let page = TIFFFixture.Page(Size(width: 8, height: 8), filledWith: 1)
    var fixture = TIFFFixture([page, page])
    fixture.lastNext = fixture.firstOffset
    let error = #expect(throws: ImageError.self) { try Image(at: folder.write(fixture.bytes, to: "circle.tif")) }
    #expect(error?.reason.contains("circle") == true)
    // A level that is the page itself is not smaller.
    fixture = TIFFFixture([page])
    fixture.pages[0].tags[330] = (4, [8, 8, 8])
    #expect(try Image(at: folder.write(fixture.bytes, to: "circle.tif")).description.scenes[0].levels.count == 1)
  }

  @Test func overlappingDirectoriesEnd() throws {
    // Every even position is a directory of thousands of tags, which would take a gigabyte of reading.
    var bytes = Array("II*\0".utf8) + [8, 0, 0, 0]
    for index in 0..<20_000 { bytes += [0x00, 0x08, 0x04, UInt8(index % 256)] }
    let path = try folder.write(bytes, to: "overlap.tif")
    #expect(throws: ImageError.self) { try Image(at: path) }
  }

  static let sizes: [[Int: UInt64]] = [
    [256: 0], [257: 0], [256: 1 << 31, 257: 1 << 31], [256: 1 << 30, 257: 1 << 30, 278: 1 << 30], [277: 60_000],
    [278: 0], [322: 0, 323: 16], [322: 1 << 31, 323: 1 << 31], [259: 5, 256: 1 << 20, 257: 1 << 20],
    [259: 50000, 256: 30_000, 257: 30_000], [259: 7, 256: 60_000, 257: 60_000], [273: 0xFFFF_FFF0],
  ]

  @Test(arguments: sizes) func hugeSizesAllocateNothing(_ tags: [Int: UInt64]) throws {
    var page = TIFFFixture.Page(Size(width: 8, height: 8), filledWith: 1)
    for (tag, value) in tags { page.tags[tag] = (4, [value]) }
    let path = try folder.write(TIFFFixture([page]).bytes, to: "huge.tif")
    let start = ContinuousClock.now
    do { try readParts(path) } catch is ImageError {}
    #expect(ContinuousClock.now - start < .seconds(5))
  }
}
