// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// Classes are chosen by the network's logits where it ends with a softmax, and are those of its probabilities.
@Suite struct LogitsTests {
  @Test(arguments: [
    "example/nuclei.czann", "example/nuclei.czmodel", "models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel",
  ]) func classesAndConfidenceAreThoseOfTheProbabilities(path: String) async throws {
    let image = try Example.image(), region = Region(x: 900, y: 300, width: 520, height: 300)
    let package = try ModelPackage(at: SharedData.path(path))
    var options = SegmentationOptions()
    (options.planes.region, options.tileSide) = (region, 512)
    #expect(try RunNetwork(of: package, options).givesLogits)
    var whole = package
    whole.metadata.kind = .regression
    let folder = try ScratchFolder()
    func run(_ package: ModelPackage, _ name: String, confidence: String? = nil) async throws -> StoredPlanes {
      var outputs = SegmentationOutputs(result: folder.file(name))
      outputs.confidence = confidence.map(folder.file)
      _ = try await Segmentation(of: image, with: package, options: options).write(to: outputs)
      return try StoredPlanes(folder.file(name))
    }
    let probabilities = try await run(whole, "probabilities.ome.zarr")
    let labels = try await run(package, "labels.ome.zarr")
    let sureLabels = try await run(package, "sure.ome.zarr", confidence: "confidence.ome.zarr")
    let confidence = try StoredPlanes(folder.file("confidence.ome.zarr"))
    #expect(labels.values == sureLabels.values)
    let values = package.metadata.classes.map { Float($0.labelValue) }
    #expect(values.count == 2 && Set(labels.values) == Set(values))
    for pixel in 0..<region.area {
      let scores = [probabilities.values[pixel], probabilities.values[region.area + pixel]]
      let expected = scores[1] > scores[0] ? values[1] : values[0]
      guard labels.values[pixel] == expected, abs(confidence.values[pixel] - 255 * max(scores[0], scores[1])) <= 0.51
      else {
        Issue.record("pixel \(pixel): \(labels.values[pixel]), \(confidence.values[pixel]) of \(scores)")
        return
      }
    }
  }

  @Test func whereThatIsNotDone() throws {
    var package = try Example.package("nuclei.czann")
    var options = SegmentationOptions()
    options.tiling = .zen
    #expect(try !RunNetwork(of: package, options).givesLogits)
    options.tiling = .aligned
    package.metadata.kind = .regression
    #expect(try !RunNetwork(of: package, options).givesLogits)
  }
}
