// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel
import KachelTesting
import Testing

/// What the program prints, word for word.
///
/// The expected texts lie in `Snapshots`. Run the tests with `KACHEL_RECORD_SNAPSHOTS=1` to write them anew, and look at
/// the differences before keeping them.
@Suite struct SnapshotTests {
  private let kachel: KachelProcess
  init() throws { kachel = try KachelProcess() }

  private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Snapshots")

  private func matches(
    _ name: String, _ arguments: [String], at location: SourceLocation = #_sourceLocation
  ) async throws {
    let run = try await kachel.run(arguments)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)", sourceLocation: location)
    let text = run.output.replacingOccurrences(of: SharedData.root.path, with: "<data>")
    let file = Self.folder.appending(path: name)
    if ProcessInfo.processInfo.environment["KACHEL_RECORD_SNAPSHOTS"] != nil {
      try Data(text.utf8).write(to: file)
    }
    let expected = try String(contentsOf: file, encoding: .utf8)
    #expect(text == expected, "differs from Snapshots/\(name)", sourceLocation: location)
  }

  @Test(arguments: [
    ("example-czi", "example/nuclei-mosaic.czi"),
    ("example-czmodel", "example/nuclei.czmodel"),
    ("example-czann", "example/nuclei.czann"),
    ("zen-czseg", "models_large/PGC_20X_nucleus_detector.czseg"),
    ("classical-czmodel", "models/oad/XRM_Sandstone_Default_Features_Demo.czmodel"),
    ("scenes-czi", "czi/real/S3_1Pos_2Mosaic_T2Z3_CH2_sm.czi"),
    ("truth-png", "example/nuclei-mosaic-truth.png"),
    ("pyramid-czi", "czi/real/1_tileregion.czi"),
    ("hidden-czi", "czi/real/LSM880_AiryScan.czi"),
    ("pyramid-ometiff", "ometiff/syn/pyramid_subifd_c3_u16_zstd_bigtiff.ome.tif"),
    ("image-omezarr", "omezarr/ref/v04.ome.zarr"),
    ("labels-omezarr", "omezarr/ref/v05.ome.zarr/labels/nuclei"),
  ]) func inspect(_ name: String, _ file: String) async throws {
    let path = try SharedData.path(file)
    try await matches("inspect-\(name).txt", ["inspect", path])
    try await matches("inspect-\(name).json", ["inspect", path, "--json"])
  }

  @Test func help() async throws {
    try await matches("help.txt", ["--help"])
    for verb in ["segment", "convert", "inspect", "verify", "compare", "prove", "package", "unpack"] {
      try await matches("help-\(verb).txt", ["\(verb)", "--help"])
    }
    let alone = try await kachel.run([]), asked = try await kachel.run(["--help"])
    #expect(alone.output == asked.output)
  }

  @Test func version() async throws {
    let run = try await kachel.run(["--version"])
    #expect(run.output == kachelVersion + "\n")
  }
}
