// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelEngines
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// Runs with one engine or the other.
@Suite struct EngineTests {
  private let folder: ScratchFolder
  init() throws { folder = try ScratchFolder() }

  private func run(
    _ package: ModelPackage, _ name: EngineChoice.Name, on image: (any ImageSource)? = nil, region: Region? = nil
  ) async throws -> (labels: StoredPlanes, result: SegmentationResult) {
    var options = SegmentationOptions()
    options.engine = EngineChoice(name)
    options.planes.region = region
    let output = folder.file("\(UUID().uuidString).ome.zarr")
    let result = try await Segmentation(of: image ?? Example.image(), with: package, options: options)
      .write(to: SegmentationOutputs(result: output))
    return (try StoredPlanes(output), result)
  }

  /// The engines' scores differ by some millionths, which decides a pixel or two of millions the other way.
  @Test(arguments: ["nuclei.czann", "nuclei.czmodel"])
  func enginesAgree(package: String) async throws {
    let package = try Example.package(package)
    let (one, first) = try await run(package, .openVINO)
    let (other, second) = try await run(package, .onnxRuntime)
    #expect(one.shape == other.shape && one.values.contains(2))
    let differing = zip(one.values, other.values).count { $0 != $1 }
    #expect(differing <= 8, "\(differing) of \(one.values.count) pixels")
    let (openVINO, onnxRuntime) = (first.provenance.engine, second.provenance.engine)
    #expect(openVINO.name == "OpenVINO" && openVINO.version.contains("2026.4.1"))
    #expect(onnxRuntime.name == "ONNX Runtime" && onnxRuntime.version == "1.32.0")
    #expect([openVINO, onnxRuntime].allSatisfy { $0.device == "cpu" && $0.precision == .fp32 })
  }

  /// What the certificate promises holds with this engine too: tiles, regions and threads change no bit.
  @Test func onnxRuntimeIsExact() async throws {
    var options = SegmentationOptions()
    options.engine = EngineChoice(.onnxRuntime)
    options.planes.region = Region(x: 1000, y: 200, width: 600, height: 560)
    let proof = try await Proof(of: Example.image(), with: Example.package("nuclei.czann"), options: options)
    #expect(proof.certificate.promise == .exact && proof.holds)
    #expect(proof.rows.filter(\.isPromised).count == 6)
  }

  /// A network with an operation that only ONNX Runtime has.
  private func packageForONNXRuntime() throws -> ModelPackage {
    let json = """
      {"Id": "00000000-0000-4000-8000-000000000001", "Type": "SingleClassSemanticSegmentation", \
      "InputShape": [64, 64, 1], "OutputShape": [64, 64, 2], "MinOverlap": [8, 8], "Classes": ["Dark", "Bright"], \
      "ModelName": "echo", "FormatVersion": "2.1.0"}
      """
    let members = [ZipFixture.Member("model.json", json), ZipFixture.Member("model.model", EchoNetwork.onnx)]
    return try ModelPackage(at: folder.write(ZipFixture(members).bytes, to: "echo.czann"))
  }

  @Test func whatOpenVINORefusesRunsWithTheOther() async throws {
    let package = try packageForONNXRuntime()
    let size = Size(width: 40, height: 30)
    let pixels = (0..<size.area).map { UInt8($0 % 7 == 0 ? 200 : 20) }
    let image = ArrayImage(pixels, size: size, type: .uint8)
    let (labels, result) = try await run(package, .automatic, on: image)
    // The first class has the pixel's value, the second 1 less it.
    #expect(labels.values == pixels.map { $0 == 200 ? 1 : 2 })
    #expect(result.provenance.engine.name == "ONNX Runtime")
    let warning = try #require(result.warnings.first { $0.contains("ONNX Runtime") })
    #expect(warning.hasPrefix("the network runs with ONNX Runtime, as OpenVINO refuses it: "))
    #expect(warning.contains("SampleOp") && !warning.contains("\n"))
    #expect(result.provenance.warnings.contains(warning))
    await #expect {
      _ = try await run(package, .openVINO, on: image)
    } throws: {
      ($0 as? EngineError)?.kind == .refused
    }
    // Verifying says so too.
    var verification = Verification(of: package.path)
    let checks = try await verification.report().checks
    #expect(checks.contains { $0.name == "engine" && $0.status == .warning && $0.text.contains("SampleOp") })
    #expect(checks.contains { $0.name != "engine" && $0.status == .passed })
    verification.engine = EngineChoice(.openVINO)
    #expect(try await verification.report().checks.contains { $0.name == "run" && $0.status == .failed })
  }

  @Test func aDeviceThatIsNotThereIsToldFirst() async throws {
    var options = SegmentationOptions()
    options.engine = EngineChoice(.automatic, device: .cuda(97))
    let package = try Example.package("nuclei.czann"), image = try Example.image()
    #expect {
      _ = try Segmentation(of: image, with: package, options: options)
    } throws: {
      ($0 as? EngineError)?.kind == .unsuitable && "\($0)".contains("cuda:97")
    }
    var verification = Verification(of: package.path)
    verification.engine = options.engine
    await #expect(throws: EngineError.self) { _ = try await verification.report() }
  }

  /// An engine that reads ONNX only.
  private struct ONNXOnly: Engine {
    let name = "ONNX only"
    let version = "1"
    let device = Device.cpu
    let precision = Precision.fp32
    let readsSavedModels = false
    func read(_ source: NetworkSource, name: String) throws(EngineError) -> any Network {
      guard case .onnx = source else { throw EngineError(.failed, name: name, "no ONNX") }
      throw EngineError(.refused, name: name, "ONNX")
    }
  }

  @Test func savedModelsBecomeONNXWhereTheyMust() throws {
    let graph = try Example.package("nuclei.czmodel").graph
    #expect {
      _ = try graph.network(ONNXOnly(), name: "nuclei.czmodel")
    } throws: {
      ($0 as? EngineError)?.reason == "ONNX"
    }
  }
}

/// A network of `com.microsoft.SampleOp`, which gives what it gets: scores x and 1 - x.
private enum EchoNetwork {
  /// The fields of ONNX's messages by their numbers, as onnx.proto has them.
  static var onnx: [UInt8] {
    let one: [UInt8] = varint(1, 1) + varint(2, 1) + field(8, "one") + field(9, [0, 0, 0x80, 0x3f])
    func axis(_ name: String) -> [UInt8] { field(1, field(2, name)) }
    func value(_ name: String, channels: Int) -> [UInt8] {
      let shape = axis("n") + axis("h") + axis("w") + field(1, varint(1, channels))
      return field(1, name) + field(2, field(1, varint(1, 1) + field(2, shape)))
    }
    func node(_ kind: String, _ inputs: [String], _ output: String, _ more: [UInt8] = []) -> [UInt8] {
      field(1, inputs.flatMap { field(1, $0) } + field(2, output) + field(4, kind) + more)
    }
    // The last axis, as an integer attribute.
    let last = field(5, field(1, "axis") + varint(3, 3) + varint(20, 2))
    let graph =
      node("SampleOp", ["x"], "p", field(7, "com.microsoft")) + node("Sub", ["one", "p"], "q")
      + node("Concat", ["p", "q"], "y", last) + field(2, "echo") + field(5, one)
      + field(11, value("x", channels: 1)) + field(12, value("y", channels: 2))
    return varint(1, 8) + field(7, graph) + field(8, varint(2, 17)) + field(8, field(1, "com.microsoft") + varint(2, 1))
  }

  private static func number(_ value: Int) -> [UInt8] {
    value < 128 ? [UInt8(value)] : [UInt8(value & 127 | 128)] + number(value >> 7)
  }
  private static func varint(_ field: Int, _ value: Int) -> [UInt8] { number(field << 3) + number(value) }
  private static func field(_ field: Int, _ bytes: [UInt8]) -> [UInt8] {
    number(field << 3 | 2) + number(bytes.count) + bytes
  }
  private static func field(_ field: Int, _ text: String) -> [UInt8] { self.field(field, Array(text.utf8)) }
}
