// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelEngines
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Synchronization
import Testing

@testable import KachelSegmentation

/// What a run does with all kinds of images and options.
@Suite struct RunTests {
  private let folder: ScratchFolder
  private let package: ModelPackage

  init() throws {
    folder = try ScratchFolder()
    package = try Example.package("nuclei.czann")
  }

  /// Nuclei cut out of the example image.
  private func nuclei(_ region: Region) throws -> [UInt8] {
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try Example.image().read(region, of: PlaneIndex(), into: pixels)
    return Array(pixels.bytes)
  }

  private func attributes(_ name: String) throws -> [String: Any] {
    let data = try Data(contentsOf: URL(filePath: folder.file(name + "/.zattrs")))
    return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  /// A mosaic with a gap: what no sub-block covers is 0 however large the tiles are.
  @Test func gapsAreNoData() async throws {
    let first = Region(x: 0, y: 0, width: 300, height: 260), second = Region(x: 340, y: 100, width: 200, height: 400)
    let fixture = CZIFixture([
      .init(first.offsetBy(x: -700, y: 50), ["C": 0, "M": 0], pixels: try nuclei(first)),
      .init(second.offsetBy(x: -700, y: 50), ["C": 0, "M": 1], compression: .zstd0, pixels: try nuclei(second)),
    ])
    let image = try Image(at: folder.write(fixture.bytes, to: "gap.czi"))
    let large = try await segment(image, package)
    let small = try await segment(image, package) { $0.tileSide = 192 }
    #expect(large.values == small.values)
    #expect(large.shape == [1, 500, 540])
    for y in 0..<500 {
      for x in 0..<540 {
        let pixel = Region(x: x, y: y, width: 1, height: 1)
        let isCovered = first.contains(pixel) || second.contains(pixel)
        guard (large.values[y * 540 + x] != 0) == isCovered else {
          Issue.record("pixel \(x), \(y)")
          return
        }
      }
    }
  }

  /// Two tiles 2^31 pixels apart: only tiles with pixels are run, only chunks with labels are stored.
  @Test func anAlmostEmptyPlaneIsQuick() async throws {
    let size = Size(width: 160, height: 120), far = Int(Int32.max) - 200
    let pixels = try nuclei(Region(size))
    let fixture = CZIFixture([
      .init(Region(x: 0, y: 0, width: 160, height: 120), ["C": 0, "M": 0], pixels: pixels),
      .init(Region(x: far, y: far, width: 160, height: 120), ["C": 0, "M": 1], pixels: pixels),
    ])
    let image = try Image(at: folder.write(fixture.bytes, to: "far.czi"))
    let output = folder.file("far.ome.zarr")
    var options = SegmentationOptions()
    options.tileSide = 256
    let result = try await Segmentation(of: image, with: package, options: options)
      .write(to: SegmentationOutputs(result: output, preview: folder.file("far.png")))
    #expect((2...8).contains(result.tiles))
    let array = try ZarrArray(folder: output + "/0")
    #expect(array.size == Size(width: far + 160, height: far + 120))
    let labels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try array.read(Region(x: far, y: far, width: 160, height: 120), of: 0, into: labels)
    #expect(Set(labels.bytes) == [1, 2])
    try array.read(Region(x: 0, y: 120, width: 160, height: 120), of: 0, into: labels)
    #expect(labels.isZero)
    #expect(try Image(at: folder.file("far.png")).description.scenes[0].size.width == 4096)
  }

  @Test func everyPlaneOfEverySceneIsStored() async throws {
    let size = Size(width: 96, height: 64)
    var blocks: [CZIFixture.SubBlock] = []
    // Two scenes of different size, two times, three z planes; every plane shows another place.
    for scene in 0..<2 {
      for time in 0..<2 {
        for z in 0..<3 {
          let place = Region(
            x: 40 * (z + 3 * time), y: 100 * scene, width: size.width + 32 * scene, height: size.height)
          blocks.append(
            .init(
              Region(x: 1000 * scene, y: 0, width: place.width, height: place.height),
              ["S": Int32(scene), "T": Int32(time), "Z": Int32(z), "C": 0], pixels: try nuclei(place)))
        }
      }
    }
    let image = try Image(at: folder.write(CZIFixture(blocks).bytes, to: "planes.czi"))
    let output = folder.file("planes.ome.zarr")
    _ = try await Segmentation(of: image, with: package).write(
      to: SegmentationOutputs(result: output, confidence: folder.file("c.ome.zarr"), preview: folder.file("p.png")))
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    #expect(names == ["c.ome.zarr", "p-scene0.png", "p-scene1.png", "planes.czi", "planes.ome.zarr"])
    #expect(try attributes("planes.ome.zarr")["bioformats2raw.layout"] as? Int == 3)
    for scene in 0..<2 {
      let stored = try StoredPlanes(output + "/\(scene)")
      let width = size.width + 32 * scene, area = width * size.height
      #expect(stored.shape == [2, 1, 3, size.height, width])
      for time in 0..<2 {
        for z in 0..<3 {
          // Each plane is what it would be alone.
          let place = Region(x: 40 * (z + 3 * time), y: 100 * scene, width: width, height: size.height)
          let alone = try await segment(
            ArrayImage(try nuclei(place), size: place.size, type: .uint8), package)
          let start = (time * 3 + z) * area
          #expect(Array(stored.values[start..<start + area]) == alone.values)
        }
      }
    }
    let some = folder.file("some.ome.zarr")
    var options = SegmentationOptions()
    (options.planes.scenes, options.planes.times) = (Selection("1"), Selection("1"))
    options.planes.depths = Selection("0-1")
    _ = try await Segmentation(of: image, with: package, options: options).write(to: SegmentationOutputs(result: some))
    let (part, all) = (try StoredPlanes(some), try StoredPlanes(output + "/1"))
    #expect(part.shape == [1, 1, 2, size.height, 128])
    #expect(part.values == Array(all.values[3 * 128 * 64..<5 * 128 * 64]))
  }

  @Test func confidenceIsTheWinnersProbability() async throws {
    let crop = Region(x: 904, y: 400, width: 512, height: 512)
    let image = try Example.image()
    let scores = try NumPyArray(shared: "example/nuclei-scores-crop.npy").floats
    var options = SegmentationOptions()
    options.planes.region = crop
    options.minimumConfidence = 0.9
    _ = try await Segmentation(of: image, with: package, options: options).write(
      to: SegmentationOutputs(result: folder.file("a.ome.zarr"), confidence: folder.file("b.ome.zarr")))
    let labels = try StoredPlanes(folder.file("a.ome.zarr")), confidence = try StoredPlanes(folder.file("b.ome.zarr"))
    #expect(labels.shape.suffix(2) == [512, 512] && confidence.shape == labels.shape)
    var weak = 0
    for pixel in 0..<512 * 512 {
      let (background, nucleus) = (scores[pixel * 2], scores[pixel * 2 + 1])
      let best = max(background, nucleus)
      #expect(abs(confidence.values[pixel] - best * 255) <= 0.6)
      if best < 0.8999 { weak += 1 }
      if abs(best - 0.9) > 1e-4 {
        #expect(labels.values[pixel] == (best < 0.9 ? 0 : nucleus > background ? 2 : 1))
      }
    }
    #expect(weak > 500)
    let omero = try #require(try attributes("b.ome.zarr")["omero"] as? [String: Any])
    #expect((omero["channels"] as? [[String: Any]])?.count == 1)
  }

  @Test func attributesSayWhatTheLabelsAre() async throws {
    let image = ArrayImage(
      try nuclei(Region(x: 0, y: 0, width: 64, height: 48)), size: Size(width: 64, height: 48), type: .uint8)
    var options = SegmentationOptions()
    options.planes.region = Region(x: 8, y: 16, width: 40, height: 24)
    var outputs = SegmentationOutputs(result: folder.file("a.ome.zarr"))
    outputs.command = ["kachel", "segment"]
    _ = try await Segmentation(of: image, with: package, options: options).write(to: outputs)
    let attributes = try attributes("a.ome.zarr")
    let multiscale = try #require((attributes["multiscales"] as? [[String: Any]])?.first)
    #expect(multiscale["version"] as? String == "0.4")
    #expect((multiscale["axes"] as? [[String: Any]])?.compactMap { $0["name"] as? String } == ["y", "x"])
    let dataset = try #require((multiscale["datasets"] as? [[String: Any]])?.first)
    let transformations = try #require(dataset["coordinateTransformations"] as? [[String: Any]])
    #expect(transformations[0]["scale"] as? [Double] == [0.25, 0.5])
    #expect(transformations[1]["translation"] as? [Double] == [4, 4])
    let label = try #require(attributes["image-label"] as? [String: Any])
    #expect((label["properties"] as? [[String: Any]])?.map { $0["name"] as? String } == ["Background", "Nucleus"])
    #expect((label["colors"] as? [[String: Any]])?.map { $0["label-value"] as? Int } == [1, 2])
    let data = try JSONSerialization.data(withJSONObject: try #require(attributes["kachel"]))
    let provenance = try JSONDecoder().decode(Provenance.self, from: data)
    #expect(provenance.model.sha256 == package.sha256 && provenance.model.id == package.metadata.id)
    #expect(provenance.tiles.halo == [48, 48] && provenance.tiles.stride == [8, 8])
    #expect(provenance.engine.name == "OpenVINO" && provenance.command == ["kachel", "segment"])
  }

  /// The provenance of planes that were chosen with gaps, and where they lie.
  @Test(arguments: [("0,2", 4.0, 0.0), ("1", 2.0, 2.0), ("0-1,3", 1.0, 0.0)])
  func chosenPlanesLieWhereTheyWere(choice: String, step: Double, origin: Double) async throws {
    let size = Size(width: 32, height: 24)
    let blocks = (0..<4).map {
      CZIFixture.SubBlock(Region(size), ["C": 0, "Z": $0], pixels: [UInt8](repeating: 9, count: size.area))
    }
    let xml = """
      <ImageDocument><Metadata><Scaling><Items><Distance Id="Z"><Value>2e-006</Value></Distance></Items></Scaling>\
      </Metadata></ImageDocument>
      """
    let image = try Image(at: folder.write(CZIFixture(blocks, xml: xml).bytes, to: "z.czi"))
    var options = SegmentationOptions()
    options.planes.depths = Selection(choice)
    let output = SegmentationOutputs(result: folder.file("z.ome.zarr"), overwrite: true)
    _ = try await Segmentation(of: image, with: package, options: options).write(to: output)
    let multiscale = try #require((try attributes("z.ome.zarr")["multiscales"] as? [[String: Any]])?.first)
    let dataset = try #require((multiscale["datasets"] as? [[String: Any]])?.first)
    let transformations = try #require(dataset["coordinateTransformations"] as? [[String: Any]])
    let place = try #require((multiscale["axes"] as? [[String: Any]])?.firstIndex { $0["name"] as? String == "z" })
    #expect((transformations[0]["scale"] as? [Double])?[place] == step)
    #expect((transformations.dropFirst().first?["translation"] as? [Double])?[place] ?? 0 == origin)
  }

  /// Labels that do not fit into a byte, as the package numbers them.
  @Test func labelsMayBeLarge() async throws {
    let original = try SharedData.path("example/nuclei.czmodel")
    let archive = try Archive(path: original)
    let members = try archive.members.map { member in
      var bytes = try archive.read(member, limit: 1 << 24)
      if member.name.hasSuffix(".xml") {
        let text = String(decoding: bytes, as: UTF8.self)
        bytes = Array(text.replacingOccurrences(of: "LabelValue=\"2\"", with: "LabelValue=\"700\"").utf8)
      }
      return ZipFixture.Member(member.name, bytes)
    }
    let package = try ModelPackage(at: folder.write(ZipFixture(members).bytes, to: "large.czmodel"))
    let region = Region(x: 0, y: 0, width: 200, height: 150)
    let image = ArrayImage(try nuclei(region), size: region.size, type: .uint8)
    let output = folder.file("large.ome.zarr")
    _ = try await Segmentation(of: image, with: package).write(to: SegmentationOutputs(result: output))
    #expect(try ZarrArray(folder: output + "/0").type == .uint16)
    let small = try await segment(image, ModelPackage(at: original))
    #expect(try StoredPlanes(output).values == small.values.map { $0 == 2 ? 700 : $0 })
  }

  /// The colours of the preview: gray where the background is, tinted where nuclei are, the class's own on outlines.
  @Test func thePreviewShowsImageAndClasses() async throws {
    let region = Region(x: 0, y: 0, width: 300, height: 200)
    let pixels = try nuclei(region)
    let image = ArrayImage(pixels, size: region.size, type: .uint8)
    let outputs = SegmentationOutputs(result: folder.file("a.ome.zarr"), preview: folder.file("a.png"))
    _ = try await Segmentation(of: image, with: package).write(to: outputs)
    let labels = try StoredPlanes(folder.file("a.ome.zarr")).values
    let preview = try Image(at: folder.file("a.png")), colors = PixelBuffer(width: 0, height: 0, type: .uint8)
    #expect(preview.description.scenes[0].size == region.size)
    try preview.read(region, of: PlaneIndex(), into: colors)
    var outlines = 0
    for y in 0..<199 {
      for x in 0..<299 {
        let place = y * 300 + x
        let (red, green, blue) = (colors.bytes[place * 3], colors.bytes[place * 3 + 1], colors.bytes[place * 3 + 2])
        let isOutline = labels[place] != labels[place + 1] || labels[place] != labels[place + 300]
        outlines += isOutline ? 1 : 0
        let fits =
          isOutline
          ? (red, green, blue) == (0, 255, 0)
          : labels[place] == 2 ? red == blue && green > red : red == green && green == blue
        guard fits else {
          Issue.record("pixel \(x), \(y): \(red) \(green) \(blue)")
          return
        }
      }
    }
    #expect(outlines > 100)
  }

  /// A network that takes images of 512 only, as the same one that takes any: on images that are smaller, a little larger,
  /// or much smaller, and on tiles of its own size.
  @Test(
    arguments: [Size(width: 513, height: 520), Size(width: 512, height: 512), Size(width: 1000, height: 511)],
    [nil, 512, 128])
  func aFixedSizeMakesNoDifference(size: Size, side: Int?) async throws {
    let image = ArrayImage(try nuclei(Region(size)), size: size, type: .uint8)
    let fixed = try await segment(image, Example.package("nuclei.czmodel")) { $0.tileSide = side }
    let free = try await segment(image, package)
    #expect(fixed.shape == free.shape)
    // Where it keeps its size, reflection up to that stands for the network's own padding.
    let rows = side == 512 && size.height < 512 ? size.height - 64 : size.height
    let wrong = (0..<rows * size.width).filter { fixed.values[$0] != free.values[$0] }.count
    #expect(wrong <= 3)
  }

  @Test(arguments: [Size(width: 1, height: 1), Size(width: 3, height: 5), Size(width: 100, height: 9)])
  func tinyImagesRun(size: Size) async throws {
    let image = ArrayImage([UInt8](repeating: 40, count: size.area), size: size, type: .uint8)
    for name in ["nuclei.czmodel", "nuclei.czann"] {
      let stored = try await segment(image, Example.package(name))
      #expect(stored.shape == [size.height, size.width] && Set(stored.values).isSubset(of: [1, 2]))
    }
  }

  /// Where a pixel's answer depends on its whole tile, a region still gives its part of the whole.
  @Test func aRegionOfANetworkThatSeesTheTileIsItsPart() async throws {
    let package = try ModelPackage(at: SharedData.path("models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel"))
    let size = Size(width: 700, height: 520)
    let image = ArrayImage(try nuclei(Region(size)), size: size, type: .uint8)
    let whole = try await segment(image, package)
    for region in [Region(x: 690, y: 505, width: 10, height: 15), Region(x: 200, y: 100, width: 300, height: 201)] {
      let part = try await segment(image, package) {
        $0.planes.region = region
        $0.threads = 1
      }
      let cut = (0..<region.height).flatMap { y in
        (0..<region.width).map { whole.values[(region.y + y) * size.width + region.x + $0] }
      }
      #expect(part.values == cut)
    }
  }

  /// Networks with loops do not say how large their output is; they run all the same.
  @Test func networksWithLoopsRun() async throws {
    let package = try ModelPackage(at: SharedData.path("models/sebi06/N2V_tobacco_leaf.czann"))
    let size = Size(width: 700, height: 300)
    let image = ArrayImage(try nuclei(Region(size)), size: size, type: .uint8)
    let stored = try await segment(image, package)
    #expect(stored.shape == [300, 700] && stored.values.allSatisfy(\.isFinite) && Set(stored.values).count > 100)
  }

  @Test func outputsMustNotHoldEachOther() async throws {
    let image = try Example.image()
    let segmentation = try Segmentation(of: image, with: package)
    let folder = folder.path
    for outputs in [
      SegmentationOutputs(result: folder + "/a", confidence: folder + "/a"),
      SegmentationOutputs(result: folder + "/a", preview: folder + "/a/p.png"),
      SegmentationOutputs(result: image.path, overwrite: true),
      SegmentationOutputs(result: URL(filePath: image.path).deletingLastPathComponent().path, overwrite: true),
      SegmentationOutputs(result: package.path, overwrite: true),
    ] {
      await #expect {
        _ = try await segmentation.write(to: outputs)
      } throws: {
        ($0 as? SegmentationError)?.kind == .option
      }
    }
  }

  @Test func memoryThatIsTooSmallIsTold() async throws {
    await #expect {
      _ = try await segment(try Example.image(), package) { $0.memory = .megabytes(60) }
    } throws: {
      ($0 as? SegmentationError)?.kind == .memory
    }
  }

  @Test func aTileWithoutRoomIsTold() async throws {
    await #expect {
      _ = try await segment(try Example.image(), package) { $0.tileSide = 96 }
    } throws: {
      ($0 as? SegmentationError)?.kind == .option
    }
  }

  @Test func anExistingOutputStays() async throws {
    let output = folder.file("a.ome.zarr")
    try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
    let image = ArrayImage([UInt8](repeating: 7, count: 64), size: Size(width: 8, height: 8), type: .uint8)
    let segmentation = try Segmentation(of: image, with: package)
    await #expect {
      _ = try await segmentation.write(to: SegmentationOutputs(result: output))
    } throws: {
      ($0 as? BytesError)?.kind == .cannotWrite
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: output).isEmpty)
    _ = try await segmentation.write(to: SegmentationOutputs(result: output, overwrite: true))
    #expect(try StoredPlanes(output).shape == [8, 8])
  }

  /// Stopped in the middle, a run leaves nothing but what it goes on from.
  @Test func cancellingLeavesTheJournal() async throws {
    let image = try Example.image(), output = folder.file("a.ome.zarr")
    var options = SegmentationOptions()
    options.tileSide = 256
    let segmentation = try Segmentation(of: image, with: package, options: options)
    let canceller = Canceller()
    let outputs = SegmentationOutputs(result: output, preview: folder.file("a.png"))
    let task = Task {
      try await segmentation.write(to: outputs) { event in
        if case .tile = event { canceller.tileIsDone() }
      }
    }
    canceller.watch(task)
    let error = await #expect(throws: UnfinishedRun.self) { _ = try await task.value }
    #expect(error?.isCancellation == true)
    #expect(canceller.tiles < 20)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [".a.ome.zarr.journal"])
  }

  /// A region of the real image and the real model of the format's maker.
  @Test func theVendorsImageRunsWithTheVendorsModel() async throws {
    let package = try ModelPackage(at: SharedData.path("models_large/PGC_20X_nucleus_detector.czseg"))
    let image = try Image(at: SharedData.path("napari_czann_segment/PGC_20X.czi"))
    let output = folder.file("pgc.ome.zarr")
    var options = SegmentationOptions()
    options.planes.region = Region(x: 900, y: 900, width: 700, height: 60)
    let result = try await Segmentation(of: image, with: package, options: options)
      .write(to: SegmentationOutputs(result: output))
    // Tiles of 1024 with halos of 64 decide 896 pixels each, on the plane's own grid.
    #expect(result.tiles == 2)
    #expect(result.provenance.tiles.size == [1024, 1024] && result.provenance.tiles.stride == [32, 32])
    #expect(result.provenance.tiles.globalOperations["GlobalAveragePool"] == 16)
    #expect(result.provenance.certificate.promise == .canonical)
    #expect(result.provenance.certificate.reason?.contains("GlobalAveragePool") == true)
    #expect(Set(try StoredPlanes(output).values) == [1, 2])
  }
}

/// Cancels a run as soon as its first tile is done.
private final class Canceller: Sendable {
  private let state = Mutex<(task: Task<SegmentationResult, any Error>?, tiles: Int)>((nil, 0))

  var tiles: Int { state.withLock { $0.tiles } }
  func watch(_ task: Task<SegmentationResult, any Error>) { state.withLock { $0.task = task } }
  func tileIsDone() {
    state.withLock {
      $0.tiles += 1
      $0.task?.cancel()
    }
  }
}
