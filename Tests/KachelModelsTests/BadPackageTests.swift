// SPDX-License-Identifier: Apache-2.0
import Foundation
@testable import KachelModels
import KachelTesting
import SwiftProtobuf
import Testing

/// Packages that must be refused, and why.
@Suite struct BadPackageTests {
  typealias Member = ZipFixture.Member

  @Test func theFixturesThemselvesAreGood() throws {
    try PackageFixture.read(PackageFixture.czann()).checkRunnable()
    try PackageFixture.read(PackageFixture.czmodel()).checkRunnable()
  }

  // MARK: The archive

  @Test func notAPackage() throws {
    let folder = try ScratchFolder()
    for bytes in [Array("text".utf8), [UInt8](repeating: 0x89, count: 500)] {
      let path = try folder.write(bytes, to: UUID().uuidString)
      #expect { try ModelPackage(at: path) } throws: { ($0 as? ModelError)?.kind == .notAPackage }
    }
    #expect { try ModelPackage(at: folder.file("missing.czann")) } throws: { ($0 as? ModelError)?.kind == .cannotRead }
    #expect { try ModelPackage(at: folder.path) } throws: { ($0 as? ModelError)?.kind == .cannotRead }
    let error = PackageFixture.refusal(ZipFixture([Member("picture.png", "x")]))
    #expect(error?.kind == .notAPackage)
    #expect(error?.description.contains("no metadata") == true)
  }

  @Test func cutOff() throws {
    let folder = try ScratchFolder()
    let path = try folder.write(PackageFixture.czann().bytes.dropLast(40), to: "cut.czann")
    #expect { try ModelPackage(at: path) } throws: {
      let error = $0 as? ModelError
      return error?.kind == .damaged && error?.reason.contains("cut off") == true && error?.file == path
    }
  }

  @Test func parts() throws {
    func reason(_ fixture: ZipFixture) -> String { PackageFixture.refusal(fixture)?.reason ?? "accepted" }
    #expect(reason(ZipFixture([Member("model.json", PackageFixture.json())])).contains("has no model"))
    #expect(reason(ZipFixture([Member("model.model", [8, 1])])).contains("has no metadata"))
    #expect(reason(try PackageFixture.czann(more: [Member("other.model", "x")])).contains("several models"))
    #expect(reason(try PackageFixture.czann(more: [Member("id.xml", "<Model/>")])).contains("XML and JSON"))
    #expect(reason(try PackageFixture.czmodel(more: [Member("model.json", "{}")])).contains("XML and JSON"))
    #expect(reason(try PackageFixture.czann(more: [Member("../x", "x")])).contains(".."))
    #expect(reason(try PackageFixture.czann(more: [Member("model.json", "x")])).contains("two members"))
    var zeros = Member.zeros("big", count: 1 << 20)
    zeros.declaredSize = 3 << 30
    #expect(reason(try PackageFixture.czann(more: [zeros])).contains("not read"))
    let two = ZipFixture([Member("a.xml", PackageFixture.xml()), Member("b.xml", "<x/>"), Member("a.model", [8, 1])])
    #expect(reason(two).contains("several metadata"))
  }

  /// A licence of any name, as of a metadata file, does not confuse.
  @Test(arguments: ["license.txt", "My Licence.PDF", "terms", "license.xml"]) func licences(name: String) throws {
    let package = try PackageFixture.read(PackageFixture.czmodel(more: [Member(name, "free")]))
    #expect(package.license?.name == name)
    #expect(package.license?.bytes == Array("free".utf8))
  }

  @Test func payloads() throws {
    func error(_ payload: [UInt8]) throws -> ModelError? {
      do {
        let package = try PackageFixture.read(PackageFixture.czann(model: payload))
        _ = try package.checkRunnable()
        return nil
      } catch { return error as? ModelError }
    }
    #expect(try error([])?.reason.contains("empty") == true)
    #expect(try error([0x89, 0x48, 0x44, 0x46, 1, 2])?.reason.contains("HDF5") == true)
    #expect(try error(Array("hello world".utf8))?.kind == .damaged)
    #expect(try error([0x80, 0x04, 0x95, 1])?.reason.contains("pickle") == true)
    #expect(try error([0x80, 0x04, 0x95, 1])?.kind == .unsupported)
    #expect(try error([0x50, 0x4B, 3, 4, 0, 0])?.kind == .damaged)
    #expect(try error(ZipFixture([Member("x", "y")]).bytes)?.reason.contains("saved_model.pb") == true)
    #expect(try error(ZipFixture([Member("saved_model.pb", [0x12, 0xFF])]).bytes)?.reason.contains("damaged") == true)
    #expect(try error(ZipFixture([Member("saved_model.pb", [0x08, 1])]).bytes)?.reason.contains("serve") == true)
    #expect(try error(PackageFixture.network().dropLast(7))?.kind == .damaged)
    #expect(try error([0x08, 7])?.reason.contains("no operations") == true)
  }

  // MARK: Metadata

  @Test(
    arguments: [
      (["Id": nil], "Id is missing"), (["Id": "<Id/>"], "Id is missing"), (["Channels": nil], "Channels is missing"),
      (["TrainingClasses": nil], "TrainingClasses is missing"),
      (["TrainingClasses": "<TrainingClasses><Item LabelValue=\"1\"/></TrainingClasses>"], "has no Name"),
      (["TrainingClasses": "<TrainingClasses><Item Name=\"a\" colR=\"256\"/></TrainingClasses>"], "colR"),
      (["TrainingClasses": "<TrainingClasses><Item Name=\"a\" LabelValue=\"0\"/></TrainingClasses>"], "LabelValue"),
      (
        [
          "TrainingClasses":
            "<TrainingClasses><Item Name=\"a\" LabelValue=\"1\"/><Item Name=\"b\" LabelValue=\"1\"/></TrainingClasses>"
        ], "two classes"
      ),
      (["BorderSize": "<BorderSize>-1</BorderSize>"], "BorderSize is -1"),
      (["BorderSize": "<BorderSize>8.5</BorderSize>"], "BorderSize is 8.5"),
      (["BorderSize": "<BorderSize>99999999999999999999</BorderSize>"], "BorderSize"),
      (["ColorHandling": "<ColorHandling>Blue</ColorHandling>"], "colour handling Blue"),
      (["Channels": "<Channels><Item PixelType=\"Gray12\"/></Channels>"], "pixel type Gray12"),
      (["Channels": "<Channels><Item PixelType=\"Gray8 Bgr24\"/></Channels>"], "differ"),
      (["Channels": "<Channels><Item/></Channels>"], "no PixelType"),
      (["X": "<ScaleInputsByBitdepth>perhaps</ScaleInputsByBitdepth>"], "perhaps"),
    ] as [([String: String?], String)])
  func badXML(changes: [String: String?], reason: String) throws {
    let error = try #require(PackageFixture.refusal(PackageFixture.czmodel(xml: PackageFixture.xml(changes))))
    #expect(error.reason.contains(reason))
    #expect(error.member == "id-1.xml")
  }

  @Test func xmlThatReachesOut() throws {
    let entity = "<!DOCTYPE Model [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>"
    let error = try #require(
      PackageFixture.refusal(PackageFixture.czmodel(xml: PackageFixture.xml(["Id": "<Id>&x;</Id>"], prolog: entity))))
    #expect(error.kind == .damaged)
    #expect(PackageFixture.refusal(try PackageFixture.czmodel(xml: "<Model Version='3.1.0'><Id>"))?.kind == .damaged)
    #expect(PackageFixture.refusal(try PackageFixture.czmodel(xml: "<Other/>"))?.kind == .notAPackage)
  }

  @Test(arguments: ["2", "4.0.0", "3.3.0", "3.1", "x", "", "1.0.0"]) func unknownXMLVersions(version: String) throws {
    let fixture = try PackageFixture.czmodel(xml: PackageFixture.xml(version: version))
    let error = try #require(PackageFixture.refusal(fixture))
    #expect(error.kind == .unsupported)
    #expect(error.reason.contains("version \(version) is"))
  }

  @Test(arguments: ["1.2.0", "2.2.0", "3.0.0", "2", "two"]) func unknownJSONVersions(version: String) throws {
    let fixture = try PackageFixture.czann(json: PackageFixture.json(["FormatVersion": "\"\(version)\""]))
    let error = try #require(PackageFixture.refusal(fixture))
    #expect(error.kind == .unsupported)
    #expect(error.reason.contains(version))
  }

  @Test(
    arguments: [
      (["Id": nil], "Id is missing"), (["Id": "7"], "Id is not a string"), (["Type": nil], "Type is missing"),
      (["Type": "\"Foo\""], "Type Foo"), (["InputShape": nil], "InputShape is missing"),
      (["OutputShape": nil], "OutputShape is missing"), (["InputShape": "[64, 64]"], "2 numbers"),
      (["InputShape": "[1,2,3,4,5]"], "5 numbers"), (["InputShape": "\"64\""], "not a list of numbers"),
      (["InputShape": "[64, 64, \"1\"]"], "not a list of numbers"), (["InputShape": "[64, 0, 1]"], "InputShape has 0"),
      (["InputShape": "[64, 64.5, 1]"], "64.5"), (["InputShape": "[1e300, 64, 1]"], "1e+300"),
      (["InputShape": "[64, 64, 5000]"], "5000 channels"), (["Classes": "\"ab\""], "not a list of strings"),
      (["Classes": "[1, 2]"], "not a list of strings"), (["MinOverlap": "[-2, 8]"], "MinOverlap has -2"),
      (["MinOverlap": "[]"], "0 numbers"), (["MinOverlap": "8"], "not a list"), (["ModelName": "[]"], "not a string"),
      (["Scaling": "[0, 1]"], "Scaling"), (["Scaling": "[1e-7]"], "1 numbers"), (["Scaling": "[true, 1]"], "Scaling"),
    ] as [([String: String?], String)])
  func badJSON(changes: [String: String?], reason: String) throws {
    let error = try #require(PackageFixture.refusal(PackageFixture.czann(json: PackageFixture.json(changes))))
    #expect(error.reason.contains(reason))
    #expect(error.member == "model.json")
  }

  @Test(arguments: ["", "[]", "7", "{", "{\"Id\": }", "nonsense", String(repeating: "[", count: 100_000)])
  func notJSON(text: String) throws {
    #expect(PackageFixture.refusal(try PackageFixture.czann(json: text))?.kind == .damaged)
  }

  // MARK: Any bytes

  @Test func everyTruncationIsRefused() throws {
    let folder = try ScratchFolder()
    let bytes = try Data(contentsOf: URL(filePath: SharedData.path("models/torch/torch_from_json.czann")))
    for count in stride(from: 0, to: bytes.count, by: 37) {
      let path = try folder.write(bytes.prefix(count), to: "cut")
      #expect(throws: ModelError.self) { try ModelPackage(at: path) }
    }
  }

  /// What is wrong with a package; `nil` where it can be run. Errors name the file and say why.
  private func refusal(_ bytes: [UInt8], _ folder: ScratchFolder) throws -> ModelError? {
    let path = try folder.write(bytes, to: "mutated.czann")
    do {
      try ModelPackage(at: path).checkRunnable()
      return nil
    } catch {
      #expect(error.file == path && !error.reason.isEmpty, "\(error)")
      return error
    }
  }

  @Test(
    arguments: [
      "models/torch/torch_from_json.czann", "models/tf/v120/seed_onnx12.czmodel", "models/tf/v510/nuclei_seg.czann",
    ], 0..<2 as Range<UInt64>)
  func damagedArchives(name: String, seed: UInt64) throws {
    let folder = try ScratchFolder()
    let mutations = Mutations(of: Array(try SharedData.data(name)), count: 150, seed: seed)
    #expect(try mutations.count { try refusal($0, folder) != nil } > 0)
  }

  /// Past the archives' checksums, the metadata themselves.
  @Test(arguments: [PackageFixture.json(), PackageFixture.xml()], 0..<2 as Range<UInt64>)
  func damagedMetadata(text: String, seed: UInt64) throws {
    let folder = try ScratchFolder()
    let network = try PackageFixture.network()
    var refused: Set<Bool> = []
    for bytes in Mutations(of: Array(text.utf8), count: 400, seed: seed) {
      let isXML = text.hasPrefix("<")
      let package = ZipFixture([Member(isXML ? "id-1.xml" : "model.json", bytes), Member("id-1.model", network)])
      refused.insert(try refusal(package.bytes, folder) != nil)
    }
    #expect(refused == [true, false])
  }

  /// The graphs themselves.
  @Test(
    arguments: ["models/tf/v120/seed_onnx12_dynamic.czmodel", "models/tf/normalization/DNNModel.czmodel"],
    0..<2 as Range<UInt64>)
  func damagedGraphs(name: String, seed: UInt64) throws {
    let folder = try ScratchFolder()
    let graph: [UInt8]
    let isZipped: Bool
    switch try ModelPackage(at: SharedData.path(name)).graph {
    case .onnx(let bytes): (graph, isZipped) = (bytes, false)
    case .savedModel(let archive): (graph, isZipped) = (try archive.graphBytes(), true)
    case .classical: return
    }
    var refusals = 0
    for bytes in Mutations(of: graph, count: 100, seed: seed) {
      let payload = isZipped ? ZipFixture([Member("saved_model.pb", bytes)]).bytes : bytes
      if try refusal(PackageFixture.czann(model: payload).bytes, folder) != nil { refusals += 1 }
    }
    #expect(refusals > 0)
  }

  /// Empty messages, which take a hundred times their two bytes in memory.
  @Test func millionsOfEmptyParts() throws {
    func varint(_ number: Int) -> [UInt8] {
      number < 0x80 ? [UInt8(number)] : [UInt8(number & 0x7F | 0x80)] + varint(number >> 7)
    }
    func field(_ number: Int, _ content: [UInt8]) -> [UInt8] {
      varint(number << 3 | 2) + varint(content.count) + content
    }
    func reason(_ payload: [UInt8]) throws -> String? {
      let package = try PackageFixture.read(PackageFixture.czann(model: payload))
      return #expect(throws: ModelError.self) { try package.graphFacts() }?.reason
    }
    let parts = (0..<1_000_001).flatMap { _ in [0x0A, 0] as [UInt8] }
    func inside(_ path: [Int]) -> [UInt8] { path.reversed().reduce(parts) { field($1, $0) } }
    // Nodes of a graph, inputs of a node, dimensions of an input.
    for path in [[7], [7, 1], [7, 11, 2, 1, 2]] {
      #expect(try reason(inside(path))?.contains("more than 1000000") == true)
    }
    // Nodes of a graph, and names in the signature of a function.
    for path in [[2, 2], [2, 2, 2, 1, 1]] {
      let archive = ZipFixture([Member("saved_model.pb", inside(path))])
      #expect(try reason(archive.bytes)?.contains("more than 1000000") == true)
    }
  }

  /// A function that calls itself twice, and whose results are many.
  @Test func functionsThatDouble() throws {
    let call = TF_NodeDef.with {
      ($0.name, $0.op, $0.input) = ("call", "PartitionedCall", ["x"])
      $0.attr["f"] = .with { $0.func = .with { $0.name = "f" } }
    }
    let results = (0..<100).map { "y\($0)" }
    let function = TF_FunctionDef.with {
      $0.signature.name = "f"
      $0.signature.inputArg = [.with { $0.name = "x" }]
      $0.signature.outputArg = results.map { name in .with { $0.name = name } }
      $0.nodeDef = [call, call]
      $0.ret = Dictionary(uniqueKeysWithValues: results.map { ($0, "call:0") })
    }
    let model = TF_SavedModel.with {
      $0.metaGraphs = [
        .with {
          $0.metaInfoDef.tags = ["serve"]
          $0.graphDef.node = [call]
          $0.graphDef.library.function = [function]
          $0.signatureDef["serving_default"] = .with {
            $0.inputs["a"] = .with { $0.name = "x:0" }
            $0.outputs["b"] = .with { $0.name = "call:0" }
          }
        }
      ]
    }
    let bytes: [UInt8] = try model.serializedBytes()
    let archive = try SavedModelFiles(
      zip: ZipFixture([Member("saved_model.pb", bytes)]).bytes, file: "f", member: "m")
    #expect(try SavedModelGraph(archive).flow().nodes.count <= 1_000_000)
  }
}
