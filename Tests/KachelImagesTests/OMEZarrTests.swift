// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelPixels
import KachelTesting
import Testing

@testable import KachelImages

@Suite struct OMEZarrTests {
  private static func write(_ text: String, to file: String) throws {
    let url = URL(filePath: file)
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: url)
  }

  private static func value(_ position: [Int]) -> Int { position.reduce(1) { $0 * 11 + $1 } % 2000 }

  /// One case of the specification's suites.
  struct Case: CustomStringConvertible {
    var name: String
    var isValid: Bool
    var text: String
    var axes: Int
    var version: String
    var description: String { version + " " + name }
  }

  static func cases() throws -> [Case] {
    var cases: [Case] = []
    for version in ["0.4", "0.5"] {
      for suite in ["image_suite", "strict_image_suite"] {
        let json = try JSONValue(Array(SharedData.data("omezarr/ngff-schemas/\(version)/tests/\(suite).json")))
        for test in json["tests"]?.array ?? [] {
          let data = try #require(test["data"])
          let image = data["attributes"]?["ome"] ?? data["ome"] ?? data
          cases.append(
            Case(
              name: test["formerly"]?.string ?? "?", isValid: test["valid"] == .bool(true), text: "",
              axes: image["multiscales"]?.array?.first?["axes"]?.array?.count ?? 0, version: version))
          let multiscales = ZarrDocument(json: image, file: "attributes")
          do {
            _ = try OMEZarrMultiscale(image, multiscales)
          } catch {
            cases[cases.count - 1].text = error.description
          }
        }
      }
    }
    return cases
  }

  /// The specification's own examples of valid and invalid metadata.
  @Test func specificationSuites() throws {
    let cases = try Self.cases()
    #expect(cases.count == 68)
    // Only `omero` is wrong in two of these, which viewers use: what is not understood there is left out. The third is of
    // an older version, which is read too.
    let harmless = ["invalid_channels_color", "invalid_channels_window", "invalid_version"]
    for test in cases {
      let isHarmless =
        harmless.contains { test.name.contains($0) } && (test.version == "0.4" || !test.name.contains("version"))
      // The schemas cannot say that a scale must have a number per axis; the text of the specification does.
      let isMismatch = test.text.contains("numbers for")
      let shouldOpen = (test.isValid && !isMismatch) || isHarmless
      #expect(test.text.isEmpty == shouldOpen, "\(test): \(test.text)")
    }
  }

  @Test(arguments: [
    ["t", "c", "z", "y", "x"], ["c", "y", "x"], ["y", "x"], ["z", "x", "y"], ["y", "x", "c"], ["t", "x", "z", "y"],
  ]) func axesInAnyOrder(names: [String]) throws {
    let counts = ["t": 2, "c": 3, "z": 4, "y": 5, "x": 7]
    let folder = try ScratchFolder()
    let shape = names.map { counts[$0] ?? 1 }
    // Chunks span several planes.
    let fixture = ZarrFixture(shape: shape, chunk: shape.map { ($0 + 1) / 2 + 1 }, value: Self.value)
    try fixture.write(to: folder.file("a/full"))
    let kinds = ["t": "time", "c": "channel"]
    let axes = names.map { #"{"name":"\#($0)","type":"\#(kinds[$0] ?? "space")","unit":"nanometer"}"# }
    try Self.write(
      #"{"zarr_format":3,"node_type":"group","attributes":{"ome":{"version":"0.5","multiscales":[{"axes":[\#(axes.joined(separator: ","))],"#
        + #""datasets":[{"path":"full","coordinateTransformations":[{"type":"scale","scale":\#(names.map { $0 == "x" ? 250.0 : 500.0 })}]}]}],"#
        + #""omero":{"channels":[{"label":"DAPI","color":"0000FF"},{"label":7,"color":"red"}]}}}}"#,
      to: folder.file("a/zarr.json"))
    let image = try Image(at: folder.file("a"))
    let description = image.description
    #expect(description.axes == Set(names.filter { "tcz".contains($0) }.map { Character($0) }))
    #expect(description.scenes[0].size == Size(width: 7, height: 5))
    #expect(description.physicalSize == .init(x: 0.25, y: 0.5, z: names.contains("z") ? 0.5 : nil))
    #expect(description.channels[0].name == "DAPI" && description.channels[0].color == RGB(red: 0, green: 0, blue: 255))
    if names.contains("c") { #expect(description.channels.map(\.name) == ["DAPI", "7", "Channel 3"]) }
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    // Beyond the image on all sides.
    let region = Region(x: -1, y: -2, width: 10, height: 9)
    for time in 0..<description.times {
      for channel in description.channels.indices {
        for z in 0..<description.depth {
          try image.read(region, of: PlaneIndex(channel: channel, z: z, time: time), into: pixels)
          for (index, (y, x)) in (-2..<7).flatMap({ y in (-1..<9).map { (y, $0) } }).enumerated() {
            let places = ["t": time, "c": channel, "z": z, "y": y, "x": x]
            let isInside = (0..<7).contains(x) && (0..<5).contains(y)
            #expect(pixels.integer(at: index) == (isInside ? Self.value(names.map { places[$0] ?? 0 }) : 0))
          }
        }
      }
    }
    #expect(throws: ImageError.self) { try image.read(region, of: PlaneIndex(level: 1), into: pixels) }
    #expect(throws: ImageError.self) { try image.read(region, of: PlaneIndex(further: ["V": 0]), into: pixels) }
    #expect(image.coveredRegions(in: region, of: PlaneIndex()) == [Region(x: 0, y: 0, width: 7, height: 5)])
    #expect(!image.hasPixels(in: Region(x: 7, y: 0, width: 3, height: 3), of: PlaneIndex()))
  }

  /// Images of different size and depth in one folder; a level with fewer planes along z; metadata in one entry only.
  @Test func severalImages() throws {
    let folder = try ScratchFolder()
    var entries = [#"".zgroup":{"zarr_format":2},".zattrs":{"bioformats2raw.layout":3}"#]
    for (scene, depth) in [(0, 4), (1, 2)] {
      for level in 0..<2 {
        var fixture = ZarrFixture(
          shape: [1, 1, depth >> level, 8 >> level, 6 >> level], chunk: [1, 1, 1, 4, 4],
          value: { scene * 100 + level * 10 + $0[2] })
        fixture.version = 2
        try fixture.write(to: folder.file("a/\(scene)/\(level)"))
        entries.append("\"\(scene)/\(level)/.zarray\":\(fixture.metadata)")
        try FileManager.default.removeItem(atPath: folder.file("a/\(scene)/\(level)/.zarray"))
      }
      entries.append(
        #""\#(scene)/.zattrs":{"multiscales":[{"version":"0.2","name":"s\#(scene)","datasets":[{"path":"0"},{"path":"1"},{"path":"2"}]}]}"#
      )
    }
    try Self.write("{\"metadata\":{\(entries.joined(separator: ","))}}", to: folder.file("a/.zmetadata"))
    let image = try Image(at: folder.file("a"))
    #expect(image.description.scenes.map(\.name) == ["s0", "s1"] && image.description.depth == 4)
    #expect(image.description.scenes.map(\.levels.count) == [2, 2])
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    let corner = Region(x: 1, y: 2, width: 1, height: 1)
    for (plane, value) in [
      (PlaneIndex(scene: 1, z: 1), 101), (PlaneIndex(scene: 0, z: 3), 3), (PlaneIndex(scene: 1, z: 3), 0),
      (PlaneIndex(scene: 0, z: 3, level: 1), 11), (PlaneIndex(scene: 1, z: 1, level: 1), 110),
    ] {
      try image.read(corner, of: plane, into: pixels)
      #expect(pixels.integer(at: 0) == value, "\(plane)")
    }
    #expect(!image.hasPixels(in: corner, of: PlaneIndex(scene: 1, z: 2)))
    #expect(throws: ImageError.self) { try image.read(corner, of: PlaneIndex(z: 4), into: pixels) }
  }

  @Test func plainArrays() throws {
    let folder = try ScratchFolder()
    for (shape, axes) in [
      ([5, 6], ""), ([3, 5, 6], "z"), ([2, 3, 5, 6], "cz"), ([2, 2, 3, 5, 6], "tcz"),
    ] {
      let fixture = ZarrFixture(shape: shape, chunk: shape, value: Self.value)
      try fixture.write(to: folder.file("\(shape.count)"))
      let image = try Image(at: folder.file("\(shape.count)/"))
      #expect(image.description.axes == Set(axes) && image.description.format == "Zarr")
    }
    var fixture = ZarrFixture(shape: [5, 6, 3], chunk: [2, 2, 2], value: Self.value)
    fixture.names = ["y", "x", "c"]
    try fixture.write(to: folder.file("named"))
    let image = try Image(at: folder.file("named"))
    #expect(image.description.channels.count == 3 && image.description.scenes[0].size == Size(width: 6, height: 5))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(Region(x: 4, y: 3, width: 1, height: 1), of: PlaneIndex(channel: 2), into: pixels)
    #expect(pixels.integer(at: 0) == Self.value([3, 4, 2]))
    fixture = ZarrFixture(shape: [1, 1, 1, 1, 5, 6], chunk: [1, 1, 1, 1, 5, 6], value: Self.value)
    try fixture.write(to: folder.file("six"))
    #expect(throws: ImageError.self) { try Image(at: folder.file("six")) }
  }

  static let v2 =
    #"{"multiscales":[{"version":"0.4","axes":[{"name":"y","type":"space"},{"name":"x","type":"space"}],"#
    + #""datasets":[{"path":"PATH","coordinateTransformations":[{"type":"scale","scale":[1,1]}]}]}]}"#

  @Test(arguments: [
    ("..", "leads out"), ("/etc", "leads out"), ("a/../../b", "leads out"), ("", "leads out"), ("a//b", "leads out"),
    ("none", "missing"), ("6", "dimensions for 2 axes"), ("a\\u0000b", "leads out"),
  ]) func datasetPaths(path: String, words: String) throws {
    let folder = try ScratchFolder()
    try ZarrFixture(shape: [2, 2, 2], chunk: [2, 2, 2], value: Self.value).write(to: folder.file("a/6"))
    try Self.write(Self.v2.replacingOccurrences(of: "PATH", with: path), to: folder.file("a/.zattrs"))
    let error = #expect(throws: ImageError.self) { try Image(at: folder.file("a")) }
    #expect(error?.kind == .damaged && error?.reason.contains(words) == true)
  }

  @Test(arguments: [
    (#"{"plate":{}}"#, "plates and wells"), (#"{"well":{}}"#, "plates and wells"), ("{}", "no multiscales"),
    (#"{"labels":3}"#, "no list"), (#"{"labels":[]}"#, "lists no images"), (#"{"labels":["../x"]}"#, "leads out"),
    (#"{"labels":["x"]}"#, "missing"), (#"{"bioformats2raw.layout":3}"#, "lists no images"), ("[]", "no JSON object"),
    ("{", "JSON"), (#"{"multiscales":[]}"#, "no image"), (#"{"multiscales":[{"version":"0.6"}]}"#, "0.6 is not read"),
  ]) func refusedGroups(attributes: String, words: String) throws {
    let folder = try ScratchFolder()
    try Self.write(attributes, to: folder.file("a/.zattrs"))
    let error = #expect(throws: ImageError.self) { try Image(at: folder.file("a")) }
    #expect(error?.reason.contains(words) == true, "\(String(describing: error))")
  }
}
