// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// No run goes on with an image that has changed: its result would be a mix of two.
@Suite struct ChangedImageTests: ResumingRuns {
  let folder: ScratchFolder
  let package: ModelPackage
  /// Where images are.
  private let images: ScratchFolder

  init() throws {
    folder = try ScratchFolder()
    images = try ScratchFolder()
    package = try Example.package("nuclei.czann")
  }

  /// Makes a file one that was written at another time.
  private func touch(_ path: String, _ date: Date = Date(timeIntervalSince1970: 1e9)) throws {
    try FileManager.default.setAttributes([.modificationDate: date], ofItemAtPath: path)
  }

  /// Chunks, shards, and those of another scene.
  @Test(
    arguments: [
      ("0/0/1/2", "0.4", nil, 1), ("0/c/0/0/0", "0.5", 256, 1), ("1/0/0/3/4", "0.4", nil, 2),
    ] as [(String, String, Int?, Int)])
  func rewrittenChunks(chunk: String, version: String, shard: Int?, scenes: Int) async throws {
    let path = try Example.omeZarr(
      in: images, .init(version: .init(rawValue: version), chunkSide: 64, shardSide: shard), scenes: scenes)
    let file = path + "/" + chunk, bytes = try Data(contentsOf: URL(filePath: file))
    let date = Date(timeIntervalSince1970: 1.5e9)
    try touch(file, date)
    try await stop(after: 3, Image(at: path), options(), outputs("r.ome.tiff"))
    func refused(_ words: String) async throws {
      let error = await #expect(throws: SegmentationError.self) {
        try await run(Image(at: path), options(), outputs("r.ome.tiff", resume: true))
      }
      #expect(error?.kind == .mismatch && error?.reason.contains(words) == true, "\(error?.reason ?? "")")
    }
    try touch(file)
    try await refused("the image's chunks have changed: they were ")
    try touch(file, Date(timeIntervalSinceNow: 1000))
    try await refused(", the newest \(chunk) of ")
    try (bytes + [0]).write(to: URL(filePath: file))
    try touch(file, date)
    try await refused("the image's chunks have changed")
    try FileManager.default.removeItem(atPath: file)
    try await refused("the image's chunks have changed")
    // As it was, it goes on.
    try bytes.write(to: URL(filePath: file))
    try touch(file, date)
    try await run(Image(at: path), options(), outputs("r.ome.tiff", resume: true))
    // A complete result of chunks that were written after it.
    try await run(Image(at: path), options(), outputs("r.ome.tiff", resume: true))
    try touch(file, Date(timeIntervalSinceNow: 1000))
    try await refused("the image's chunks have changed since, the newest is \(chunk)")
  }

  /// What is read of an image is its full resolution, and what lies beside it is no part of it.
  @Test func otherFilesDoNotCount() async throws {
    let path = try Example.omeZarr(in: images, .init(chunkSide: 64))
    try await stop(after: 3, Image(at: path), options(), outputs("r.ome.tiff"))
    try await run(Image(at: path), options(), SegmentationOutputs(result: path + "/labels/nuclei"))
    for name in ["0/.DS_Store", "0/0/.nfs01", "0/notes.txt", ".r.journal"] {
      _ = try images.write([1], to: "image.ome.zarr/" + name)
    }
    // The folder is called by another name.
    try await run(Image(at: path + "/"), options(), outputs("r.ome.tiff", resume: true))
  }

  @Test func anArrayByItself() async throws {
    let path = try Example.omeZarr(in: images, .init(chunkSide: 64)) + "/0"
    try await stop(after: 3, Image(at: path), options(), outputs("r.ome.tiff"))
    try touch(path + "/0/2/1")
    let error = await #expect(throws: SegmentationError.self) {
      try await run(Image(at: path), options(), outputs("r.ome.tiff", resume: true))
    }
    #expect(error?.reason.contains("the image's chunks have changed") == true, "\(error?.reason ?? "")")
  }

  /// A complete result that is stored in another way is not what is asked for.
  @Test func otherChunksAndShards() async throws {
    let image = try Image(at: Example.omeZarr(in: images, .init(), scenes: 2))
    func outputs(
      _ omeZarr: OMEZarrOptions, _ result: String = "r.ome.zarr", confidence: String? = nil, resume: Bool = false
    ) -> SegmentationOutputs {
      var outputs = self.outputs(result, resume: resume)
      outputs.confidence = confidence.map(folder.file)
      outputs.omeZarr = omeZarr
      return outputs
    }
    func refused(_ wanted: SegmentationOutputs, _ words: String) async throws {
      let error = await #expect(throws: SegmentationError.self) { try await run(image, options(), wanted) }
      #expect(error?.kind == .mismatch && error?.reason.contains(words) == true, "\(error?.reason ?? "")")
    }
    let made = OMEZarrOptions(version: .v05, chunkSide: 64, shardSide: 128)
    try await run(image, options(), outputs(made))
    let result = try await run(image, options(), outputs(made, resume: true))
    #expect(result.tiles == 0)
    for (wanted, words) in [
      (OMEZarrOptions(version: .v05, chunkSide: 128, shardSide: 128), "--chunk was 64 x 64 and is 128 x 128"),
      (OMEZarrOptions(version: .v05, chunkSide: 64, shardSide: 192), "--shard was 128 x 128 and is 192 x 192"),
      (OMEZarrOptions(version: .v05, chunkSide: 64), "--shard was 128 x 128 and is none"),
      (OMEZarrOptions(), "--zarr was 0.5 and is 0.4"),
    ] { try await refused(outputs(wanted, resume: true), words) }
    // A confidence may be the only OME-Zarr.
    let second = outputs(.init(chunkSide: 64), "s.ome.tiff", confidence: "c.ome.zarr")
    try await run(image, options(), second)
    try await refused(
      outputs(.init(chunkSide: 128), "s.ome.tiff", confidence: "c.ome.zarr", resume: true),
      "--chunk was 64 x 64 and is 128 x 128")
    // Chunks that are larger than the plane are all the same.
    try await run(image, options(), outputs(.init(), "t.ome.zarr"))
    #expect(try await run(image, options(), outputs(.init(chunkSide: 2048), "t.ome.zarr", resume: true)).tiles == 0)
  }
}
