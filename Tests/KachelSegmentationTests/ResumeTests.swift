// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// Runs that end early and go on, whose results have the bytes of runs that were not disturbed.
@Suite struct ResumeTests: ResumingRuns {
  let folder: ScratchFolder
  let package: ModelPackage

  init() throws {
    folder = try ScratchFolder()
    package = try Example.package("nuclei.czann")
  }

  /// A part of the example, at several times.
  private func image(times: Int = 1) throws -> ArrayImage {
    let size = Size(width: 300, height: 200), pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    var bytes: [UInt8] = []
    for time in 0..<times {
      try Example.image().read(
        Region(x: 900 + 200 * time, y: 300, width: 300, height: 200), of: PlaneIndex(), into: pixels)
      bytes += pixels.bytes
    }
    return ArrayImage(bytes, size: size, times: times, type: .uint8)
  }

  @Test(arguments: ["r.ome.zarr", "r.0.5.zarr", "r.ome.tiff", "r.czi", "r.png"])
  func everyFormatHasTheSameBytes(name: String) async throws {
    let image = try image(times: name.hasSuffix("png") ? 1 : 2)
    func outputs(resume: Bool = false) -> SegmentationOutputs {
      var outputs = self.outputs(name, confidence: true, preview: true, resume: resume)
      if name == "r.0.5.zarr" { outputs.omeZarr = .init(version: .v05, chunkSide: 64, shardSide: 128) }
      return outputs
    }
    let first = try await run(image, options { $0.threads = 2 }, outputs())
    // The same again is complete at once.
    #expect(try await run(image, options { $0.threads = 2 }, outputs(resume: true)).provenance == first.provenance)
    await #expect(throws: SegmentationError.self) {
      try await run(image, options { $0.minimumConfidence = 0.75 }, outputs(resume: true))
    }
    let undisturbed = try takeFiles()
    #expect(undisturbed.count >= 3 && !undisturbed.keys.contains { $0.hasPrefix(".") })
    // Stopped twice, and in the end with other threads and less memory.
    try await stop(after: 5, image, options { $0.threads = 2 }, outputs())
    try await stop(after: 17, image, options(), outputs(resume: true))
    let result = try await run(
      image, options { ($0.threads, $0.memory) = (1, .megabytes(500)) }, outputs(resume: true))
    #expect(result.provenance == first.provenance && result.tiles == first.tiles)
    check(try takeFiles(), undisturbed)
  }

  /// Several scenes, the second of which is not begun; values and not labels.
  @Test func valuesOfSeveralScenes() async throws {
    var blocks: [CZIFixture.SubBlock] = []
    for scene in 0..<2 {
      let part = Region(x: 500 + 100 * scene, y: 200, width: 250 - 50 * scene, height: 180)
      let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
      try Example.image().read(part, of: PlaneIndex(), into: pixels)
      blocks.append(
        .init(
          Region(part.size).offsetBy(x: 1000 * scene, y: 0), ["S": Int32(scene), "C": 0], pixels: Array(pixels.bytes)))
    }
    let elsewhere = try ScratchFolder()
    let image = try Image(at: elsewhere.write(CZIFixture(blocks).bytes, to: "scenes.czi"))
    var package = package
    package.metadata.kind = .regression
    let result = try await run(image, options(), outputs("v.ome.tiff", preview: true), with: package)
    let undisturbed = try takeFiles()
    for count in [3, result.tiles - 10] {
      try await stop(after: count, image, options(), outputs("v.ome.tiff", preview: true), with: package)
      try await run(image, options(), outputs("v.ome.tiff", preview: true, resume: true), with: package)
      check(try takeFiles(), undisturbed)
    }
  }

  @Test(arguments: OMEZarrOptions.Version.allCases) func labelsInAnImage(version: OMEZarrOptions.Version) async throws {
    let elsewhere = try ScratchFolder()
    let original = try Example.omeZarr(in: elsewhere, .init(version: version))
    func fresh() throws -> Image {
      _ = try takeFiles()
      try FileManager.default.copyItem(atPath: original, toPath: folder.file("image.ome.zarr"))
      return try Image(at: folder.file("image.ome.zarr"))
    }
    try await run(fresh(), options(), outputs("image.ome.zarr/labels/nuclei"))
    let undisturbed = try takeFiles()
    #expect(undisturbed.keys.contains { $0.hasPrefix("image.ome.zarr/labels/nuclei/0/") })
    let image = try fresh()
    let stopped = try await stop(after: 4, image, options(), outputs("image.ome.zarr/labels/nuclei"))
    #expect(stopped.journal == folder.file("image.ome.zarr/.labels.nuclei.journal"))
    try await run(image, options(), outputs("image.ome.zarr/labels/nuclei", resume: true))
    #expect(try await run(image, options(), outputs("image.ome.zarr/labels/nuclei", resume: true)).tiles == 0)
    check(try takeFiles(), undisturbed)
  }

  /// A process may end, and a disk fail, in the middle of a record.
  @Test func tornAndDamagedJournals() async throws {
    let image = try image()
    try await run(image, options(), outputs("r.png"))
    let undisturbed = try takeFiles()
    let stopped = try await stop(after: 12, image, options(), outputs("r.png"))
    let (journal, tiles) = (stopped.journal, stopped.tiles)
    let whole = try Data(contentsOf: URL(filePath: journal))
    func check(_ what: String, _ bytes: Data, _ isKept: (Int) -> Bool) async throws {
      _ = try takeFiles()
      try bytes.write(to: URL(filePath: journal))
      let kept = Kept()
      let segmentation = try Segmentation(of: image, with: package, options: options())
      _ = try await segmentation.write(to: outputs("r.png", resume: true)) { event in
        if case .tile(let tiles) = event { kept.count = tiles.kept }
      }
      #expect(isKept(kept.count), "\(what): \(kept.count)")
      self.check(try takeFiles(), undisturbed)
    }
    try await check("nothing", Data()) { $0 == 0 }
    try await check("the header torn", whole.prefix(100)) { $0 == 0 }
    try await check("the last tile torn", whole.dropLast(3)) { $0 == tiles - 1 }
    try await check("zeros at the end", whole + Data(count: 5000)) { $0 == tiles }
    var flipped = whole
    flipped[whole.count / 2] ^= 4
    try await check("a byte flipped", flipped) { $0 < tiles }
    try await check("whole", whole) { $0 == tiles }
  }

  private final class Kept: @unchecked Sendable { var count = 0 }

  /// Records that are whole but that no run of this plan has written.
  @Test func impossibleTiles() async throws {
    let image = try image()
    let journal = try await stop(after: 3, image, options(), outputs("r.png")).journal
    let whole = try Data(contentsOf: URL(filePath: journal))
    func tile(_ numbers: [Int32]) -> [UInt8] {
      [3] + numbers.flatMap { number in withUnsafeBytes(of: number.littleEndian) { Array($0) } }
    }
    let frame = Zstandard.compress(UnsafeRawBufferPointer(start: nil, count: 0))
    let short = withUnsafeBytes(of: UInt32(frame.count).littleEndian) { Array($0) } + frame
    for record in [
      tile([0, 0, 99, 0]) + short, tile([0, 0, 0, 99]) + short, tile([0, 1, 0, 0]) + short,
      tile([-1, 0, 0, 0]) + short,
      tile([0, 0, 5, 5]), tile([0, 0, 5, 5]) + short, tile([0, 0, 5, 5]) + [255, 255, 255, 255, 0], tile([0]), [3],
    ] {
      _ = try takeFiles()
      try whole.write(to: URL(filePath: journal))
      do {
        let file = try RecordFile(at: journal, calling: "test", magic: "KACHELJ1")
        var last = file.start
        while let record = try file.record(at: last) { last = record.end }
        try file.cut(at: last)
        try file.append(record)
      }
      let error = await #expect(throws: SegmentationError.self) {
        try await run(image, options(), outputs("r.png", resume: true))
      }
      #expect(
        error?.reason.contains("that the run does not have") == true, "\(record.prefix(20)): \(error?.reason ?? "")")
      #expect(try takeFiles().isEmpty)
    }
  }

  @Test func anotherRunIsRefusedWithTheDifference() async throws {
    let elsewhere = try ScratchFolder()
    let picture = elsewhere.file("picture.png")
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try Example.image().read(Region(x: 900, y: 300, width: 300, height: 200), of: PlaneIndex(), into: pixels)
    let writer = try PNGWriter(path: picture, size: pixels.size, layout: .gray, pixelType: .uint8, overwrite: false)
    try writer.write(rows: pixels)
    try writer.finish()
    let image = try Image(at: picture)
    let journal = try await stop(after: 4, image, options(), outputs("r.png")).journal
    let whole = try Data(contentsOf: URL(filePath: journal))
    func refused(
      _ words: String, _ change: (inout SegmentationOptions) -> Void = { _ in }, confidence: Bool = false,
      image: Image? = nil, package: ModelPackage? = nil
    ) async throws {
      let error = await #expect(throws: SegmentationError.self) {
        try await run(
          image ?? Image(at: picture), options(change), outputs("r.png", confidence: confidence, resume: true),
          with: package)
      }
      #expect(error?.kind == .mismatch && error?.reason.contains(words) == true, "\(words): \(error?.reason ?? "")")
      #expect(try Data(contentsOf: URL(filePath: journal)) == whole)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [".r.png.journal"])
    }
    try await refused("--tile-size was 128 and is 256") { $0.tileSide = 256 }
    try await refused("--tile-size was 128 and is free") { $0.tileSide = nil }
    try await refused("--halo was auto and is 16") { $0.halo = .pixels(16) }
    try await refused("--tiling was aligned and is zen") { $0.tiling = .zen }
    try await refused("--minimum-confidence was none and is 0.5") { $0.minimumConfidence = 0.5 }
    try await refused("--region was all and is 0,0,200,100") {
      $0.planes.region = Region(x: 0, y: 0, width: 200, height: 100)
    }
    try await refused("--confidence was none and is confidence.png", confidence: true)
    try await refused("the model was nuclei.czann", package: Example.package("nuclei.czmodel"))
    try await refused("the image was picture.png and is nuclei-mosaic.czi", image: Example.image())
    try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSince1970: 1e9)], ofItemAtPath: picture)
    try await refused("the image's file picture.png was")
    // Without --resume it starts anew.
    try await run(image, options { $0.tileSide = 256 }, outputs("r.png"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["r.png"])
    // A complete result of an image that was changed after that.
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSinceNow: 1000)], ofItemAtPath: picture)
    let error = await #expect(throws: SegmentationError.self) {
      try await run(image, options { $0.tileSide = 256 }, outputs("r.png", resume: true))
    }
    #expect(error?.reason.contains("picture.png has changed since") == true)
  }

  @Test func oneRunWritesAnOutput() async throws {
    let image = try image()
    let segmentation = try Segmentation(of: image, with: package, options: options())
    let second = Second()
    _ = try await segmentation.write(to: outputs("r.png")) { [outputs = outputs("r.png")] event in
      guard case .tile(let tiles) = event, tiles.done == 3 else { return }
      second.task = Task { try await segmentation.write(to: outputs) }
    }
    let result = await second.task?.result
    // It may begin when the first has ended.
    let error = #expect(throws: BytesError.self) { try result?.get() }
    #expect(["is being written by another run", "exists already"].contains { error?.reason.contains($0) == true })
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["r.png"])
  }

  private final class Second: @unchecked Sendable { var task: Task<SegmentationResult, any Error>? }

  /// A file of that name that is no journal stays.
  @Test func aForeignFileStays() async throws {
    let file = try folder.write(Array("my own notes".utf8), to: ".r.png.journal")
    for resume in [false, true] {
      let error = await #expect(throws: BytesError.self) {
        try await run(image(), options(), outputs("r.png", resume: resume))
      }
      #expect(error?.reason.contains("is no journal of a run") == true)
    }
    #expect(try Data(contentsOf: URL(filePath: file)) == Data("my own notes".utf8))
  }

  /// The process ended while outputs got their names.
  @Test(arguments: [false, true]) func endedWhileNamesWereGiven(overwrite: Bool) async throws {
    let image = try image()
    func outputs(resume: Bool = false) -> SegmentationOutputs {
      var outputs = self.outputs("r.png", confidence: true, resume: resume)
      outputs.overwrite = overwrite && !resume
      return outputs
    }
    if overwrite { _ = try folder.write([1, 2, 3], to: "r.png") }
    try await run(image, options(), outputs())
    let undisturbed = try takeFiles()
    let old = overwrite ? try folder.write([1, 2, 3], to: "r.png") : nil
    let journal = try await stop(after: 20, image, options(), outputs()).journal
    // As it is when all is decided, the first output has its name, and the second has not.
    do {
      let file = try RecordFile(at: journal, calling: "test", magic: "KACHELJ1")
      var last = file.start
      while let record = try file.record(at: last) { last = record.end }
      try file.cut(at: last)
      let names = [".r.png.0123ABCD.partial", ".confidence.png.0123ABCE.partial"].map(folder.file)
      try file.append([2] + JSONEncoder().encode(names))
      try file.append([4] + Array("[]".utf8))
      if let old { try FileManager.default.moveItem(atPath: old, toPath: names[0] + ".old") }
      _ = try folder.write([5], to: "r.png")
      _ = try folder.write([6], to: ".confidence.png.0123ABCE.partial")
    }
    try await run(image, options(), outputs(resume: true))
    check(try takeFiles(), undisturbed)
  }
}
