// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel
import KachelTesting
import Testing

/// How OME-Zarrs are stored, and labels in the image that is segmented.
@Suite struct OMEZarrOutputTests {
  private let kachel: KachelProcess
  init() throws { kachel = try KachelProcess() }

  /// Writes pictures with a bright disc into an OME-Zarr in the process's folder.
  private func makeImage(
    _ name: String, _ version: OMEZarrOptions.Version, sizes: [Size] = [Size(width: 60, height: 40)], levels: Int = 3
  ) throws {
    let output = try PendingOutput(path: kachel.folder.file(name), overwrite: false)
    let image = OutputImage(
      name: "picture", content: .intensities, scenes: sizes.enumerated().map { .init(index: $0, size: $1) },
      channels: [.init(name: "DAPI", pixelType: .uint8)], axes: ["c"], pixelSize: .init(x: 0.5, y: 0.5))
    let writer = try ImageWriter(image, to: output, as: .omeZarr(.init(version: version, levels: levels)))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    for (scene, size) in sizes.enumerated() {
      let picture = try Image(at: Inputs.picture(in: kachel.files, width: size.width, height: size.height))
      try picture.read(Region(size), of: PlaneIndex(), into: pixels)
      try writer.write(pixels, at: Region(size), of: PlaneIndex(scene: scene))
      try writer.finish(scene: scene)
    }
    try writer.finish()
    try output.commit()
  }

  private var files: [String] {
    get throws { try FileManager.default.subpathsOfDirectory(atPath: kachel.folder.path).sorted() }
  }

  @Test func shardsOfChunks() async throws {
    let large = try Inputs.picture(in: kachel.files, width: 700, height: 300)
    let run = try await kachel.run(
      ["segment", large, "-m", Inputs.quick, "-o", "a", "--confidence", "c", "--zarr", "0.5"]
        + ["--shard", "256", "--chunk", "128"])
    #expect(run.status == 0, "\(run.errors)")
    let chunked = try await kachel.run(["segment", large, "-m", Inputs.quick, "-o", "b"])
    #expect(chunked.status == 0)
    for name in ["a", "c"] {
      #expect(
        try files.contains("\(name)/0/c/1/2") && !files.contains("\(name)/0/c/2") && !files.contains("\(name)/.zgroup"))
    }
    #expect(try stored(kachel.folder.file("a")).bytes == stored(kachel.folder.file("b")).bytes)
    let provenance = try String(contentsOfFile: kachel.folder.file("a/zarr.json"), encoding: .utf8)
    #expect(provenance.contains("\"kachel\"") && provenance.contains("--shard"))
  }

  @Test(arguments: OMEZarrOptions.Version.allCases) func labelsInTheImage(version: OMEZarrOptions.Version) async throws
  {
    try makeImage("image.ome.zarr", version)
    let before = try files
    let run = try await kachel.run(
      ["segment", "image.ome.zarr", "-m", Inputs.quick, "-o", "image.ome.zarr/labels/nuclei", "--preview", "p.png"])
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.lines == ["image.ome.zarr/labels/nuclei", "p.png"])
    let alone = try await kachel.run(["segment", "image.ome.zarr", "-m", Inputs.quick, "-o", "alone"])
    #expect(alone.status == 0)
    let labels = kachel.folder.file("image.ome.zarr/labels/nuclei")
    #expect(try stored(labels).bytes == stored(kachel.folder.file("alone")).bytes)
    #expect(try Image(at: labels).description.scenes[0].levels.count == 3)
    #expect(try files.filter { !$0.hasPrefix("alone") && !$0.hasPrefix("image.ome.zarr/labels") } == before + ["p.png"])
    // A second time, and another one beside it.
    let second = ["segment", "image.ome.zarr", "-m", try Inputs.quick, "-o", "image.ome.zarr/labels/nuclei"]
    let refused = try await kachel.run(second)
    #expect(refused.status == 73 && refused.errors.contains("exists already; name another output or pass --overwrite"))
    #expect(try await kachel.run(second + ["--overwrite"]).status == 0)
    let other = try await kachel.run(second.dropLast() + ["image.ome.zarr/labels/other/"])
    #expect(other.status == 0, "\(other.errors)")
    #expect(
      try Image(at: kachel.folder.file("image.ome.zarr/labels")).description.scenes.map(\.name) == ["nuclei", "other"])
    #expect(try !files.contains { $0.contains("partial") })
  }

  @Test func labelsInEveryImage() async throws {
    try makeImage("a.ome.zarr", .v05, sizes: [Size(width: 60, height: 40), Size(width: 40, height: 30)])
    let run = try await kachel.run(
      ["segment", "a.ome.zarr", "-m", Inputs.quick, "-o", "a.ome.zarr/labels/all", "--chunk", "64", "--shard", "128"])
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.lines == ["a.ome.zarr/0/labels/all", "a.ome.zarr/1/labels/all"])
    let second = try await kachel.run(
      ["segment", "a.ome.zarr", "-m", Inputs.quick, "-o", "a.ome.zarr/labels/one", "--scene", "1"])
    #expect(second.lines == ["a.ome.zarr/1/labels/one"])
    #expect(try stored(kachel.folder.file("a.ome.zarr/1/labels/one")).shape == [1, 30, 40])
    #expect(try !files.contains("a.ome.zarr/0/labels/one") && !files.contains("a.ome.zarr/labels"))
  }

  @Test func refusals() async throws {
    try makeImage("i", .v04)
    try makeImage("i5", .v05)
    let before = try files
    let picture = try Inputs.picture(in: kachel.files)
    for (image, options, status, words) in [
      ("i", ["-o", "i/labels/a", "--region", "0,0,9,9"], 64, "leave --region, --time and --z out"),
      ("i", ["-o", "i/labels/a", "--zarr", "0.5"], 64, "leave --zarr out"),
      ("i", ["-o", "i/labels/a", "--shard", "1024"], 64, "leave --shard out"),
      ("i", ["-o", "i/labels/.a"], 64, "choose a name such as nuclei"),
      ("i", ["-o", "i/labels"], 64, "named as IMAGE/labels/NAME"),
      ("i", ["-o", "i/0"], 64, "named as IMAGE/labels/NAME"),
      ("i5", ["-o", "i/labels/a"], 73, "/i/labels does not exist"),
      ("i", ["-o", "i/labels/a", "--preview", "i/labels/a"], 64, "must have different names"),
      ("i", ["-o", "a", "--confidence", "i/labels/a"], 64, "must have different names"),
      ("i5", ["-o", "i5/labels/a", "--shard", "1000"], 64, "a multiple of"),
      ("i/0", ["-o", "i/0/labels/a"], 65, "is no OME-Zarr image"),
      (picture, ["-o", "a", "--shard", "1024"], 64, "write version 0.5, as with --zarr 0.5"),
      (picture, ["-o", "a", "--zarr", "0.6"], 64, "OME-Zarr 0.6 is not written; 0.4 and 0.5 are"),
      (picture, ["-o", "a", "--chunk", "10"], 64, "a chunk's side is 64 to 4096 pixels"),
      (picture, ["-o", "https://example.org/a.ome.zarr"], 64, "is an address"),
    ] {
      let run = try await kachel.run(["segment", image, "-m", Inputs.quick] + options)
      #expect(run.status == status, "\(options): \(run.errors)")
      #expect(run.errors.contains(words), "\(options): \(run.errors)")
      #expect(try files == before)
    }
    let values = try await kachel.run(["segment", "i", "-m", Inputs.regression, "-o", "i/labels/a"])
    #expect(values.status == 64 && values.errors.contains("a regression gives values"))
    #expect(try files == before)
  }

  /// While labels are written nothing is listed, and when the run is stopped nothing of them stays but its journal.
  @Test(arguments: [SIGINT, SIGKILL]) func stopped(_ signal: Int32) async throws {
    try makeImage("image", .v04, sizes: [Size(width: 2600, height: 2600)], levels: 2)
    let before = try files
    let arguments = ["segment", "image", "-m", try Inputs.quick, "-o", "image/labels/a", "--tile-size", "128"]
    let run = try await kachel.run(arguments) { process, errors in
      try KachelProcess.wait(for: "10 %: ", from: process, errors)
      #expect(throws: ImageError.self) { try Image(at: kachel.folder.file("image/labels")) }
      kill(process, signal)
    }
    #expect(run.status == 128 + signal)
    let left = try files.filter { !before.contains($0) }
    if signal == SIGINT { #expect(left == ["image/.labels.a.journal"]) }
    // A process that is killed cannot tidy up; what it leaves is no label image, and the next run is not disturbed.
    #expect(
      left.allSatisfy {
        ["image/labels", "image/.labels.a.journal"].contains($0) || $0.hasPrefix("image/labels/.a.")
      })
    let again = try await kachel.run(["segment", "image", "-m", Inputs.quick, "-o", "image/labels/a"])
    #expect(again.status == 0, "\(again.errors)")
    #expect(try Image(at: kachel.folder.file("image/labels")).description.scenes.map(\.name) == ["a"])
    #expect(try !files.contains { $0.contains("/.a.") || $0.hasSuffix(".journal") })
  }
}
