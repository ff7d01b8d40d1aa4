// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelEngines
import KachelImages
import KachelModels
import KachelPixels
import KachelSegmentation
import KachelTesting
import Testing

/// One golden result of the manifest: a package, what it is fed and what comes out.
struct GoldenRun: Sendable, CustomTestStringConvertible {
  let package: String
  let input: String
  /// Scores or values, where the manifest has all of them.
  let output: String?
  let labels: String?
  var testDescription: String { "\(package) on \(input)" }

  static let all: [GoldenRun] = {
    guard let data = try? SharedData.data("models/manifest.json"),
      let manifest = try? JSONSerialization.jsonObject(with: data) as? [String: Any],
      let models = manifest["models"] as? [[String: Any]]
    else { return [] }
    var runs: [GoldenRun] = []
    for model in models {
      guard let path = model["path"] as? String else { continue }
      for golden in model["golden"] as? [[String: Any]] ?? [] {
        let input = (golden["input"] as? [String: Any])?["path"] as? String ?? golden["input"] as? String
        let output = (golden["output"] as? [String: Any])?["path"] as? String
        let labels = golden["labels"] as? String
        guard let input else { continue }
        let isCrop = output?.contains("crop") ?? false
        runs.append(
          GoldenRun(
            package: "models/" + path, input: "models/" + input, output: isCrop ? nil : output.map { "models/" + $0 },
            labels: labels.map { "models/" + $0 }))
      }
    }
    runs.append(
      GoldenRun(
        package: "models_large/PGC_20X_nucleus_detector.czseg", input: "models_large/pgc_in_u8.npy", output: nil,
        labels: "models_large/pgc_labels.npy"))
    return runs
  }()
}

@Suite struct GoldenModelTests {
  @Test func theManifestIsRead() { #expect(GoldenRun.all.count == 21) }

  /// The whole way from pixels to stored labels or values, for every package with a golden result.
  @Test(arguments: GoldenRun.all, [EngineChoice.Name.openVINO, .onnxRuntime])
  func runsAndMatches(_ golden: GoldenRun, engine: EngineChoice.Name) async throws {
    let input = try NumPyArray(shared: golden.input)
    // Batch, height, width, channels; some have only height and width.
    let shape = input.shape.count == 2 ? [1] + input.shape + [1] : input.shape
    #expect(shape.count == 4)
    let image = ArrayImage(
      input.bytes, size: Size(width: shape[2], height: shape[1]), times: shape[0],
      type: input.type == "|u1" ? .uint8 : .float32, layout: shape[3] == 3 ? .bgr : .gray, name: golden.input)
    let package = try ModelPackage(at: SharedData.path(golden.package))
    let stored = try await segment(image, package) { $0.engine = EngineChoice(engine) }
    if let labels = golden.labels {
      let expected = try NumPyArray(shared: labels).bytes.map(Float.init)
      let wrong = zip(stored.values, expected).filter { $0 != $1 }.count
      // The other engine's ties fall either way; the manifest allows 0.01 %.
      #expect(stored.values.count == expected.count && wrong * 10_000 <= expected.count)
      return
    }
    guard let output = golden.output else { return }
    let expected = try NumPyArray(shared: output)
    let scores = try expected.floats
    if package.metadata.kind == .regression {
      #expect(stored.values.count == scores.count)
      #expect(zip(stored.values, scores).allSatisfy { abs($0 - $1) <= 1e-4 })
      return
    }
    let classes = try #require(expected.shape.last)
    let values = package.metadata.classes.map { Float($0.labelValue) }
    #expect(stored.values.count == scores.count / classes)
    var ties = 0
    for (pixel, label) in stored.values.enumerated() {
      let own = scores[pixel * classes..<(pixel + 1) * classes]
      let sorted = own.sorted(by: >)
      // What differs by less may be decided either way.
      if sorted.count > 1 && sorted[0] - sorted[1] <= 1e-4 {
        ties += 1
        continue
      }
      guard let best = own.firstIndex(of: sorted[0]) else { continue }
      if label != values[best - own.startIndex] {
        Issue.record("pixel \(pixel) has label \(label)")
        return
      }
    }
    #expect(ties < stored.values.count / 100)
  }

  /// Packages of which the manifest has the scores of a crop: the winner's probability, to the rounding to 8 bits.
  @Test(arguments: [
    (
      "models/oad/simple_pytorch_nuclei_segmodel_pytorch.czann", "models/oad/simple_pytorch_in_u8.npy",
      "models/oad/simple_pytorch_out_crop.npy", Region(x: 60, y: 100, width: 140, height: 100)
    ),
    (
      "models_large/PGC_20X_nucleus_detector.czseg", "models_large/pgc_in_u8.npy",
      "models_large/pgc_out_crop_400_528.npy", Region(x: 400, y: 400, width: 128, height: 128)
    ),
  ])
  func aCropOfTheScoresMatches(package: String, input: String, output: String, crop: Region) async throws {
    let pixels = try NumPyArray(shared: input), scores = try NumPyArray(shared: output).floats
    let side = Int(Double(pixels.bytes.count).squareRoot()), size = Size(width: side, height: side)
    let folder = try ScratchFolder()
    let image = ArrayImage(pixels.bytes, size: size, type: .uint8)
    _ = try await Segmentation(of: image, with: ModelPackage(at: SharedData.path(package))).write(
      to: SegmentationOutputs(result: folder.file("a"), confidence: folder.file("b")))
    let labels = try StoredPlanes(folder.file("a")).values, confidence = try StoredPlanes(folder.file("b")).values
    #expect(scores.count == crop.area * 2)
    for y in 0..<crop.height {
      for x in 0..<crop.width {
        let first = scores[(y * crop.width + x) * 2], second = scores[(y * crop.width + x) * 2 + 1]
        let place = (crop.y + y) * size.width + crop.x + x
        let isTie = abs(first - second) <= 2e-4
        guard abs(confidence[place] - max(first, second) * 255) <= 0.53,
          isTie || labels[place] == (second > first ? 2 : 1)
        else {
          Issue.record("pixel \(x), \(y): \(confidence[place] / 255) for \(first), \(second)")
          return
        }
      }
    }
  }
}
