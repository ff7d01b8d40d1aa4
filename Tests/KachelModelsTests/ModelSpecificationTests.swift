// SPDX-License-Identifier: Apache-2.0
import Foundation
@testable import KachelModels
import KachelTesting
import Testing

/// Packages are made of what JSON files say, and give such files back.
@Suite struct ModelSpecificationTests {
  private let folder: ScratchFolder
  init() throws {
    folder = try ScratchFolder()
    _ = try folder.write(PackageFixture.network(), to: "net.onnx")
    _ = try folder.write(Array("free".utf8), to: "LICENSE.txt")
  }

  private static let legacy = [
    "BorderSize": "8", "ColorHandling": "\"ConvertToMonochrome\"", "PixelType": "\"Gray16\"",
    "Classes": "[\"Background\", \"Nucleus\"]", "ModelPath": "\"net.onnx\"",
  ]

  private func spec(_ changes: [String: String?] = [:], prefix: String = "") throws -> ModelSpecification {
    var keys = Self.legacy
    for (key, value) in changes { keys[key] = value }
    let text = prefix + "{" + keys.sorted { $0.key < $1.key }.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}"
    return try ModelSpecification(at: folder.write(Array(text.utf8), to: "spec.json"))
  }

  private func reason(_ changes: [String: String?]) -> String {
    do {
      _ = try spec(changes)
      return "accepted"
    } catch {
      return "\(error)"
    }
  }

  @Test func thatOfZEN() throws {
    let spec = try spec(["LicenseFile": "\"LICENSE.txt\""], prefix: "\u{FEFF}")
    #expect(spec.warnings == [])
    #expect(spec.places.first == "ModelPath: \(folder.path)/net.onnx (in the folder of the specification)")
    let package = try ModelPackage(spec)
    #expect(package.metadata.name == "net" && package.license?.name == "LICENSE.txt")
    try package.write(to: folder.file("net.czmodel"))
    let read = try ModelPackage(at: folder.file("net.czmodel"))
    #expect(read.format == .czmodel(version: "3.1.0"))
    #expect(read.metadata.channels == [ModelChannel(pixelTypes: [.gray16])])
    #expect(read.metadata.colorHandling == .convertToMonochrome)
    #expect(read.metadata.border == AxisPair(y: 8, x: 8))
    #expect(read.metadata.classes.map(\.name) == ["Background", "Nucleus"])
    #expect(UUID(uuidString: read.metadata.id) != nil)
    #expect(try ModelPackage(spec: folder.file("spec.json")).metadata.id != read.metadata.id)
  }

  @Test func thatOfTheReferenceData() throws {
    let path = try SharedData.path("models/tf/seed_nuclei/model_spec.json")
    try ModelPackage(spec: path).write(to: folder.file("seed.czmodel"))
    let read = try ModelPackage(at: folder.file("seed.czmodel"))
    #expect(read.format == .czmodel(version: "3.0.0"))
    let golden = try ModelPackage(
      at: SharedData.path("models/tf/seed_nuclei/model_from_json_no_dims/simple_nuclei_segmodel_from_json.czmodel"))
    var metadata = golden.metadata
    metadata.id = read.metadata.id
    #expect(read.metadata == metadata)
  }

  @Test func thatOfLaterTools() throws {
    let metadata =
      #"{"Type": "SingleClassSemanticSegmentation", "InputShape": [64, 64, 1], "OutputShape": [64, 64, 2], "#
      + #""MinOverlap": [8, 8], "Classes": ["a", "b"], "ModelName": "n", "FormatVersion": "9"}"#
    let text = #"{"ModelMetadata": \#(metadata), "ModelPath": "net.onnx", "LicenseFile": null}"#
    let path = try folder.write(Array(text.utf8), to: "later.json")
    #expect(try ModelSpecification(at: path).warnings == [])
    try ModelPackage(spec: path).write(to: folder.file("later.czann"))
    let read = try ModelPackage(at: folder.file("later.czann"))
    #expect(read.format == .czann(version: "1.0.0"))
    #expect(read.metadata.name == "n" && read.metadata.border == AxisPair(y: 4, x: 4))
    #expect(UUID(uuidString: read.metadata.id) != nil)
  }

  @Test func pixelTypes() throws {
    #expect(try spec(["PixelType": "[\"Gray8\", \"Bgr24\"]"]).metadata.channelCount == 4)
    #expect(try spec(["PixelType": "[\"Gray8\"]"]).metadata.channels == [ModelChannel(pixelTypes: [.gray8])])
  }

  @Test func unknownKeysAreTold() throws {
    let spec = try spec(["Name": "\"x\"", "TestImageFile": "\"none.czi\""])
    #expect(spec.warnings.count == 2)
    #expect(spec.warnings.contains { $0.contains("the key Name is not known") })
    #expect(spec.warnings.contains { $0.contains("TestImageFile names none.czi, which is not there") })
    #expect(try self.spec(["TestImageFile": "\"net.onnx\""]).testImagePath == folder.file("net.onnx"))
  }

  /// Backslashes, and a folder of another machine.
  @Test(arguments: ["sub\\\\m.onnx", "C:\\\\models\\\\net.onnx", "D:/x/net.onnx"]) func pathsOfWindows(name: String)
    throws
  {
    try FileManager.default.createDirectory(atPath: folder.file("sub"), withIntermediateDirectories: true)
    _ = try folder.write(PackageFixture.network(), to: "sub/m.onnx")
    let spec = try spec(["ModelPath": "\"\(name)\""])
    #expect(spec.modelPath == folder.file(name.hasPrefix("sub") ? "sub/m.onnx" : "net.onnx"))
    #expect(spec.metadata.name == (name.hasPrefix("sub") ? "m" : "net"))
  }

  @Test(
    arguments: [
      (["BorderSize": nil], "BorderSize is missing"), (["BorderSize": "\"8\""], "write it as 8, without quotes"),
      (["BorderSize": "-1"], "not a whole number"), (["Classes": "\"ab\""], "Classes is not a list"),
      (["Classes": "[1]"], "Classes is not a list"), (["ColorHandling": "\"Blue\""], "ConvertToMonochrome or SplitRgb"),
      (["PixelType": "\"Gray12\""], "PixelType is not known; it is one of Gray8"), (["PixelType": "[]"], "PixelType"),
      (["ModelPath": nil], "ModelPath is missing"), (["ModelPath": "7"], "not the path"),
      (["ModelPath": "\"none\""], "which is not there; looked for"),
      (["LicenseFile": "\"none.txt\""], "LicenseFile names none.txt, which is not there"),
    ] as [([String: String?], String)])
  func badSpecifications(changes: [String: String?], words: String) {
    #expect(reason(changes).contains(words), "\(reason(changes))")
    #expect(reason(changes).contains("spec.json"))
  }

  @Test func noSpecifications() throws {
    let path = try folder.write(Array("[]".utf8), to: "list.json")
    #expect(throws: ModelError.self) { try ModelSpecification(at: path) }
    #expect { try ModelSpecification(at: folder.file("none.json")) } throws: {
      ($0 as? ModelError)?.kind == .cannotRead
    }
    let czann = try SharedData.path("example/nuclei.czann")
    #expect { try ModelPackage(spec(["ModelPath": "\"\(czann)\""])) } throws: {
      ($0 as? ModelError)?.reason.contains("names a package") == true
    }
  }

  // MARK: Unpacking

  @Test(arguments: GoldenPackage.everyPath.filter { !$0.contains("XRM_") && !$0.contains("negative") })
  func unpackedAndMadeAgain(path: String) throws {
    let package = try ModelPackage(at: SharedData.path(path))
    try package.unpack(to: folder.file("parts"))
    let spec = try ModelSpecification(at: folder.file("parts/spec.json"))
    #expect(spec.warnings == [])
    let (first, again) = (folder.file("1." + path.suffix(5)), folder.file("2." + path.suffix(5)))
    let name = path.hasSuffix("czann") ? ".czann" : ".czmodel"
    try package.write(to: first + name)
    try ModelPackage(spec).write(to: again + name)
    guard case .onnx = package.graph else {
      // The order of files in the zipped SavedModel is ours.
      #expect(try ModelPackage(at: again + name).metadata == package.metadata)
      #expect(try ModelPackage(at: again + name).license == package.license)
      return
    }
    #expect(try Data(contentsOf: URL(filePath: first + name)) == Data(contentsOf: URL(filePath: again + name)))
  }

  @Test func whereUnpackingIsRefused() throws {
    let package = try ModelPackage(at: SharedData.path("example/nuclei.czann"))
    #expect { try package.unpack(to: folder.path) } throws: { ($0 as? ModelError)?.kind == .cannotWrite }
    #expect { try package.unpack(to: folder.file("no/such")) } throws: { ($0 as? ModelError)?.kind == .cannotWrite }
    #expect { try ModelPackage(at: folder.file("net.onnx")).unpack(to: folder.file("x")) } throws: {
      ($0 as? ModelError)?.kind == .option
    }
    #expect(!FileManager.default.fileExists(atPath: folder.file("x")))
  }

  /// A pickle is copied, never loaded.
  @Test func classicalPackages() throws {
    let path = try SharedData.path("models/oad/XRM_Sandstone_Default_Features_Demo.czmodel")
    try ModelPackage(at: path).unpack(to: folder.file("parts"))
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.file("parts"))
    #expect(Set(names) == ["model.pkl", "eb3f51c1-bcae-43c5-9944-bb8a7b139336.xml"])
  }
}
