// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel
import KachelTesting
import Testing

/// `kachel package`, `unpack` and `convert` of models, as a user types them.
@Suite struct PackageTests {
  private let kachel: KachelProcess
  init() throws { kachel = try KachelProcess() }

  private static let model = "models/tf/seed_nuclei/saved_tf2_model_output_dims_unset"
  private static let described = [
    "--name", "Nuclei", "--classes", "Background,Nucleus", "--pixel-type", "Gray16", "--color-handling",
    "ConvertToMonochrome", "--border", "8",
  ]

  /// The path of something that a command wrote.
  private func written(_ name: String) -> String { kachel.folder.file(name) }

  @Test func aModelBecomesAPackage() async throws {
    let license = try SharedData.path("models/tf/v510/LICENSE.txt")
    let run = try await kachel.run(
      ["package", SharedData.path(Self.model)] + Self.described + [
        "--tile", "512x256", "--preprocess", "per-image-standardization", "--license", license, "-o", "nuclei.czmodel",
      ])
    #expect(run.status == 0 && run.lines == ["nuclei.czmodel"], "\(run.errors)")
    let package = try ModelPackage(at: written("nuclei.czmodel"))
    #expect(package.format == .czmodel(version: "3.0.0") && package.license?.name == "LICENSE.txt")
    #expect(package.metadata.classes.map(\.name) == ["Background", "Nucleus"])
    #expect(package.metadata.border == AxisPair(y: 8, x: 8))
    #expect(try package.graphFacts().inputs.map(\.shape) == [[nil, 256, 512, 1]])
  }

  @Test func thereAndBack() async throws {
    let spec = try SharedData.path("models/tf/seed_nuclei/model_spec.json")
    for arguments in [
      ["package", "--spec", spec, "-o", "a.czmodel"], ["convert", "a.czmodel", "b.czann"],
      ["convert", "b.czann", "c.czmodel", "--pixel-type", "Gray16", "--color-handling", "ConvertToMonochrome"],
      ["unpack", "b.czann", "-o", "folder"], ["package", "--spec", "folder/spec.json", "-o", "d.czann"],
    ] {
      let run = try await kachel.run(arguments)
      #expect(run.status == 0, "\(arguments): \(run.errors)")
    }
    let (first, last) = (try ModelPackage(at: written("b.czann")), try ModelPackage(at: written("d.czann")))
    #expect(first.metadata == last.metadata && first.sha256 == last.sha256)
    let back = try ModelPackage(at: written("c.czmodel"))
    #expect(back.metadata.channels == [ModelChannel(pixelTypes: [.gray16])])
    #expect(try kachel.written == ["a.czmodel", "b.czann", "c.czmodel", "d.czann", "folder"])
  }

  /// Each says what is wrong and what to do, and leaves nothing behind.
  @Test func refusals() async throws {
    let model = try SharedData.path(Self.model)
    let diary = try kachel.files.write(Array("Dear diary".utf8), to: "diary.onnx")
    func changed(_ option: String, _ value: String) -> [String] {
      var described = Self.described
      if let place = described.firstIndex(of: option) { described[place + 1] = value }
      return ["package", model] + described + ["-o", "a.czmodel"]
    }
    let cases: [([String], Int32, [String])] = [
      (["package", model, "-o", "a.czmodel"], 64, ["--classes"]),
      (changed("--classes", "A,B,C"), 65, ["3 classes", "gives 2"]),
      (changed("--classes", "A,A"), 65, ["two classes are named"]),
      (
        changed("--color-handling", "SplitRgb") + ["--pixel-type", "Bgr24"], 65, ["takes 1 channels", "Bgr24"]
      ),
      (changed("--pixel-type", "Gray12"), 64, ["Gray12"]),
      (changed("--border", "wide"), 64, ["--border"]),
      (changed("--name", ""), 65, ["the name is empty"]),
      (["package", model] + Self.described + ["--license", "none.txt", "-o", "a.czmodel"], 65, ["none.txt"]),
      (["package", model] + Self.described + ["--preprocess", "rgba-to-bgra", "-o", "a.czmodel"], 65, ["4 channels"]),
      (["package", model] + Self.described + ["-o", "a.model"], 64, [".czmodel, .czseg or .czann"]),
      (["package", model] + Self.described + ["-o", "none/a.czmodel"], 73, ["none does not exist"]),
      (["package", model] + Self.described + ["-o", "a.czann"], 64, ["--tile"]),
      (["package", diary] + Self.described + ["-o", "a.czmodel"], 65, ["diary.onnx"]),
      (["package", "none"] + Self.described + ["-o", "a.czmodel"], 65, ["none"]),
      (["package", "--spec", "none.json", "-o", "a.czmodel"], 65, ["none.json"]),
      (["convert", try Inputs.czann, "a.czmodel"], 64, ["--pixel-type"]),
      (["convert", try Inputs.czann, "a.czseg", "--scene", "1"], 64, ["options of images"]),
      (["convert", try Inputs.czann, "a.czseg", "--zarr", "0.5"], 64, ["options of images"]),
      (
        ["convert", try SharedData.path("models/oad/XRM_Sandstone_Default_Features_Demo.czmodel"), "a.czann"], 65,
        ["classical"]
      ),
      (["unpack", diary, "-o", "a"], 65, ["diary.onnx"]),
    ]
    for (arguments, status, words) in cases {
      let run = try await kachel.run(arguments)
      #expect(run.status == status, "\(arguments.suffix(4)): \(run.errors)")
      for word in words { #expect(run.errors.contains(word), "\(arguments.suffix(4)): \(run.errors)") }
    }
    #expect(try kachel.written == [] && kachel.leftTemporary == [])
  }

  @Test func sizesThatTheStrideDoesNotAllow() async throws {
    let run = try await kachel.run(["package", Inputs.czann, "--tile", "1000x1001", "-o", "a.czann"])
    #expect(run.status == 65 && run.errors.contains("8") && run.errors.contains("1000"), "\(run.errors)")
    #expect(try kachel.written == [])
  }

  @Test func whatExistsStays() async throws {
    let spec = try SharedData.path("models/tf/seed_nuclei/model_spec.json")
    for status in [Int32(0), 73] {
      let run = try await kachel.run(["package", "--spec", spec, "-o", "a.czmodel"])
      #expect(run.status == status, "\(run.errors)")
    }
    let run = try await kachel.run(["package", "--spec", spec, "-o", "a.czmodel", "--overwrite"])
    #expect(run.status == 0, "\(run.errors)")
  }
}
