// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelTesting
import Testing

@testable import KachelModels

/// Packages of the BioImage Model Zoo as packages for ZEN.
@Suite struct BioImageIOConversionTests {
  private static let folder = "bioimageio/unet2d_nuclei_broad"
  private let scratch: ScratchFolder
  init() throws { scratch = try ScratchFolder() }

  private func published() throws -> String { try SharedData.path(Self.folder) }

  /// The zoo's network on the zoo's tensor, with its description's steps, against the package.
  @Test func thePackageDoesTheDescriptionsSteps() throws {
    let zoo = try BioImageIOPackage(at: published()), package = try zoo.modelPackage()
    #expect(package.format == .bioImageIO(version: "0.5.4") && !package.metadata.scalesInputByBitDepth)
    #expect(package.metadata.classes.map(\.name) == ["probability", "not probability"])
    #expect(package.metadata.border == AxisPair(y: 32, x: 32) && package.metadata.channelCount == 1)
    #expect(package.metadata.kind == .singleClassSemanticSegmentation && package.sha256.count == 64)
    let tensor = try zoo.testTensor(of: zoo.inputs[0])
    let image = PlainImage(shape: tensor.shape, values: tensor.values)
    let raw = try zoo.graph().run(image.after(.zeroMeanUnitVariance(epsilon: 1e-6)))
    let expected = raw.channelsLast.after(.sigmoid).after(.sigmoidToSoftmaxScores)
    #expect(try package.graph.run(image.channelsLast).difference(expected) <= 1e-5)
  }

  @Test func modelsAreReadWhereverTheyCome() throws {
    let folder = try published()
    #expect(ModelPackage.isModel(at: folder))
    #expect(try ModelPackage(at: folder).metadata.name == "UNet 2D Nuclei Broad")
    #expect(try ModelPackage(at: folder + "/v0_4_9.bioimageio.yaml").format == .bioImageIO(version: "0.4.9"))
  }

  /// The pixel type says by what the values that a .czann feeds are to be multiplied.
  @Test func anAnnPackageNeedsThePixelType() throws {
    var package = try ModelPackage(at: published())
    let path = scratch.file("a.czann")
    let error = #expect(throws: ModelError.self) { try package.write(to: path) }
    #expect(error?.kind == .option && error?.reason.contains("--pixel-type") == true)
    #expect(!FileManager.default.fileExists(atPath: path))
    package.metadata.channels = [ModelChannel(pixelTypes: [.gray16])]
    try package.settingSpatialDimensions(height: 256, width: 256).write(to: path)
    let written = try ModelPackage(at: path)
    #expect(written.format == .czann(version: "2.1.0") && written.metadata.border == AxisPair(y: 32, x: 32))
    let image = PlainImage([1, 256, 256, 1]).after(.scale([60000]))
    let expected = try package.graph.run(image)
    #expect(try written.graph.run(image.after(.scale([1 / 65535]))).difference(expected) <= 2e-5)
  }

  @Test(arguments: [
    (
      "- x\n            - y", "- batch\n            - x\n            - y",
      "zero_mean_unit_variance of the whole dataset"
    ),
    (
      "- id: zero_mean_unit_variance\n        kwargs:\n          axes:\n            - x\n            - y",
      "- id: sigmoid", "sigmoid"
    ),
    ("- x\n            - y", "- x", "taken over x"),
    (
      "- id: sigmoid\n      - id: ensure_dtype",
      "- id: binarize\n        kwargs: {threshold: 0.5}\n      - id: ensure_dtype", "binarize"
    ),
  ]) func whatCannotBePartOfAPackageIsNamed(old: String, new: String, words: String) throws {
    let text = try String(contentsOfFile: published() + "/bioimageio.yaml", encoding: .utf8)
      .replacingOccurrences(of: "\r\n", with: "\n")
    #expect(text.contains(old))
    _ = try scratch.write(Array(text.replacingOccurrences(of: old, with: new).utf8), to: "bioimageio.yaml")
    let folder = scratch.file(".")
    try FileManager.default.copyItem(atPath: published() + "/weights.onnx", toPath: folder + "/weights.onnx")
    let error = #expect(throws: ModelError.self) { try BioImageIOPackage(at: folder).modelPackage() }
    #expect(error?.kind == .unsupported && error?.reason.contains(words) == true, "\(error?.reason ?? "")")
  }
}
