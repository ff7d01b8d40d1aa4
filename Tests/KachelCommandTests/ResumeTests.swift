// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel
import KachelTesting
import Testing

/// `--resume` after the process was killed. `scripts/check-resume` does the same more often.
@Suite struct ResumeTests {
  /// What a process wrote: the bytes of every file by its path, hidden ones included.
  private func files(_ kachel: KachelProcess) throws -> [String: Data] {
    var files: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: kachel.folder.path) {
      files[name] = FileManager.default.contents(atPath: kachel.folder.file(name)) ?? Data()
    }
    return files
  }

  @Test func killedAtAnyMoment() async throws {
    let arguments =
      ["segment", try Inputs.slide, "-m", try Inputs.quick, "-o", "out.ome.zarr", "--preview", "p.png"]
      + ["--confidence", "c.ome.tiff", "--region", "900,300,900,500", "--tile-size", "128"]
    let undisturbed = try KachelProcess(), kachel = try KachelProcess()
    let first = try await undisturbed.run(arguments)
    #expect(first.status == 0, "\(first.errors)")
    // Killed a moment after so many percent are decided, which may be while a kept tile is taken or when all is done.
    for percent in [10, 20, 40, 60, 90] {
      let run = try await kachel.run(arguments + (percent == 10 ? [] : ["--resume"])) { process, errors in
        func isThere(_ text: String) -> Bool {
          text.contains("is complete")
            || stride(from: percent, through: 100, by: 10).contains { text.contains("\($0) %: ") }
        }
        while !isThere(errors()) && kill(process, 0) == 0 { Thread.sleep(forTimeInterval: 0.01) }
        Thread.sleep(forTimeInterval: .random(in: 0...0.06))
        kill(process, SIGKILL)
      }
      #expect([0, 128 + SIGKILL].contains(run.status), "\(run.errors)")
    }
    let last = try await kachel.run(arguments + ["--resume"])
    #expect(last.status == 0 && last.lines == first.lines, "\(last.errors)")
    #expect(try files(kachel) == files(undisturbed))
    // Nothing is left to do, and another run is not this one.
    let again = try await kachel.run(arguments + ["--resume"])
    #expect(again.status == 0 && again.lines == first.lines && again.errors == "out.ome.zarr is complete already\n")
    let other = try await kachel.run(arguments + ["--resume", "--halo", "8"])
    #expect(other.status == 65 && other.errors.contains("--halo was"), "\(other.errors)")
  }

  /// A share that is unmounted leaves an empty folder, and comes back.
  @Test func theFolderVanishes() async throws {
    let arguments =
      ["segment", try Inputs.slide, "-m", try Inputs.quick, "-o", "share/out.ome.zarr", "--chunk", "64"]
      + ["--preview", "share/p.png", "--region", "900,300,900,500", "--tile-size", "128"]
    let undisturbed = try KachelProcess(), kachel = try KachelProcess(), manager = FileManager.default
    let (share, away) = (kachel.folder.file("share"), kachel.folder.file("away"))
    for folder in [undisturbed.folder.file("share"), share] {
      try manager.createDirectory(atPath: folder, withIntermediateDirectories: false)
    }
    let first = try await undisturbed.run(arguments)
    #expect(first.status == 0, "\(first.errors)")
    let run = try await kachel.run(arguments) { process, errors in
      try KachelProcess.wait(for: "10 %: ", from: process, errors)
      try manager.moveItem(atPath: share, toPath: away)
      try manager.createDirectory(atPath: share, withIntermediateDirectories: false)
    }
    #expect(run.status == 75 && run.output == "", "\(run.errors)")
    #expect(run.errors.contains("tiles were kept in ") && run.errors.contains(", which is gone: "), "\(run.errors)")
    #expect(try manager.contentsOfDirectory(atPath: share) == [])
    try manager.removeItem(atPath: share)
    try manager.moveItem(atPath: away, toPath: share)
    let resumed = try await kachel.run(arguments + ["--resume"])
    #expect(resumed.status == 0 && resumed.lines == first.lines, "\(resumed.errors)")
    #expect(try files(kachel) == files(undisturbed))
  }

  @Test func aBatchGoesOn() async throws {
    let kachel = try KachelProcess()
    let picture = try Inputs.picture(in: kachel.files)
    for name in ["a.png", "b.png"] {
      try FileManager.default.copyItem(atPath: picture, toPath: kachel.folder.file(name))
    }
    _ = try kachel.folder.write([0x89] + Array("PNG\r\n\u{1A}\n broken".utf8), to: "c.png")
    let first = try await kachel.run(["segment", "a.png", "-m", Inputs.quick, "--quiet"])
    #expect(first.status == 0)
    let written = try files(kachel)
    let run = try await kachel.run(["segment", "?.png", "-m", Inputs.quick, "--resume"])
    #expect(run.status == 65 && run.lines == ["a.labels.ome.zarr", "b.labels.ome.zarr"], "\(run.errors)")
    #expect(run.errors.contains("a.labels.ome.zarr is complete already"))
    #expect(run.errors.contains("there is no unfinished run of b.labels.ome.zarr; it starts from the beginning"))
    #expect(run.errors.contains("2 of 3 images segmented") && run.errors.contains("not segmented: c.png"))
    #expect(try files(kachel).filter { written[$0.key] != nil } == written)
  }
}
