// SPDX-License-Identifier: Apache-2.0
import KachelModels
import KachelPixels
import KachelTesting
import Testing

/// Metadata as different writers write them.
@Suite struct MetadataTests {
  private func xml(_ changes: [String: String?] = [:], version: String = "3.1.0") throws -> ModelMetadata {
    try PackageFixture.read(PackageFixture.czmodel(xml: PackageFixture.xml(changes, version: version))).metadata
  }

  private func json(_ changes: [String: String?]) throws -> ModelMetadata {
    try PackageFixture.read(PackageFixture.czann(json: PackageFixture.json(changes))).metadata
  }

  @Test(arguments: ["1", "3.0.0", "3.1.0", "3.2.0", "3.1.7"]) func xmlVersions(version: String) throws {
    let metadata = try xml(version: version)
    #expect(metadata.schemaVersion == version)
    #expect(!metadata.scalesInputByBitDepth)
    #expect(metadata.classes.map(\.color) == [RGB(red: 255, green: 0, blue: 0), RGB(red: 0, green: 200, blue: 9)])
  }

  /// The first versions of one format are told apart by what they hold.
  @Test(
    arguments: [
      ([:], "2.1.0"), (["FormatVersion": nil], "1.0.0"), (["FormatVersion": nil, "Scaling": "[1e-7, 1e-7]"], "1.1.0"),
      (["FormatVersion": nil, "Scaling": "[1e-7, 1e-7, 1e-6]"], "2.0.0"), (["FormatVersion": "\"2.0.0\""], "2.0.0"),
    ] as [([String: String?], String)])
  func jsonVersions(changes: [String: String?], version: String) throws {
    #expect(try json(changes).schemaVersion == version)
  }

  /// A byte order mark, CRLF, backslashes before the names and deflation, as ZEN and scripts write.
  @Test func foreignContainers() throws {
    let text = "\u{FEFF}" + PackageFixture.xml().replacing("'", with: "\"").replacing("><", with: ">\r\n  <")
    let model = try PackageFixture.network()
    let fixture = ZipFixture([
      ZipFixture.Member("modelid=id-1", ""), ZipFixture.Member("folder\\id-1.xml", text).deflated(),
      ZipFixture.Member("folder\\id-1.model", model).deflated(),
    ])
    let package = try PackageFixture.read(fixture)
    #expect(package.metadata.id == "id-1")
    #expect(package.metadata.classes.count == 2)
    #expect(package.metadataMember == "folder/id-1.xml")
    guard case .onnx(let bytes) = package.graph else {
      Issue.record("not seen as ONNX")
      return
    }
    #expect(bytes == model)
    let json = try PackageFixture.read(PackageFixture.czann(json: "\u{FEFF}" + PackageFixture.json())).metadata
    #expect(json.name == "fixture")
  }

  @Test func pixelTypes() throws {
    func channels(_ types: String...) throws -> ([[ModelPixelType]], Int) {
      let items = types.map { "<Item PixelType=\"\($0)\"/>" }.joined()
      let metadata = try xml(["Channels": "<Channels>\(items)</Channels>"])
      return (metadata.channels.map(\.pixelTypes), metadata.channelCount)
    }
    #expect(try channels("Gray8") == ([[.gray8]], 1))
    #expect(try channels("Gray8", "Bgr24") == ([[.gray8], [.bgr24]], 4))
    #expect(try channels("Gray8 Gray16 Gray32Float") == ([[.gray8, .gray16, .gray32Float]], 1))
    #expect(try channels("['Gray8', 'Bgr24']") == ([[.gray8], [.bgr24]], 4))
    #expect(try channels("Bgra32") == ([[.bgra32]], 4))
  }

  @Test func elementsOfZEN() throws {
    let metadata = try xml(
      [
        "a": "<Description>text</Description>", "b": "<ScaleInputsByBitdepth>true</ScaleInputsByBitdepth>",
        "c": "<TotalTileHeight>512</TotalTileHeight>", "d": "<TotalTileWidth>256</TotalTileWidth>",
        "e": "<Postprocessing>None</Postprocessing>", "f": "<Unknown><Deep/></Unknown>",
      ], version: "3.2.0")
    #expect(metadata.description == "text")
    #expect(metadata.scalesInputByBitDepth)
    #expect(metadata.tileSize == Size(width: 256, height: 512))
    #expect(metadata.postprocessing == "None")
  }

  @Test func whatMayBeMissing() throws {
    let sparse = try xml(["BorderSize": nil, "ModelName": nil, "ColorHandling": nil])
    #expect(sparse.border == nil)
    #expect(sparse.colorHandling == nil)
    #expect(sparse.name == "fixture")
    let metadata = try json(["MinOverlap": nil, "ModelName": nil, "Classes": nil])
    #expect(metadata.border == nil)
    #expect(metadata.name == "fixture")
    #expect(metadata.classes.map(\.name) == ["Class 1", "Class 2"])
    #expect(try json(["Type": "\"Regression\"", "Classes": nil]).classes.isEmpty)
  }

  @Test func overlapsAreHalvedAndRoundedUp() throws {
    #expect(try json(["MinOverlap": "[10, 6]"]).border == AxisPair(y: 5, x: 3))
    #expect(try json(["MinOverlap": "[7, 0]"]).border == AxisPair(y: 4, x: 0))
    #expect(try json(["MinOverlap": "[8]"]).border == AxisPair(y: 4, x: 4))
    #expect(try json(["MinOverlap": "[2, 10, 6]"]).border == AxisPair(y: 5, x: 3))
  }

  @Test func scaling() throws {
    #expect(try json(["Scaling": "[1.0, 1.0]"]).pixelSize == nil)
    let size = try #require(try json(["Scaling": "[1.3e-07, 2.6e-07, 1e-06]"]).pixelSize)
    #expect(abs(size.x - 0.13) < 1e-9)
    #expect(abs(size.y - 0.26) < 1e-9)
    #expect(abs((size.z ?? 0) - 1) < 1e-9)
  }

  @Test(arguments: ModelKind.allCases) func kinds(kind: ModelKind) throws {
    #expect(try json(["Type": "\"\(kind.rawValue)\""]).kind == kind)
  }
}
