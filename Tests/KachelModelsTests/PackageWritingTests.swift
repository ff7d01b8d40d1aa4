// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
@testable import KachelModels
import KachelPixels
import KachelTesting
import Testing

/// Packages are written as their formats' own tools write them.
@Suite struct PackageWritingTests {
  private let folder: ScratchFolder
  init() throws { folder = try ScratchFolder() }

  private static let writable = GoldenPackage.all.filter { $0.model_kind.hasPrefix("python-pickle") == false }

  /// Byte for byte, from nothing but the metadata.
  @Test(arguments: writable) func metadataText(golden: GoldenPackage) throws {
    let package = try ModelPackage(at: golden.file)
    let archive = try Archive(path: golden.file)
    let expected = try archive.read(#require(archive[golden.metadata_member]), limit: 1 << 20)
    var metadata = package.metadata
    let text: [UInt8]
    switch package.format {
    case .czmodel(let version): text = XMLMetadata.write(metadata, version: version, original: nil)
    case .czann(let version):
      // Tools write a metre a pixel where they do not know it, which is read as nothing.
      let wrong = "\"Scaling\": [1.0, 1.0]"
      if golden.metadata_text.contains(wrong) { metadata.pixelSize = ModelPixelSize(x: 1e6, y: 1e6) }
      text = JSONMetadata.write(metadata, version: version, original: nil)
    default: return
    }
    #expect(String(decoding: text, as: UTF8.self) == String(decoding: expected, as: UTF8.self))
    #expect(text == expected)
  }

  /// What was read is written as it was, whatever wrote it.
  @Test(arguments: GoldenPackage.everyPath.filter { !$0.contains("XRM_Sandstone") }) func copies(path: String) throws {
    let source = try SharedData.path(path)
    let package = try ModelPackage(at: source)
    let copy = folder.file("copy." + (path.hasSuffix("czann") ? "czann" : "czmodel"))
    try package.write(to: copy)
    let read = try ModelPackage(at: copy)
    #expect(read.metadata == package.metadata)
    #expect(read.format == package.format)
    #expect(read.license == package.license)
    #expect(read.attachments == package.attachments)
    let (before, after) = (try Archive(path: source), try Archive(path: copy))
    #expect(Set(after.members.map(\.name)) == Set(before.members.map(\.name)))
    for member in before.members {
      let bytes = try after.read(#require(after[member.name]), limit: 1 << 30)
      #expect(bytes == (try before.read(member, limit: 1 << 30)), "\(member.name)")
    }
  }

  @Test func orderOfMembers() throws {
    func names(_ path: String, _ name: String) throws -> [String] {
      try ModelPackage(at: SharedData.path(path)).write(to: folder.file(name))
      return try Archive(path: folder.file(name)).members.map(\.name)
    }
    let id = "11111111-2222-4333-8444-555566667777"
    #expect(
      try names("models/tf/unet_rgb/unet_rgb.czmodel", "a.czmodel")
        == [id + ".xml", id + ".model", "my license.txt", "modelid=" + id])
    #expect(
      try names("models/torch/torch_unet_nuclei.czann", "a.czann") == ["model.json", "model.model", "license.txt"])
    #expect(try names("models/zenstyle/zen_style_320.czseg", "a.czseg").first?.hasPrefix("modelid=") == true)
  }

  /// The same package, the same bytes; another id, other bytes.
  @Test func deterministic() throws {
    var package = try ModelPackage(at: SharedData.path("models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel"))
    package.metadata.borderSize(9)
    for name in ["1.czmodel", "2.czmodel"] { try package.write(to: folder.file(name)) }
    let first = try Data(contentsOf: URL(filePath: folder.file("1.czmodel")))
    #expect(try Data(contentsOf: URL(filePath: folder.file("2.czmodel"))) == first)
    package.metadata.id = "00000000-0000-4000-8000-000000000001"
    try package.write(to: folder.file("3.czmodel"))
    #expect(try Data(contentsOf: URL(filePath: folder.file("3.czmodel"))) != first)
  }

  /// Elements, attributes and members that no version knows stay when something else changes.
  @Test func whatIsNotKnownStays() throws {
    let xml = PackageFixture.xml(["z": "<Further at=\"1\"><In>text</In></Further>"])
      .replacing("<Model ", with: "<Model owner=\"me\" ").replacing("Name=\"b\"", with: "Name=\"b\" hint=\"x\"")
    var package = try PackageFixture.read(
      PackageFixture.czmodel(xml: xml, more: [.init("LICENSE", "free"), .init("notes/read me.txt", "hello")]))
    package.metadata.borderSize(12)
    try package.write(to: folder.file("a.czmodel"))
    let archive = try Archive(path: folder.file("a.czmodel"))
    let text = String(decoding: try archive.read(#require(archive["id-1.xml"]), limit: 1 << 20), as: UTF8.self)
    for part in [
      "<Further at=\"1\"><In>text</In></Further>", "<BorderSize>12</BorderSize>",
      "<Model Version=\"3.1.0\" owner=\"me\">",
      "Name=\"b\" hint=\"x\" />",
    ] { #expect(text.contains(part), "\(text)") }
    let read = try ModelPackage(at: folder.file("a.czmodel"))
    #expect(read.attachments == [.init(name: "notes/read me.txt", bytes: Array("hello".utf8))])
    #expect(read.license?.name == "LICENSE")

    let json = PackageFixture.json(["Further": "{\"a\": [1, null, 0.5]}", "Scaling": "[1.0, 1.0]", "ModelName": nil])
    package = try PackageFixture.read(PackageFixture.czann(json: json))
    package.metadata.borderSize(6)
    let written = String(decoding: package.metadataBytes, as: UTF8.self)
    for part in ["\"Further\": {\"a\": [1, null, 0.5]}", "\"Scaling\": [1.0, 1.0]", "\"MinOverlap\": [12, 12]"] {
      #expect(written.contains(part), "\(written)")
    }
    #expect(!written.contains("ModelName"))
  }

  @Test func namesOfAllKinds() throws {
    let name = "Kerne \"µ\" <&> 核 😀\u{7F}"
    for (path, name) in [("example/nuclei.czmodel", "Kerne \"µ\" <&> 核 😀\tx"), ("example/nuclei.czann", name)] {
      var package = try ModelPackage(at: SharedData.path(path))
      package.metadata.name = name
      package.metadata.classes[0].name = name + "1"
      let copy = folder.file("names." + (path.hasSuffix("czann") ? "czann" : "czmodel"))
      try package.write(to: copy)
      let read = try ModelPackage(at: copy)
      #expect(read.metadata.name == name)
      #expect(read.metadata.classes[0].name == name + "1")
    }
  }

  @Test func aSavedModelFolderBecomesAPackage() throws {
    let model = try SharedData.path("models/tf/seed_nuclei/saved_tf2_model_output_dims_unset")
    let metadata = ModelMetadata(
      name: "Nuclei", classes: ["Background", "Nucleus"], pixelTypes: [.gray16], colorHandling: .convertToMonochrome,
      borderSize: 8, licenseFile: URL(filePath: try SharedData.path("models/tf/unet_rgb/my license.txt")))
    let package = try ModelPackage(graph: .savedModel(at: model), metadata: metadata)
    try package.write(to: folder.file("out.czmodel"))
    let read = try ModelPackage(at: folder.file("out.czmodel"))
    #expect(read.format == .czmodel(version: "3.0.0"))
    #expect(read.metadata.id == metadata.id && UUID(uuidString: metadata.id) != nil)
    #expect(metadata.id == metadata.id.lowercased())
    #expect(read.metadata.classes.map(\.color) == ClassColors.colors(count: 2))
    #expect(read.license?.name == "my license.txt")
    guard case .savedModel(let packed) = read.graph, case .savedModel(let files) = package.graph else {
      Issue.record("no SavedModel")
      return
    }
    #expect(packed.files == files.files)
    for name in files.files.keys { #expect(try packed.read(name, limit: 1 << 30) == files.read(name, limit: 1 << 30)) }
    #expect(try read.checkRunnable().parameterCount > 0)
  }

  @Test func bareNetworks() throws {
    let path = try folder.write(PackageFixture.network(), to: "net.onnx")
    let package = try ModelPackage(at: path)
    #expect(package.format == .onnx && package.metadata.name == "net")
    #expect(package.metadata.classes.count == 2 && package.metadata.channelCount == 1)
    #expect { try package.checkRunnable() } throws: { ($0 as? ModelError)?.reason.contains("kachel package") == true }
    let saved = try ModelPackage(at: SharedData.path("models/tf/seed_nuclei/saved_model_two_shards"))
    #expect(saved.format == .savedModel && saved.metadata.name == "saved_model_two_shards")
    for path in [path, saved.path, try SharedData.path("example/nuclei.czann")] {
      #expect(ModelPackage.isModel(at: path))
    }
    for path in ["example/nuclei-mosaic.czi", "example/nuclei-labels.png", "omezarr/ref/v04.ome.zarr", "README.md"] {
      #expect(!ModelPackage.isModel(at: try SharedData.path(path)), "\(path)")
    }
  }

  // MARK: Errors

  private func error(_ file: String = "x.czmodel", _ make: () throws -> ModelPackage) -> ModelError? {
    do {
      try make().write(to: folder.file(file))
      return nil
    } catch {
      #expect((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) == [], "something was left")
      return error as? ModelError
    }
  }

  private func made(
    classes: [String] = ["a", "b"], types: [ModelPixelType] = [.gray16], border: Int = 8, channels: Int = 1,
    outputs: Int = 2, id: String? = nil, opset: Int64 = 12, _ edit: (inout ModelPackage) -> Void = { _ in }
  ) throws -> ModelPackage {
    let graph = try PackageFixture.network(channels: channels, classes: outputs) { $0.opsetImport[0].version = opset }
    let metadata = ModelMetadata(
      name: "m", classes: classes, pixelTypes: types, colorHandling: .splitRGB, borderSize: border, id: id)
    var package = try ModelPackage(graph: .onnx(graph), metadata: metadata)
    edit(&package)
    return package
  }

  @Test func theFixtureIsGood() throws {
    try made().write(to: folder.file("good.czmodel"))
    try made(types: [.bgr24, .gray8], channels: 4).write(to: folder.file("four.czmodel"))
    #expect(try ModelPackage(at: folder.file("four.czmodel")).metadata.channelCount == 4)
  }

  @Test func partsThatDoNotFit() throws {
    func reason(_ make: () throws -> ModelPackage) -> String { error("x.czmodel", make)?.reason ?? "accepted" }
    #expect(reason { try made(classes: ["a", "b", "c"]) }.contains("3 classes are named, but the network gives 2"))
    #expect(reason { try made(classes: ["a", "a"]) }.contains("two classes are named \"a\""))
    #expect(reason { try made(classes: ["a"], outputs: 1) }.contains("two classes or more"))
    #expect(reason { try made(classes: ["a", ""]) }.contains("name of a class is empty"))
    #expect(reason { try made(types: [.bgr24]) }.contains("takes 1 channels, but the pixel types (Bgr24) have 3"))
    #expect(reason { try made(types: []) }.contains("--pixel-type"))
    #expect(reason { try made(border: -1) }.contains("0 pixels or more"))
    #expect(reason { try made(border: 32) }.contains("leave nothing of a tile of 64"))
    #expect(reason { try made(id: "not-a-uuid") }.contains("is no UUID"))
    #expect(reason { try made(opset: 18) }.contains("opset 12"))
    #expect(reason { try made { $0.metadata.colorHandling = nil } }.contains("--color-handling"))
    #expect(reason { try made { $0.metadata.border = nil } }.contains("--border"))
    #expect(reason { try made { $0.metadata.kind = .regression } }.contains("only a .czann"))
    #expect(reason { try made { $0.metadata.name = "" } }.contains("name is empty"))
    #expect(reason { try made { $0.metadata.name = "a\u{1}" } }.contains("U+1"))
  }

  @Test func networksThatDoNotFit() throws {
    func reason(_ graph: [UInt8]) -> String {
      error { try made { $0.graph = .onnx(graph) } }?.reason ?? "accepted"
    }
    #expect(try reason(PackageFixture.network(rank: 3)).contains("axes"))
    #expect(try reason(PackageFixture.network(elementType: 10)).contains("float16"))
    let fixedBatch = try PackageFixture.network { model in
      model.graph.input[0].type.tensorType.shape.dim[0].dimValue = 4
    }
    #expect(reason(fixedBatch).contains("fixed batch of 4"))
    let outside = try PackageFixture.network { $0.graph.initializer[0].dataLocation = 1 }
    #expect(reason(outside).contains("weights are not in its file"))
    let two = try PackageFixture.network { $0.graph.output.append($0.graph.output[0]) }
    #expect(reason(two).contains("2 outputs"))
  }

  @Test func licencesThatDoNotFit() throws {
    func reason(_ name: String, _ file: String = "x.czmodel") throws -> String {
      error(file) { try made { $0.license = .init(name: name, bytes: [65]) } }?.reason ?? "accepted"
    }
    for name in ["net.model", "license.json", "terms.XML"] { #expect(try reason(name).contains("rename it")) }
    let id = "00000000-0000-4000-8000-000000000001"
    let collision = error {
      try made(id: id) { $0.license = .init(name: "modelid=" + id, bytes: []) }
    }
    #expect(collision?.reason.contains("two files") == true)
    let metadata = ModelMetadata(
      name: "m", classes: ["a", "b"], pixelTypes: [.gray8], colorHandling: .splitRGB, borderSize: 0,
      licenseFile: URL(filePath: "/no/such/LICENSE"))
    let missing = error { try ModelPackage(graph: .onnx(PackageFixture.network()), metadata: metadata) }
    #expect(missing?.kind == .cannotRead && missing?.file == "/no/such/LICENSE")
  }

  @Test func versionsThatDoNotFit() throws {
    func reason(_ file: String, _ format: PackageFormat, _ package: ModelPackage) -> String {
      error(file) {
        var package = package
        package.format = format
        return package
      }?.reason ?? "accepted"
    }
    let package = try made()
    #expect(reason("x.czmodel", .czmodel(version: "3.4.0"), package).contains("3.0.0, 3.1.0 and 3.2.0"))
    var shaped = package
    (shaped.metadata.inputShape, shaped.metadata.outputShape) = ([64, 64, 1], [64, 64, 2])
    shaped.metadata.scalesInputByBitDepth = true
    #expect(reason("x.czann", .czann(version: "3.0.0"), shaped).contains("2.1.0 are"))
    shaped.metadata.outputShape = [64, 64, 3]
    #expect(reason("x.czann", .czann(version: "1.0.0"), shaped).contains("output is declared as [64, 64, 3]"))
    #expect(error("x.tif") { package }?.kind == .option)
  }

  @Test func unwritableOutputs() throws {
    #expect(error("no/such/x.czmodel") { try made() }?.kind == .cannotWrite)
    try made().write(to: folder.file("x.czmodel"))
    let before = try Data(contentsOf: URL(filePath: folder.file("x.czmodel")))
    #expect { try made().write(to: folder.file("x.czmodel")) } throws: { ($0 as? ModelError)?.kind == .cannotWrite }
    #expect(try Data(contentsOf: URL(filePath: folder.file("x.czmodel"))) == before)
    try made().write(to: folder.file("x.czmodel"), overwrite: true)
    #expect(try Data(contentsOf: URL(filePath: folder.file("x.czmodel"))) != before)
    let classical = try ModelPackage(at: SharedData.path("models/oad/XRM_Sandstone_Default_Features_Demo.czmodel"))
    #expect { try classical.write(to: folder.file("y.czmodel")) } throws: { ($0 as? ModelError)?.kind == .unsupported }
  }
}

extension ModelMetadata {
  mutating func borderSize(_ size: Int) { border = AxisPair(y: size, x: size) }
}
