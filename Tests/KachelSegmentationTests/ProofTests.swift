// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

@Suite struct ProofTests {
  func proof(
    _ package: ModelPackage, picture: String? = nil, statistics: StatisticsScope? = nil
  ) async throws -> Proof {
    var options = SegmentationOptions()
    options.statistics = statistics
    options.planes.region = Region(x: 1000, y: 200, width: 600, height: 560)
    return try await Proof(of: Example.image(), with: package, options: options, picture: picture)
  }

  @Test func theExampleIsExact() async throws {
    let folder = try ScratchFolder(), picture = folder.file("a.png")
    let proof = try await proof(Example.package("nuclei.czann"), picture: picture)
    #expect(proof.certificate.promise == .exact && proof.holds && proof.reference.hasPrefix("one tile (1 of"))
    let promised = proof.rows.filter(\.isPromised)
    #expect(promised.count == 6 && promised.allSatisfy { $0.isEqual && $0.pixels > 0 })
    #expect(promised.contains { $0.tiles > 8 })
    // The way that is not promised differs: the comparison sees what there is to see.
    let zen = try #require(proof.rows.first { !$0.isPromised })
    #expect(zen.name == "ZEN's tiles" && zen.differing > 0 && zen.largestDifference > 0.01)
    let drawn = try Image(at: picture)
    #expect(drawn.description.scenes[0].size == Size(width: 600, height: 560))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try drawn.read(Region(x: 0, y: 0, width: 600, height: 560), of: PlaneIndex(), into: pixels)
    #expect(pixels.bytes.count { $0 == 255 } == zen.differing)
  }

  /// A border that is too small is not promised to be enough, and is not.
  @Test func bordersThatAreTooSmallShow() async throws {
    var package = try Example.package("nuclei.czann")
    package.metadata.border = AxisPair(y: 4, x: 4)
    let proof = try await proof(package)
    let row = try #require(proof.rows.first { $0.name == "the package's border" })
    #expect(!row.isPromised && row.largestDifference > 0 && proof.holds)
  }

  @Test func networksThatSeeTheWholeTileAreTriedOnTheirOwnTiles() async throws {
    let package = try ModelPackage(at: SharedData.path("models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel"))
    let proof = try await proof(package, statistics: .tile)
    #expect(proof.certificate.promise == .canonical && proof.holds)
    #expect(
      proof.rows.map(\.name) == ["a region", "one thread", "stopped and resumed"] && proof.rows.allSatisfy(\.isEqual))
  }

  /// A network of a fixed size takes tiles of others, as it is exact; as ZEN runs it, it has its own.
  @Test func networksOfOneSizeAreTriedOnOtherTilesToo() async throws {
    let proof = try await proof(Example.package("nuclei.czmodel"))
    #expect(proof.certificate.promise == .exact && proof.holds && proof.reference.hasPrefix("one tile"))
    #expect(proof.rows.count == 7 && proof.rows.dropLast().allSatisfy { $0.isEqual && $0.isPromised })
    #expect(proof.rows.last?.name == "ZEN's tiles" && proof.rows.last?.tile == [512, 512])
  }

  @Test func aPartWithoutPixelsIsTold() async throws {
    let size = Size(width: 300, height: 300)
    let image = ArrayImage(
      [UInt8](repeating: 0, count: size.area), size: size, type: .uint8, covered: [])
    await #expect(throws: SegmentationError.self) {
      _ = try await Proof(of: image, with: Example.package("nuclei.czann"), options: SegmentationOptions())
    }
  }
}
