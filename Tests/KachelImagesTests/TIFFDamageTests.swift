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
      _ = try DamageProbe.open(path)
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
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    let error = #expect(throws: ImageError.self) {
      try damaged.read(Region(x: 0, y: 0, width: 40, height: 9), of: .init(), into: pixels)
    }
    #expect(error?.kind == .damaged && error?.reason.contains("libtiff") == true && error?.offset != nil)
    let tiles = [
      Region(x: 0, y: 0, width: 40, height: 9), Region(x: 31, y: 31, width: 2, height: 2),
      Region(x: 32, y: 0, width: 51, height: 60), Region(x: 0, y: 32, width: 83, height: 28),
      Region(x: 32, y: 0, width: 9, height: 9), Region(x: 64, y: 32, width: 19, height: 28),
    ]
    #expect(try problems(reading: tiles, damaged: [0, 1], of: damaged, like: whole).isEmpty)
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

  @Test func theFirstOfATagCounts() throws {
    var bytes = TIFFFixture([.init(Size(width: 8, height: 8), filledWith: 1)]).bytes
    // The planar configuration, 1, becomes another width.
    let entry = try #require(bytes.firstRange(of: [0x1C, 0x01, 3, 0, 1, 0, 0, 0])).lowerBound
    bytes.replaceSubrange(entry..<entry + 2, with: [0, 1])
    let image = try Image(at: folder.write(bytes, to: "twice.tif"))
    #expect(image.description.scenes[0].size == Size(width: 8, height: 8))
  }

  /// 64 levels whose directories lie over each other, a few bytes apart.
  @Test func overlappingLevelsEnd() throws {
    var page = TIFFFixture.Page(Size(width: 8, height: 8), filledWith: 1)
    page.tags[330] = (4, (0..<64).map { 1000 + 12 * $0 })
    var bytes = TIFFFixture([page]).bytes
    bytes += [UInt8](repeating: 0, count: 1000 - bytes.count)
    // Widths and heights of 2, behind each of which stands the number of tags of the directory that begins there.
    bytes += [100, 0]
    for index in 0..<170 { bytes += [UInt8(index % 2), 1, 3, 0, 1, 0, 0, 0, 2, 0, 100, 0] }
    let error = #expect(throws: ImageError.self) { try Image(at: folder.write(bytes, to: "overlap.tif")) }
    #expect(error?.reason.contains("overlap") == true, "\(String(describing: error))")
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
    _ = try DamageProbe.open(path)
    #expect(ContinuousClock.now - start < .seconds(5))
  }
}
