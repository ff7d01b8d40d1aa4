// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel
import KachelTesting
import Testing

/// Several images in one command.
@Suite struct BatchTests {
  private let kachel: KachelProcess
  init() throws { kachel = try KachelProcess() }

  private func copyPicture(to name: String) throws {
    let path = try Inputs.picture(in: kachel.files)
    try FileManager.default.copyItem(atPath: path, toPath: kachel.folder.file(name))
  }

  @Test func aFolder() async throws {
    try FileManager.default.createDirectory(atPath: kachel.folder.file("in"), withIntermediateDirectories: false)
    for name in ["in/b10.png", "in/b9.png", "in/.hidden.png"] { try copyPicture(to: name) }
    _ = try kachel.folder.write(Array("notes".utf8), to: "in/notes.txt")
    _ = try kachel.folder.write([0x89] + Array("PNG\r\n\u{1A}\n broken".utf8), to: "in/c.png")
    let run = try await kachel.run(
      ["segment", "in", "-m", Inputs.quick, "-o", "out", "--preview", "previews", "--format", "png"])
    // One bad image stops no other.
    #expect(run.status == 65)
    #expect(run.lines == ["out/b9.labels.png", "previews/b9.png", "out/b10.labels.png", "previews/b10.png"])
    #expect(run.errors.contains("image 1 of 3: in/b9.png") && run.errors.contains("image 3 of 3: in/c.png"))
    #expect(run.errors.contains("2 of 3 images segmented"))
    #expect(run.errors.contains("kachel: not segmented: in/c.png"))
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: kachel.folder.file("out")).sorted() == [
        "b10.labels.png", "b9.labels.png",
      ])
  }

  @Test func patternsAndSeveralNames() async throws {
    for name in ["a.png", "b.png", "a.jpg.png"] { try copyPicture(to: name) }
    let run = try await kachel.run(["segment", "?.png", "a.jpg.png", "a.png", "-m", Inputs.quick, "--quiet", "--json"])
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    struct Outcome: Decodable {
      var image: String
      var outputs: [String]
      var provenance: Provenance
    }
    let outcomes = try JSONDecoder().decode([Outcome].self, from: Data(run.output.utf8))
    #expect(outcomes.map(\.image) == ["a.png", "b.png", "a.jpg.png"])
    #expect(outcomes.map(\.outputs) == [["a.labels.ome.zarr"], ["b.labels.ome.zarr"], ["a.jpg.labels.ome.zarr"]])
    // The same again would replace them.
    let again = try await kachel.run(["segment", "?.png", "-m", Inputs.quick])
    #expect(again.status == 73)
    #expect(again.errors.contains("a.labels.ome.zarr: exists already, and 1 other outputs exist too"))
  }

  @Test func aSetOfFilesIsOneImage() async throws {
    try FileManager.default.createDirectory(atPath: kachel.folder.file("set"), withIntermediateDirectories: false)
    for name in (1...5).map({ "multifile-Z\($0).ome.tiff" }) + ["multifile.companion.ome"] {
      try FileManager.default.copyItem(
        atPath: SharedData.path("ometiff/" + name), toPath: kachel.folder.file("set/" + name))
    }
    let run = try await kachel.run(["segment", "set", "-m", Inputs.quick, "--z", "0", "--quiet"])
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.lines == ["multifile-Z1.labels.ome.zarr"])
  }

  @Test func refused() async throws {
    try FileManager.default.createDirectory(atPath: kachel.folder.file("empty"), withIntermediateDirectories: false)
    for (arguments, status, words) in [
      (["empty"], 65, "empty: is a folder without images"), (["*.czi"], 65, "*.czi: no file matches this pattern"),
      (["a/x.czi", "b/x.czi"], 64, "so that both results would be called x.czi"),
      (["a.png", "b.png", "--format", "bmp"], 64, "no format has this extension"),
      (["a.png", "--format", "bmp"], 64, "no format has this extension"),
    ] {
      let run = try await kachel.run(["segment", "-m", Inputs.quick] + arguments)
      #expect(run.status == status, "\(arguments): \(run.errors)")
      #expect(run.errors.contains(words), "\(run.errors)")
      #expect(try kachel.written == ["empty"])
    }
  }
}
