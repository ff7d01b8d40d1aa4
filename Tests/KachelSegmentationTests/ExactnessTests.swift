// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// The promise: however an image is cut, the result is the same.
@Suite struct ExactnessTests {
  @Test(arguments: [256, 384, 512, 1024])
  func tilesGiveWhatOneTileGives(side: Int) async throws {
    let package = try Example.package("nuclei.czann"), image = try Example.image()
    // Rows that need every kind of tile on either axis, and a height that is no multiple of the stride.
    let region = Region(x: 0, y: 0, width: 3480, height: 1040)
    let one = try await Untiled.example(package, image, region)
    let tiled = try await segment(image, package) {
      $0.tileSide = side
      $0.planes.region = region
    }
    #expect(tiled.shape == one.shape)
    #expect(tiled.values == one.values)
  }

  /// A network whose transposed convolution overlaps: as it is, OpenVINO rounds its sums in another way for some sizes of
  /// tiles, these among them.
  @Test(arguments: [168, 172, 176, 220]) func overlapsAreAddedUpInOneOrder(side: Int) async throws {
    let package = try ModelPackage(at: SharedData.path("models/tf/unet_rgb/unet_rgb.czmodel"))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8), size = Size(width: 400, height: 240)
    try Example.image().read(Region(x: 300, y: 100, width: 400, height: 240), of: PlaneIndex(), into: pixels)
    let values = pixels.bytes.flatMap { [$0, $0 / 2 + 50, 200 - $0 / 3] }
    let image = ArrayImage(values, size: size, type: .uint8, layout: .rgb)
    func scores(_ side: Int) async throws -> ScoreMap {
      var options = SegmentationOptions()
      (options.tileSide, options.memory) = (side, .gigabytes(16))
      return try await ScoreMap(of: image, with: package, options: options) { _ in }
    }
    let one = try await scores(400), tiled = try await scores(side)
    #expect(one.provenance.tiles.count == 1 && tiled.provenance.tiles.count > 1)
    #expect(tiled.provenance.certificate == Certificate(promise: .exact))
    #expect(tiled.channels == one.channels)
  }

  @Test func anOddSizeIsExtendedTheSameWay() async throws {
    let package = try Example.package("nuclei.czann")
    let source = try Example.image(), pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    let size = Size(width: 701, height: 435)
    try source.read(Region(size), of: PlaneIndex(), into: pixels)
    let image = ArrayImage(Array(pixels.bytes), size: size, type: .uint8)
    let one = try await segment(image, package) { $0.tileSide = 1024 }
    let tiled = try await segment(image, package) { $0.tileSide = 256 }
    #expect(Set(one.values).isSubset(of: [1, 2]))
    #expect(tiled.values == one.values)
  }

  @Test func aRegionGivesItsPartOfTheWhole() async throws {
    let package = try Example.package("nuclei.czmodel"), image = try Example.image()
    let region = Region(x: 1001, y: 333, width: 517, height: 401)
    let whole = try await segment(image, package) { $0.planes.region = Region(x: 800, y: 0, width: 1000, height: 1040) }
    let part = try await segment(image, package) { $0.planes.region = region }
    #expect(part.shape.suffix(2) == [401, 517])
    let cut = (0..<region.height).flatMap { y in
      (0..<region.width).map { x in whole.values[(region.y + y) * 1000 + region.x - 800 + x] }
    }
    #expect(part.values == cut)
  }

  @Test func bothPackagesAgreeAwayFromTies() async throws {
    let image = try Example.image()
    let saved = try await segment(image, Example.package("nuclei.czmodel"))
    let onnx = try await segment(image, Example.package("nuclei.czann")) { $0.tileSide = 512 }
    let golden = try Image(at: SharedData.path("example/nuclei-labels.png"))
    let labels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try golden.read(Region(golden.description.scenes[0].size), of: PlaneIndex(), into: labels)
    let expected = labels.bytes.map(Float.init)
    // The golden scores of a crop say which pixels are ties; in all of the image they are a handful.
    #expect(zip(saved.values, onnx.values).filter { $0 != $1 }.count <= 20)
    #expect(zip(onnx.values, expected).filter { $0 != $1 }.count <= 20)
    let scores = try NumPyArray(shared: "example/nuclei-scores-crop.npy").floats
    for y in 0..<512 {
      for x in 0..<512 {
        let (background, nucleus) = (scores[(y * 512 + x) * 2], scores[(y * 512 + x) * 2 + 1])
        guard abs(background - nucleus) > 1e-4 else { continue }
        let place = (400 + y) * 3480 + 904 + x
        let label: Float = nucleus > background ? 2 : 1
        guard saved.values[place] == label && onnx.values[place] == label else {
          Issue.record("pixel \(904 + x), \(400 + y)")
          return
        }
      }
    }
  }

  /// Memory, threads and tiles in work change nothing.
  @Test func threadsAndMemoryChangeNothing() async throws {
    let package = try Example.package("nuclei.czann"), image = try Example.image()
    let region = Region(x: 0, y: 0, width: 1400, height: 1040)
    let one = try await segment(image, package) {
      $0.threads = 1
      $0.planes.region = region
      $0.tileSide = 320
    }
    let two = try await segment(image, package) {
      $0.threads = 2
      $0.planes.region = region
    }
    #expect(one.values == two.values)
  }
}

/// The run with one tile as large as the image, made once for all tests that compare with it.
private actor Untiled {
  private static let shared = Untiled()
  private var result: Task<StoredPlanes, any Error>?

  static func example(_ package: ModelPackage, _ image: Image, _ region: Region) async throws -> StoredPlanes {
    try await shared.get {
      try await segment(image, package) {
        $0.tileSide = 4096
        $0.planes.region = region
      }
    }
  }

  private func get(_ make: @escaping @Sendable () async throws -> StoredPlanes) async throws -> StoredPlanes {
    let task = result ?? Task { try await make() }
    result = task
    return try await task.value
  }
}
