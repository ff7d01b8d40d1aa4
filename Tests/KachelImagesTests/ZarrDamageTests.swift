// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelPixels
import KachelTesting
import Testing

@testable import KachelImages

/// Arrays that lie, are cut off or are changed at random: refused, or read as something, in bounded memory.
@Suite struct ZarrDamageTests {
  @Test(arguments: [nil, [2, 2]] as [[Int]?]) func damageStaysInItsRegion(shard: [Int]?) throws {
    let folder = try ScratchFolder()
    var fixture = ZarrFixture(shape: [16, 16], chunk: [4, 4]) { $0[0] * 16 + $0[1] }
    (fixture.isChecked, fixture.shard) = (true, shard)
    try fixture.write(to: folder.file("a"))
    try fixture.write(to: folder.file("whole"))
    let file = "a/c/" + (shard == nil ? "1/1" : "0/0")
    var bytes = [UInt8](try Data(contentsOf: URL(filePath: folder.file(file))))
    bytes[shard == nil ? 5 : 3 * 36 + 5] ^= 1
    _ = try folder.write(bytes, to: file)
    let (damaged, whole) = (try Image(at: folder.file("a")), try Image(at: folder.file("whole")))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint16)
    let tiles = (0..<16).map { Region(x: $0 % 4 * 4, y: $0 / 4 * 4, width: 4, height: 4) }
    let error = #expect(throws: ImageError.self) { try damaged.read(tiles[5], of: PlaneIndex(), into: pixels) }
    #expect(error?.kind == .damaged && error?.file == folder.file(file))
    #expect(error?.reason.contains("checksum") == true)
    #expect(try problems(reading: tiles, damaged: [5], of: damaged, like: whole).isEmpty)
  }

  @Test(arguments: [
    ("\"shape\":[16, 16]", "\"shape\":[1e3,16]"), ("\"shape\":[16, 16]", "\"shape\":[0,16]"),
    ("\"shape\":[16, 16]", "\"shape\":[16]"), ("\"shape\":[16, 16]", "\"shape\":[9223372036854775807,16]"),
    ("\"chunk_shape\":[8, 8]", "\"chunk_shape\":[1073741824,1073741824]"),
    ("\"chunk_shape\":[8, 8]", "\"chunk_shape\":[6,8]"), ("\"chunk_shape\":[4, 4]", "\"chunk_shape\":[0,4]"),
    ("\"chunk_shape\":[4, 4]", "\"chunk_shape\":[-4,4]"), ("\"chunk_shape\":[8, 8]", "\"chunk_shape\":[40000,40000]"),
    ("\"chunk_shape\":[4, 4]", "\"chunk_shape\":[4294967296,4294967296]"), ("uint16", "complex64"), ("uint16", "r16"),
    ("regular", "rectilinear"), ("\"order\":[0, 1]", "\"order\":[0,0]"), ("\"order\":[0, 1]", "\"order\":[0,2]"),
    ("\"name\":\"bytes\"", "\"name\":\"vlen-utf8\""), ("\"endian\":\"little\"", "\"endian\":\"middle\""),
    ("\"index_location\":\"end\"", "\"index_location\":\"middle\""), ("sharding_indexed", "sharding_hashed"),
    ("\"attributes\":{}", "\"attributes\":{},\"secret\":{}"), ("\"attributes\":{}", "\"storage_transformers\":[{}]"),
    ("\"name\":\"default\"", "\"name\":\"hashed\""), ("\"separator\":\"/\"", "\"separator\":\"..\""),
    ("\"zarr_format\":3", "\"zarr_format\":4"), ("{\"name\":\"bytes\"", "{\"name\":\"gzip\"},{\"name\":\"bytes\""),
  ]) func hostileMetadata(part: String, replacement: String) throws {
    let folder = try ScratchFolder()
    var fixture = ZarrFixture(shape: [16, 16], chunk: [4, 4]) { _ in 1 }
    fixture.shard = [2, 2]
    try fixture.write(to: folder.file("a"))
    #expect(fixture.metadata.contains(part))
    let changed = fixture.metadata.replacingOccurrences(of: part, with: replacement)
    _ = try folder.write(changed.utf8, to: "a/zarr.json")
    #expect(throws: ImageError.self) { try ZarrArray(folder: folder.file("a")) }
  }

  @Test func imagesThatAreListedTwice() throws {
    let folder = try ScratchFolder()
    try ZarrFixture(shape: [4, 4], chunk: [4, 4]) { _ in 1 }.write(to: folder.file("a/0/0"))
    let image =
      #"{"zarr_format":3,"node_type":"group","attributes":{"ome":{"version":"0.5","multiscales":[{"axes":["#
      + #"{"name":"y"},{"name":"x"}],"datasets":[{"path":"0","coordinateTransformations":["#
      + #"{"type":"scale","scale":[1,1]}]}]}]}}}"#
    _ = try folder.write(image.utf8, to: "a/0/zarr.json")
    func list(_ names: String) throws {
      let group = #"{"zarr_format":3,"node_type":"group","attributes":{"ome":{"version":"0.5","labels":[\#(names)]}}}"#
      _ = try folder.write(group.utf8, to: "a/zarr.json")
    }
    try list(#""0""#)
    #expect(try Image(at: folder.file("a")).description.scenes.count == 1)
    // One image listed thousands of times would be read as often.
    try list(#""0","./0""#)
    let error = #expect(throws: ImageError.self) { try Image(at: folder.file("a")) }
    #expect(error?.kind == .damaged && error?.reason.contains("twice") == true)
  }

  @Test func hostileShardIndex() throws {
    let folder = try ScratchFolder()
    var fixture = ZarrFixture(shape: [8, 8], chunk: [4, 4]) { _ in 1 }
    fixture.shard = [2, 2]
    try fixture.write(to: folder.file("a"))
    let content = [UInt8](repeating: 1, count: 128)
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint16)
    for (offset, count) in [
      (1 << 63, 32), (0, 1 << 63), (UInt64(Int.max), UInt64(Int.max)), (200, 32), (0, 10 << 20), (0, 31),
      (UInt64.max, 32), (0, UInt64.max),
    ] as [(UInt64, UInt64)] {
      var index: [UInt8] = []
      for value in [offset, count, 0, 32, 0, 32, 0, 32] { withUnsafeBytes(of: value.littleEndian) { index += $0 } }
      withUnsafeBytes(of: ZarrFixture.crc32c(index).littleEndian) { index += $0 }
      _ = try folder.write(content + index, to: "a/c/0/0")
      let array = try ZarrArray(folder: folder.file("a"))
      #expect(throws: ImageError.self) { try array.read(Region(x: 0, y: 0, width: 4, height: 4), of: 0, into: pixels) }
      try array.read(Region(x: 4, y: 4, width: 4, height: 4), of: 0, into: pixels)
      #expect(pixels.integer(at: 0) == 257)
    }
  }
}
