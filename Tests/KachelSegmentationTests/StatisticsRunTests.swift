// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelPixels
import KachelTesting
import Testing

@testable import KachelModels
@testable import KachelSegmentation

/// Networks that standardise their input: with the statistics of the image they are exact.
@Suite struct StatisticsRunTests {
  /// The two-layer network with a standardisation before it, for images of any size.
  private static let seeds = ["ONNX", "SavedModel"]

  private func seed(_ form: String) throws -> ModelPackage {
    if form == "ONNX" {
      return try ModelPackage(at: SharedData.path("models/tf/v120/seed_onnx12_dynamic.czmodel"))
    }
    let fixed = try ModelPackage(at: SharedData.path("models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel"))
    var metadata = fixed.metadata
    (metadata.tileSize, metadata.inputShape, metadata.outputShape) = (nil, nil, nil)
    var package = try ModelPackage(
      graph: .savedModel(at: SharedData.path("models/tf/seed_nuclei/saved_tf2_model_output_dims_unset")),
      metadata: metadata)
    package.networkTakes(scaledValues: false)
    return package
  }

  private func scores(
    _ image: any ImageSource, _ package: ModelPackage, _ change: (inout SegmentationOptions) -> Void = { _ in }
  ) async throws -> ScoreMap {
    var options = SegmentationOptions()
    // The limit is for the process, in which all of the tests run.
    options.memory = .gigabytes(16)
    change(&options)
    return try await ScoreMap(of: image, with: package, options: options) { _ in }
  }

  private func largest(_ a: ScoreMap, _ b: ScoreMap) -> Float {
    var largest: Float = 0
    for (a, b) in zip(a.channels, b.channels) { for (a, b) in zip(a, b) { largest = max(largest, abs(a - b)) } }
    return largest
  }

  /// Nuclei cut out of the example, made brighter on one side, so that tiles differ.
  private func nuclei(_ size: Size = Size(width: 700, height: 512), layout: SampleLayout = .gray) throws -> ArrayImage {
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try Example.image().read(
      Region(x: 900, y: 100, width: size.width, height: size.height), of: PlaneIndex(), into: pixels)
    let values = (0..<size.area).flatMap { index -> [UInt16] in
      let value = UInt16(pixels.bytes[index]) * 100 + UInt16(index % size.width) * 20
      return layout == .gray ? [value] : [value, value / 2 + 500, 20000 - value / 3]
    }
    return ArrayImage(values.withUnsafeBytes { Array($0) }, size: size, type: .uint16, layout: layout)
  }

  @Test(arguments: seeds)
  func theImagesStatisticsGiveWhatOneTileGives(form: String) async throws {
    let package = try seed(form), image = try nuclei()
    let whole = try await scores(image, package) { ($0.tileSide, $0.statistics) = (1024, .tile) }
    #expect(whole.provenance.tiles.count == 1 && whole.provenance.certificate.promise == .canonical)
    #expect(whole.provenance.certificate.statistics == .tile && whole.provenance.statistics == nil)
    let one = try await scores(image, package) { $0.tileSide = 1024 }
    #expect(
      one.provenance.tiles.count == 1 && one.provenance.certificate == Certificate(promise: .exact, statistics: .image))
    #expect(largest(whole, one) < 1e-5)
    let tiled = try await scores(image, package) { $0.tileSide = 128 }
    #expect(tiled.provenance.tiles.count > 20 && tiled.channels == one.channels)
    let other = try await scores(image, package) { ($0.tileSide, $0.threads) = (200, 1) }
    #expect(other.channels == one.channels)
    let free = try await scores(image, package)
    #expect(free.channels == one.channels)
    // What it is for: tiles of their own statistics are far from it.
    let ofTiles = try await scores(image, package) { ($0.tileSide, $0.statistics) = (128, .tile) }
    #expect(largest(ofTiles, one) > 0.1)
  }

  /// The statistics are those of the whole plane, whatever region is segmented.
  @Test func aRegionGivesItsPart() async throws {
    let package = try seed("ONNX"), image = try nuclei()
    let whole = try await scores(image, package), region = Region(x: 311, y: 97, width: 203, height: 301)
    let part = try await scores(image, package) { ($0.planes.region, $0.tileSide) = (region, 160) }
    #expect(whole.difference(from: part, in: region, isClasses: true).largest == 0)
    #expect(part.provenance.statistics == whole.provenance.statistics)
  }

  /// Three channels in another order, in packages that are fed raw values and values from 0 to 1.
  @Test func colors() async throws {
    let image = try nuclei(Size(width: 288, height: 192), layout: .rgb)
    for (path, layers) in [
      ("models/tf/unet_rgb/unet_rgb.czmodel", [.rgbToBGR, .perImageStandardization]),
      ("models/tf/v510/unet_transposechannels.czann", [.perImageStandardization, .rgbToBGR]),
      ("models/tf/v120/unet_onnx12.czmodel", [.zeroMeanUnitVariance(epsilon: 1e-6)]),
    ] as [(String, [Preprocessing])] {
      let small = try ModelPackage(at: SharedData.path(path)).prepending(layers)
      let large = try small.settingSpatialDimensions(height: 192, width: 288)
      let whole = try await scores(image, large) { $0.statistics = .tile }
      let one = try await scores(image, large), tiled = try await scores(image, small) { $0.tileSide = 96 }
      #expect(whole.provenance.tiles.count == 1 && one.provenance.tiles.count == 1, "\(path)")
      #expect(largest(whole, one) < 1e-5, "\(path): \(largest(whole, one))")
      #expect(one.provenance.certificate.promise == .exact)
      #expect(tiled.provenance.certificate.promise == .exact && tiled.channels == one.channels, "\(path)")
      #expect(tiled.provenance.tiles.count > 1)
    }
  }

  /// The deviation is then less than 1 / sqrt(N). The engine's own mean of many large numbers is off by what that makes
  /// visible, so that it is asked for the same of zeros.
  @Test(arguments: seeds)
  func aPlaneOfOneValue(form: String) async throws {
    let size = Size(width: 300, height: 200), package = try seed(form)
    func plane(_ value: UInt16) -> ArrayImage {
      let values = [UInt16](repeating: value, count: size.area)
      return ArrayImage(values.withUnsafeBytes { Array($0) }, size: size, type: .uint16)
    }
    let whole = try await scores(plane(0), package) { ($0.tileSide, $0.statistics) = (512, .tile) }
    for value in [0, 30001] as [UInt16] {
      let tiled = try await scores(plane(value), package) { $0.tileSide = 128 }
      #expect(largest(whole, tiled) < 1e-6)
      #expect(tiled.provenance.statistics?.planes == [.init(time: 0, z: 0, mean: [Double(value)], deviation: [0])])
    }
  }

  @Test func aPlaneOfOneValueThatIsDividedByNothing() async throws {
    let package = try Example.package("nuclei.czann").prepending([.zeroMeanUnitVariance(epsilon: 0)])
    let image = ArrayImage([UInt8](repeating: 9, count: 10_000), size: Size(width: 100, height: 100), type: .uint8)
    await #expect(throws: SegmentationError.self) { _ = try await scores(image, package) }
  }

  /// What lies between the parts of a mosaic is no pixel of it.
  @Test func gapsOfAMosaicDoNotCount() async throws {
    let size = Size(width: 700, height: 512), image = try nuclei()
    let covered = [Region(x: 0, y: 0, width: 260, height: 300), Region(x: 240, y: 200, width: 460, height: 312)]
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(Region(size), of: PlaneIndex(), into: pixels)
    var values = Array(pixels.values(as: UInt16.self)), sum = 0.0, count = 0.0
    for y in 0..<size.height {
      for x in 0..<size.width {
        if covered.contains(where: { $0.contains(Region(x: x, y: y, width: 1, height: 1)) }) {
          (sum, count) = (sum + Double(values[y * size.width + x]), count + 1)
        } else {
          values[y * size.width + x] = 0
        }
      }
    }
    let mosaic = ArrayImage(values.withUnsafeBytes { Array($0) }, size: size, type: .uint16, covered: covered)
    let package = try seed("ONNX")
    let one = try await scores(mosaic, package) { $0.tileSide = 1024 }
    let tiled = try await scores(mosaic, package) { $0.tileSide = 128 }
    #expect(one.channels == tiled.channels)
    let mean = try #require(one.provenance.statistics?.planes.first?.mean.first)
    #expect(abs(mean - sum / count) < 1e-9)
  }

  /// Times are planes of their own, or a dataset; what is chosen of them changes no other.
  @Test func planesAndDatasets() async throws {
    let size = Size(width: 300, height: 256), image = try nuclei(size)
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(Region(size), of: PlaneIndex(), into: pixels)
    let first = Array(pixels.values(as: UInt16.self)), second = first.map { $0 / 3 + 7 }
    let series = ArrayImage((first + second).withUnsafeBytes { Array($0) }, size: size, times: 2, type: .uint16)
    let package = try seed("SavedModel")
    var results: [String: StoredPlanes] = [:]
    for (name, times, scope) in [
      ("both", nil, .image), ("second", Selection("1"), .image), ("dataset", nil, .dataset),
      ("second of itself", Selection("1"), .dataset),
    ] as [(String, Selection?, StatisticsScope)] {
      results[name] = try await segment(series, package) {
        ($0.planes.times, $0.statistics, $0.tileSide) = (times, scope, 128)
      }
    }
    let half = size.area
    let both = try #require(results["both"]).values
    // A third of everything is standardised to the same, but for what is rounded.
    #expect(Array(both[half...]) == results["second"]?.values)
    #expect(results["second of itself"]?.values == results["second"]?.values)
    let dataset = try #require(results["dataset"]).values
    #expect(Array(dataset[..<half]) != Array(both[..<half]) && Array(dataset[half...]) != Array(both[half...]))

    let folder = try ScratchFolder()
    var options = SegmentationOptions()
    options.statistics = .dataset
    let result = try await Segmentation(of: series, with: package, options: options)
      .write(to: SegmentationOutputs(result: folder.file("a.ome.zarr")))
    #expect(result.provenance.certificate.description == "exact with statistics of the dataset")
    let statistics = try #require(result.provenance.statistics)
    let all = (first + second).map(Double.init), mean = all.reduce(0, +) / Double(all.count)
    #expect(statistics.scope == .dataset && statistics.planes.count == 1 && statistics.planes[0].time == nil)
    #expect(abs(statistics.planes[0].mean[0] - mean) < 1e-9 * mean)
  }

  @Test func provenByTrying() async throws {
    var options = SegmentationOptions()
    options.planes.region = Region(x: 1000, y: 200, width: 600, height: 560)
    for form in Self.seeds {
      let proof = try await Proof(of: Example.image(), with: seed(form), options: options)
      #expect(proof.certificate.description == "exact with statistics of the image" && proof.holds)
      #expect(proof.reference.hasPrefix("one tile (1 of"))
      let promised = proof.rows.filter(\.isPromised)
      #expect(promised.count >= 4 && promised.allSatisfy { $0.isEqual && $0.pixels > 0 })
      let tiles = try #require(proof.rows.first { $0.name == "statistics of every tile" })
      #expect(!tiles.isPromised && tiles.differing > 0)
    }
  }

  @Test func onlyExactWillDo() async throws {
    let package = try seed("ONNX"), image = try nuclei(Size(width: 200, height: 200))
    let exact = try await scores(image, package) { $0.requirement = .exact }
    #expect(exact.provenance.certificate.promise == .exact)
    await #expect(throws: SegmentationError.self) {
      _ = try await scores(image, package) { ($0.requirement, $0.statistics) = (.exact, .tile) }
    }
  }

  @Test func zenTakesTheStatisticsOfTiles() async throws {
    let package = try seed("ONNX"), image = try nuclei(Size(width: 300, height: 200))
    let zen = try await scores(image, package) { ($0.tiling, $0.tileSide) = (.zen, 128) }
    #expect(zen.provenance.certificate.promise == .zen && zen.provenance.certificate.statistics == .tile)
    let said = try await scores(image, package) { ($0.tiling, $0.tileSide, $0.statistics) = (.zen, 128, .tile) }
    #expect(said.channels == zen.channels)
    for scope in [StatisticsScope.image, .dataset] {
      #expect(throws: SegmentationError.self) {
        var options = SegmentationOptions()
        (options.tiling, options.statistics) = (.zen, scope)
        _ = try Segmentation(of: image, with: package, options: options)
      }
    }
  }

  /// A network that uses its statistics in another way keeps those of every tile, and says so.
  @Test func whatCannotBeTakenOutIsSaid() async throws {
    let package = try Self.withLeastValue(), image = try nuclei(Size(width: 200, height: 200))
    let tiles = try await scores(image, package)
    #expect(tiles.provenance.certificate.promise == .canonical && tiles.provenance.certificate.statistics == .tile)
    #expect(tiles.provenance.certificate.reason?.contains("cannot be taken") == true)
    #expect(tiles.provenance.warnings.contains { $0.contains("with its own statistics") })
    #expect(throws: SegmentationError.self) {
      var options = SegmentationOptions()
      options.statistics = .image
      _ = try Segmentation(of: image, with: package, options: options)
    }
  }

  /// The two-layer network with the least value in place of the mean.
  private static func withLeastValue() throws -> ModelPackage {
    var package = try ModelPackage(at: SharedData.path("models/tf/v120/seed_onnx12_dynamic.czmodel"))
    guard case .onnx(let bytes) = package.graph else { return package }
    var document = try ONNXDocument(bytes, file: package.path, member: nil)
    let mean = try #require(document.model.graph.node.firstIndex { $0.opType == "ReduceMean" })
    document.model.graph.node[mean].opType = "ReduceMin"
    package.graph = try document.graph(file: "f", member: nil)
    return package
  }

  @Test func networksWithoutStatisticsTakeNone() async throws {
    let image = try nuclei(Size(width: 200, height: 200)), package = try Example.package("nuclei.czann")
    let plain = try await scores(image, package)
    for scope in StatisticsScope.allCases {
      let other = try await scores(image, package) { $0.statistics = scope }
      #expect(other.channels == plain.channels && other.provenance.statistics == nil)
      #expect(other.provenance.certificate == Certificate(promise: .exact))
    }
  }
}
