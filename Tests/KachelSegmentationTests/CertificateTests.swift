// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

@Suite struct CertificateTests {
  let region = Region(x: 0, y: 0, width: 900, height: 500)

  func provenance(
    _ package: ModelPackage, _ change: (inout SegmentationOptions) -> Void = { _ in }
  ) async throws -> Provenance {
    let folder = try ScratchFolder()
    var options = SegmentationOptions()
    options.planes.region = region
    change(&options)
    return try await Segmentation(of: Example.image(), with: package, options: options)
      .write(to: SegmentationOutputs(result: folder.file("a"))).provenance
  }

  /// The package declares 64; the network needs 48 where cores begin and end on its stride.
  @Test func theHaloIsTheNetworks() async throws {
    let package = try Example.package("nuclei.czann")
    let automatic = try await provenance(package) { $0.tileSide = 256 }
    #expect(automatic.tiles.halo == [48, 48] && automatic.certificate == Certificate(promise: .exact))
    let declared = try await provenance(package) { ($0.tileSide, $0.halo) = (256, .package) }
    #expect(declared.tiles.halo == [64, 64] && declared.certificate == Certificate(promise: .exact))
  }

  @Test func lessThanTheNetworkNeedsIsApproximate() async throws {
    let package = try Example.package("nuclei.czann")
    let result = try await provenance(package) { ($0.tileSide, $0.halo) = (256, .pixels(40)) }
    #expect(result.certificate.promise == .approximate && result.warnings.contains { $0.contains("48 x 48") })
  }

  /// A network that is canonical by its rounding alone still needs its halo.
  @Test(arguments: [(48, Certificate.Promise.canonical), (40, .approximate)])
  func roundedNetworksNeedTheirHaloToo(halo: Int, promise: Certificate.Promise) throws {
    var facts = try Example.package("nuclei.czann").graphFacts()
    facts.exactness = .canonical(reason: "weights are rounded")
    let side = Size(width: 256, height: 256), halo = Size(width: halo, height: halo)
    let rules = TileRules(stride: Size(width: 8, height: 8), halo: halo, fixed: side, shrinks: (true, true))
    let plan = try #require(TilePlan(planes: [Size(width: 900, height: 500)], rules: rules, tilePixels: 0))
    #expect(Certificate(facts, plan).promise == promise)
    facts.exactness = .exact
    #expect(
      Certificate(facts, plan, rounding: "r")
        == (promise == .canonical ? .init(promise: .canonical, reason: "r") : Certificate(facts, plan)))
  }

  /// The error that the certificate names is found in the scores, and no larger one is claimed than there is.
  @Test func approximateResultsSayHowFarTheyAreOff() async throws {
    let package = try Example.package("nuclei.czann")
    let result = try await provenance(package) { ($0.tileSide, $0.halo) = (256, .pixels(8)) }
    let error = try #require(result.certificate.measuredError)
    #expect(result.warnings.contains { $0.contains("\(error.largestDifference)") })
    let scene = try Example.image()
    var options = SegmentationOptions()
    options.planes.region = region
    options.tileSide = 1024
    let exact = try await ScoreMap(of: scene, with: package, options: options) { _ in }
    (options.tileSide, options.halo) = (256, .pixels(8))
    let cut = try await ScoreMap(of: scene, with: package, options: options) { _ in }
    let whole = exact.difference(from: cut, in: Region(region.size), isClasses: true)
    #expect(error.largestDifference > 0 && error.largestDifference <= 1 && whole.largest > 0.01)
    #expect(error.pixels > 1000 && error.differing <= error.pixels)
    // A few borders of many: of the same order.
    #expect(error.largestDifference > whole.largest / 100)
  }

  /// Where nothing is cut, no halo is too small.
  @Test func oneTileIsExact() async throws {
    let result = try await provenance(Example.package("nuclei.czann")) { ($0.tileSide, $0.halo) = (4096, .pixels(0)) }
    #expect(result.certificate == Certificate(promise: .exact))
  }

  /// Halos that would take more than half of a tile give way to the package's border, and that is said.
  @Test func halosThatTakeMostOfATileGiveWay() async throws {
    var package = try Example.package("nuclei.czann")
    package.metadata.border = AxisPair(y: 8, x: 8)
    let result = try await provenance(package) { $0.tileSide = 128 }
    #expect(result.tiles.halo == [8, 8] && result.certificate.promise == .approximate)
    let larger = try await provenance(package) { $0.tileSide = 256 }
    #expect(larger.tiles.halo == [48, 48] && larger.certificate.promise == .exact)
  }

  @Test func statisticsOfTilesAreNotExact() async throws {
    let package = try ModelPackage(at: SharedData.path("models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel"))
    let result = try await provenance(package) { $0.statistics = .tile }
    #expect(result.certificate.promise == .canonical && result.certificate.reason?.contains("Mean") == true)
    #expect(result.certificate.description.hasPrefix("canonical with statistics of the tile: "))
    await #expect(throws: SegmentationError.self) {
      _ = try await provenance(package) { ($0.requirement, $0.statistics) = (.exact, .tile) }
    }
    let ofImage = try await provenance(package) { $0.requirement = .exact }
    #expect(ofImage.certificate == Certificate(promise: .exact, statistics: .image))
  }
}
