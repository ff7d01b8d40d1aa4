// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelPixels
import KachelTesting
import Testing

@testable import KachelImages

/// What is written as OME-TIFF is what is read back.
@Suite struct OMETIFFWriterTests {
  private let folder: ScratchFolder
  init() throws { folder = try ScratchFolder() }

  // MARK: Images to write

  private static func image(
    _ sizes: [Size], _ type: PixelType = .uint8, _ layout: SampleLayout = .gray, channels: Int = 1, depths: Int = 1,
    times: Int = 1, labels: [LabelDescription]? = nil
  ) -> OutputImage {
    OutputImage(
      name: "result", content: labels.map { .labels($0) } ?? .intensities,
      scenes: sizes.enumerated().map { .init(index: $0.offset, size: $0.element) },
      channels: (0..<channels).map { .init(name: "channel \($0)", pixelType: type, layout: layout) },
      times: .init(count: times), depths: .init(count: depths))
  }

  private static func planes(of image: OutputImage) -> [PlaneIndex] {
    image.scenes.indices.flatMap { scene in
      (0..<image.times.count).flatMap { time in
        image.channels.indices.flatMap { channel in
          (0..<image.depths.count).map { PlaneIndex(scene: scene, channel: channel, z: $0, time: time) }
        }
      }
    }
  }

  /// Pixels that are the same for the same plane: numbers that differ from their neighbours, areas of one number, and
  /// areas of zeros that are larger than a tile.
  private static func pixels(of plane: PlaneIndex, _ image: OutputImage) -> PixelBuffer {
    let size = image.scenes[plane.scene].size, samples = image.layout.samples
    let pixels = PixelBuffer(width: size.width, height: size.height, samples: samples, type: image.pixelType)
    pixels.fill(byte: 0)
    var random = SeededRandom(seed: UInt64(image.number(of: plane) * 10 + plane.scene))
    image.pixelType.apply(Fill(pixels: pixels, seed: random.next()))
    return pixels
  }

  private struct Fill: SampleOperation {
    let pixels: PixelBuffer
    let seed: UInt64
    func run<S: Sample>(_: S.Type) {
      var random = SeededRandom(seed: seed)
      let values = pixels.values(as: S.self), row = pixels.width * pixels.samples
      for index in values.indices {
        let (x, y) = (index % row / pixels.samples, index / row)
        guard x / 512 != 1 else { continue }
        var bits = y / 20 % 2 == 1 ? seed : random.next()
        if S.pixelType.isFloatingPoint {
          let number = Double(Int(bits >> 52) - 2048) / 8
          bits = S.pixelType == .float64 ? number.bitPattern : UInt64(Float(number).bitPattern)
        }
        withUnsafeBytes(of: bits) { values[index] = $0.loadUnaligned(as: S.self) }
      }
    }
  }

  // MARK: Writing and reading

  /// Writes all planes in regions of a size that fits no tile, in an order that depends on the seed.
  private static func write(_ image: OutputImage, to writer: ImageWriter, seed: UInt64 = 1) throws {
    var random = SeededRandom(seed: seed)
    let part = PixelBuffer(width: 0, height: 0, type: .uint8)
    let (width, height) = (200 + Int(seed) * 23, 170 + Int(seed) * 31)
    for scene in image.scenes.indices {
      for plane in planes(of: image).filter({ $0.scene == scene }).shuffled(using: &random) {
        let pixels = pixels(of: plane, image)
        var regions: [Region] = []
        for y in stride(from: 0, to: pixels.height, by: height) {
          for x in stride(from: 0, to: pixels.width, by: width) {
            regions.append(
              Region(x: x, y: y, width: width, height: height).intersection(Region(pixels.size)))
          }
        }
        for region in regions.shuffled(using: &random) {
          part.reshape(width: region.width, height: region.height, samples: pixels.samples, type: pixels.type)
          part.copy(region, of: pixels, toX: 0, y: 0)
          try writer.write(part, at: region, of: plane)
        }
      }
      try writer.finish(scene: scene)
    }
    try writer.finish()
  }

  private func write(
    _ image: OutputImage, to name: String = "a.ome.tif", seed: UInt64 = 1, cacheBytes: Int = 64 << 20
  ) throws -> String {
    let output = try PendingOutput(path: folder.file(name), overwrite: false)
    let writer = try ImageWriter(image, to: output, as: OutputFormat(path: name), cacheBytes: cacheBytes)
    try Self.write(image, to: writer, seed: seed)
    try output.commit()
    return output.path
  }

  /// All pixels of all levels, as they are read.
  private static func expectPixels(
    of image: OutputImage, in path: String, at location: SourceLocation = #_sourceLocation
  ) throws {
    let back = try Image(at: path), description = back.description
    #expect(description.format == "OME-TIFF", sourceLocation: location)
    let sizes = image.scenes.map(\.size)
    #expect(description.scenes.map(\.size) == sizes, sourceLocation: location)
    #expect(description.channels.map(\.name) == image.channels.map(\.name), sourceLocation: location)
    #expect(description.channels.map(\.pixelType) == image.channels.map(\.pixelType), sourceLocation: location)
    #expect(description.depth == image.depths.count, sourceLocation: location)
    #expect(description.times == image.times.count, sourceLocation: location)
    let isLabels = if case .labels = image.content { true } else { false }
    let read = PixelBuffer(width: 0, height: 0, type: .uint8)
    for plane in planes(of: image) {
      var pixels = pixels(of: plane, image)
      let levels = description.scenes[plane.scene].levels
      #expect(
        levels.map(\.size) == ScenePyramid.sizes(of: image.scenes[plane.scene].size, count: nil),
        sourceLocation: location)
      #expect(levels.map(\.downsampling) == levels.indices.map { Double(1 << $0) }, sourceLocation: location)
      for (level, size) in levels.map(\.size).enumerated() {
        if level > 0 {
          let half = PixelBuffer(width: 0, height: 0, type: .uint8)
          if isLabels { Downsample.mode(pixels, into: half) } else { Downsample.mean(pixels, into: half) }
          pixels = half
        }
        var place = plane
        place.level = level
        try back.read(Region(size), of: place, into: read)
        #expect(read.isSame(as: pixels), "\(place), level \(level)", sourceLocation: location)
      }
    }
  }

  // MARK: Tests

  @Test(arguments: PixelType.allCases.filter { OMEDocument.name(of: $0) != nil })
  func everyTypeAndLayout(_ type: PixelType) throws {
    for layout in [SampleLayout.gray, .grayAlpha, .rgb, .rgba] {
      let image = Self.image([Size(width: 1061, height: 45)], type, layout)
      try Self.expectPixels(of: image, in: write(image, to: "\(layout).ome.tif"))
    }
    let labels = Self.image([Size(width: 1061, height: 45)], type, labels: [])
    try Self.expectPixels(of: labels, in: write(labels))
  }

  @Test func everyDimension() throws {
    let sizes = [Size(width: 700, height: 30), Size(width: 5, height: 3), Size(width: 120, height: 1025)]
    for layout in [SampleLayout.gray, .rgb] {
      let image = Self.image(sizes, .uint16, layout, channels: 2, depths: 3, times: 2)
      try Self.expectPixels(of: image, in: write(image, to: "\(layout).tif"))
    }
  }

  @Test(arguments: [(1, 1), (1, 700), (700, 1), (15, 17), (16, 16), (512, 512), (513, 511), (1025, 2)])
  func everySize(_ width: Int, _ height: Int) throws {
    let image = Self.image([Size(width: width, height: height)], .uint16)
    try Self.expectPixels(of: image, in: write(image))
  }

  /// Colours that come blue first are stored red first.
  @Test(arguments: [(SampleLayout.bgr, SampleLayout.rgb), (.bgra, .rgba)])
  func colorsAreRedFirst(_ layout: SampleLayout, _ stored: SampleLayout) throws {
    let image = Self.image([Size(width: 20, height: 10)], .uint16, layout)
    let back = try Image(at: write(image)), read = PixelBuffer(width: 0, height: 0, type: .uint8)
    #expect(back.description.channels.map(\.layout) == [stored])
    try back.read(Region(image.scenes[0].size), of: PlaneIndex(), into: read)
    let swapped = PixelBuffer(width: 0, height: 0, type: .uint8)
    swapped.fill(swappingRedAndBlueOf: Self.pixels(of: PlaneIndex(), image))
    #expect(read.bytes.elementsEqual(swapped.bytes))
  }

  @Test func theOrderOfRegionsDoesNotShow() throws {
    let image = Self.image([Size(width: 1100, height: 530)], .uint16, depths: 2)
    let first = try Data(contentsOf: URL(filePath: write(image)))
    for (seed, cacheBytes) in [(UInt64(2), 64 << 20), (3, 0)] {
      let path = try write(image, to: "\(seed).ome.tif", seed: seed, cacheBytes: cacheBytes)
      #expect(try Data(contentsOf: URL(filePath: path)) == first)
    }
  }

  /// A file is a BigTIFF from the size on that no other TIFF has.
  @Test func bigTIFFWhereNeeded() throws {
    let image = Self.image([Size(width: 520, height: 140), Size(width: 3, height: 3)], .uint16, .rgb, depths: 3)
    let classic = try write(image)
    let size = try Data(contentsOf: URL(filePath: classic)).count
    func writeBig(_ name: String, from classicBytes: Int) throws -> String {
      let output = try PendingOutput(path: folder.file(name), overwrite: false)
      let container = try OMETIFFContainer(image, at: output, classicBytes: classicBytes)
      for scene in image.scenes.indices {
        let sizes = ScenePyramid.sizes(of: image.scenes[scene].size, count: nil)
        let pyramid = try ScenePyramid(sizes: sizes, isLabels: false) {
          (level: Int, size: Size) throws(ImageError) -> TiledPlanes in
          try container.level(level, of: scene, size: size, cacheBytes: 64 << 20)
        }
        for plane in Self.planes(of: image).filter({ $0.scene == scene }) {
          let pixels = Self.pixels(of: plane, image)
          try pyramid.levels[0].write(pixels, at: Region(pixels.size), of: image.number(of: plane))
        }
        try pyramid.finish()
        try container.finish(scene: scene, pyramid, attributes: [:])
      }
      try container.finish()
      try output.commit()
      return output.path
    }
    for (path, version) in [
      (classic, 42), (try writeBig("below.tif", from: size - 1), 43),
      // All tags but the tables of tiles are counted as if they were 1024 bytes.
      (try writeBig("above.tif", from: size + 1024 * (3 * 3 + 3)), 42), (try write(image, to: "a.ome.btf"), 43),
    ] {
      let start = try Data(contentsOf: URL(filePath: path)).prefix(4)
      #expect(Array(start) == [0x49, 0x49, UInt8(version), 0])
      try Self.expectPixels(of: image, in: path)
    }
  }

  /// What is not written is 0, and takes next to nothing.
  @Test func emptyAndSparseImages() throws {
    let size = Size(width: 40_000, height: 30_000), corner = Region(x: 39_990, y: 29_990, width: 10, height: 10)
    let image = Self.image([size, Size(width: 9, height: 9)], .uint16, labels: [])
    let output = try PendingOutput(path: folder.file("a.tiff"), overwrite: false)
    let writer = try ImageWriter(image, to: output, as: .omeTIFF)
    let pixels = PixelBuffer(width: 10, height: 10, type: .uint16)
    pixels.fill(byte: 1)
    try writer.write(pixels, at: corner, of: PlaneIndex())
    try writer.finish(scene: 0)
    try writer.finish(scene: 1)
    try writer.finish()
    try output.commit()
    #expect(try Data(contentsOf: URL(filePath: output.path)).count < 5 << 20)
    let back = try Image(at: output.path), read = PixelBuffer(width: 0, height: 0, type: .uint8)
    try back.read(corner, of: PlaneIndex(), into: read)
    #expect(read.bytes.elementsEqual(pixels.bytes))
    for (region, plane) in [
      (Region(x: 38_990, y: 28_990, width: 1000, height: 1000), PlaneIndex()),
      (Region(x: 0, y: 0, width: 700, height: 700), PlaneIndex(level: 3)),
      (Region(x: 0, y: 0, width: 9, height: 9), PlaneIndex(scene: 1)),
    ] {
      try back.read(region, of: plane, into: read)
      #expect(read.isZero)
    }
    // Every tile is stored: tables without gaps are read by all programs.
    let file = try TIFFFile(ByteSource(path: output.path))
    let table = try #require(file.pages[0].byteCounts)
    #expect(table.count == 79 * 59)
    #expect(try file.reader.integers(table, most: 1 << 20).allSatisfy { $0 > 0 })
  }

  @Test func resolutionsThatTheFileDoesNotHoldCanBeRead() throws {
    let image = Self.image([Size(width: 300, height: 200)], .uint16)
    let output = try PendingOutput(path: folder.file("a.tif"), overwrite: false)
    let writer = try ImageWriter(image, to: output, as: .omeTIFF, readableLevels: 2)
    try Self.write(image, to: writer)
    try output.commit()
    #expect(writer.levels(of: 0).count == 2)
    try Self.expectPixels(of: image, in: output.path)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["a.tif"])
  }

  @Test func sizesNamesAndColors() throws {
    var image = Self.image([Size(width: 600, height: 20), Size(width: 7, height: 7)], .uint16, channels: 2, depths: 3)
    image.pixelSize = .init(x: 0.325, y: 0.65)
    image.depths = .init(count: 3, step: 1.5, unit: "micrometer")
    image.channels[0].color = RGB(red: 200, green: 0, blue: 255)
    image.channels[1].name = "a \"b\" <c> & d\u{1}\tµ😀"
    image.scenes[0].name = "left"
    (image.scenes[0].x, image.scenes[0].originX, image.scenes[0].originY) = (30, -70, 5)
    let path = try write(image), back = try Image(at: path).description
    #expect(back.physicalSize == .init(x: 0.325, y: 0.65, z: 1.5))
    #expect(back.channels.map(\.color) == [RGB(red: 200, green: 0, blue: 255), nil])
    #expect(back.channels.map(\.name) == ["channel 0", "a \"b\" <c> & d\tµ😀"])
    #expect(back.scenes.map(\.name) == ["left", "Scene 1"])
    #expect(
      back.scenes.map(\.box) == [Region(x: -40, y: 5, width: 600, height: 20), Region(Size(width: 7, height: 7))])
    #expect(back.compressions == ["Deflate"])
    let file = try TIFFFile(ByteSource(path: path))
    for page in [file.pages[0]] + (try file.levels(ofPage: 0)) {
      let factor = page.isReduced ? 2.0 : 1.0
      let size = try [file.pixelSize(page.xResolution, unit: 1e4), file.pixelSize(page.yResolution, unit: 1e4)]
      #expect(page.resolutionUnit == 3)
      #expect(abs((size[0] ?? 0) - 0.325 * factor) < 1e-6 && abs((size[1] ?? 0) - 0.65 * factor) < 1e-6)
    }
  }

  @Test func labelsAndTimes() throws {
    let nucleus = LabelDescription(value: 2, name: "Nucleus", color: RGB(red: 1, green: 200, blue: 3))
    let empty = LabelDescription(value: 70_000, name: "", color: RGB(red: 0, green: 0, blue: 0))
    for labels in [[nucleus, empty], []] {
      var image = Self.image([Size(width: 9, height: 4), Size(width: 3, height: 3)], .uint32, times: 3, labels: labels)
      image.times = .init(count: 3, step: 2.5, unit: "second")
      let back = try Image(at: write(image, to: "\(labels.count).ome.tif")).description
      #expect(back.labels == labels)
      #expect(back.timeStamps == [0, 2.5, 5])
    }
    let back = try Image(at: write(Self.image([Size(width: 9, height: 4)], times: 2))).description
    #expect(back.labels == nil && back.timeStamps.isEmpty)
  }

  /// Each with words of the reason, which also says what to do.
  static let refused: [(OutputImage, String)] = [
    (image([Size(width: 3, height: 3)], .uint64), "cannot hold pixels of the type uint64"),
    (image([Size(width: 3, height: 3)], .int64), "cannot hold pixels of the type int64"),
    (image([Size(width: 1 << 31, height: 1)]), "a plane of 2147483648 x 1 pixels is too large"),
    (
      image([Size(width: 9, height: 9), Size(width: 1 << 21, height: 1 << 20)]), "2097152 x 1048576 pixels is too large"
    ),
    (image([Size(width: 3, height: 3)], channels: 4097), "4097 channels are too many"),
    (image([Size(width: 3, height: 3)], .uint8, .rgb, channels: 1366), "4098 channels are too many"),
    (image([Size(width: 3, height: 3)], depths: 512, times: 513), "1 x 262656 planes are more than the 262144"),
    (image([Size(width: 3, height: 3)], depths: 1 << 40, times: 1 << 20), "planes are more than"),
  ]

  @Test(arguments: refused.indices) func whatTIFFCannotHoldIsRefused(_ index: Int) throws {
    let (image, words) = Self.refused[index]
    let output = try PendingOutput(path: folder.file("a.ome.tiff"), overwrite: false)
    let error = #expect(throws: ImageError.self) { _ = try ImageWriter(image, to: output, as: .omeTIFF) }
    #expect(error?.kind == .unsupported && error?.file == output.path)
    #expect(error?.reason.contains(words) == true && error?.reason.hasSuffix("write an OME-Zarr instead") == true)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }

  @Test func documentsThatAreNotReadAreRefused() throws {
    let labels = (0..<1000).map { LabelDescription(value: $0, name: "n", color: RGB(red: 0, green: 0, blue: 0)) }
    let image = Self.image([Size(width: 30, height: 20)], labels: labels)
    let output = try PendingOutput(path: folder.file("a.ome.tiff"), overwrite: false)
    let length = OMEDocument(image, comments: [[]]).text.utf8.count
    let error = #expect(throws: ImageError.self) { _ = try OMETIFFContainer(image, at: output, mostText: length - 1) }
    #expect(error?.kind == .unsupported && error?.reason.contains("labels are too many for an OME-TIFF") == true)
    _ = try OMETIFFContainer(image, at: output, mostText: length)
  }

  @Test func aFolderThatVanishedIsTold() throws {
    let image = Self.image([Size(width: 30, height: 20)])
    try FileManager.default.createDirectory(atPath: folder.file("sub"), withIntermediateDirectories: false)
    let output = try PendingOutput(path: folder.file("sub/a.tif"), overwrite: false)
    let writer = try ImageWriter(image, to: output, as: .omeTIFF)
    try FileManager.default.removeItem(atPath: folder.file("sub"))
    let error = #expect(throws: ImageError.self) { try Self.write(image, to: writer) }
    #expect(error?.kind == .cannotWrite && error?.file == output.path)
    #expect(error?.reason == "cannot be created: No such file or directory")
  }

  @Test func stopsWhenCancelled() async throws {
    let image = Self.image([Size(width: 30, height: 20)])
    let output = try PendingOutput(path: folder.file("a.tif"), overwrite: false)
    let task = Task {
      let writer = try ImageWriter(image, to: output, as: .omeTIFF)
      withUnsafeCurrentTask { $0?.cancel() }
      try Self.write(image, to: writer)
    }
    await #expect(throws: CancellationError.self) { try await task.value }
  }

  @Test(arguments: [
    ("a.tif", OutputFormat.omeTIFF), ("a.OME.TIFF", .omeTIFF), ("b/a.ome.btf", .omeTIFF), ("a.tf8", .omeTIFF),
    ("a.tif.zarr", .omeZarr()), ("a.tif/b", .omeZarr()),
  ]) func extensions(_ path: String, _ format: OutputFormat) throws {
    #expect(try OutputFormat(path: path) == format)
  }

  // MARK: OME-XML

  @Test func documentOfLabels() {
    var image = Self.image(
      [Size(width: 4, height: 3), Size(width: 40, height: 30)], .uint16, times: 2,
      labels: [
        .init(value: 1, name: "Nucleus & <\"wall\">", color: RGB(red: 255, green: 16, blue: 0)),
        .init(value: 700, name: "\u{FFFF}", color: RGB(red: 0, green: 0, blue: 0)),
      ])
    image.channels[0].name = ""
    image.pixelSize.x = 0.5
    image.times = .init(count: 2, step: 30, unit: "second")
    image.depths = .init(count: 3, step: 1e-5, unit: "micrometer")
    image.scenes[1].name = "B\n4"
    image.scenes[1].y = 7
    let text = OMEDocument(image, comments: [[("kachel", "{\"a\":1}")], [("kachel", "{}"), ("other", "")]]).text
    #expect(
      text == """
        <?xml version="1.0" encoding="UTF-8"?>
        <OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" \
        xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
        xsi:schemaLocation="http://www.openmicroscopy.org/Schemas/OME/2016-06 \
        http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd" Creator="Kachel">
          <Image ID="Image:0" Name="Scene 0">
            <Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" BigEndian="false" SizeX="4" SizeY="3" \
        SizeZ="3" SizeC="1" SizeT="2" PhysicalSizeX="0.5" PhysicalSizeXUnit="µm" PhysicalSizeZ="1e-05" \
        PhysicalSizeZUnit="µm" TimeIncrement="30.0" TimeIncrementUnit="s">
              <Channel ID="Channel:0:0" SamplesPerPixel="1"/>
              <TiffData IFD="0" PlaneCount="6"/>
            </Pixels>
            <AnnotationRef ID="Annotation:0"/>
            <AnnotationRef ID="Annotation:1"/>
            <AnnotationRef ID="Annotation:2"/>
          </Image>
          <Image ID="Image:1" Name="B&#10;4">
            <Pixels ID="Pixels:1" DimensionOrder="XYZCT" Type="uint16" BigEndian="false" SizeX="40" SizeY="30" \
        SizeZ="3" SizeC="1" SizeT="2" PhysicalSizeX="0.5" PhysicalSizeXUnit="µm" PhysicalSizeZ="1e-05" \
        PhysicalSizeZUnit="µm" TimeIncrement="30.0" TimeIncrementUnit="s">
              <Channel ID="Channel:1:0" SamplesPerPixel="1"/>
              <TiffData IFD="6" PlaneCount="6"/>
              <Plane TheZ="0" TheT="0" TheC="0" PositionX="0" PositionXUnit="pixel" PositionY="7" \
        PositionYUnit="pixel"/>
            </Pixels>
            <AnnotationRef ID="Annotation:0"/>
            <AnnotationRef ID="Annotation:1"/>
            <AnnotationRef ID="Annotation:3"/>
            <AnnotationRef ID="Annotation:4"/>
          </Image>
          <StructuredAnnotations>
            <MapAnnotation ID="Annotation:0" Namespace="kachel/labels">
              <Value>
                <M K="1">Nucleus &amp; &lt;"wall"&gt;</M>
                <M K="700"></M>
              </Value>
            </MapAnnotation>
            <MapAnnotation ID="Annotation:1" Namespace="kachel/label-colors">
              <Value>
                <M K="1">#FF1000</M>
                <M K="700">#000000</M>
              </Value>
            </MapAnnotation>
            <CommentAnnotation ID="Annotation:2" Namespace="kachel">
              <Value>{"a":1}</Value>
            </CommentAnnotation>
            <CommentAnnotation ID="Annotation:3" Namespace="kachel">
              <Value>{}</Value>
            </CommentAnnotation>
            <CommentAnnotation ID="Annotation:4" Namespace="other">
              <Value></Value>
            </CommentAnnotation>
          </StructuredAnnotations>
        </OME>

        """)
  }

  @Test func documentOfColors() {
    var image = Self.image([Size(width: 4, height: 3)], .float32, .rgb, channels: 2)
    image.channels[1].color = RGB(red: 0, green: 1, blue: 2)
    image.pixelSize = .init(x: .nan, y: .infinity)
    let text = OMEDocument(image, comments: [[]]).text
    #expect(
      text.hasSuffix(
        """
        Creator="Kachel">
          <Image ID="Image:0" Name="result">
            <Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="float" BigEndian="false" SizeX="4" SizeY="3" \
        SizeZ="1" SizeC="6" SizeT="1">
              <Channel ID="Channel:0:0" Name="channel 0" SamplesPerPixel="3"/>
              <Channel ID="Channel:0:1" Name="channel 1" SamplesPerPixel="3" Color="66303"/>
              <TiffData IFD="0" PlaneCount="2"/>
            </Pixels>
          </Image>
        </OME>

        """))
  }
}
