// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel
import KachelTesting
import Testing

/// What `kachel verify` prints, and with which code it ends.
@Suite struct VerifyTests {
  private let kachel: KachelProcess
  init() throws { kachel = try KachelProcess() }

  private func verify(
    _ path: String, _ options: [String] = [], environment: [String: String] = [:]
  ) async throws -> KachelProcess.Outcome {
    let run = try await kachel.run(["verify", SharedData.path(path)] + options, environment: environment)
    #expect(try kachel.written == [] && kachel.leftTemporary == [])
    return run
  }

  @Test func aGoodPackage() async throws {
    let run = try await verify("models/tf/v510/nuclei_seg.czann")
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(run.lines.last?.hasPrefix("good: ") == true, "\(run.output)")
    #expect(run.lines.dropLast().allSatisfy { $0.hasPrefix("passed   ") })
  }

  @Test func aBadPackage() async throws {
    let run = try await verify("models/sebi06/simple_regmodel_out5.czann")
    #expect(run.status == 65 && run.errors == "", "\(run.errors)")
    #expect(run.lines.first?.hasPrefix("failed   channels") == true)
    #expect(run.lines.last?.hasPrefix("do not use this package as it is: 2 checks failed") == true, "\(run.output)")
  }

  @Test func strictness() async throws {
    let fair = try await verify("models/zenstyle/zen_style_320.czseg")
    #expect(fair.status == 0 && fair.lines.last?.hasPrefix("usable, with care") == true, "\(fair.output)")
    #expect(try await verify("models/zenstyle/zen_style_320.czseg", ["--strict"]).status == 65)
  }

  @Test func json() async throws {
    let run = try await verify("models/negative/lost_weights_613.czann", ["--json"])
    #expect(run.status == 65)
    let report = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    #expect(report["format"] as? String == "czann (JSON 1.0.0)")
    let checks = try #require(report["checks"] as? [[String: String]])
    #expect(checks.first?["name"] == "weights" && checks.first?["status"] == "failed")
  }

  /// The package that a specification describes, on the image that it names.
  @Test func aSpecification() async throws {
    let folder = try SharedData.path("models/tf/seed_nuclei/saved_tf2_model_output")
    let picture = try Inputs.picture(in: kachel.files, width: 300, height: 260)
    func specification(_ border: String) throws -> String {
      let text = """
        {"Classes": ["Background", "Nucleus"], "PixelType": "Gray8", "ColorHandling": "ConvertToMonochrome",
         "BorderSize": \(border), "ModelPath": "\(folder)", "TestImageFile": "\(picture)"}
        """
      return try kachel.files.write(Array(text.utf8), to: "spec\(border).json")
    }
    let good = try await kachel.run(["verify", specification("8")])
    #expect(good.status == 0, "\(good.output)")
    #expect(
      good.lines.contains { $0.hasPrefix("passed   test image") && $0.contains("picture-300x260.png") },
      "\(good.output)")
    let bad = try await kachel.run(["verify", specification("200")])
    #expect(bad.status == 65 && bad.lines.first?.hasPrefix("failed   package") == true, "\(bad.output)")
    #expect(try kachel.written == [] && kachel.leftTemporary == [])
  }

  @Test func aRealImage() async throws {
    let image = try SharedData.path("example/nuclei-mosaic.czi")
    let run = try await verify("example/nuclei.czann", ["--image", image])
    #expect(run.status == 0, "\(run.errors)")
    let line = run.lines.first { $0.contains("test image") }
    #expect(
      line?.contains("on nuclei-mosaic.czi: Background") == true && line?.contains("Nucleus") == true, "\(run.output)")
  }

  @Test func anImageOfTheWrongKind() async throws {
    let image = try SharedData.path("example/nuclei-mosaic.czi")
    let run = try await verify("models/tf/v120/unet_onnx12.czmodel", ["--image", image])
    #expect(run.status == 65 && run.errors.contains("takes 3 channels"), "\(run.errors)")
  }

  @Test func withoutAnEngine() async throws {
    let run = try await verify("example/nuclei.czann", environment: ["KACHEL_ENGINE_PATH": "/no/such"])
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(run.lines.contains { $0.hasPrefix("skipped  run") && $0.contains("/no/such") }, "\(run.output)")
    #expect(run.lines.last?.hasPrefix("nothing wrong was found: 1 skipped") == true)
  }

  @Test func filesThatAreNoPackages() async throws {
    let text = try kachel.files.write("text".utf8, to: "text.czann")
    let run = try await kachel.run(["verify", text])
    #expect(run.status == 65 && run.lines.first?.contains("is no model package") == true, "\(run.output)\(run.errors)")
    let missing = try await kachel.run(["verify", kachel.files.file("missing.czann")])
    #expect(missing.status == 65 && missing.output == "" && missing.errors.contains("missing.czann"))
    let channel = try await kachel.run(["verify", text, "--channel", "0"])
    #expect(channel.status == 64 && channel.errors.contains("--image"))
  }
}
