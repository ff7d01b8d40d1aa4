// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Synchronization
import Testing

@testable import KachelSegmentation

/// What a run measures in the whole image is measured once: a resumed run takes it from the journal.
@Suite struct MeasuredOnceTests: ResumingRuns {
  let folder: ScratchFolder
  let package: ModelPackage
  private let images: ScratchFolder

  init() throws {
    folder = try ScratchFolder()
    images = try ScratchFolder()
    // The two-layer network with a standardisation before it.
    package = try ModelPackage(at: SharedData.path("models/tf/v120/seed_onnx12_dynamic.czmodel"))
  }

  /// An image that counts the pixels that are read of it.
  private final class Counted: ImageSource {
    let image: any ImageSource
    private let count = Mutex(0)

    init(_ image: any ImageSource) { self.image = image }

    var path: String { image.path }
    var description: ImageDescription { image.description }
    var cacheBytes: Int { image.cacheBytes }
    /// How many were read since this was asked for.
    func take() -> Int {
      count.withLock { count in
        defer { count = 0 }
        return count
      }
    }

    func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws {
      count.withLock { $0 += region.area }
      try image.read(region, of: plane, into: pixels)
    }
    func hasPixels(in region: Region, of plane: PlaneIndex) -> Bool { image.hasPixels(in: region, of: plane) }
    func coveredRegions(in region: Region, of plane: PlaneIndex) -> [Region] {
      image.coveredRegions(in: region, of: plane)
    }
  }

  /// Two scenes of other sizes and values, at three times each.
  private func scenes() throws -> Image {
    var blocks: [CZIFixture.SubBlock] = []
    for scene in 0..<2 {
      for time in 0..<3 {
        let part = Region(x: 500 + 100 * scene + 50 * time, y: 200, width: 250 - 50 * scene, height: 180)
        let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
        try Example.image().read(part, of: PlaneIndex(), into: pixels)
        blocks.append(
          .init(
            Region(part.size).offsetBy(x: 1000 * scene, y: 0), ["S": Int32(scene), "C": 0, "T": Int32(time)],
            pixels: pixels.bytes.map { $0 / UInt8(1 + time) + UInt8(7 * scene) }))
      }
    }
    return try Image(at: images.write(CZIFixture(blocks).bytes, to: "scenes.czi"))
  }

  /// Whether nothing is measured when a run goes on.
  private func goOn(
    _ image: any ImageSource, _ options: SegmentationOptions, _ outputs: SegmentationOutputs,
    with package: ModelPackage? = nil
  ) async throws {
    let isMeasured = Mutex(false)
    _ = try await Segmentation(of: image, with: package ?? self.package, options: options).write(to: outputs) { event in
      if case .measuring = event { isMeasured.withLock { $0 = true } }
    }
    #expect(!isMeasured.withLock { $0 })
  }

  @Test(arguments: [StatisticsScope.image, .dataset]) func statistics(scope: StatisticsScope) async throws {
    let image = try scenes()
    let options = options { $0.statistics = scope }
    func outputs(resume: Bool = false) -> SegmentationOutputs {
      self.outputs("s.ome.zarr", confidence: true, preview: true, resume: resume)
    }
    let first = try await run(image, options, outputs())
    #expect(first.provenance.statistics?.planes.count == (scope == .image ? 3 : 1))
    let undisturbed = try takeFiles()
    // Within the first scene, and within the second.
    for count in [4, first.tiles - 3] {
      try await stop(after: count, image, options, outputs())
      try await goOn(image, options, outputs(resume: true))
      check(try takeFiles(), undisturbed)
    }
  }

  /// Numbers without an end, and a plane without pixels of its own.
  @Test(arguments: [StatisticsScope.image, .dataset]) func severalPlanes(scope: StatisticsScope) async throws {
    let size = Size(width: 300, height: 200)
    let values = (0..<3 * size.area).map { Float($0 % 977) / 3 + Float($0 / size.area) * 0.1 }
    let image = ArrayImage(values.withUnsafeBytes { Array($0) }, size: size, times: 3, type: .float32)
    let options = options { $0.statistics = scope }
    try await run(image, options, outputs("s.ome.zarr"))
    let undisturbed = try takeFiles()
    try await stop(after: 9, image, options, outputs("s.ome.zarr"))
    try await goOn(image, options, outputs("s.ome.zarr", resume: true))
    check(try takeFiles(), undisturbed)
  }

  /// Two passes over the image are saved: the planes' statistics, and where they show something.
  @Test(arguments: [BackgroundChoice.automatic, .upTo(30)]) func background(choice: BackgroundChoice) async throws {
    let region = Region(x: 700, y: 0, width: 640, height: 400), pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try Example.image().read(region, of: PlaneIndex(), into: pixels)
    let black = [UInt8](repeating: 0, count: pixels.bytes.count)
    let image = Counted(
      ArrayImage(
        Array(pixels.bytes) + Array(pixels.bytes.map { $0 / 2 }) + black, size: pixels.size, times: 3, type: .uint8))
    let options = options { ($0.background, $0.threads) = (choice, 1) }
    let first = try await run(image, options, outputs("b.ome.zarr"))
    #expect(first.provenance.certificate.background?.fraction ?? 0 > 0.3)
    #expect(image.take() > 3 * region.area)
    let undisturbed = try takeFiles()
    try await stop(after: first.tiles - 4, image, options, outputs("b.ome.zarr"))
    _ = image.take()
    try await goOn(image, options, outputs("b.ome.zarr", resume: true))
    #expect(image.take() < region.area)
    check(try takeFiles(), undisturbed)
  }

  /// What a sample says of tiles that see too little is not measured anew either.
  @Test func approximateRuns() async throws {
    let image = try scenes(), package = try Example.package("nuclei.czann")
    let options = options { $0.halo = .pixels(8) }
    let first = try await run(image, options, outputs("a.ome.zarr"), with: package)
    #expect(first.provenance.certificate.measuredError != nil)
    let undisturbed = try takeFiles()
    try await stop(after: 5, image, options, outputs("a.ome.zarr"), with: package)
    try await goOn(image, options, outputs("a.ome.zarr", resume: true), with: package)
    check(try takeFiles(), undisturbed)
  }

  /// Headers that are whole but that no run of this image has written.
  @Test func impossibleMeasurements() async throws {
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try Example.image().read(Region(x: 700, y: 0, width: 500, height: 300), of: PlaneIndex(), into: pixels)
    let image = ArrayImage(Array(pixels.bytes), size: pixels.size, type: .uint8)
    let options = options { $0.background = .automatic }
    let journal = try await stop(after: 3, image, options, outputs("r.png")).journal
    let whole = try Data(contentsOf: URL(filePath: journal))
    let nothing = JSONValue.string(
      Data(Zstandard.compress(UnsafeRawBufferPointer(start: nil, count: 0))).base64EncodedString())
    func moments(_ count: Int, _ mean: Double, _ variance: Double) -> JSONValue {
      [
        "count": .integer(count), "mean": .unsigned(mean.bitPattern),
        "variance": .unsigned(variance.bitPattern),
      ]
    }
    let changes: [(name: String, change: (inout JSONValue) -> Void)] = [
      ("no planes", { $0["statistics"] = [] }),
      ("two planes", { $0["statistics"] = [[moments(9, 1, 1)], [moments(9, 1, 1)]] }),
      ("two channels", { $0["statistics"] = [[moments(9, 1, 1), moments(9, 1, 1)]] }),
      ("no number", { $0["statistics"] = [[moments(9, .nan, 1)]] }),
      ("less than none", { $0["statistics"] = [[moments(-9, 1, 1)]] }),
      ("a negative variance", { $0["statistics"] = [[moments(9, 1, -1)]] }),
      ("other statistics", { $0["statistics"] = [[moments(9, 1, 1)]] }),
      ("no scene", { $0["signals"] = [] }),
      ("no plane", { $0["signals"] = [[]] }),
      ("no blocks", { $0 = Self.changed($0) { $0["blocks"] = nothing } }),
      ("no frame", { $0 = Self.changed($0) { $0["blocks"] = "AAAA" } }),
      ("an end without a start", { $0 = Self.changed($0) { $0["background"] = [[1]] } }),
      ("the end before the start", { $0 = Self.changed($0) { $0["background"] = [[0x4000_0000, 0]] } }),
      ("too many ranges", { $0 = Self.changed($0) { $0["background"] = [[0, 1], [0, 1], [0, 1]] } }),
      ("too many blocks", { $0 = Self.changed($0) { $0["all"] = 1000 } }),
      ("fewer than none", { $0 = Self.changed($0) { $0["ofBackground"] = -1 } }),
    ]
    for (name, change) in changes {
      try whole.write(to: URL(filePath: journal))
      do {
        let file = try RecordFile(at: journal, calling: "test", magic: "KACHELJ1")
        let header = try #require(try file.record(at: file.start))
        var json = try JSONValue(Array(file.bytes(of: header, upTo: header.count).dropFirst()))
        var measured = try #require(json["measured"])
        change(&measured)
        json["measured"] = measured
        try file.cut(at: file.start)
        try file.append([1] + json.text())
      }
      let error = await #expect(throws: SegmentationError.self, "\(name)") {
        try await run(image, options, outputs("r.png", resume: true))
      }
      let reason = error?.reason ?? ""
      #expect(
        reason.contains("has measured another image") || reason.contains("is of another run"), "\(name): \(reason)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) != ["r.png"])
    }
  }

  /// A record whose first signal is another one.
  private static func changed(_ record: JSONValue, _ change: (inout JSONValue) -> Void) -> JSONValue {
    var record = record
    guard var signal = record["signals"]?.array?.first?.array?.first else { return record }
    change(&signal)
    record["signals"] = [[signal]]
    return record
  }
}
