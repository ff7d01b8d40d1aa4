// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelModels
import KachelPixels
import KachelTesting
import Testing

/// Every package of the reference data says what its manifest says.
@Suite struct GoldenPackageTests {
  @Test func thereArePackages() { #expect(GoldenPackage.all.count >= 18) }

  @Test(arguments: GoldenPackage.all) func container(golden: GoldenPackage) throws {
    let package = try ModelPackage(at: golden.file)
    #expect(package.path == (try golden.file))
    #expect(package.sha256 == golden.sha256)
    #expect(package.members.map(\.name) == golden.container_members.map(\.name))
    #expect(package.members.map(\.size) == golden.container_members.map(\.size))
    #expect(package.metadataMember == golden.metadata_member)
    #expect(package.graphMember.hasSuffix(".model"))

    let archive = try Archive(path: golden.file)
    let text = try archive.read(#require(archive[golden.metadata_member]), limit: 1 << 20)
    let body = text.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(text.dropFirst(3)) : text
    #expect(String(decoding: body, as: UTF8.self) == golden.metadata_text)

    let license = golden.container_members.first { $0.name.lowercased().contains("licen") }
    #expect(package.license?.name == license?.name)
    #expect(package.license?.bytes.count == license?.size)
    #expect(package.metadata.licenseName == license?.name)
  }

  /// The metadata are compared with what simple patterns find in the text.
  @Test(arguments: GoldenPackage.all.filter { $0.metadata_text.contains("<Model") })
  func xmlMetadata(golden: GoldenPackage) throws {
    let package = try ModelPackage(at: golden.file)
    let metadata = package.metadata
    let text = golden.metadata_text
    #expect(metadata.schemaVersion == XMLText.attribute("Version", in: text))
    #expect(package.format == .czmodel(version: metadata.schemaVersion))
    #expect(metadata.id == XMLText.element("Id", in: text))
    #expect(metadata.name == XMLText.element("ModelName", in: text))
    #expect(metadata.description == XMLText.element("Description", in: text))
    #expect(metadata.featureExtractor == XMLText.element("FeatureExtractor", in: text))
    #expect(metadata.postprocessing == XMLText.element("Postprocessing", in: text))
    #expect(metadata.colorHandling?.rawValue == XMLText.element("ColorHandling", in: text))
    #expect(metadata.border?.y == XMLText.element("BorderSize", in: text).flatMap { Int($0) })
    #expect(metadata.border?.x == metadata.border?.y)
    #expect(metadata.scalesInputByBitDepth == (XMLText.element("ScaleInputsByBitdepth", in: text) == "true"))
    #expect(metadata.tileSize?.width == XMLText.element("TotalTileWidth", in: text).flatMap { Int($0) })
    #expect(metadata.tileSize?.height == XMLText.element("TotalTileHeight", in: text).flatMap { Int($0) })
    #expect(metadata.kind == .singleClassSemanticSegmentation)

    let items = XMLText.items(in: text)
    #expect(metadata.classes.map(\.name) == items.compactMap { XMLText.attribute("Name", in: $0) })
    #expect(metadata.classes.map { "\($0.labelValue)" } == items.compactMap { XMLText.attribute("LabelValue", in: $0) })
    for (item, itsClass) in zip(items.filter { $0.contains("LabelValue") }, metadata.classes) {
      #expect("\(itsClass.color.red)" == XMLText.attribute("colR", in: item))
      #expect("\(itsClass.color.green)" == XMLText.attribute("colG", in: item))
      #expect("\(itsClass.color.blue)" == XMLText.attribute("colB", in: item))
    }
    let types = items.compactMap { XMLText.attribute("PixelType", in: $0) }
    #expect(metadata.channels.map { $0.pixelTypes.map(\.rawValue).joined(separator: " ") } == types)
    #expect(metadata.channelCount == types.reduce(0) { $0 + ($1.hasPrefix("Bgr") ? 3 : 1) })
  }

  @Test(arguments: GoldenPackage.all.filter { $0.metadata_text.hasPrefix("{") })
  func jsonMetadata(golden: GoldenPackage) throws {
    let package = try ModelPackage(at: golden.file)
    let metadata = package.metadata
    let json = try #require(
      try JSONSerialization.jsonObject(with: Data(golden.metadata_text.utf8)) as? [String: Any])
    #expect(metadata.id == json["Id"] as? String)
    #expect(metadata.name == json["ModelName"] as? String)
    #expect(metadata.kind.rawValue == json["Type"] as? String)
    #expect(metadata.inputShape == json["InputShape"] as? [Int])
    #expect(metadata.outputShape == json["OutputShape"] as? [Int])
    #expect(metadata.channelCount == (json["InputShape"] as? [Int])?.last)
    #expect(metadata.border?.y == (json["MinOverlap"] as? [Int])?[0] / 2)
    #expect(metadata.border?.x == (json["MinOverlap"] as? [Int])?[1] / 2)
    #expect(metadata.classes.map(\.name) == json["Classes"] as? [String] ?? [])
    #expect(metadata.classes.map(\.color) == ClassColors.colors(count: metadata.classes.count))
    #expect(metadata.scalesInputByBitDepth)
    let scaling = (json["Scaling"] as? [Double]).flatMap { $0 == [1, 1] ? nil : $0 }
    #expect(metadata.pixelSize?.x == scaling.map { $0[0] * 1e6 })
    #expect(metadata.schemaVersion == json["FormatVersion"] as? String ?? (json["Scaling"] == nil ? "1.0.0" : "1.1.0"))
    #expect(package.format == .czann(version: metadata.schemaVersion))
  }

  @Test(arguments: GoldenPackage.all) func graph(golden: GoldenPackage) throws {
    let package = try ModelPackage(at: golden.file)
    if golden.model_kind.hasPrefix("python-pickle") {
      guard case .classical(let description) = package.graph else {
        Issue.record("not seen as a classical classifier")
        return
      }
      #expect(description == "classical classifier (scikit-learn, Python pickle protocol 4, 949649 bytes)")
      return
    }
    let facts = try package.graphFacts()
    if let onnx = golden.onnx {
      guard case .onnx(let bytes) = package.graph else {
        Issue.record("not seen as ONNX")
        return
      }
      #expect(bytes.count == golden.container_members.first { $0.name.hasSuffix(".model") }?.size)
      #expect(facts.opset == onnx.opset["ai.onnx"])
      #expect(facts.producer == onnx.producer)
      #expect(facts.operations == onnx.ops)
      #expect(facts.missingWeights == onnx.external_data)
      for (tensors, expected) in [(facts.inputs, onnx.inputs), (facts.outputs, onnx.outputs)] {
        #expect(tensors.map(\.name) == expected.map(\.name))
        #expect(tensors.map(\.shape) == expected.map { $0.shape.map(\.size) })
        #expect(tensors.map(\.elementType) == expected.map(\.dtype))
      }
    }
    if let saved = golden.savedmodel {
      guard case .savedModel(let archive) = package.graph else {
        Issue.record("not seen as a SavedModel")
        return
      }
      let files = try #require(golden.savedmodel_files)
      #expect(archive.files == Dictionary(uniqueKeysWithValues: files.map { ($0.name, $0.size) }))
      #expect(facts.opset == nil)
      #expect(facts.producer == "TensorFlow " + saved.tf_version)
      #expect(facts.operations == saved.reachable_ops)
      #expect(!facts.hasExternalData)
      for (tensors, expected) in [(facts.inputs, saved.signature.inputs), (facts.outputs, saved.signature.outputs)] {
        #expect(tensors.map(\.name) == Array(expected.keys))
        #expect(tensors.map(\.node) == expected.values.map(\.tensor))
        #expect(tensors.map(\.shape) == expected.values.map { $0.shape.map { $0 < 0 ? nil : $0 } })
        #expect(tensors.map(\.elementType) == ["float32"])
      }
    }
  }

  @Test func aSavedModelIsExtracted() throws {
    let golden = try #require(GoldenPackage.all.first { $0.savedmodel != nil })
    guard case .savedModel(let archive) = try ModelPackage(at: golden.file).graph else {
      Issue.record("not seen as a SavedModel")
      return
    }
    let folder = try ScratchFolder()
    try archive.extract(to: folder.path)
    for (name, size) in archive.files {
      #expect(try Data(contentsOf: URL(filePath: folder.file(name))).count == size)
    }
    #expect { try archive.extract(to: folder.path) } throws: { ($0 as? ModelError)?.kind == .cannotWrite }
    #expect { try archive.extract(to: folder.path + "/no/such") } throws: {
      ($0 as? ModelError)?.kind == .cannotWrite
    }
  }

  @Test func theZENPackage() throws {
    let metadata = try ModelPackage(at: SharedData.path("models_large/PGC_20X_nucleus_detector.czseg")).metadata
    #expect(metadata.id == "cd45c952-27d0-4f0f-888a-cf560ee5728f")
    #expect(metadata.name == "PGC_CD7_20XNA0.95")
    #expect(metadata.schemaVersion == "3.2.0")
    #expect(metadata.channels == [ModelChannel(pixelTypes: [.gray8, .gray16, .gray32Float])])
    #expect(metadata.channelCount == 1)
    #expect(metadata.border == AxisPair(y: 64, x: 64))
    #expect(metadata.tileSize == Size(width: 1024, height: 1024))
    #expect(metadata.scalesInputByBitDepth)
    #expect(metadata.classes.map(\.name) == ["background", "nuc"])
  }

  @Test func theExamplePackages() throws {
    for (path, scales) in [("example/nuclei.czmodel", false), ("example/nuclei.czann", true)] {
      let package = try ModelPackage(at: SharedData.path(path))
      #expect(package.metadata.scalesInputByBitDepth == scales)
      #expect(package.metadata.border == AxisPair(y: 64, x: 64))
      #expect(package.metadata.classes.map(\.labelValue) == [1, 2])
      let facts = try package.checkRunnable()
      #expect(facts.stride == AxisPair(y: 8, x: 8))
      #expect(facts.globalOperations.isEmpty)
    }
    let facts = try ModelPackage(at: SharedData.path("example/nuclei.czmodel")).graphFacts()
    #expect(facts.parameterCount == 272_762)
  }

  @Test func aDescriptionThatTheFormatDoesNotHave() throws {
    let package = try ModelPackage(at: SharedData.path("models/sebi06/N2V_tobacco_leaf_Whitened.czann"))
    #expect(package.metadata.description?.hasPrefix("C:\\Users") == true)
  }
}

private func / (value: Int?, divisor: Int) -> Int? { value.map { $0 / divisor } }

/// Finds text in XML as simply as possible.
enum XMLText {
  static func element(_ name: String, in text: String) -> String? {
    guard let start = text.range(of: "<\(name)>"), let end = text.range(of: "</\(name)>") else { return nil }
    return unescaped(String(text[start.upperBound..<end.lowerBound]))
  }

  static func attribute(_ name: String, in text: String) -> String? {
    guard let start = text.range(of: " \(name)=\"") else { return nil }
    return unescaped(String(text[start.upperBound...].prefix { $0 != "\"" }))
  }

  static func items(in text: String) -> [String] {
    text.components(separatedBy: "<Item").dropFirst().map { String($0.prefix { $0 != ">" }) }
  }

  private static func unescaped(_ text: String) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")].reduce(text) {
      $0.replacingOccurrences(of: $1.0, with: $1.1)
    }
  }
}
