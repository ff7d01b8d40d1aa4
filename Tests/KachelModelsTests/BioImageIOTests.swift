// SPDX-License-Identifier: Apache-2.0
import Foundation
@testable import KachelModels
import KachelBytes
import KachelTesting
import Testing

/// Packages of the BioImage Model Zoo.
@Suite struct BioImageIOTests {
  private static let folder = "bioimageio/unet2d_nuclei_broad"

  private func package(_ name: String = "bioimageio.yaml") throws -> BioImageIOPackage {
    try BioImageIOPackage(at: SharedData.path("\(Self.folder)/\(name)"))
  }

  private func refusal(_ body: () throws -> Void) -> ModelError? {
    do {
      try body()
      return nil
    } catch { return error as? ModelError }
  }

  // MARK: Descriptions

  @Test func theNewDescription() throws {
    let package = try package()
    #expect(package.formatVersion == "0.5.4")
    #expect(package.name == "UNet 2D Nuclei Broad")
    #expect(package.license == "MIT")
    let input = try #require(package.inputs.first), output = try #require(package.outputs.first)
    #expect(input.id == "raw" && output.id == "probability")
    #expect(input.axes.map(\.id) == ["batch", "channel", "y", "x"])
    #expect(input.axes.map(\.kind) == [.batch, .channel, .space, .space])
    #expect(input.axes.map(\.size) == [.any, .fixed(1), .fixed(512), .fixed(512)])
    #expect(input.axes[1].names == ["raw_intensity"])
    #expect(
      input.operations == [
        .ensureType("float32"), .zeroMeanUnitVariance(.sample(axes: ["x", "y"]), epsilon: 1e-6), .ensureType("float32"),
      ])
    #expect(output.axes.map(\.halo) == [0, 0, 32, 32])
    #expect(output.axes[2].size == .reference(tensor: "raw", axis: "y", factor: 1, offset: 0))
    #expect(output.operations == [.sigmoid, .ensureType("float32")])
    #expect(package.weights.map(\.format) == ["onnx", "pytorch_state_dict", "torchscript"])
    #expect(package.readableWeights?.opset == 20)
  }

  @Test(arguments: ["v0_4_0.bioimageio.yaml", "v0_4_9.bioimageio.yaml"]) func oldDescriptions(name: String) throws {
    let old = try package(name), new = try package()
    #expect(old.formatVersion.hasPrefix("0.4."))
    for (one, other) in [(old.inputs, new.inputs), (old.outputs, new.outputs)] {
      #expect(one.map(\.id) == other.map(\.id))
      #expect(one[0].axes.map(\.id) == other[0].axes.map(\.id))
      #expect(one[0].axes.map(\.halo) == other[0].axes.map(\.halo))
      #expect(one[0].testTensor?.source == other[0].testTensor?.source)
    }
    #expect(old.inputs[0].operations == [.zeroMeanUnitVariance(.sample(axes: ["y", "x"]), epsilon: 1e-6)])
    #expect(old.outputs[0].axes[1].size == .fixed(1))
    #expect(old.outputs[0].axes[3].size == .reference(tensor: "raw", axis: "x", factor: 1, offset: 0))
    #expect(try old.graph().formatName == "ONNX")
  }

  @Test func anAxisThatTheOutputHasMore() throws {
    for name in ["expand_output_shape.bioimageio.yaml", "expand_output_shape_v0_4.bioimageio.yaml"] {
      let package = try package(name)
      #expect(package.outputs[0].axes.map(\.id) == ["batch", "channel", "z", "y", "x"])
      #expect(package.outputs[0].axes[2].size == .fixed(1))
      #expect(refusal { _ = try package.graph() }?.reason.contains("pytorch_state_dict") == true)
    }
  }

  @Test func oneNameForTwoTensors() throws {
    let error = refusal { _ = try package("invalid_v0_4_0_duplicate_tensor_names.bioimageio.yaml") }
    #expect(error?.kind == .damaged)
    #expect(error?.reason.contains("two tensors are called data") == true)
  }

  @Test func aFolderAndAZip() throws {
    let path = try SharedData.path(Self.folder)
    #expect(BioImageIOPackage.isPackage(at: path))
    #expect(try BioImageIOPackage(at: path).descriptionName == "bioimageio.yaml")
    for root in ["", "nuclei/"] {
      let files = try ["bioimageio.yaml", "test_input.npy", "v0_4_0.bioimageio.yaml"].map {
        ZipFixture.Member(root + $0, [UInt8](try SharedData.data("\(Self.folder)/\($0)")))
      }
      let folder = try ScratchFolder()
      let zip = try folder.write(ZipFixture(files).bytes, to: "zoo.zip")
      #expect(BioImageIOPackage.isPackage(at: zip))
      let package = try BioImageIOPackage(at: zip)
      #expect(package.formatVersion == "0.5.4")
      #expect(try package.testTensor(of: package.inputs[0]).shape == [1, 1, 512, 512])
      let error = refusal { _ = try package.graph() }
      #expect(error?.member == "weights.onnx" && error?.reason.contains("not in the archive") == true)
    }
    #expect(!BioImageIOPackage.isPackage(at: try SharedData.path("example/nuclei.czann")))
    #expect(!BioImageIOPackage.isPackage(at: try SharedData.path("example")))
  }

  // MARK: Descriptions made for one test

  private func described(_ yaml: String, version: String = "0.5.4") throws -> BioImageIOPackage {
    let folder = try ScratchFolder()
    let text = "format_version: \(version)\ntype: model\nname: fixture\nweights: {onnx: {source: w.onnx}}\n" + yaml
    return try BioImageIOPackage(at: folder.write(text.utf8, to: "bioimageio.yaml"))
  }

  private static let output = "outputs: [{id: out, axes: [{type: batch}]}]\n"

  private func operations(_ list: String, version: String = "0.5.4") throws -> [BioImageIOOperation] {
    let axes =
      version.hasPrefix("0.4")
      ? "name: raw, axes: byxc, shape: [1, 64, 64, 3]"
      : "id: raw, axes: [{type: batch}, {type: channel}, {type: space}]"
    let output =
      version.hasPrefix("0.4") ? "outputs: [{name: out, axes: byxc, shape: [1, 64, 64, 3]}]\n" : Self.output
    return try described("inputs: [{\(axes), preprocessing: [\(list)]}]\n\(output)", version: version).inputs[0]
      .operations
  }

  @Test func allOperations() throws {
    let sample = BioImageIOOperation.Statistics.sample(axes: ["y", "x"])
    let cases: [(String, BioImageIOOperation)] = [
      ("{id: binarize, kwargs: {threshold: 0.5}}", .binarize(thresholds: [0.5], axis: nil)),
      ("{id: binarize, kwargs: {threshold: [1, 2], axis: channel}}", .binarize(thresholds: [1, 2], axis: "channel")),
      (
        "{id: clip, kwargs: {min: 0, max_percentile: 99, axes: [y, x]}}",
        .clip(minimum: .value(0), maximum: .percentile(99), statistics: sample)
      ),
      ("{id: ensure_dtype, kwargs: {dtype: uint8}}", .ensureType("uint8")),
      (
        "{id: scale_linear, kwargs: {gain: [1, 2], offset: 3, axis: channel}}",
        .scaleLinear(gain: [1, 2], offset: [3], axis: "channel")
      ),
      ("{id: sigmoid}", .sigmoid), ("{id: softmax, kwargs: {axis: channel}}", .softmax(axis: "channel")),
      ("{id: zero_mean_unit_variance}", .zeroMeanUnitVariance(.dataset, epsilon: 1e-6)),
      (
        "{id: zero_mean_unit_variance, kwargs: {axes: [y, x], eps: 0.1}}", .zeroMeanUnitVariance(sample, epsilon: 0.1)
      ),
      ("{id: zero_mean_unit_variance, kwargs: {axes: [batch, y]}}", .zeroMeanUnitVariance(.dataset, epsilon: 1e-6)),
      (
        "{id: fixed_zero_mean_unit_variance, kwargs: {mean: [1, 2], std: [3, 4], axis: channel}}",
        .fixedZeroMeanUnitVariance(mean: [1, 2], deviation: [3, 4], axis: "channel")
      ),
      (
        "{id: scale_range, kwargs: {axes: [y, x], min_percentile: 1, max_percentile: 99.8}}",
        .scaleRange(sample, minimum: 1, maximum: 99.8, epsilon: 1e-6, reference: nil)
      ),
      (
        "{id: scale_mean_variance, kwargs: {reference_tensor: raw, axes: [y, x]}}",
        .scaleMeanVariance(sample, epsilon: 1e-6, reference: "raw")
      ),
      ("{id: stardist_postprocessing2d, kwargs: {}}", .unknown(name: "stardist_postprocessing2d")),
    ]
    for (text, operation) in cases { #expect(try operations(text) == [operation]) }
    let old: [(String, BioImageIOOperation)] = [
      (
        "{name: zero_mean_unit_variance, kwargs: {mode: fixed, axes: yx, mean: 5, std: 2}}",
        .fixedZeroMeanUnitVariance(mean: [5], deviation: [2], axis: nil)
      ),
      (
        "{name: zero_mean_unit_variance, kwargs: {mode: per_dataset, axes: yx}}",
        .zeroMeanUnitVariance(.dataset, epsilon: 1e-6)
      ),
      (
        "{name: scale_range, kwargs: {mode: per_sample, axes: yx, max_percentile: 99}}",
        .scaleRange(sample, minimum: 0, maximum: 99, epsilon: 1e-6, reference: nil)
      ),
    ]
    for (text, operation) in old { #expect(try operations(text, version: "0.4.9") == [operation]) }
    #expect(
      refusal { _ = try operations("{id: binarize}") }?.reason.contains("binarize of raw has no threshold") == true)
  }

  @Test func sizes() throws {
    let package = try described(
      """
      inputs:
      - id: raw
        axes:
        - {type: batch}
        - {type: space, id: y, size: {min: 64, step: 16}, scale: 0.5, unit: micrometer}
        - {type: space, size: {min: 10}}
      outputs:
      - id: out
        axes: [{type: batch}, {type: space, id: y, scale: 1, size: {tensor_id: raw, axis_id: y, offset: -4}, halo: 8}]
      """)
    #expect(package.inputs[0].axes.map(\.size) == [.any, .steps(minimum: 64, step: 16), .any])
    #expect(package.inputs[0].axes.map(\.id) == ["batch", "y", "x"])
    #expect(package.inputs[0].axes[1].micrometers == 0.5)
    #expect(package.outputs[0].axes[1].size == .reference(tensor: "raw", axis: "y", factor: 0.5, offset: -4))
    #expect(package.outputs[0].axes[1].halo == 8)
    let error = refusal {
      _ = try described(
        "inputs: [{id: raw, axes: [{type: batch}]}]\n"
          + "outputs: [{id: o, axes: [{type: space, size: {tensor_id: raw, axis_id: q}}]}]")
    }
    #expect(error?.reason.contains("axis q of raw, which does not exist") == true)
  }

  @Test func tolerances() throws {
    let package = try described(
      """
      inputs: [{id: raw, axes: [{type: batch}]}]
      outputs: [{id: out, axes: [{type: batch}]}, {id: more, axes: [{type: batch}]}]
      config:
        bioimageio:
          test_kwargs: {torchscript: {decimal: 2}}
          reproducibility_tolerance:
          - {output_ids: [out], absolute_tolerance: 0.5, relative_tolerance: 0, mismatched_elements_per_million: 7}
      """)
    let onnx = package.weights[0]
    let script = BioImageIOPackage.Weights(format: "torchscript", file: onnx.file)
    let own = package.tolerance(of: package.outputs[0], weights: onnx)
    #expect(own.absolute == 0.5 && own.relative == 0 && own.mismatchesPerMillion == 7)
    #expect(package.tolerance(of: package.outputs[1], weights: onnx) == BioImageIOPackage.Tolerance())
    #expect(abs(package.tolerance(of: package.outputs[1], weights: script).absolute - 0.015) < 1e-9)
  }

  // MARK: Files

  @Test func filesThatAreNotTheRightOnes() throws {
    let yaml = try String(contentsOfFile: SharedData.path("\(Self.folder)/bioimageio.yaml"), encoding: .utf8)
    func error(_ source: String, _ bytes: [UInt8] = [1]) throws -> ModelError? {
      let folder = try ScratchFolder()
      let path = try folder.write(
        yaml.replacingOccurrences(of: "source: weights.onnx", with: "source: \(source)").utf8, to: "rdf.yaml")
      _ = try folder.write(bytes, to: "weights.onnx")
      return refusal { _ = try BioImageIOPackage(at: path).graph() }
    }
    #expect(try error("weights.onnx")?.reason.contains("SHA-256") == true)
    #expect(try error("./weights.onnx")?.reason.contains("SHA-256") == true)
    #expect(try error("missing.onnx")?.kind == .cannotRead)
    #expect(try error("https://host/weights.onnx")?.reason.contains("download") == true)
    for source in ["../weights.onnx", "/etc/passwd", "a/../../b"] {
      #expect(try error(source)?.reason.contains("not the name of a file inside") == true)
    }
  }

  // MARK: YAML

  private func yaml(_ text: String) throws -> JSONValue { try YAMLText.read(Array(text.utf8)) }

  @Test func theCoreSchema() throws {
    let text = "a: y\nb: no\nc: 1\nd: 1.5e3\ne: -.inf\nf: ~\ng: 'true'\nh: true\ni: 0.4.9\nj: [1, x]\nk: 0x10\nl: inf"
    #expect(
      try yaml(text) == [
        "a": "y", "b": "no", "c": 1, "d": .number(1500), "e": .number(-.infinity), "f": .null, "g": "true",
        "h": .bool(true), "i": "0.4.9", "j": [1, "x"], "k": "0x10", "l": "inf",
      ])
    #expect(try yaml("a: &id001 [1, 2]\nb: *id001")["b"] == [1, 2])
  }

  @Test func hostileYAML() throws {
    func reason(_ text: String) -> String {
      do throws(YAMLText.Failure) {
        _ = try YAMLText.read(Array(text.utf8))
        return "accepted"
      } catch { return error.reason }
    }
    // Each line repeats the one before nine times.
    let lines = (1...9).map {
      "a\($0): &a\($0) [" + Array(repeating: "*a\($0 - 1)", count: 9).joined(separator: ", ") + "]"
    }
    #expect(reason("a0: &a0 x\n" + lines.joined(separator: "\n")).contains("aliases"))
    let few = (1...8).map {
      "a\($0): &a\($0) [" + Array(repeating: "*a\($0 - 1)", count: 4).joined(separator: ",") + "]"
    }
    #expect(reason("a0: &a0 x\n" + few.joined(separator: "\n")).contains("more than 100000 values"))
    #expect(reason(String(repeating: "[", count: 200_000)) != "accepted")
    #expect(reason(String(repeating: "[", count: 900) + String(repeating: "]", count: 900)).contains("nested"))
    #expect(reason("a: 1\na: 2") != "accepted")
    #expect(reason("a: *b") != "accepted")
    #expect(reason("? [1, 2]\n: 3").contains("key"))
    #expect(reason("").contains("empty"))
    #expect(reason("a: \"x").contains("no YAML"))
    #expect(reason(String(repeating: "a", count: 2 << 20)).contains("bytes"))
    do throws(YAMLText.Failure) {
      _ = try YAMLText.read([0x61, 0xFF, 0xFE])
      Issue.record("accepted")
    } catch { #expect(error.reason.contains("UTF-8")) }
  }

  // MARK: Arrays

  @Test func arrays() throws {
    let tensor = try NumPyFile.read([UInt8](SharedData.data("\(Self.folder)/test_output.npy")))
    #expect(tensor.shape == [1, 1, 512, 512])
    #expect(tensor.values == (try NumPyArray(shared: "\(Self.folder)/test_output.npy").floats))
    func npy(_ header: String, _ content: [UInt8]) -> [UInt8] {
      [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.utf8.count), 0] + Array(header.utf8) + content
    }
    func header(_ type: String, _ shape: String, order: String = "False") -> String {
      "{'descr': '\(type)', 'fortran_order': \(order), 'shape': (\(shape)), }"
    }
    #expect(
      try NumPyFile.read(npy(header("|u1", "3,"), [1, 2, 255])) == NumberTensor(shape: [3], values: [1, 2, 255]))
    #expect(try NumPyFile.read(npy(header(">u2", "1, 2"), [1, 0, 0, 2])).values == [256, 2])
    #expect(try NumPyFile.read(npy(header("<i2", "1,"), [0xFF, 0xFF])).values == [-1])
    #expect(try NumPyFile.read(npy(header("<f8", ""), [0, 0, 0, 0, 0, 0, 0xF0, 0x3F])).values == [1])
    for bad in [
      npy(header("|u1", "4,"), [1, 2, 3]), npy(header("|u1", "3,", order: "True"), [1, 2, 3]),
      npy(header("|O", "1,"), [1]), npy(header("<f2", "1,"), [0, 0]),
      npy(header("<f4", "99999999999, 99999999999"), []),
      [1, 2, 3], Array(npy(header("|u1", "1,"), []).prefix(20)),
    ] {
      #expect(throws: NumPyFile.Failure.self) { try NumPyFile.read(bad) }
    }
  }

  // MARK: Arithmetic

  /// Against the definitions, on two channels of three pixels.
  @Test func operationsByTheirDefinitions() throws {
    let values: [Float] = [1, 2, 6, 10, 20, 60]
    func apply(_ operation: BioImageIOOperation) throws -> [Float] {
      var tensor = NumberTensor(shape: [1, 2, 3], values: values)
      try operation.apply(to: &tensor, axes: ["batch", "channel", "x"])
      return tensor.values
    }
    func close(_ one: [Float], _ other: [Double]) -> Bool {
      one.count == other.count && zip(one, other).allSatisfy { abs(Double($0) - $1) < 1e-4 }
    }
    let row: [Double] = [-2 / 14.0.squareRoot() * 3.0.squareRoot(), -1 / 14.0.squareRoot() * 3.0.squareRoot(), 0]
    let standard = [row[0], row[1], -(row[0] + row[1])]
    #expect(close(try apply(.zeroMeanUnitVariance(.sample(axes: ["x"]), epsilon: 0)), standard + standard))
    #expect(close(try apply(.scaleLinear(gain: [1, 2], offset: [0, 1], axis: "channel")), [1, 2, 6, 21, 41, 121]))
    #expect(close(try apply(.scaleLinear(gain: [2], offset: [1], axis: nil)), [3, 5, 13, 21, 41, 121]))
    #expect(close(try apply(.binarize(thresholds: [6], axis: nil)), [0, 0, 0, 1, 1, 1]))
    #expect(
      close(
        try apply(.fixedZeroMeanUnitVariance(mean: [1, 10], deviation: [1, 10], axis: "channel")), [0, 1, 5, 0, 1, 5]))
    #expect(
      close(
        try apply(.scaleRange(.sample(axes: ["x"]), minimum: 0, maximum: 50, epsilon: 0, reference: nil)),
        [0, 1, 5, 0, 1, 5]))
    #expect(
      close(
        try apply(.clip(minimum: .value(2), maximum: .percentile(50), statistics: .dataset)), [2, 2, 6, 6, 6, 6]))
    #expect(close(try apply(.sigmoid).prefix(1).map { $0 }, [0.731059]))
    let sums = try apply(.softmax(axis: "channel"))
    #expect(close((0..<3).map { sums[$0] + sums[$0 + 3] }, [1, 1, 1]) && sums[3] > sums[0])
    #expect(try apply(.ensureType("float32")) == values)
    #expect(throws: BioImageIOOperation.Failure.self) { try apply(.unknown(name: "custom")) }
    #expect(throws: BioImageIOOperation.Failure.self) { try apply(.softmax(axis: "z")) }
    #expect(throws: BioImageIOOperation.Failure.self) {
      try apply(.scaleLinear(gain: [1, 2, 3, 4], offset: [0], axis: "channel"))
    }
  }
}
