// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel
import KachelTesting
import Testing

/// Outputs that cannot be written, and runs that are stopped: nothing half-written stays.
@Suite struct UnwritableTests {
  private let kachel: KachelProcess
  init() throws { kachel = try KachelProcess() }

  private func segment(_ options: [String]) async throws -> KachelProcess.Outcome {
    try await kachel.run(["segment", Inputs.picture(in: kachel.files), "-m", Inputs.quick] + options)
  }

  @Test func existingOutputs() async throws {
    let marker = try kachel.folder.write([1], to: "there")
    for options in [["-o", "there"], ["--preview", "there"], ["--confidence", "there"]] {
      let run = try await segment(options)
      #expect(run.status == 73)
      #expect(run.errors.contains("there: exists already; name another output or pass --overwrite"))
      #expect(try kachel.written == ["there"])
      #expect(try Data(contentsOf: URL(filePath: marker)) == Data([1]))
    }
  }

  /// `--overwrite` deletes a folder; a slip of the hand must not delete the wrong one.
  @Test func replacesOnlyResults() async throws {
    try FileManager.default.createDirectory(atPath: kachel.folder.file("photos"), withIntermediateDirectories: false)
    let photo = try kachel.folder.write([7], to: "photos/cat.jpg")
    _ = try kachel.folder.write([7], to: "notes")
    for (name, words) in [
      ("photos", "is no OME-Zarr, so that it is not replaced"), ("notes", "is no OME-Zarr"),
      (".", "is no name of an output"), ("..", "is no name of an output"), ("", "is no name of an output"),
    ] {
      for option in ["-o", "--confidence"] {
        let run = try await segment([option, name, "--overwrite"])
        #expect(run.status == 73, "\(name): \(run.errors)")
        #expect(run.errors.contains(words) || name == "." || name == "..", "\(name): \(run.errors)")
      }
    }
    let preview = try await segment(["--preview", "photos", "--overwrite"])
    #expect(preview.status == 73 && preview.errors.contains("is a folder; name a file for the preview"))
    #expect(try kachel.written == ["notes", "photos"])
    #expect(FileManager.default.fileExists(atPath: photo))
  }

  @Test func unknownExtensions() async throws {
    for options in [["-o", "labels.txt"], ["--confidence", "c.jpg"]] {
      let run = try await segment(options)
      #expect(run.status == 64)
      #expect(run.errors.contains("no format has this extension; images are written as"), "\(run.errors)")
      #expect(try kachel.written.isEmpty)
    }
  }

  @Test func missingFolders() async throws {
    for options in [["-o", "no/such"], ["--preview", "no/such.png"], ["--confidence", "no/such"]] {
      let run = try await segment(options)
      #expect(run.status == 73)
      #expect(run.errors.contains("/no does not exist; create it first"), "\(run.errors)")
      #expect(try kachel.written.isEmpty)
    }
  }

  /// The system lets root write everywhere, so there is nothing to see as root.
  @Test(.enabled(if: getuid() != 0, "root may write everywhere")) func readOnlyFolder() async throws {
    let files = FileManager.default
    try files.setAttributes([.posixPermissions: 0o555], ofItemAtPath: kachel.folder.path)
    defer { try? files.setAttributes([.posixPermissions: 0o755], ofItemAtPath: kachel.folder.path) }
    let run = try await segment([])
    #expect(run.status == 73)
    #expect(run.errors.contains("may not be written"))
    #expect(try kachel.written.isEmpty)
  }

  @Test func missingTemporaryFolder() async throws {
    let picture = try Inputs.picture(in: kachel.files)
    let run = try await kachel.run(
      ["segment", picture, "-m", Inputs.czmodel], environment: ["TMPDIR": kachel.files.file("none")])
    #expect(run.status == 73)
    #expect(run.errors.contains("the folder for the unpacked model cannot be created"))
    #expect(try kachel.written.isEmpty)
  }

  private static let limited = #"trap "" XFSZ; ulimit -f 6; exec "$kachel" "$@""#

  /// No file may grow beyond six kilobytes, which looks to a program as a full disk does.
  @Test func fullDiskWhileUnpacking() async throws {
    let run = try await kachel.run(
      shell: Self.limited, ["segment", Inputs.slide, "-m", Inputs.czmodel, "-o", "out.ome.zarr", "--quiet"])
    #expect(run.status == 73, "\(run.errors)")
    #expect(run.errors.contains("variables.data") && run.errors.contains("cannot be written: File too large"))
    #expect(run.output == "")
    #expect(try kachel.written.isEmpty)
    #expect(try kachel.leftTemporary.isEmpty)
  }

  /// The tiles do not fit, or they do and the file does not; when there is room the run goes on.
  @Test(arguments: ["ome.zarr", "czi", "ome.tiff"], [false, true])
  func fullDisk(format: String, isSmall: Bool) async throws {
    let output = "out." + format
    let arguments =
      ["segment", try Inputs.slide, "-m", try Inputs.czann, "-o", output, "--preview", "p.png", "--quiet"]
      + (isSmall ? Inputs.small : Inputs.large)
    let run = try await kachel.run(shell: Self.limited, arguments)
    #expect(run.status == 75, "\(run.errors)")
    #expect(run.errors.contains("cannot be written: File too large. "), "\(run.errors)")
    #expect(run.errors.contains("tiles are kept in ") && run.errors.contains(" --resume goes on"), "\(run.errors)")
    #expect(run.output == "")
    #expect(try kachel.written == [".\(output).journal"])
    #expect(try kachel.leftTemporary.isEmpty)
    let resumed = try await kachel.run(arguments + ["--resume"])
    #expect(resumed.status == 0 && resumed.lines == [output, "p.png"], "\(resumed.errors)")
    #expect(try kachel.written == [output, "p.png"])
  }

  @Test(arguments: [SIGINT, SIGTERM]) func stopped(_ signal: Int32) async throws {
    let options = ["-o", "out.ome.zarr", "--preview", "p.png", "--confidence", "c.ome.zarr", "--tile-size", "512"]
    let run = try await kachel.run(["segment", Inputs.slide, "-m", Inputs.czmodel] + options) { process, errors in
      // The SavedModel lies unpacked, both OME-Zarrs are begun, and most of the tiles are still to come.
      try KachelProcess.wait(for: "10 %: ", from: process, errors)
      #expect(try kachel.written.count == 3 && kachel.leftTemporary.count == 1)
      kill(process, signal)
    }
    #expect(run.status == 130)
    #expect(run.errors.contains("kachel: stopped; "), "\(run.errors)")
    #expect(run.errors.contains("of 27 tiles are kept in "), "\(run.errors)")
    #expect(run.output == "")
    #expect(try kachel.written == [".out.ome.zarr.journal"])
    #expect(try kachel.leftTemporary.isEmpty)
  }
}
