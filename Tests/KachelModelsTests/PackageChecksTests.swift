// SPDX-License-Identifier: Apache-2.0
import Foundation
@testable import KachelModels
import KachelBytes
import KachelTesting
import SwiftProtobuf
import Testing

/// What is found in packages without running them.
@Suite struct PackageChecksTests {
  private func check(_ name: String, _ fixture: ZipFixture) throws -> Check {
    let package = try PackageFixture.read(fixture)
    let checks = package.staticChecks(try package.graphFacts())
    return try #require(checks.first { $0.name == name })
  }

  private func isFound(
    _ name: String, _ status: Check.Status, _ text: String, _ fixture: ZipFixture,
    at location: SourceLocation = #_sourceLocation
  ) throws {
    let check = try check(name, fixture)
    #expect(check.status == status && check.text.contains(text), "\(check)", sourceLocation: location)
  }

  // MARK: Real packages

  static let bad = ["models/negative/lost_weights_613.czann", "models/sebi06/simple_regmodel_out5.czann"]

  @Test(arguments: GoldenPackage.everyPath) func realPackages(path: String) throws {
    let package = try ModelPackage(at: SharedData.path(path))
    let checks: [Check]
    if case .classical = package.graph {
      checks = package.staticChecks(nil)
    } else {
      checks = package.staticChecks(try package.graphFacts())
    }
    #expect(checks.contains { $0.status == .failed } == Self.bad.contains(path), "\(checks)")
    #expect(checks.allSatisfy { !$0.text.isEmpty && !$0.text.contains("\n") })
  }

  @Test func theBadOnes() throws {
    let lost = try ModelPackage(at: SharedData.path(Self.bad[0]))
    let weights = lost.staticChecks(try lost.graphFacts()).filter { $0.status == .failed }
    #expect(weights.map(\.name) == ["weights"] && weights[0].text.contains("1.0.weight"))
    let channels = try ModelPackage(at: SharedData.path(Self.bad[1]))
    let failed = channels.staticChecks(try channels.graphFacts()).filter { $0.status == .failed }
    #expect(failed.map(\.name) == ["channels", "shapes"])
    #expect(failed[0].text.contains("declares 5 channels, but the network takes 1"))
  }

  @Test func aNetworkWithoutAPackage() throws {
    let package = try ModelPackage(at: SharedData.path("bioimageio/unet2d_nuclei_broad/weights.onnx"))
    let checks = package.staticChecks(try package.graphFacts())
    #expect(checks.map(\.status) == [.failed] && checks[0].text.contains("kachel package"))
  }

  // MARK: Container and metadata

  @Test func container() throws {
    try isFound("container", .warning, "should end in .czmodel", PackageFixture.czmodel())
    var fixture = try PackageFixture.czmodel()
    fixture.members[2] = ZipFixture.Member("modelid=other", "")
    try isFound("container", .failed, "marked modelid=other, but its metadata has the id id-1", fixture)
    fixture.members.removeLast()
    try isFound("container", .warning, "modelid=id-1 is missing", fixture)
    fixture.members[1].name = Array("other.model".utf8)
    try isFound("container", .failed, "other.model should be called id-1.model", fixture)
    let more = ["license.txt", "a.txt"].map { ZipFixture.Member($0, "x") }
    try isFound("container", .warning, "belong to no model: a.txt", PackageFixture.czann(more: more))
  }

  @Test func metadata() throws {
    try isFound("metadata", .passed, "schema of czann (JSON 2.1.0)", PackageFixture.czann())
    func json(_ changes: [String: String?]) throws -> ZipFixture {
      try PackageFixture.czann(json: PackageFixture.json(changes))
    }
    try isFound("metadata", .warning, "no UUID", json(["Id": "\"model 7\""]))
    try isFound("metadata", .warning, "must be even", json(["MinOverlap": "[7, 8]"]))
    try isFound("metadata", .warning, "one number", json(["MinOverlap": "[8]"]))
    try isFound("metadata", .warning, "Classes are missing", json(["Classes": nil]))
    try isFound("metadata", .warning, "Scaling is in metres", json(["Scaling": "[0.5, 0.5]"]))
    try isFound(
      "metadata", .warning, "ColorHandling is missing",
      PackageFixture.czmodel(xml: PackageFixture.xml(["ColorHandling": ""])))
  }

  @Test func classes() throws {
    func json(_ classes: String, _ type: String = "SingleClassSemanticSegmentation") throws -> ZipFixture {
      try PackageFixture.czann(json: PackageFixture.json(["Classes": classes, "Type": "\"\(type)\""]))
    }
    try isFound("classes", .passed, "Background, Nucleus", PackageFixture.czann())
    try isFound("classes", .failed, "names 3 classes, but the network gives 2", json("[\"a\", \"b\", \"c\"]"))
    try isFound("classes", .warning, "the same name", json("[\"a\", \"a\"]"))
    try isFound("classes", .warning, "no name", json("[\"a\", \" \"]"))
    try isFound("classes", .warning, "names classes", json("[\"a\", \"b\"]", "Regression"))
  }

  @Test func border() throws {
    func json(_ overlap: String?) throws -> ZipFixture {
      try PackageFixture.czann(json: PackageFixture.json(["MinOverlap": overlap]))
    }
    try isFound("border declared", .passed, "4 pixels; by its graph the network needs 1", PackageFixture.czann())
    try isFound("border declared", .warning, "declares no border", json(nil))
    try isFound("border declared", .warning, "0 pixels, but by its graph the network needs 1", json("[0, 0]"))
    try isFound("border declared", .failed, "leaves nothing of a tile that is 64 pixels wide", json("[8, 64]"))
  }

  // MARK: Metadata against the network

  @Test func swappedAxes() throws {
    func declared(_ input: String, _ network: [UInt8]) throws -> ZipFixture {
      try PackageFixture.czann(json: PackageFixture.json(["InputShape": input]), model: network)
    }
    try isFound("shapes", .failed, "the channels are declared first", declared("[1, 64, 64]", PackageFixture.network()))
    let first = try PackageFixture.network {
      $0.graph.input[0].type.tensorType.shape.dim = NetworkFixture.value("x", [1, 1, 64, 64]).type.tensorType.shape.dim
    }
    try isFound("shapes", .failed, "the network's channels come first", declared("[64, 64, 1]", first))
    try isFound("shapes", .failed, "its channels come first", PackageFixture.czmodel(model: first))
    let wide = try PackageFixture.network { $0.graph.input[0].type.tensorType.shape.dim[2].dimValue = 32 }
    try isFound("shapes", .failed, "height and width are swapped", declared("[32, 64, 1]", wide))
    try isFound(
      "channels", .failed, "declares 1 channel, but the network takes 3",
      PackageFixture.czann(
        model: PackageFixture.network(channels: 3)))
  }

  @Test func colors() throws {
    func package(_ type: String, _ handling: String, channels: Int) throws -> ZipFixture {
      try PackageFixture.czmodel(
        xml: PackageFixture.xml([
          "Channels": "<Channels><Item PixelType=\"\(type)\"/></Channels>",
          "ColorHandling": "<ColorHandling>\(handling)</ColorHandling>",
        ]), model: PackageFixture.network(channels: channels))
    }
    try isFound("channels", .passed, "Bgr24, SplitRgb", package("Bgr24", "SplitRgb", channels: 3))
    try isFound("channels", .warning, "SplitRgb is meant", package("Bgr24", "ConvertToMonochrome", channels: 3))
    try isFound("channels", .failed, "takes 1", package("Bgr24", "SplitRgb", channels: 1))
    try isFound("channels", .passed, "Bgr24", package("Bgr24", "ConvertToMonochrome", channels: 1))
  }

  @Test func targets() throws {
    func opset(_ version: Int64) throws -> [UInt8] {
      try PackageFixture.network { $0.opsetImport = [.with { $0.version = version }] }
    }
    let old = PackageFixture.json(["FormatVersion": nil])
    try isFound("target", .passed, "ZEN blue 3.13", PackageFixture.czann(model: opset(18)))
    try isFound("target", .warning, "needs opset 18", PackageFixture.czann(json: old, model: opset(18)))
    try isFound("target", .warning, "needs opset 20", PackageFixture.czann(model: opset(20)))
    try isFound("target", .passed, "ZEN blue 3.5", PackageFixture.czann(json: old))
    try isFound("target", .passed, "ZEN blue 3.4", PackageFixture.czmodel())
    try isFound(
      "target", .warning, "holds SavedModels", PackageFixture.czmodel(xml: PackageFixture.xml(version: "3.0.0")))
    let foreign = try PackageFixture.network { $0.graph.node[1].domain = "com.example" }
    try isFound("target", .warning, "com.example.Conv", PackageFixture.czann(model: foreign))
    let saved = try ModelPackage(at: SharedData.path("example/nuclei.czmodel"))
    let zip = try Archive(path: saved.path)
    let payload = try zip.read(try #require(zip[saved.graphMember]), limit: 1 << 30)
    try isFound("target", .warning, "this is a SavedModel", PackageFixture.czann(model: payload))
  }

  // MARK: Input range

  /// A network that first subtracts and divides.
  private func normalising(_ mean: Float, _ deviation: Float) throws -> [UInt8] {
    var graph = NetworkFixture(input: [1, 64, 64, 1])
    graph.add("Sub", [graph.floats([mean])])
    graph.add("Div", [graph.floats([deviation])])
    graph.transpose(toFirst: true)
    graph.convolution(outputs: 2, inputs: 1)
    graph.transpose(toFirst: false)
    return try graph.model(channels: 2).serializedBytes()
  }

  @Test func inputRange() throws {
    for (mean, deviation) in [(127, 50), (0, 255), (30_000, 9000)] as [(Float, Float)] {
      let network = try normalising(mean, deviation)
      try isFound("input range", .failed, "made for raw values", PackageFixture.czann(model: network))
      try isFound("input range", .passed, "raw values, which fits", PackageFixture.czmodel(model: network))
    }
    for (mean, deviation) in [(0.5, 0.25), (0.001, 0.0001)] as [(Float, Float)] {
      let network = try normalising(mean, deviation)
      try isFound("input range", .passed, "0 to 1, which fits", PackageFixture.czann(model: network))
      try isFound("input range", .failed, "made for values from 0 to 1", PackageFixture.czmodel(model: network))
    }
    try isFound("input range", .passed, "do not tell", PackageFixture.czann())
    // Floating-point images may have either range.
    let floats = PackageFixture.xml(["Channels": "<Channels><Item PixelType=\"Gray32Float\"/></Channels>"])
    try isFound("input range", .passed, "fits", PackageFixture.czmodel(xml: floats, model: normalising(0.5, 0.25)))
  }

  @Test(arguments: [
    ("example/nuclei.czmodel", FirstOperations.Range.raw), ("models/tf/normalization/DNNModel.czmodel", .raw),
    ("models/tf/v510/nuclei_legacy.czmodel", .raw), ("models/tf/v510/nuclei_seg.czann", .unit),
    ("models_large/PGC_20X_nucleus_detector.czseg", .unit), ("models/tf/oad_unet/oad_unet.czmodel", .any),
    ("models/tf/v120/seed_onnx12.czmodel", .any), ("example/nuclei.czann", .unknown),
  ]) func firstOperationsOfRealNetworks(path: String, range: FirstOperations.Range) throws {
    let package = try ModelPackage(at: SharedData.path(path))
    #expect(FirstOperations(of: package.graph, file: path, member: "").range == range)
  }

  // MARK: Reports

  @Test func theWorstComesFirst() {
    let checks = [Check("a", .passed, ""), Check("b", .warning, ""), Check("c", .skipped, ""), Check("d", .failed, "")]
    let report = VerificationReport(file: "f", format: nil, checks: checks + checks)
    #expect(report.checks.map(\.name) == ["d", "d", "b", "b", "c", "c", "a", "a"])
    #expect(report.verdict == "do not use this package as it is: 2 checks failed, 2 warnings, 2 skipped, 2 passed")
    #expect(!report.isGood())
    let fair = VerificationReport(file: "f", format: nil, checks: Array(checks.prefix(3)))
    #expect(fair.isGood() && !fair.isGood(strict: true) && fair.verdict.hasPrefix("usable, with care: 1 warning"))
    #expect(VerificationReport(file: "f", format: nil, checks: [checks[0]]).verdict == "good: 1 passed")
    let partly = VerificationReport(file: "f", format: nil, checks: [checks[0], checks[2]])
    #expect(partly.verdict == "nothing wrong was found: 1 skipped, 1 passed" && partly.isGood(strict: true))
  }

  @Test func zooPackages() throws {
    let folder = try SharedData.path("bioimageio/unet2d_nuclei_broad")
    let checks = try BioImageIOPackage(at: folder).staticChecks()
    #expect(checks.map(\.status) == [.passed, .passed, .passed, .passed, .warning], "\(checks)")
    let yaml = try String(contentsOfFile: folder + "/bioimageio.yaml", encoding: .utf8)
    func check(_ name: String, _ old: String, _ new: String) throws -> Check? {
      let own = try ScratchFolder()
      for file in ["weights.onnx", "test_input.npy", "test_output.npy"] {
        try FileManager.default.createSymbolicLink(atPath: own.file(file), withDestinationPath: "\(folder)/\(file)")
      }
      let text = yaml.replacingOccurrences(of: old, with: new)
      #expect(text != yaml)
      let package = try BioImageIOPackage(at: own.write(text.utf8, to: "bioimageio.yaml"))
      return package.staticChecks().first { $0.name == name }
    }
    #expect(try check("files", "85f5ac80", "00000000")?.status == .failed)
    #expect(try check("files", "source: test_input.npy", "source: gone.npy")?.status == .failed)
    #expect(try check("metadata", "license: MIT", "version: 1")?.status == .warning)
    #expect(try check("processing", "- id: sigmoid", "- id: cellpose_flow_dynamics")?.status == .warning)
    let channels = try check("network", "- raw_intensity", "- one\n          - two")
    #expect(channels?.status == .failed && channels?.text.contains("channel of raw is described as 2") == true)
  }
}
