// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelEngines
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// What is found in packages by running them.
/// One test at a time, as each takes all processors.
@Suite(.serialized) struct VerificationTests {
  // MARK: Real packages

  private func report(_ path: String) throws -> VerificationReport {
    let subject = try VerificationSubject(at: path)
    let running = try subject.obstacle.map { [Check("run", .skipped, $0)] } ?? subject.runningChecks(OpenVINO.load())
    return VerificationReport(file: path, format: subject.format, checks: subject.staticChecks + running)
  }

  private static let good: [String] = {
    struct Manifest: Decodable {
      struct Package: Decodable { var path: String }
      var models: [Package]
    }
    let manifest = try? JSONDecoder().decode(Manifest.self, from: SharedData.data("models/manifest.json"))
    return (manifest?.models ?? []).map { "models/" + $0.path }.filter { !$0.contains("negative") } + [
      "models_large/PGC_20X_nucleus_detector.czseg", "example/nuclei.czmodel", "example/nuclei.czann",
      "models/sebi06/N2V_tobacco_leaf.czann", "models/sebi06/simple_nuclei_segmodel.czann",
    ]
  }()

  @Test func theManifestIsRead() { #expect(Self.good.count == 25) }

  @Test(arguments: good) func goodPackages(path: String) throws {
    let report = try report(SharedData.path(path))
    #expect(report.isGood(), "\(report.checks)")
    let isRun = !path.contains("XRM")
    #expect(report.checks.contains { $0.name == "output" && $0.status == .passed } == isRun)
  }

  @Test(arguments: ["models/negative/lost_weights_613.czann", "models/sebi06/simple_regmodel_out5.czann"])
  func badPackages(path: String) throws {
    #expect(try !report(SharedData.path(path)).isGood())
  }

  @Test func theZooPackageThatDeclaresTooLittle() throws {
    let report = try report(SharedData.path("bioimageio/unet2d_nuclei_broad"))
    func check(_ name: String) throws -> Check { try #require(report.checks.first { $0.name == name }) }
    #expect(try check("test tensors").status == .passed)
    #expect(try check("border needed").status == .warning)
    #expect(try check("border needed").text.contains("declares a border of 32: declare 56"))
    #expect(try check("tiles agree").status == .warning)
    #expect(try check("border declared").text.contains("needs 56"))
    #expect(report.isGood() && !report.isGood(strict: true))
  }

  /// The same with another tensor as its result.
  @Test func aZooPackageWithOtherWeights() throws {
    let folder = try SharedData.path("bioimageio/unet2d_nuclei_broad"), own = try ScratchFolder()
    for file in ["weights.onnx", "test_input.npy"] {
      try FileManager.default.createSymbolicLink(atPath: own.file(file), withDestinationPath: "\(folder)/\(file)")
    }
    try FileManager.default.createSymbolicLink(
      atPath: own.file("test_output.npy"), withDestinationPath: folder + "/test_input.npy")
    let yaml = try String(contentsOfFile: folder + "/v0_4_9.bioimageio.yaml", encoding: .utf8)
    let report = try report(own.write(yaml.utf8, to: "rdf.yaml"))
    #expect(report.checks.first?.name == "test tensors" && report.checks.first?.status == .failed)
  }

  // MARK: Packages made wrong

  /// A real package's network in a `.czann` with other metadata.
  private func czann(_ path: String, _ changes: [String: String]) throws -> String {
    let package = try ModelPackage(at: SharedData.path(path)), archive = try Archive(path: package.path)
    let payload = try archive.read(try #require(archive[package.graphMember]), limit: 1 << 30)
    var keys = [
      "Id": "\"00000000-0000-4000-8000-000000000001\"", "Type": "\"SingleClassSemanticSegmentation\"",
      "InputShape": "[512, 512, 1]", "OutputShape": "[512, 512, 2]", "MinOverlap": "[128, 128]",
      "Classes": "[\"Background\", \"Nucleus\"]", "ModelName": "\"fixture\"",
    ]
    keys.merge(changes) { $1 }
    let json = "{" + keys.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", ") + "}"
    let zip = ZipFixture([.init("model.json", json), .init("model.model", payload)])
    let file = scratch.file("\(UUID().uuidString).czann")
    try Data(zip.bytes).write(to: URL(filePath: file))
    return file
  }

  private let scratch: ScratchFolder
  init() throws { scratch = try ScratchFolder() }

  @Test func aBorderThatIsTooSmall() throws {
    let report = try report(czann("example/nuclei.czann", ["MinOverlap": "[32, 32]"]))
    let found = report.checks.filter { $0.status == .warning }
    #expect(found.map(\.name) == ["border declared", "border needed", "tiles agree"], "\(report.checks)")
    #expect(found[1].text.contains("declares a border of 16: declare 48"))
    #expect(found[2].text.contains("of a million pixels change their class"))
  }

  @Test func aModelForRawValuesPackedAsCzann() throws {
    let report = try report(czann("example/nuclei.czmodel", ["Scaling": "[1, 1]"]))
    #expect(!report.isGood())
    #expect(report.checks[0].name == "input range" && report.checks[0].text.contains("raw values"))
  }

  @Test func aModelForZeroToOnePackedAsCzmodel() throws {
    let package = try ModelPackage(at: SharedData.path("example/nuclei.czann")),
      archive = try Archive(path: package.path)
    let payload = try archive.read(try #require(archive[package.graphMember]), limit: 1 << 30)
    let original = try Archive(path: SharedData.path("example/nuclei.czmodel"))
    let zip = try ZipFixture(
      original.members.map { member in
        .init(member.name, member.name.hasSuffix(".model") ? payload : try original.read(member, limit: 1 << 30))
      })
    let file = scratch.file("range.czmodel")
    try Data(zip.bytes).write(to: URL(filePath: file))
    let report = try report(file)
    #expect(report.checks.contains { $0.name == "input range run" && $0.status == .warning }, "\(report.checks)")
  }

  @Test func swappedChannels() throws {
    let report = try report(czann("example/nuclei.czann", ["InputShape": "[1, 512, 512]"]))
    #expect(!report.isGood())
    #expect(report.checks.contains { $0.name == "shapes" && $0.text.contains("must be last") })
  }

  // MARK: Networks made for one test

  private func checks(
    _ network: PixelNetwork, kind: ModelKind = .singleClassSemanticSegmentation, border: Int = 8,
    otherRange: (Float, String)? = nil
  ) -> [String: Check] {
    let probe = NetworkProbe(network, isChannelsFirst: false, channels: 1, threads: 1)
    let checks = RunningChecks(
      probe: probe, kind: kind, border: Size(width: border, height: border), needed: nil,
      stride: Size(width: 1, height: 1),
      globalOperations: [:], picture: Picture(cells: 128, 128, channels: 1), pictureName: "cells",
      otherRange: otherRange
    ).run()
    return Dictionary(checks.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  @Test func outputs() {
    func output(_ kind: ModelKind, _ scores: @escaping @Sendable (Float) -> [Float]) -> Check? {
      checks(PixelNetwork { PixelNetwork.each($0, scores) }, kind: kind)["output"]
    }
    #expect(output(.singleClassSemanticSegmentation) { [$0, 1 - $0] }?.status == .passed)
    #expect(output(.singleClassSemanticSegmentation) { [$0, $0] }?.status == .failed)
    #expect(output(.multiClassSemanticSegmentation) { [$0, $0] }?.status == .passed)
    #expect(output(.multiClassSemanticSegmentation) { [$0 * 3, $0] }?.status == .failed)
    #expect(output(.singleClassSemanticSegmentation) { [-$0, 1 + $0] }?.text.contains("softmax") == true)
    #expect(output(.singleClassSemanticSegmentation) { [$0 < 0.1 ? .nan : 1, 0] }?.status == .failed)
    #expect(output(.regression) { [$0] }?.status == .passed)
    #expect(output(.regression) { [$0 * 1000] }?.status == .warning)
    #expect(output(.regression) { [1 / ($0 * 0)] }?.status == .failed)
  }

  @Test func anOutputOfAnotherSize() {
    let half = PixelNetwork {
      Picture(
        height: $0.height / 2, width: $0.width / 2, channels: 2, values: .init($0.values.prefix($0.values.count / 2)))
    }
    #expect(checks(half)["run"]?.status == .failed)
  }

  /// A network that sees 5 pixels far, with borders around that, whether its size is free or fixed.
  @Test(arguments: [nil, 64] as [Int?]) func borders(fixed: Int?) {
    let blur = PixelNetwork(side: fixed) { PixelNetwork.blur($0, radius: 5) }
    for border in [3, 4] {
      let found = checks(blur, border: border)
      #expect(found["border needed"]?.status == .warning)
      #expect(found["border needed"]?.text.contains("up to 5 pixels away") == true)
      #expect(found["tiles agree"]?.status == .warning)
    }
    for border in [5, 6] {
      let found = checks(blur, border: border)
      #expect(found["border needed"]?.status == .passed && found["tiles agree"]?.status == .passed, "\(found)")
    }
    #expect(checks(PixelNetwork(side: 16) { PixelNetwork.blur($0, radius: 5) })["tiles agree"]?.status == .skipped)
  }

  @Test func theOtherRange() {
    let raw = PixelNetwork {
      PixelNetwork.each($0) { [1 / (1 + exp((90 - $0) / 10)), 1 - 1 / (1 + exp((90 - $0) / 10))] }
    }
    #expect(checks(raw, otherRange: (255, "raw values"))["input range run"]?.status == .warning)
    let unit = PixelNetwork { PixelNetwork.each($0) { [min(1, $0), 1 - min(1, $0)] } }
    #expect(checks(unit, otherRange: (255, "raw values"))["input range run"]?.status == .passed)
  }

  @Test func operationsThatSeeTheWholeTile() {
    let probe = NetworkProbe(
      PixelNetwork { PixelNetwork.each($0) { [$0, 1 - $0] } }, isChannelsFirst: false, channels: 1, threads: 1)
    let found = RunningChecks(
      probe: probe, kind: .singleClassSemanticSegmentation, border: nil, needed: nil, stride: Size(width: 8, height: 8),
      globalOperations: ["GlobalAveragePool": 2], picture: Picture(cells: 64, 64, channels: 1), pictureName: "cells",
      otherRange: nil
    ).run()
    #expect(found.filter { $0.status == .skipped }.map(\.name) == ["border needed", "tiles agree"])
    #expect(found.last?.text.contains("GlobalAveragePool") == true)
  }

  @Test func tolerances() {
    let tolerance = BioImageIOPackage.Tolerance()
    let same = tolerance.compare([1, 2, 3], [1, 2, 3])
    #expect(same.largest == 0 && same.mismatchesPerMillion == 0)
    let off = tolerance.compare([1, 2, 3, 4.1], [1, 2.0019, 3, 4])
    #expect(abs(off.largest - 0.1) < 1e-5 && off.mismatchesPerMillion == 250_000)
    #expect(tolerance.compare([.nan], [1]).mismatchesPerMillion == 1_000_000)
  }
}

/// A network that is a function on pictures.
private final class PixelNetwork: Network {
  let inputs: [KachelEngines.Port]
  let outputs: [KachelEngines.Port] = [.init(name: "output", shape: [], element: .float32)]
  private let function: @Sendable (Picture) -> Picture

  /// - Parameter side: of the only picture that it takes.
  init(side: Int? = nil, _ function: @escaping @Sendable (Picture) -> Picture) {
    inputs = [.init(name: "input", shape: [1, side, side, 1], element: .float32)]
    self.function = function
  }

  func compile(
    inputShape: [Int], elements: ElementTypes, threads: Int, streams: Int
  ) throws(EngineError) -> any CompiledNetwork {
    Compiled(inputShape: inputShape, function: function)
  }

  static func each(_ picture: Picture, _ scores: (Float) -> [Float]) -> Picture {
    let values = picture.values.flatMap(scores)
    return Picture(
      height: picture.height, width: picture.width, channels: values.count / picture.values.count, values: values)
  }

  /// The mean of a square around every pixel, and the rest to 1; beyond the edge there are zeros.
  static func blur(_ picture: Picture, radius: Int) -> Picture {
    let (height, width) = (picture.height, picture.width)
    func pass(_ values: [Float], _ count: Int, _ length: Int, _ step: Int, _ next: Int) -> [Float] {
      var result = values
      for line in 0..<count {
        for position in 0..<length {
          var sum: Float = 0
          for near in max(0, position - radius)...min(length - 1, position + radius) {
            sum += values[line * next + near * step]
          }
          result[line * next + position * step] = sum / Float(2 * radius + 1)
        }
      }
      return result
    }
    let rows = pass(picture.values, height, width, 1, width)
    let values = pass(rows, width, height, width, 1)
    return each(Picture(height: height, width: width, channels: 1, values: values)) { [$0, 1 - $0] }
  }

  private final class Compiled: CompiledNetwork {
    let inputShape: [Int]
    let outputShape: [Int]
    let elements = ElementTypes()
    private let function: @Sendable (Picture) -> Picture

    init(inputShape: [Int], function: @escaping @Sendable (Picture) -> Picture) {
      (self.inputShape, self.function) = (inputShape, function)
      let zeros = Picture(
        height: inputShape[1], width: inputShape[2], channels: 1,
        values: .init(repeating: 0, count: inputShape.reduce(1, *)))
      let output = function(zeros)
      outputShape = [1, output.height, output.width, output.channels]
    }

    func makeRequest() throws(EngineError) -> sending any InferenceRequest {
      Request(shape: inputShape, function: function)
    }
  }

  private final class Request: InferenceRequest {
    private let shape: [Int]
    private let function: @Sendable (Picture) -> Picture

    init(shape: [Int], function: @escaping @Sendable (Picture) -> Picture) {
      (self.shape, self.function) = (shape, function)
    }

    func run(input: UnsafeMutableRawBufferPointer, output: UnsafeMutableRawBufferPointer) throws(EngineError) {
      let values = Array(input.bindMemory(to: Float.self))
      let result = function(Picture(height: shape[1], width: shape[2], channels: 1, values: values))
      result.values.withUnsafeBytes { output.copyMemory(from: $0) }
    }
  }
}
