// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelPixels
import KachelTesting
import Testing

@testable import KachelImages

/// Arrays that lie, are cut off or are changed at random: refused, or read as something, in bounded memory.
@Suite struct ZarrDamageTests {
  private static func readAll(_ folder: String) throws {
    let array = try ZarrArray(folder: folder)
    let pixels = PixelBuffer(width: 0, height: 0, type: array.type)
    // A changed shape may be huge.
    let region = Region(
      x: 0, y: 0, width: min(array.size.width, 300), height: min(array.size.height, 300))
    for plane in 0..<min(array.planes, 4) { try array.read(region, of: plane, into: pixels) }
  }

  /// Changes bytes of one file after the other in a copy of an array.
  static func mutate(_ source: String, seed: UInt64, rounds: Int) throws -> (read: Int, refused: Int) {
    let scratch = try ScratchFolder()
    let folder = scratch.file("a")
    try FileManager.default.copyItem(atPath: source, toPath: folder)
    let files = try FileManager.default.subpathsOfDirectory(atPath: folder).sorted().map { folder + "/" + $0 }
      .filter { (try? FileManager.default.attributesOfItem(atPath: $0)[.type] as? FileAttributeType) == .typeRegular }
    var random = SeededRandom(seed: seed)
    var (read, refused) = (0, 0)
    for _ in 0..<rounds {
      // Metadata and chunks alike.
      let isMetadata = { (name: String) in name.hasSuffix("zarray") || name.hasSuffix("json") }
      let pool = Bool.random(using: &random) ? files.filter(isMetadata) : files
      guard let file = pool.randomElement(using: &random) else { continue }
      let original = try Data(contentsOf: URL(filePath: file))
      var bytes = [UInt8](original)
      for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 2: bytes.removeSubrange(place...)
        case 3: bytes.insert(bytes[place], at: place)
        // The headers of chunks are at their start.
        default: bytes[place % min(16, bytes.count)] = UInt8.random(in: 0...255, using: &random)
        }
      }
      try Data(bytes).write(to: URL(filePath: file))
      do {
        try readAll(folder)
        read += 1
      } catch is ImageError {
        refused += 1
      }
      try original.write(to: URL(filePath: file))
    }
    return (read, refused)
  }

  static let arrays = [
    "shard_v3.zarr", "v2_codecs/blosc_lz4_sh1.zarr", "v2_codecs/blosc_lz4_bit.zarr", "v2_codecs/blosc_zstd_sh1.zarr",
    "v2_codecs/blosc_zlib_sh0.zarr", "v2_codecs/blosc_lz4hc_sh1.zarr", "v2_codecs/blosc_blosclz_sh1.zarr",
    "v2_codecs/zlib.zarr", "v2_codecs/gzip.zarr", "v2_codecs/lz4.zarr", "v2_codecs/zstd.zarr", "v3_codecs/blosc.zarr",
    "v3_codecs/gzip.zarr", "v3_codecs/transpose.zarr",
  ]

  @Test(arguments: arrays) func changedBytes(name: String) throws {
    let (read, refused) = try Self.mutate(SharedData.path("omezarr/ref/" + name), seed: 7, rounds: 150)
    #expect(read + refused == 150 && refused > 0)
  }

  @Test func changedAttributes() throws {
    let scratch = try ScratchFolder()
    let folder = scratch.file("a")
    try FileManager.default.copyItem(atPath: SharedData.path("omezarr/ref/v05.ome.zarr"), toPath: folder)
    let file = URL(filePath: folder + "/zarr.json")
    let original = [UInt8](try Data(contentsOf: file))
    var random = SeededRandom(seed: 3)
    for _ in 0..<200 {
      var bytes = original
      for _ in 0..<3 {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        if Bool.random(using: &random) {
          bytes[place] = UInt8.random(in: 32..<127, using: &random)
        } else {
          bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...40, using: &random)))
        }
      }
      try Data(bytes).write(to: file)
      do {
        let image = try Image(at: folder)
        let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
        try image.read(Region(x: 0, y: 0, width: 20, height: 20), of: PlaneIndex(), into: pixels)
      } catch is ImageError {}
    }
  }

  @Test(arguments: [nil, [2, 2]] as [[Int]?]) func damageStaysInItsRegion(shard: [Int]?) throws {
    let folder = try ScratchFolder()
    var fixture = ZarrFixture(shape: [16, 16], chunk: [4, 4]) { $0[0] * 16 + $0[1] }
    (fixture.isChecked, fixture.shard) = (true, shard)
    try fixture.write(to: folder.file("a"))
    let file = "a/c/" + (shard == nil ? "1/1" : "0/0")
    var bytes = [UInt8](try Data(contentsOf: URL(filePath: folder.file(file))))
    bytes[shard == nil ? 5 : 3 * 36 + 5] ^= 1
    _ = try folder.write(bytes, to: file)
    let array = try ZarrArray(folder: folder.file("a"))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint16)
    for y in 0..<4 {
      for x in 0..<4 {
        let region = Region(x: x * 4, y: y * 4, width: 4, height: 4)
        if x == 1 && y == 1 {
          let error = #expect(throws: ImageError.self) { try array.read(region, of: 0, into: pixels) }
          #expect(error?.kind == .damaged && error?.file == folder.file(file))
          #expect(error?.reason.contains("checksum") == true)
        } else {
          try array.read(region, of: 0, into: pixels)
          #expect(pixels.integer(at: 5) == (y * 4 + 1) * 16 + x * 4 + 1)
        }
      }
    }
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

  @Test func deepAndOddJSON() throws {
    for text in [
      String(repeating: "[", count: 100_000), "{\"a\":}", "[1,]", "tru", "\"\\u12\"", "\"\\x\"", "\"", "1 2", "", "[1",
      "{",
      "{\"a\"", "{\"a\" 1}", "0x10", "--1", "\\", "+1",
    ] {
      #expect(throws: JSONValue.Failure.self) { try JSONValue(Array(text.utf8)) }
    }
    let value = try JSONValue(Array(#" {"a":[1,-2.5e1,true,null,NaN],"\u00e9\ud83d\ude00\n":"x\/"} "#.utf8))
    #expect(value["a"]?.array?.count == 5 && value["a"]?.array?[1].double == -25 && value["é😀\n"]?.string == "x/")
  }
}
