// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelPixels
import KachelTesting
import Testing

@testable import KachelImages

/// Files of the format CZI as ``ImageWriter`` writes them, read back by the reader.
@Suite struct CZIWriterTests {
  private let folder: ScratchFolder
  init() throws { folder = try ScratchFolder() }

  /// An image of one scene and one channel.
  private static func image(
    _ size: Size, type: PixelType = .uint8, layout: SampleLayout = .gray,
    content: OutputImage.Content = .intensities
  ) -> OutputImage {
    OutputImage(
      name: "test", content: content, scenes: [.init(size: size)],
      channels: [.init(name: "a", pixelType: type, layout: layout)])
  }

  private func begin(
    _ image: OutputImage, _ name: String = "a.czi", cacheBytes: Int = 64 << 20, readableLevels: Int = 1
  ) throws -> (writer: ImageWriter, output: PendingOutput) {
    let output = try PendingOutput(path: folder.file(name), overwrite: false)
    let writer = try ImageWriter(
      image, to: output, as: OutputFormat(path: name), cacheBytes: cacheBytes, readableLevels: readableLevels)
    return (writer, output)
  }

  /// Writes an image; `fill` makes the pixels of a plane.
  @discardableResult
  private func write(
    _ image: OutputImage, _ name: String = "a.czi", fill: (PixelBuffer, PlaneIndex) -> Void
  ) throws -> Image {
    let (writer, output) = try begin(image, name)
    let pixels = PixelBuffer(width: 0, height: 0, type: image.pixelType)
    for (scene, size) in image.scenes.map(\.size).enumerated() {
      for plane in planes(of: image, scene: scene) {
        pixels.reshape(width: size.width, height: size.height, samples: image.layout.samples, type: image.pixelType)
        fill(pixels, plane)
        try writer.write(pixels, at: Region(size), of: plane)
      }
      try writer.finish(scene: scene)
    }
    try writer.finish()
    try output.commit()
    return try Image(at: output.path)
  }

  private func planes(of image: OutputImage, scene: Int) -> [PlaneIndex] {
    (0..<image.times.count).flatMap { time in
      image.channels.indices.flatMap { channel in
        (0..<image.depths.count).map { PlaneIndex(scene: scene, channel: channel, z: $0, time: time) }
      }
    }
  }

  /// Noise that follows from the plane alone; floating point from 1 to 2.
  private static func noise(_ pixels: PixelBuffer, _ plane: PlaneIndex) {
    var random = SeededRandom(
      seed: UInt64(plane.scene * 1000 + plane.time * 100 + plane.channel * 10 + plane.z + pixels.width))
    for start in stride(from: 0, to: pixels.byteCount, by: 8) {
      var bits = random.next()
      if pixels.type == .float32 { bits = bits & 0x007F_FFFF_007F_FFFF | 0x3F80_0000_3F80_0000 }
      withUnsafeBytes(of: bits) {
        let part = UnsafeRawBufferPointer(rebasing: $0[..<min(8, pixels.byteCount - start)])
        UnsafeMutableRawBufferPointer(rebasing: pixels.bytes[start...]).copyMemory(from: part)
      }
    }
  }

  private func read(_ image: Image, _ size: Size, _ plane: PlaneIndex = PlaneIndex()) throws -> PixelBuffer {
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(Region(size), of: plane, into: pixels)
    return pixels
  }

  private static func directory(_ path: String) throws -> (sub: [CZISubBlock], source: ByteSource, header: CZIHeader) {
    let source = try ByteSource(path: path)
    let header = try CZIHeader(source)
    return (try CZIDirectory(source, at: header.directoryPosition).subBlocks, source, header)
  }

  private static func document(_ path: String) throws -> XMLTree.Element {
    let (_, source, header) = try directory(path)
    let segment = try CZISegment("ZISRAWMETADATA", at: header.metadataPosition, of: source)
    var reader = ByteReader(try source.read(at: segment.payload, count: 4), file: path)
    return try XMLTree(try source.read(at: segment.payload + 256, count: Int(try reader.int32())), file: path).root
  }

  // MARK: Pixels

  /// Every type, at sides that are no multiple of anything, with all levels.
  @Test(arguments: [
    (PixelType.uint8, SampleLayout.gray), (.uint16, .gray), (.float32, .gray), (.uint8, .bgr), (.uint16, .bgr),
    (.uint8, .rgb), (.uint16, .rgb),
  ])
  func everyTypeComesBack(type: PixelType, layout: SampleLayout) throws {
    let size = Size(width: 1311, height: 1083), path = folder.file("a.czi")
    let image = try write(Self.image(size, type: type, layout: layout), fill: Self.noise)
    #expect(image.description.channels[0].pixelType == type)
    #expect(image.description.channels[0].layout == (layout == .gray ? .gray : .bgr))
    #expect(image.description.compressions == ["Zstd1"])
    let levels = image.description.scenes[0].levels
    #expect(
      levels.map(\.size) == [
        size, .init(width: 655, height: 541), .init(width: 327, height: 270),
      ])
    #expect(levels.map(\.downsampling) == [1, 2, 4])
    var expected = PixelBuffer(width: size.width, height: size.height, samples: layout.samples, type: type)
    Self.noise(expected, PlaneIndex())
    if layout == .rgb {
      let turned = PixelBuffer(width: 0, height: 0, type: type)
      turned.fill(swappingRedAndBlueOf: expected)
      expected = turned
    }
    for (number, level) in levels.enumerated() {
      if number > 0 {
        let smaller = PixelBuffer(width: 0, height: 0, type: type)
        Downsample.mean(expected, into: smaller)
        expected = smaller
      }
      let whole = PixelBuffer(width: level.size.width, height: level.size.height, samples: layout.samples, type: type)
      whole.copy(Region(level.size), of: expected, toX: 0, y: 0)
      #expect((try read(image, level.size, PlaneIndex(level: number))).isSame(as: whole), "level \(number)")
    }
    // libCZI reads HiLo packing wrongly in Bgr48.
    let (blocks, source, _) = try Self.directory(path)
    let decoder = CZIDecoder(source)
    for block in blocks {
      let start = try source.read(at: try decoder.payload(of: block).lowerBound, count: 4)
      #expect(Array(start) == (type == .uint16 && layout == .gray ? [3, 1, 1, 0x28] : [1, 0x28, 0xB5, 0x2F]))
    }
  }

  @Test(arguments: [
    (1, 1), (1, 7), (5, 3), (512, 512), (513, 40), (1024, 1024), (1025, 1), (1025, 1025), (2050, 64), (70, 2049),
    (3000, 63), (4100, 1030),
  ])
  func everySizeComesBack(width: Int, height: Int) throws {
    let size = Size(width: width, height: height)
    let image = try write(Self.image(size, content: .labels([])), fill: Self.noise)
    let expected = PixelBuffer(width: width, height: height, type: .uint8)
    Self.noise(expected, PlaneIndex())
    #expect(image.description.scenes[0].box == Region(size))
    #expect((try read(image, size)).isSame(as: expected))
    let levels = image.description.scenes[0].levels
    var narrower = 0
    while (max(width, height) - 1) >> narrower >= 512, min(width, height) >> (narrower + 1) >= 32 { narrower += 1 }
    #expect(levels.map(\.size) == (0...narrower).map { Size(width: width >> $0, height: height >> $0) })
    // Every tile of a pyramid stands for whole pixels.
    for block in try Self.directory(folder.file("a.czi")).sub where !block.isLayer0 {
      #expect(block.width == block.factor * block.storedWidth && block.height == block.factor * block.storedHeight)
    }
  }

  @Test func scenesChannelsTimesAndDepths() throws {
    let image = OutputImage(
      name: "many", content: .intensities,
      scenes: [
        .init(index: 3, name: "first", size: Size(width: 1100, height: 50), originX: -90_000, originY: -7),
        .init(index: 7, size: Size(width: 70, height: 1030), x: 11, y: 12, originX: 5000, originY: 118_583),
      ],
      channels: [
        .init(name: "DAPI", color: RGB(red: 0, green: 161, blue: 255), pixelType: .uint16, range: 655.35...6553.5),
        .init(name: "EGFP", pixelType: .uint16),
      ],
      times: .init(count: 3, step: 33.5, origin: 0, unit: "second"),
      depths: .init(count: 2, step: 0.7, origin: -1, unit: "micrometer"), axes: ["t", "c", "z"],
      pixelSize: .init(x: 0.1, y: 1e-5))
    let back = try write(image, fill: Self.noise)
    let description = back.description
    #expect(description.scenes.map(\.index) == [0, 1])
    #expect(description.scenes.map(\.name) == ["first", nil])
    #expect(
      description.scenes.map(\.box) == [
        Region(x: -90_000, y: -7, width: 1100, height: 50), Region(x: 5011, y: 118_595, width: 70, height: 1030),
      ])
    #expect(description.channels.map(\.name) == ["DAPI", "EGFP"])
    #expect(description.channels.map(\.color) == [image.channels[0].color, nil])
    #expect(description.channels.map(\.display) == [.init(low: 0.01, high: 0.1, gamma: 1), nil])
    #expect(description.times == 3 && description.depth == 2 && description.axes == ["t", "c", "z"])
    #expect(description.physicalSize == .init(x: 0.1, y: 1e-5, z: 0.7))
    let expected = PixelBuffer(width: 0, height: 0, type: .uint16)
    for (scene, size) in image.scenes.map(\.size).enumerated() {
      for plane in planes(of: image, scene: scene) {
        expected.reshape(width: size.width, height: size.height, samples: 1, type: .uint16)
        Self.noise(expected, plane)
        #expect((try read(back, size, plane)).isSame(as: expected), "\(plane)")
      }
    }
    let root = try Self.document(folder.file("a.czi"))
    let facts = try #require(root.descendant("Metadata", "Information", "Image"))
    let sizes = ["X", "Y", "C", "Z", "T", "S", "M"].map { facts.child("Size" + $0)?.text }
    #expect(sizes == ["95081", "119632", "2", "2", "3", "2", "2"])
    func interval(_ name: String) -> [String?] {
      let interval = facts.descendant("Dimensions", name, "Positions", "Interval")
      return ["Start", "Increment"].map { interval?.child($0)?.text }
    }
    #expect(interval("T") == ["0.0", "33.5"] && interval("Z") == ["-1.0", "0.7"])
  }

  @Test func dimensionsThatTheImageLacksAreLeftOut() throws {
    let back = try write(Self.image(Size(width: 9, height: 4)), fill: Self.noise)
    #expect(back.description.axes == ["c"])
    #expect(back.description.physicalSize == .init())
  }

  /// Regions that match no tile, in several orders, with room for one tile only.
  @Test func theBytesFollowFromThePixels() throws {
    let size = Size(width: 2500, height: 1700)
    let image = Self.image(size, type: .uint16, content: .labels([]))
    let whole = PixelBuffer(width: size.width, height: size.height, type: .uint16)
    Self.noise(whole, PlaneIndex())
    // Room for tiles of zeros.
    let right = Region(x: 2100..<size.width, y: 0..<size.height)
    whole.clear(outside: [Region(x: 0..<900, y: 0..<size.height), right], of: Region(size))
    var regions: [Region] = []
    for y in stride(from: 0, to: size.height, by: 390) {
      for x in stride(from: 0, to: size.width, by: 470) {
        regions.append(Region(x: x, y: y, width: 470, height: 390).intersection(Region(size)))
      }
    }
    var files: Set<Data> = []
    let part = PixelBuffer(width: 0, height: 0, type: .uint16)
    for (number, (order, cacheBytes)) in [(1, 0), (7, 64 << 20), (29, 0)].enumerated() {
      let (writer, output) = try begin(image, "\(number).czi", cacheBytes: cacheBytes)
      for place in regions.indices {
        let region = regions[place * order % regions.count]
        part.reshape(width: region.width, height: region.height, samples: 1, type: .uint16)
        part.copy(region, of: whole, toX: 0, y: 0)
        try writer.write(part, at: region, of: PlaneIndex())
      }
      try writer.finish(scene: 0)
      try writer.finish()
      try output.commit()
      files.insert(try Data(contentsOf: URL(filePath: output.path)))
    }
    #expect(files.count == 1)
    #expect((try read(Image(at: folder.file("0.czi")), size)).isSame(as: whole))
    // Another pixel makes another identifier of the file.
    whole.values(as: UInt16.self)[0] ^= 1
    try write(image, "other.czi") { pixels, _ in pixels.copy(Region(size), of: whole, toX: 0, y: 0) }
    let identifiers = try ["0.czi", "other.czi"].map {
      try Data(contentsOf: URL(filePath: folder.file($0)))[48..<80]
    }
    for identifier in identifiers {
      #expect(identifier.prefix(16) == identifier.suffix(16) && identifier.contains { $0 != 0 })
    }
    #expect(identifiers[0] != identifiers[1])
  }

  // MARK: Zeros

  @Test func emptyPlanesExist() throws {
    var image = Self.image(Size(width: 3000, height: 2100), content: .labels([]))
    image.scenes.append(.init(index: 1, size: Size(width: 40, height: 30), originX: 4000))
    image.times = .init(count: 2)
    image.depths = .init(count: 2)
    let marked = PlaneIndex(scene: 0, z: 1, time: 1)
    let back = try write(image) { pixels, plane in
      pixels.fill(byte: 0)
      if plane == marked { pixels.bytes[1500 * 3000 + 1500] = 9 }
    }
    #expect(back.description.times == 2 && back.description.depth == 2)
    #expect(back.description.scenes.map(\.size) == image.scenes.map(\.size))
    #expect(back.description.scenes.map(\.levels.count) == [4, 1])
    for (scene, size) in image.scenes.map(\.size).enumerated() {
      for plane in planes(of: image, scene: scene) {
        let pixels = try read(back, size, plane)
        if plane == marked {
          #expect(pixels.bytes[1500 * 3000 + 1500] == 9)
          pixels.bytes[1500 * 3000 + 1500] = 0
        }
        #expect(pixels.isZero)
      }
    }
    let blocks = try Self.directory(folder.file("a.czi")).sub
    // Two corners of every plane, of the second scene one tile, and the tile with the pixel.
    #expect(blocks.filter(\.isLayer0).count == 4 * 2 + 4 + 1)
    // A tile has its number in every plane.
    var numbers: [Region: Set<Int32>] = [:]
    for block in blocks where block.isLayer0 && block.scene == 0 {
      numbers[block.region, default: []].insert(block.tile)
    }
    #expect(numbers.sorted { ($0.key.y, $0.key.x) < ($1.key.y, $1.key.x) }.map(\.value) == [[0], [1], [2]])
    #expect(blocks.allSatisfy { $0.isLayer0 == ($0.tile != CZISubBlock.missing) })
  }

  @Test func aHugeImageTakesWhatItHolds() throws {
    let side = Int(Int32.max)
    let (writer, output) = try begin(Self.image(Size(width: side, height: side), content: .labels([])))
    let pixels = PixelBuffer(width: 4, height: 4, type: .uint8)
    pixels.fill(byte: 5)
    try writer.write(pixels, at: Region(x: 1_000_000, y: 2_000_000, width: 4, height: 4), of: PlaneIndex())
    try writer.finish(scene: 0)
    try writer.finish()
    try output.commit()
    let back = try Image(at: folder.file("a.czi"))
    #expect(back.description.scenes[0].size == Size(width: side, height: side))
    let read = PixelBuffer(width: 0, height: 0, type: .uint8)
    try back.read(Region(x: 999_998, y: 1_999_998, width: 4, height: 4), of: PlaneIndex(), into: read)
    #expect(Array(read.bytes) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 5, 0, 0, 5, 5])
    try back.read(Region(x: 499_999, y: 1_000_000, width: 2, height: 2), of: PlaneIndex(level: 1), into: read)
    #expect(Array(read.bytes) == [0, 5, 0, 5])
    let attributes = try FileManager.default.attributesOfItem(atPath: folder.file("a.czi"))
    #expect((attributes[.size] as? Int).map { $0 < 60_000 } == true)
  }

  // MARK: Places

  @Test func overlappingScenesGoSideBySide() throws {
    func scene(_ index: Int, _ x: Int, _ y: Int, _ width: Int) -> OutputImage.Scene {
      .init(index: index, size: Size(width: width, height: 10), originX: x, originY: y)
    }
    let scenes = [scene(0, 0, 0, 30), scene(1, 29, 9, 20), scene(2, 30, 0, 5), scene(3, 5, 5, 7), scene(4, 0, 10, 40)]
    let places = try CZIScenePlaces.places(of: scenes, in: "a.czi")
    #expect(places.map(\.x) == [0, 40, 30, 60, 0])
    #expect(places.map(\.y) == [0, 9, 0, 5, 10])
    #expect(places.map(\.size) == scenes.map(\.size))
    var image = Self.image(Size(width: 30, height: 10))
    image.scenes = scenes
    let back = try write(image, fill: Self.noise)
    #expect(back.description.scenes.map(\.box) == places)
  }

  @Test(arguments: [
    (Int(Int32.min), Int(Int32.max) - 9, true), (Int(Int32.min) - 1, 0, false), (0, Int(Int32.max) - 8, false),
    (.max, 0, false), (0, .min, false),
  ])
  func placesAreThoseOfTheFormat(x: Int, y: Int, fits: Bool) throws {
    let scene = OutputImage.Scene(index: 2, size: Size(width: 9, height: 9), originX: x, originY: y)
    guard !fits else {
      #expect(try CZIScenePlaces.places(of: [scene], in: "a.czi") == [Region(x: x, y: y, width: 9, height: 9)])
      return
    }
    var image = Self.image(scene.size)
    image.scenes = [scene]
    #expect {
      _ = try begin(image)
    } throws: { error in
      (error as? ImageError)?.kind == .unsupported && "\(error)".contains("a.czi: scene 2 lies at")
    }
  }

  @Test func scenesThatAreTooFarApartAreRefused() {
    let scenes = [Int(Int32.min), Int(Int32.max) - 20].map {
      OutputImage.Scene(size: Size(width: 9, height: 9), originX: $0)
    }
    #expect(throws: ImageError.self) { _ = try CZIScenePlaces.places(of: scenes, in: "a.czi") }
  }

  // MARK: Refusals

  @Test(arguments: [
    (PixelType.uint32, SampleLayout.gray, "gray values of the types uint8, uint16 and float32, not uint32"),
    (.int16, .gray, "not int16"), (.float64, .gray, "not float64"), (.float32, .rgb, "colours of 8 or 16 bits"),
    (.uint8, .rgba, "no transparency"), (.uint16, .bgra, "no transparency"), (.uint8, .grayAlpha, "no transparency"),
  ])
  func otherTypesAreRefused(type: PixelType, layout: SampleLayout, words: String) throws {
    #expect {
      _ = try begin(Self.image(Size(width: 3, height: 3), type: type, layout: layout))
    } throws: { error in
      (error as? ImageError)?.kind == .unsupported && "\(error)".contains(words)
        && "\(error)".hasSuffix("write an OME-Zarr or OME-TIFF")
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }

  @Test func tooManyLabelsAreRefused() {
    #expect {
      _ = try begin(Self.image(Size(width: 3, height: 3), type: .uint32, content: .labels([])))
    } throws: { error in
      "\(error)".hasSuffix(
        "a.czi: a CZI holds labels of 8 or 16 bits, up to 65535, not uint32; write an OME-Zarr or OME-TIFF")
    }
  }

  @Test func anUnfinishedSceneIsTold() throws {
    do {
      let (writer, _) = try begin(Self.image(Size(width: 3, height: 3)))
      #expect {
        try writer.finish()
      } throws: { error in
        (error as? ImageError)?.kind == .cannotWrite
      }
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }

  // MARK: Metadata

  @Test func labelsAndAttributes() throws {
    let labels = [
      LabelDescription(value: 1, name: "\"A\" & <B>\u{1}\n", color: RGB(red: 1, green: 2, blue: 255)),
      LabelDescription(value: 51, name: "µ", color: RGB(red: 0, green: 0, blue: 0)),
    ]
    var image = Self.image(Size(width: 3, height: 3), content: .labels(labels))
    image.channels[0].name = "classes <1 & 2> \"x\"\t"
    image.scenes = [.init(name: "Ω'\"", size: Size(width: 3, height: 3))]
    let (writer, output) = try begin(image)
    try writer.finish(scene: 0, attributes: ["kachel": ["a": "]]></kachel>", "b": "/"]])
    try writer.finish()
    try output.commit()
    let back = try Image(at: folder.file("a.czi")).description
    #expect(back.channels[0].name == image.channels[0].name && back.scenes[0].name == "Ω'\"")
    #expect(back.channels[0].display == .init(low: 0, high: 0.2, gamma: 1))
    let root = try Self.document(folder.file("a.czi"))
    let values = try #require(root.descendant("Metadata", "Information", "CustomAttributes", "KeyValue"))
    #expect(values.children.map(\.name) == ["labels", "kachel"])
    #expect(values.children.allSatisfy { $0.attributes == ["Type": "String"] })
    func json(_ index: Int) throws -> [[String: Any]]? {
      try JSONSerialization.jsonObject(with: Data(values.children[index].text.utf8)) as? [[String: Any]]
    }
    let stored = try #require(try json(0))
    #expect(stored.map { $0["name"] as? String } == labels.map(\.name))
    #expect(stored.map { $0["value"] as? Int } == [1, 51])
    #expect(stored.map { $0["color"] as? String } == ["#0102FF", "#000000"])
    #expect(try json(1)?.first as? [String: String] == ["a": "]]></kachel>", "b": "/"])
  }

  @Test(arguments: [0.1, 0.5, 0.325, 1, 1.6, 123.456, 1e-5, 6.5e-20, 1e22, 0.1 + 0.2, .pi, 1e100])
  func lengthsComeBackAsTheyWere(micrometres: Double) {
    #expect(CZIMetadata.micrometres(CZIMetadataWriter.metres(micrometres)) == micrometres)
  }
}
