// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// The folder of the outputs vanishes while a run goes on, as that of a network share does, and comes back.
@Suite struct VanishedFolderTests: ResumingRuns {
  let folder: ScratchFolder
  let package: ModelPackage
  private let image: ArrayImage

  init() throws {
    folder = try ScratchFolder()
    package = try Example.package("nuclei.czann")
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try Example.image().read(Region(x: 900, y: 300, width: 300, height: 200), of: PlaneIndex(), into: pixels)
    image = ArrayImage(Array(pixels.bytes), size: pixels.size, type: .uint8)
  }

  private var share: String { folder.file("share") }
  private var away: String { folder.file("away") }

  private func inShare(_ name: String, resume: Bool = false) throws -> SegmentationOutputs {
    if !resume { try FileManager.default.createDirectory(atPath: share, withIntermediateDirectories: false) }
    var outputs = self.outputs("share/" + name, resume: resume)
    outputs.omeZarr = .init(chunkSide: 64)
    if !name.hasSuffix("zarr") { outputs.omeZarr = .init() }
    return outputs
  }

  /// Runs until so many tiles are done, when the folder vanishes.
  ///
  /// - Parameter isEmpty: whether an empty one is in its place, as where a share is unmounted. An output of one file that
  ///   is written at the end then lies there, and is whole.
  private func vanish(after count: Int, _ outputs: SegmentationOutputs, isEmpty: Bool) async throws -> UnfinishedRun {
    let segmentation = try Segmentation(of: image, with: package, options: options { $0.threads = 1 })
    let error = await #expect(throws: UnfinishedRun.self) {
      try await segmentation.write(to: outputs) { [share, away] event in
        guard case .tile(let tiles) = event, tiles.done == count else { return }
        #expect(rename(share, away) == 0)
        if isEmpty { #expect(mkdir(share, 0o777) == 0) }
      }
    }
    return try #require(error)
  }

  private func comeBack() throws {
    try? FileManager.default.removeItem(atPath: share)
    try FileManager.default.moveItem(atPath: away, toPath: share)
  }

  @Test(arguments: [
    ("r.ome.zarr", false), ("r.ome.zarr", true), ("r.ome.tiff", false), ("r.czi", false), ("r.png", false),
  ])
  func theFolderComesBack(name: String, isEmpty: Bool) async throws {
    try await run(image, options { $0.threads = 1 }, inShare(name))
    let undisturbed = try takeFiles()
    for count in [6, 14] {
      let unfinished = try await vanish(after: count, inShare(name), isEmpty: isEmpty)
      #expect(unfinished.mayPass && !unfinished.isCancellation && !unfinished.isJournalThere)
      #expect(unfinished.tiles >= count && unfinished.journal == share + "/.\(name).journal")
      #expect(unfinished.description.contains("were kept in \(unfinished.journal), which is gone: when it is back"))
      // Nothing is put into a folder that only has the name.
      if isEmpty { #expect(try FileManager.default.contentsOfDirectory(atPath: share) == []) }
      try comeBack()
      try await run(image, options(), inShare(name, resume: true))
      check(try takeFiles(), undisturbed)
    }
  }

  /// The journal is lost: that is told at the end, and what comes next is a new run.
  @Test func theJournalIsLost() async throws {
    let unfinished = try await vanish(after: 5, inShare("r.ome.zarr"), isEmpty: false)
    #expect(!unfinished.isJournalThere)
    #expect(unfinished.description.contains("if it is lost, the run has to start from the beginning"))
    try comeBack()
    try FileManager.default.removeItem(atPath: unfinished.journal)
    let resumed = try inShare("r.ome.zarr", resume: true)
    let notes = Notes(), segmentation = try Segmentation(of: image, with: package, options: options())
    _ = try await segmentation.write(to: resumed) { if case .note(let note) = $0 { notes.all.append(note) } }
    #expect(notes.all == ["there is no unfinished run of \(resumed.result); it starts from the beginning"])
  }

  private final class Notes: @unchecked Sendable { var all: [String] = [] }
}
