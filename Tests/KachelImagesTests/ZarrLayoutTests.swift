// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelPixels
import KachelTesting
import Testing

@testable import KachelImages

/// Arrays of every layout, compared number by number with the formula that they were written from.
@Suite struct ZarrLayoutTests {
  static let types = [
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64",
  ]

  /// An array of a random layout.
  static func random(_ random: inout SeededRandom) -> ZarrFixture {
    let rank = Int.random(in: 2...5, using: &random)
    let shape = (0..<rank).map { _ in Int.random(in: 1...6, using: &random) }
    let chunk = (0..<rank).map { _ in Int.random(in: 1...5, using: &random) }
    let type = types.randomElement(using: &random) ?? "uint8"
    let salt = Int.random(in: 0...999, using: &random)
    var fixture = ZarrFixture(shape: shape, chunk: chunk) { position in
      let number = position.reduce(salt) { $0 * 7 + $1 } % 2000
      return type == "bool" ? number & 1 : type.hasSuffix("8") ? number % 120 : number
    }
    fixture.type = type
    fixture.version = Bool.random(using: &random) ? 2 : 3
    fixture.isBigEndian = Bool.random(using: &random)
    fixture.isZstandard = Bool.random(using: &random)
    fixture.separator = Bool.random(using: &random) ? "/" : "."
    fixture.fill = type == "bool" ? "true" : "1"
    fixture.isMissing = { $0.reduce(salt, +) % 4 == 0 }
    if fixture.version == 2 {
      if Bool.random(using: &random) { fixture.order.reverse() }
    } else {
      fixture.order.shuffle(using: &random)
      fixture.isChecked = Bool.random(using: &random)
      fixture.hasOldKeys = Bool.random(using: &random)
      if Bool.random(using: &random) {
        fixture.shard = (0..<rank).map { _ in Int.random(in: 1...3, using: &random) }
        fixture.isIndexAtStart = Bool.random(using: &random)
      }
    }
    return fixture
  }

  static func expected(_ fixture: ZarrFixture, _ position: [Int]) -> Int {
    fixture.isMissing(zip(position, fixture.chunk).map { $0 / $1 }) ? 1 : fixture.value(position)
  }

  @Test(arguments: 0..<120) func everyLayout(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let fixture = Self.random(&random)
    let folder = try ScratchFolder()
    try fixture.write(to: folder.file("a"))
    // Without a cache too.
    let array = try ZarrArray(folder: folder.file("a"), cacheBytes: seed % 3 == 0 ? 0 : 1 << 20)
    #expect(array.shape == fixture.shape && array.chunkShape == fixture.chunk)
    #expect(array.type.rawValue == ["bool": "uint8", "float16": "float32"][fixture.type] ?? fixture.type)
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    let planes = ZarrFixture.positions(fixture.shape.dropLast(2))
    for (number, plane) in planes.enumerated() {
      let x = Int.random(in: 0..<array.size.width, using: &random)
      let y = Int.random(in: 0..<array.size.height, using: &random)
      let region = Region(
        x: x, y: y, width: Int.random(in: 1...array.size.width - x, using: &random),
        height: Int.random(in: 1...array.size.height - y, using: &random))
      try array.read(region, of: number, into: pixels)
      var wrong = 0
      for row in 0..<region.height {
        for column in 0..<region.width
        where pixels.integer(at: row * region.width + column)
          != Self.expected(fixture, plane + [y + row, x + column])
        {
          wrong += 1
        }
      }
      #expect(wrong == 0, "\(fixture.metadata)")
    }
  }

  @Test(arguments: [
    ("float32", "\"NaN\"", "nan"), ("float64", "\"Infinity\"", "inf"), ("float32", "\"-Infinity\"", "-inf"),
    ("float64", "NaN", "nan"), ("float32", "\"0x3fc00000\"", "1.5"), ("float16", "\"0x3e00\"", "1.5"),
    ("float32", "-2.5", "-2.5"), ("uint64", "18446744073709551615", "18446744073709551615"), ("int8", "-128", "-128"),
    ("int64", "-9223372036854775808", "-9223372036854775808"), ("uint16", "\"7\"", "7"), ("uint16", "7.0", "7"),
    ("uint8", "null", "0"), ("bool", "true", "1"), ("int32", "\"\"", "0"),
  ]) func everyFillValue(type: String, fill: String, expected: String) throws {
    let folder = try ScratchFolder()
    for version in [2, 3] {
      var fixture = ZarrFixture(shape: [3, 4], chunk: [2, 3]) { _ in 9 }
      (fixture.type, fixture.fill, fixture.version, fixture.isMissing) = (type, fill, version, { $0 != [1, 1] })
      try fixture.write(to: folder.file("\(version)"))
      let array = try ZarrArray(folder: folder.file("\(version)"))
      let pixels = PixelBuffer(width: 0, height: 0, type: array.type)
      try array.read(Region(array.size), of: 0, into: pixels)
      let text =
        switch array.type {
        case .float32: "\(pixels.values(as: Float.self)[5])"
        case .float64: "\(pixels.values(as: Double.self)[5])"
        case .uint64: "\(pixels.values(as: UInt64.self)[5])"
        default: "\(pixels.integer(at: 5))"
        }
      #expect((Double(text).map { $0 == $0.rounded() && abs($0) < 1e15 ? "\(Int($0))" : text } ?? text) == expected)
      #expect(pixels.integer(at: 11) == (type == "bool" ? 1 : 9))
    }
  }

  @Test(arguments: [
    ("uint8", "256"), ("uint8", "-1"), ("int16", "1.5"), ("uint32", "\"NaN\""), ("float32", "\"none\""),
    ("float32", "[1]"), ("float32", "\"0x00\""),
  ]) func fillValuesThatAreNone(type: String, fill: String) throws {
    let folder = try ScratchFolder()
    var fixture = ZarrFixture(shape: [3, 4], chunk: [2, 3]) { _ in 9 }
    (fixture.type, fixture.fill) = (type, fill)
    try fixture.write(to: folder.file("a"))
    let error = #expect(throws: ImageError.self) { try ZarrArray(folder: folder.file("a")) }
    #expect(error?.kind == .damaged && error?.reason.contains("fill value") == true)
  }

  @Test func halfPrecision() {
    for (bits, value) in [
      (0x3C00, 1), (0xC000, -2), (0x7BFF, 65504), (0x0400, 0x1p-14), (0x0001, 0x1p-24), (0x03FF, 1023 * 0x1p-24),
      (0x7C00, .infinity), (0xFC00, -.infinity), (0, 0), (0x3555, 0.333_251_95),
    ] as [(UInt16, Float)] {
      #expect(Float(halfBits: bits) == value)
    }
    #expect(Float(halfBits: 0x7E00).isNaN)
  }

  @Test func checksum() {
    #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xE306_9283)
    #expect(CRC32C.checksum([]) == 0)
    // The examples of RFC 3720, B.4, and every length below three words against the definition.
    #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(CRC32C.checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(CRC32C.checksum([UInt8](0..<32)) == 0x46DD_794E)
    for count in 0..<24 {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 37 + 11) }
      var value = ~0 as UInt32
      for byte in bytes {
        value ^= UInt32(byte)
        for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
      }
      #expect(CRC32C.checksum(bytes) == ~value && CRC32C.checksum(([7] + bytes).dropFirst()) == ~value)
    }
  }

  @Test func whatKachelWritesReadsBack() throws {
    let folder = try ScratchFolder()
    let output = try PendingOutput(path: folder.file("a"), overwrite: false)
    let written = OutputImage(
      name: "result", content: .labels([]), scenes: [.init(size: Size(width: 1300, height: 1500))],
      channels: [.init(name: "a", pixelType: .uint16)], times: .init(count: 2), pixelSize: .init(x: 0.25, y: 0.5))
    let writer = try ImageWriter(written, to: output, as: .omeZarr())
    let pixels = PixelBuffer(width: 1300, height: 1500, type: .uint16)
    for index in 0..<pixels.size.area { pixels.values(as: UInt16.self)[index] = UInt16(index % 50_021) }
    try writer.write(pixels, at: Region(pixels.size), of: PlaneIndex(time: 1))
    try writer.finish(scene: 0)
    try output.commit()
    let image = try Image(at: folder.file("a"))
    #expect(
      image.description.times == 2 && image.description.axes == ["t"] && image.description.compressions == ["zstd"])
    #expect(image.description.physicalSize == .init(x: 0.25, y: 0.5))
    #expect(image.description.channels.map(\.name) == ["Labels"])
    #expect(image.description.scenes[0].levels.map(\.downsampling) == [1, 2, 4])
    let back = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(Region(pixels.size), of: PlaneIndex(time: 1), into: back)
    #expect(back.bytes.elementsEqual(pixels.bytes))
    try image.read(Region(pixels.size), of: PlaneIndex(), into: back)
    #expect(back.isZero)
    let again = try ZarrArray(folder: folder.file("a/2"))
    #expect(again.size == Size(width: 325, height: 375))
    for (level, size) in writer.levels(of: 0).enumerated() {
      try ZarrArray(folder: folder.file("a/\(level)")).read(Region(size), of: 1, into: pixels)
      try image.read(Region(size), of: PlaneIndex(time: 1, level: level), into: back)
      #expect(back.bytes.elementsEqual(pixels.bytes))
    }
  }

  /// Many threads, one cache that holds less than a plane.
  @Test func concurrentReads() async throws {
    let folder = try ScratchFolder()
    var fixture = ZarrFixture(shape: [2, 120, 130], chunk: [1, 16, 16]) { $0.reduce(3) { $0 * 31 + $1 } % 2000 }
    (fixture.shard, fixture.isZstandard, fixture.isMissing) = ([1, 3, 2], true, { $0[1] == 2 })
    fixture.fill = "1"
    try fixture.write(to: folder.file("a"))
    let array = try ZarrArray(folder: folder.file("a"), cacheBytes: 5000)
    let wrong = try await withThrowingTaskGroup(of: Int.self) { group in
      for worker in 0..<8 {
        group.addTask {
          var random = SeededRandom(seed: UInt64(worker)), wrong = 0
          let pixels = PixelBuffer(width: 0, height: 0, type: .uint16)
          for _ in 0..<60 {
            let plane = Int.random(in: 0..<2, using: &random)
            let region = Region(
              x: Int.random(in: 0..<100, using: &random), y: Int.random(in: 0..<90, using: &random), width: 30,
              height: 30)
            try array.read(region, of: plane, into: pixels)
            for index in 0..<region.area {
              let position = [plane, region.y + index / 30, region.x + index % 30]
              let isMissing = position[1] / 16 == 2
              let value = isMissing ? 1 : position.reduce(3) { $0 * 31 + $1 } % 2000
              if pixels.integer(at: index) != value { wrong += 1 }
            }
          }
          return wrong
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(wrong == 0)
  }
}
