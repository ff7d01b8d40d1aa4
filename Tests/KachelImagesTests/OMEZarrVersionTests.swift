// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelPixels
import KachelTesting
import Testing

@testable import KachelImages

/// Both versions, with and without shards: what is written is read back bit for bit, and is the same bytes whatever the
/// order in which it came.
@Suite struct OMEZarrVersionTests {
  static let ways = [
    OMEZarrOptions(version: .v04, chunkSide: 64, levels: 3), OMEZarrOptions(version: .v05, chunkSide: 64, levels: 3),
    OMEZarrOptions(version: .v05, chunkSide: 64, shardSide: 128, levels: 3),
    OMEZarrOptions(version: .v05, chunkSide: 200, shardSide: 600, levels: 3),
  ]

  static let size = Size(width: 301, height: 201)

  /// Patterns in areas of zeros, so that there are empty chunks and empty shards.
  static func pixels(_ plane: Int, type: PixelType) -> PixelBuffer {
    let pixels = PixelBuffer(width: size.width, height: size.height, type: type)
    pixels.fill(byte: 0)
    for y in 0..<140 {
      for x in 0..<size.width where x / 128 % 2 == plane {
        for byte in 0..<type.size {
          pixels.bytes[(y * size.width + x) * type.size + byte] = UInt8((x / 5 + y / 3 + byte + plane) % 60)
        }
      }
    }
    return pixels
  }

  /// Regions that cover a plane and match no chunk.
  static func regions() -> [Region] {
    stride(from: 0, to: size.height, by: 70).flatMap { y in
      stride(from: 0, to: size.width, by: 111).map { x in
        Region(x: x, y: y, width: 111, height: 70).intersection(Region(size))
      }
    }
  }

  static func write(
    _ path: String, _ options: OMEZarrOptions, type: PixelType, isLabels: Bool, regions: [Region],
    cacheBytes: Int = 64 << 20
  ) throws {
    let output = try PendingOutput(path: path, overwrite: false)
    let image = OutputImage(
      name: "result", content: isLabels ? .labels([]) : .intensities, scenes: [.init(size: size)],
      channels: [.init(name: "a", pixelType: type)], times: .init(count: 2), axes: ["t", "z"],
      pixelSize: .init(x: 0.5, y: 0.25))
    let writer = try ImageWriter(image, to: output, as: .omeZarr(options), cacheBytes: cacheBytes)
    let part = PixelBuffer(width: 0, height: 0, type: type)
    for time in 0..<2 {
      let whole = pixels(time, type: type)
      for region in regions {
        part.reshape(width: region.width, height: region.height, samples: 1, type: type)
        part.copy(region, of: whole, toX: 0, y: 0)
        try writer.write(part, at: region, of: PlaneIndex(time: time))
      }
    }
    try writer.finish(scene: 0)
    try writer.finish()
    try output.commit()
  }

  @Test(arguments: ways, PixelType.allCases) func everyTypeComesBack(options: OMEZarrOptions, type: PixelType) throws {
    let folder = try ScratchFolder()
    let isLabels = !type.isFloatingPoint
    try Self.write(folder.file("a"), options, type: type, isLabels: isLabels, regions: Self.regions())
    let image = try Image(at: folder.file("a"))
    #expect(image.description.channels.map(\.pixelType) == [type] && image.description.times == 2)
    #expect(image.description.axes == ["t", "z"] && image.description.physicalSize == .init(x: 0.5, y: 0.25, z: nil))
    #expect(image.description.scenes[0].levels.map(\.downsampling) == [1, 2, 4])
    let back = PixelBuffer(width: 0, height: 0, type: type), below = PixelBuffer(width: 0, height: 0, type: type)
    for time in 0..<2 {
      var expected = Self.pixels(time, type: type)
      for (level, step) in image.description.scenes[0].levels.enumerated() {
        try image.read(Region(step.size), of: PlaneIndex(time: time, level: level), into: back)
        #expect(back.isSame(as: expected), "level \(level)")
        if isLabels { Downsample.mode(expected, into: below) } else { Downsample.mean(expected, into: below) }
        let copy = PixelBuffer(width: below.width, height: below.height, type: type)
        copy.bytes.copyMemory(from: UnsafeRawBufferPointer(below.bytes))
        expected = copy
      }
    }
  }

  /// All files of a folder.
  static func content(_ folder: String) throws -> [String: Data] {
    var content: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
      content[name] = try? Data(contentsOf: URL(filePath: folder + "/" + name))
    }
    return content
  }

  /// Regions backwards and forwards, with room for every chunk and for one.
  @Test(arguments: ways) func theSameBytesInAnyOrder(options: OMEZarrOptions) throws {
    let folder = try ScratchFolder()
    let regions = Self.regions()
    try Self.write(folder.file("a"), options, type: .uint16, isLabels: true, regions: regions)
    try Self.write(
      folder.file("b"), options, type: .uint16, isLabels: true, regions: regions.reversed(), cacheBytes: 0)
    let a = try Self.content(folder.file("a")), b = try Self.content(folder.file("b"))
    #expect(a.count > 6 && a == b)
  }

  /// What the sharding specification says of a shard, read by hand.
  @Test func shards() throws {
    let folder = try ScratchFolder()
    try Self.write(folder.file("a"), Self.ways[2], type: .uint8, isLabels: true, regions: Self.regions())
    let files = try FileManager.default.subpathsOfDirectory(atPath: folder.file("a/0"))
      .filter { name in name.hasPrefix("c/") && name.split(separator: "/").count == 5 }.sorted()
    // Shards are 128 pixels wide; the middle one of the first plane has no pixels.
    #expect(files.filter { $0.hasPrefix("c/0") } == ["0/0", "0/2", "1/0", "1/2"].map { "c/0/0/" + $0 })
    let pixels = Self.pixels(0, type: .uint8)
    let chunk = PixelBuffer(width: 64, height: 64, type: .uint8),
      expected = PixelBuffer(width: 64, height: 64, type: .uint8)
    for file in files where file.hasPrefix("c/0") {
      let bytes = try [UInt8](Data(contentsOf: URL(filePath: folder.file("a/0/" + file))))
      let position = file.split(separator: "/").suffix(2).compactMap { Int($0) }
      let table = Array(bytes.suffix(4 * 16 + 4))
      func number(_ place: Int) -> UInt64 { table[place..<place + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
      #expect(
        table.suffix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) } == ZarrFixture.crc32c(Array(table.dropLast(4))))
      var end = 0
      for entry in 0..<4 {
        let place = Region(
          x: position[1] * 128 + entry % 2 * 64, y: position[0] * 128 + entry / 2 * 64, width: 64, height: 64)
        let inside = place.intersection(Region(Self.size))
        expected.fill(byte: 0)
        if !inside.isEmpty { expected.copy(inside, of: pixels, toX: 0, y: 0) }
        let (offset, count) = (number(entry * 16), number(entry * 16 + 8))
        if expected.isZero {
          #expect(offset == .max && count == .max)
          continue
        }
        // In C order, without gaps.
        #expect(offset == UInt64(end))
        let frame = bytes[Int(offset)..<Int(offset + count)]
        #expect(frame.withUnsafeBytes { Zstandard.decompress($0, into: chunk.bytes) } == nil)
        #expect(chunk.isSame(as: expected))
        end = Int(offset + count)
      }
      #expect(end == bytes.count - table.count)
    }
  }

  @Test(arguments: OMEZarrOptions.Version.allCases) func scenes(version: OMEZarrOptions.Version) throws {
    let folder = try ScratchFolder()
    let output = try PendingOutput(path: folder.file("a"), overwrite: false)
    let sizes = [Size(width: 30, height: 20), Size(width: 700, height: 10), Size(width: 8, height: 9)]
    let image = OutputImage(
      name: "result", content: .labels([.init(value: 1, name: "one", color: .init(red: 1, green: 2, blue: 3))]),
      scenes: sizes.enumerated().map { .init(index: $0, name: "scene \($0)", size: $1) },
      channels: [.init(name: "a", pixelType: .uint8)])
    let writer = try ImageWriter(image, to: output, as: .omeZarr(.init(version: version)))
    for (scene, size) in sizes.enumerated() {
      let pixels = PixelBuffer(width: size.width, height: size.height, type: .uint8)
      pixels.fill(byte: UInt8(scene + 1))
      try writer.write(pixels, at: Region(size), of: PlaneIndex(scene: scene))
      try writer.finish(scene: scene, attributes: ["kachel": ["a": 1]])
    }
    try writer.finish()
    try output.commit()
    let back = try Image(at: folder.file("a"))
    #expect(back.description.scenes.map(\.size) == sizes)
    #expect(back.description.scenes.map(\.name) == ["scene 0", "scene 1", "scene 2"])
    #expect(back.description.scenes.map(\.levels.count) == [1, 2, 1])
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    for (scene, size) in sizes.enumerated() {
      try back.read(Region(size), of: PlaneIndex(scene: scene), into: pixels)
      #expect(pixels.bytes.allSatisfy { $0 == scene + 1 })
    }
    func json(_ name: String) throws -> JSONValue {
      try JSONValue([UInt8](Data(contentsOf: URL(filePath: folder.file(name)))))
    }
    switch version {
    case .v04:
      #expect(try json("a/.zattrs") == ["bioformats2raw.layout": 3])
      #expect(try json("a/1/.zattrs")["kachel"] == ["a": 1])
      #expect(try json("a/1/.zattrs")["image-label"]?["version"] == "0.4")
    case .v05:
      #expect(try json("a/zarr.json")["attributes"] == ["ome": ["bioformats2raw.layout": 3, "version": "0.5"]])
      #expect(try json("a/OME/zarr.json")["attributes"] == ["ome": ["series": ["0", "1", "2"], "version": "0.5"]])
      let attributes = try #require(json("a/1/zarr.json")["attributes"])
      #expect(attributes["kachel"] == ["a": 1] && attributes["ome"]?["version"] == "0.5")
      #expect(attributes["ome"]?["image-label"]?["properties"] == [["label-value": 1, "name": "one"]])
      #expect(attributes["multiscales"] == nil)
      #expect(try json("a/1/0/zarr.json")["dimension_names"] == ["y", "x"])
    }
  }

  @Test(arguments: [
    (OMEZarrOptions(chunkSide: 63), "64 to 4096"), (OMEZarrOptions(chunkSide: 5000), "64 to 4096"),
    (OMEZarrOptions(chunkSide: -1), "64 to 4096"), (OMEZarrOptions(shardSide: 4096), "0.4 has no shards"),
    (OMEZarrOptions(version: .v04, shardSide: 4096), "0.4 has no shards"),
    (OMEZarrOptions(version: .v05, shardSide: 1000), "a multiple of"),
    (OMEZarrOptions(version: .v05, shardSide: 512), "a multiple of"),
    (OMEZarrOptions(version: .v05, shardSide: 0), "a multiple of"),
    (OMEZarrOptions(version: .v05, shardSide: 1 << 17), "up to 65536"),
  ]) func refusedOptions(options: OMEZarrOptions, words: String) throws {
    let folder = try ScratchFolder()
    let output = try PendingOutput(path: folder.file("a"), overwrite: false)
    let image = OutputImage(
      name: "a", content: .labels([]), scenes: [.init(size: Self.size)], channels: [.init(name: "a", pixelType: .uint8)]
    )
    let error = #expect(throws: ImageError.self) { try ImageWriter(image, to: output, as: .omeZarr(options)) }
    #expect(error?.kind == .unsupported && error?.reason.contains(words) == true)
    #expect(throws: OMEZarrOptions.Refusal.self) { try options.check() }
  }

  /// Resolutions lead to those of other programs, which round down, or leave some out.
  @Test func stepsThroughSizes() throws {
    for width in 1...70 {
      for shift in 1...6 {
        for side in Set([width >> shift, (width + 1 << shift - 1) >> shift]) where side > 0 {
          let given = [Size(width: width, height: 64), Size(width: side, height: 64 >> shift)]
          let steps = try #require(ScenePyramid.steps(through: given))
          #expect(steps.filter(\.isHeld).map(\.size) == given)
          #expect(steps.count <= shift + 1)
          for (a, b) in zip(steps, steps.dropFirst()) {
            #expect(b.size.width == a.size.width / 2 || b.size.width == (a.size.width + 1) / 2)
            #expect(b.size.height * 2 == a.size.height)
          }
        }
      }
    }
    func steps(_ sides: [Int]) -> [ScenePyramid.Step]? {
      ScenePyramid.steps(through: sides.map { Size(width: $0, height: $0) })
    }
    #expect(
      steps([1000, 333]) == nil && steps([600, 600]) == nil && steps([100, 200]) == nil && steps([9, 0]) == nil)
    #expect(ScenePyramid.steps(through: [Size(width: 64, height: 64), Size(width: 32, height: 16)]) == nil)
    #expect(steps([1, 1])?.count == 2 && steps([1000, 250, 62])?.map(\.size.width) == [1000, 500, 250, 125, 62])
  }
}
