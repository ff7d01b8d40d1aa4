// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelPixels
import KachelTesting
import Testing

@testable import KachelImages

/// Labels in the image that they belong to.
@Suite struct OMEZarrLabelsTests {
  private let folder: ScratchFolder
  init() throws { folder = try ScratchFolder() }

  /// Writes an image of nothing but zeros: metadata and no chunks.
  ///
  /// - Parameters:
  ///   - key: of the image's group in the folder `image`.
  ///   - shapes: of the resolutions.
  ///   - scales: of the resolutions; powers of two along y and x by default.
  private func makeImage(
    _ version: OMEZarrOptions.Version, key: String = "", axes: String = "zyx", shapes: [[Int]],
    stated: String? = nil, group: [String: JSONValue] = [:]
  ) throws {
    let path = ZarrKey.join(folder.file("image"), key)
    for (level, shape) in shapes.enumerated() {
      var fixture = ZarrFixture(shape: shape, chunk: shape.map { min($0, 64) }) { _ in 0 }
      (fixture.version, fixture.type, fixture.isMissing) = (version == .v04 ? 2 : 3, "uint16", { _ in true })
      fixture.names = version == .v05 ? axes.map(String.init) : nil
      try fixture.write(to: path + "/s\(level)")
    }
    let datasets = shapes.indices.map { level -> JSONValue in
      let factor = Double(1 << level)
      let scale = axes.map { "yx".contains($0) ? 0.5 * factor : 3 }
      return [
        "path": .string("s\(level)"),
        "coordinateTransformations": [
          ["type": "scale", "scale": JSONValue(scale)],
          ["type": "translation", "translation": JSONValue(axes.map { $0 == "x" ? 100 + factor : 7 })],
        ],
      ]
    }
    var multiscale: JSONValue = [
      "axes": .array(
        axes.map { name in
          [
            "name": .string(String(name)), "type": name == "t" ? "time" : name == "c" ? "channel" : "space",
            "unit": name == "t" ? "second" : "nanometer",
          ]
        }),
      "datasets": .array(datasets),
      "coordinateTransformations": [["type": "scale", "scale": JSONValue(axes.map { _ in 2.0 })]],
    ]
    if version == .v04 { multiscale["version"] = .string(stated ?? "0.4") }
    var attributes: JSONValue = ["multiscales": [multiscale]]
    for (name, value) in group { attributes[name] = value }
    if version == .v05 {
      attributes["version"] = .string(stated ?? "0.5")
      attributes = ["ome": attributes]
    }
    try OutputFolder.writeGroup(path, version, attributes: attributes)
  }

  private func labels(
    _ name: String = "nuclei", scenes: [Int] = [0], overwrite: Bool = false,
    options: OMEZarrOptions = OMEZarrOptions(chunkSide: 64)
  ) throws -> OMEZarrLabels {
    try OMEZarrLabels(
      path: folder.file("image/labels/\(name)"), of: folder.file("image"), scenes: scenes, overwrite: overwrite,
      options: options)
  }

  private func content(_ sizes: [Size], times: Int = 1, depths: Int = 1) -> OutputImage {
    OutputImage(
      name: "model", content: .labels([.init(value: 2, name: "Nucleus", color: .init(red: 0, green: 255, blue: 0))]),
      scenes: sizes.enumerated().map { .init(index: $0, size: $1) }, channels: [.init(name: "a", pixelType: .uint8)],
      times: .init(count: times), depths: .init(count: depths))
  }

  private func pixels(_ size: Size, salt: Int) -> PixelBuffer {
    let pixels = PixelBuffer(width: size.width, height: size.height, type: .uint8)
    for y in 0..<size.height {
      for x in 0..<size.width { pixels.bytes[y * size.width + x] = UInt8((x / 7 + y / 5 + salt) % 9) }
    }
    return pixels
  }

  /// Writes every plane of every scene.
  private func write(_ image: OutputImage, into labels: OMEZarrLabels, commits: Bool = true) throws {
    let writer = try ImageWriter(image, into: labels)
    for (scene, place) in image.scenes.enumerated() {
      for time in 0..<image.times.count {
        for z in 0..<image.depths.count {
          let pixels = pixels(place.size, salt: scene + 3 * time + 5 * z)
          try writer.write(pixels, at: Region(place.size), of: PlaneIndex(scene: scene, z: z, time: time))
        }
      }
      try writer.finish(scene: scene, attributes: ["kachel": ["a": 1]])
    }
    try writer.finish()
    if commits { try labels.commit() }
  }

  private func json(_ name: String) throws -> JSONValue {
    try JSONValue([UInt8](Data(contentsOf: URL(filePath: folder.file("image/" + name)))))
  }

  private var files: [String] {
    get throws { try FileManager.default.subpathsOfDirectory(atPath: folder.path).sorted() }
  }

  static let pyramids: [[[Int]]] = [
    // Rounded down and up, every second one left out, along z too, by threes, one only.
    [[3, 141, 201], [3, 70, 100], [3, 35, 50]], [[3, 141, 201], [3, 71, 101], [3, 36, 51]],
    [[3, 141, 201], [3, 35, 51], [3, 9, 12]], [[3, 140, 200], [1, 70, 100]],
    [[3, 140, 200], [3, 47, 67], [3, 16, 22]], [[3, 70, 100]],
  ]

  @Test(arguments: OMEZarrOptions.Version.allCases, pyramids)
  func resolutionsAreThoseOfTheImage(version: OMEZarrOptions.Version, shapes: [[Int]]) throws {
    try makeImage(version, shapes: shapes)
    let before = try OMEZarrVersionTests.content(folder.file("image"))
    let size = Size(width: shapes[0][2], height: shapes[0][1])
    try write(content([size], depths: 3), into: try labels())
    let after = try OMEZarrVersionTests.content(folder.file("image"))
    #expect(after.filter { !$0.key.hasPrefix("labels") } == before, "the image itself was changed")

    let back = try Image(at: folder.file("image/labels/nuclei")), levels = back.description.scenes[0].levels
    let isReached = shapes[1...].allSatisfy { $0[2] != 67 && $0[2] != 22 }
    #expect(levels.count == shapes.count)
    if isReached { #expect(levels.map(\.size) == shapes.map { Size(width: $0[2], height: $0[1]) }) }
    #expect(back.description.depth == 3 && back.description.axes == ["z"])
    #expect(back.description.physicalSize == (try Image(at: folder.file("image")).description.physicalSize))
    let read = PixelBuffer(width: 0, height: 0, type: .uint8)
    for z in 0..<3 {
      var expected = pixels(size, salt: 5 * z)
      try back.read(Region(size), of: PlaneIndex(z: z), into: read)
      #expect(read.isSame(as: expected))
      for level in levels.indices.dropFirst() {
        // As many halvings as lead there, of what is inside.
        while expected.width > levels[level].size.width {
          let half = PixelBuffer(width: 0, height: 0, type: .uint8),
            cut = PixelBuffer(width: 0, height: 0, type: .uint8)
          Downsample.mode(expected, into: half)
          let isLast = half.width <= levels[level].size.width + 1
          let inside = isLast ? levels[level].size : half.size
          cut.reshape(width: inside.width, height: inside.height, samples: 1, type: .uint8)
          cut.copy(Region(inside), of: half, toX: 0, y: 0)
          expected = cut
        }
        try back.read(Region(levels[level].size), of: PlaneIndex(z: z, level: level), into: read)
        #expect(read.isSame(as: expected), "z \(z), level \(level)")
      }
    }

    let attributes = try json(version == .v04 ? "labels/nuclei/.zattrs" : "labels/nuclei/zarr.json")
    let group = version == .v04 ? attributes : attributes["attributes"]?["ome"]
    let own = try json(version == .v04 ? ".zattrs" : "zarr.json")
    let image = try #require((version == .v04 ? own : own["attributes"]?["ome"])?["multiscales"]?.array?.first)
    let multiscale = try #require(group?["multiscales"]?.array?.first)
    #expect(multiscale["axes"] == image["axes"])
    #expect(multiscale["coordinateTransformations"] == image["coordinateTransformations"])
    #expect(group?["image-label"]?["source"] == ["image": "../../"])
    #expect(multiscale["name"] == "nuclei")
    let stated = multiscale["datasets"]?.array?.map { $0["coordinateTransformations"] }
    let ofImage = image["datasets"]?.array?.map { $0["coordinateTransformations"] }
    for (level, shape) in shapes.enumerated() {
      if isReached && shape[0] == 3 {
        #expect(stated?[level] == ofImage?[level])
      } else {
        let factor = Double(1 << level)
        #expect(stated?[level]?.array?[0]["scale"]?.doubles == [3, 0.5 * factor, 0.5 * factor])
        let moved = (factor - 1) / 2 * 0.5
        #expect(stated?[level]?.array?[1]["translation"]?.doubles == [7, 7 + moved, 101 + moved])
      }
    }
  }

  @Test(arguments: OMEZarrOptions.Version.allCases) func listsKeepWhatIsThere(version: OMEZarrOptions.Version) throws {
    try makeImage(version, shapes: [[1, 20, 30]])
    let size = Size(width: 30, height: 20)
    try write(content([size]), into: try labels("first"))
    let list = version == .v04 ? "labels/.zattrs" : "labels/zarr.json"
    var document = try json(list)
    if version == .v04 {
      document["mine"] = ["x": .number(0.1), "y": .null]
    } else {
      #expect(document["attributes"]?["ome"] == ["labels": ["first"], "version": "0.5"])
      // As ome-zarr-py writes it, without the version; and a copy that would hide new labels.
      document["attributes"] = ["ome": ["labels": ["first"]], "mine": ["x": .number(0.1), "y": .null]]
      document["consolidated_metadata"] = ["kind": "inline", "must_understand": .bool(false), "metadata": [:]]
    }
    try OutputFolder.write(document, to: folder.file("image/" + list))
    try write(content([size]), into: try labels("second"))
    document = try json(list)
    let group = version == .v04 ? document : document["attributes"]?["ome"]
    #expect(group?["labels"] == ["first", "second"])
    #expect((version == .v04 ? document : document["attributes"])?["mine"] == ["x": .number(0.1), "y": .null])
    if version == .v05 { #expect(group?["version"] == "0.5" && document["consolidated_metadata"] == nil) }
    let image = try Image(at: folder.file("image/labels"))
    #expect(image.description.scenes.map(\.name) == ["first", "second"])
    // Twice the same is refused, or replaced and listed once.
    #expect(throws: BytesError.self) { try labels("second") }
    try write(content([size]), into: try labels("second", overwrite: true))
    #expect(try Image(at: folder.file("image/labels")).description.scenes.map(\.name) == ["first", "second"])
    #expect(try files.allSatisfy { !$0.contains("partial") })
  }

  @Test(arguments: OMEZarrOptions.Version.allCases) func everyImageOfACollection(version: OMEZarrOptions.Version) throws
  {
    let shapes = [[[2, 1, 40, 50]], [[2, 1, 30, 20], [2, 1, 15, 10]], [[2, 1, 9, 8]]]
    for (scene, shapes) in shapes.enumerated() { try makeImage(version, key: "\(scene)", axes: "tcyx", shapes: shapes) }
    let layout: JSONValue = ["bioformats2raw.layout": 3, "version": .string(version.rawValue)]
    try OutputFolder.writeGroup(
      folder.file("image"), version, attributes: version == .v04 ? layout : ["ome": layout])
    let sizes = shapes.map { Size(width: $0[0][3], height: $0[0][2]) }
    let own = try labels(scenes: [0, 1, 2])
    #expect(own.paths == (0..<3).map { folder.file("image/\($0)/labels/nuclei") })
    try write(content(sizes, times: 2), into: own)
    try write(content([sizes[0], sizes[2]], times: 2), into: try labels("more", scenes: [0, 2]))
    let read = PixelBuffer(width: 0, height: 0, type: .uint8)
    for (scene, size) in sizes.enumerated() {
      let image = try Image(at: folder.file("image/\(scene)/labels"))
      #expect(image.description.scenes.map(\.name) == (scene == 1 ? ["nuclei"] : ["nuclei", "more"]))
      #expect(image.description.scenes[0].levels.count == shapes[scene].count && image.description.times == 2)
      #expect(image.description.axes == ["t", "c"])
      try image.read(Region(size), of: PlaneIndex(time: 1), into: read)
      #expect(read.isSame(as: pixels(size, salt: scene + 3)))
    }
  }

  /// A channel of the image is none of its labels'; time and z stay.
  @Test func fiveDimensions() throws {
    try makeImage(.v05, axes: "tczyx", shapes: [[2, 3, 4, 20, 30]])
    let size = Size(width: 30, height: 20)
    try write(content([size], times: 2, depths: 4), into: try labels(options: .init(chunkSide: 64, shardSide: 128)))
    let array = try ZarrArray(folder: folder.file("image/labels/nuclei/0"))
    #expect(array.shape == [2, 1, 4, 20, 30] && array.dimensionNames == ["t", "c", "z", "y", "x"])
    let read = PixelBuffer(width: 0, height: 0, type: .uint8)
    try array.read(Region(size), of: 6, into: read)
    #expect(read.isSame(as: pixels(size, salt: 3 + 10)))
  }

  /// Nothing is to be seen of labels that are not committed, nor of the folder that they would have been in.
  @Test func whatIsNotCommittedVanishes() throws {
    for scene in 0..<2 { try makeImage(.v04, key: "\(scene)", shapes: [[1, 20, 30]]) }
    try OutputFolder.writeGroup(folder.file("image"), .v04, attributes: ["bioformats2raw.layout": 3])
    let before = try files
    do {
      let own = try labels(scenes: [0, 1])
      try write(content([Size(width: 30, height: 20), Size(width: 30, height: 20)]), into: own, commits: false)
      #expect(try Image(at: folder.file("image")).description.scenes.count == 2)
      #expect(throws: ImageError.self) { try Image(at: folder.file("image/0/labels")) }
    }
    #expect(try files == before)
    // The second image has such labels already.
    try FileManager.default.createDirectory(
      atPath: folder.file("image/1/labels/nuclei"), withIntermediateDirectories: true)
    #expect(throws: BytesError.self) { try labels(scenes: [0, 1]) }
    #expect(try files == (before + ["image/1/labels", "image/1/labels/nuclei"]).sorted())
  }

  @Test func copiesOfMetadataAreTold() throws {
    try makeImage(.v04, shapes: [[1, 20, 30]])
    #expect(try labels().warnings == [])
    _ = try folder.write(Array("{\"metadata\":{}}".utf8), to: "image/.zmetadata")
    #expect(try labels().warnings.first?.contains("image/.zmetadata is a copy of the image's metadata") == true)
  }

  /// Where labels go, by the form of the path.
  @Test func places() throws {
    try makeImage(.v04, shapes: [[1, 20, 30]])
    let image = folder.file("image")
    try FileManager.default.createSymbolicLink(atPath: folder.file("link"), withDestinationPath: image)
    for path in ["image/labels/a", "image/labels/a/", "link/labels/a", "./image//labels/./a", "image/labels/b.c"] {
      #expect(OMEZarrLabels.isInside(image, path: folder.file(path)), "\(path)")
      #expect(OMEZarrLabels.isInside(folder.file("link"), path: folder.file(path)), "\(path)")
    }
    for path in [
      "image", "image/labels", "image/labels/..", "image/a", "image/labels/a/b", "other/labels/a", "image/0/labels/a",
    ] {
      #expect(!OMEZarrLabels.isInside(image, path: folder.file(path)), "\(path)")
    }
  }

  @Test(arguments: [
    ".hidden", "__reserved", "zarr.json", "a.czi.zarr.json\u{1}", "back\\slash",
  ]) func namesThatAreNone(name: String) throws {
    try makeImage(.v05, shapes: [[1, 20, 30]])
    let error = #expect(throws: OMEZarrOptions.Refusal.self) { try labels(name) }
    #expect(error?.description.contains("cannot be called") == true)
  }

  private func isRefused(
    _ words: String, _ options: OMEZarrOptions = OMEZarrOptions(), at location: SourceLocation = #_sourceLocation
  ) throws {
    let before = try files
    #expect(sourceLocation: location) {
      try labels(options: options)
    } throws: { error in
      "\(error)".contains(words)
    }
    #expect(try files == before, sourceLocation: location)
    try FileManager.default.removeItem(atPath: folder.file("image"))
  }

  @Test func imagesThatCannotHaveLabels() throws {
    try makeImage(.v04, shapes: [[1, 20, 30]], stated: "0.3")
    try isRefused("the image is of the OME-Zarr version 0.3")
    try makeImage(.v05, shapes: [[1, 20, 30]], stated: "0.6")
    try isRefused("the image is of the OME-Zarr version 0.6")
    try makeImage(.v04, axes: "zxy", shapes: [[1, 20, 30]])
    try isRefused("not t, c, z, y, x in this order")
    try makeImage(.v04, axes: "ctyx", shapes: [[1, 1, 20, 30]])
    try isRefused("not t, c, z, y, x in this order")
    try makeImage(.v04, shapes: [[1, 20, 30], [1, 10, 15]])
    try FileManager.default.removeItem(atPath: folder.file("image/s1"))
    try isRefused("the image's resolution s1 is missing")
    try makeImage(.v04, shapes: [[1, 20, 30]])
    try isRefused("version 0.4, and so are its labels", .init(version: .v05))
    try makeImage(.v04, shapes: [[1, 20, 30]])
    try isRefused("which has no shards; leave --shard out", .init(shardSide: 4096))
    try makeImage(.v05, shapes: [[1, 20, 30]])
    try isRefused("version 0.5, and so are its labels", .init(version: .v04))
    try makeImage(.v05, shapes: [[1, 20, 30]])
    try isRefused("a multiple of", .init(shardSide: 1500))
    var array = ZarrFixture(shape: [20, 30], chunk: [20, 30]) { _ in 1 }
    array.version = 2
    try array.write(to: folder.file("image"))
    try isRefused("is no OME-Zarr image")
    // Two versions, and an array, where the group of labels should be.
    try makeImage(.v05, shapes: [[1, 20, 30]])
    try OutputFolder.create(folder.file("image/labels"))
    try OutputFolder.writeGroup(folder.file("image/labels"), .v04, attributes: ["labels": []])
    try isRefused("is no group of labels of the OME-Zarr version 0.5")
    try makeImage(.v05, shapes: [[1, 20, 30]])
    array.version = 3
    try array.write(to: folder.file("image/labels"))
    try isRefused("is no group with a list of labels")
    try makeImage(.v04, shapes: [[1, 20, 30]])
    try FileManager.default.createDirectory(atPath: folder.file("image/labels"), withIntermediateDirectories: false)
    _ = try folder.write(Array(#"{"labels":[],"mine":NaN}"#.utf8), to: "image/labels/.zattrs")
    try isRefused("numbers that JSON does not have")
    try makeImage(.v04, shapes: [[1, 20, 30]])
    try FileManager.default.createDirectory(atPath: folder.file("image/labels"), withIntermediateDirectories: false)
    _ = try folder.write(Array(#"{"labels":"nuclei"}"#.utf8), to: "image/labels/.zattrs")
    try isRefused("is no group with a list of labels")
  }

  @Test func labelsOfAnotherSize() throws {
    try makeImage(.v04, shapes: [[2, 20, 30]])
    let size = Size(width: 30, height: 20)
    var region = content([size], depths: 2)
    region.scenes[0].x = 1
    var values = content([size], depths: 2)
    values.content = .intensities
    var twice = content([size], depths: 2)
    twice.channels.append(twice.channels[0])
    for image in [
      content([Size(width: 29, height: 20)], depths: 2), content([size]), content([size], times: 2, depths: 2),
      content([size, size], depths: 2), region, values, twice,
    ] {
      let own = try labels()
      let error = #expect(throws: ImageError.self) { _ = try ImageWriter(image, into: own) }
      #expect(error?.kind == .unsupported)
    }
    #expect(try !files.contains("image/labels"))
  }
}
