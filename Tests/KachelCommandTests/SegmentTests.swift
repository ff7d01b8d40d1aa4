// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel
import KachelTesting
import Testing

/// Runs that succeed.
@Suite struct SegmentTests {
  private let kachel: KachelProcess
  init() throws { kachel = try KachelProcess() }

  private func segment(_ image: String, _ model: String, _ more: [String] = []) async throws -> KachelProcess.Outcome {
    try await kachel.run(["segment", image, "--model", model] + more)
  }

  @Test func labelsGetTheImagesName() async throws {
    let run = try await segment(Inputs.slide, Inputs.czann, Inputs.small)
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.output == "nuclei-mosaic.labels.ome.zarr\n")
    #expect(run.errors.contains("halo 48, stride 8"))
    #expect(run.errors.contains("100 %: "))
    #expect(try kachel.written == ["nuclei-mosaic.labels.ome.zarr"])
    let labels = try stored(kachel.folder.file("nuclei-mosaic.labels.ome.zarr"))
    #expect(labels.type == .uint8 && Array(labels.shape.suffix(2)) == [150, 200])
    #expect(Set(labels.bytes) == [1, 2])
  }

  /// What keeps an engine from being exact is said before a run, and the other engine does it.
  @Test func theEngineThatRoundsIsNamed() async throws {
    let model = try SharedData.path("models/tf/unet_rgb/unet_rgb.czmodel")
    let inspected = try await kachel.run(["inspect", model])
    #expect(inspected.status == 0)
    #expect(inspected.lines.contains { $0.hasPrefix("with OpenVINO") && $0.contains("ConvTranspose") })
    let picture = kachel.files.file("colors.png"), size = Size(width: 90, height: 70)
    let writer = try PNGWriter(path: picture, size: size, layout: .rgb, pixelType: .uint8, overwrite: false)
    try writer.write(rows: PixelBuffer(width: size.width, height: size.height, samples: 3, type: .uint8))
    try writer.finish()
    let run = try await segment(picture, model, ["--require", "exact"])
    #expect(run.status == 0 && run.errors.contains("runs with ONNX Runtime, as OpenVINO rounds"), "\(run.errors)")
  }

  @Test func quietSaysNothing() async throws {
    let picture = try Inputs.picture(in: kachel.files)
    let run = try await segment(picture, Inputs.quick, ["--quiet"])
    #expect(run.status == 0)
    #expect(run.errors == "")
    #expect(run.lines == ["picture-60x40.labels.ome.zarr"])
  }

  @Test func warnsBeforeItRuns() async throws {
    let picture = try Inputs.picture(in: kachel.files)
    let model = try SharedData.path("models/tf/v120/seed_onnx12.czmodel")
    let run = try await segment(picture, model)
    #expect(run.status == 0)
    let lines = run.errors.split(separator: "\n")
    let warning = try #require(
      lines.firstIndex { $0.hasPrefix("kachel: warning: channel \"Gray\" holds uint8 values") })
    let progress = try #require(lines.firstIndex { $0.hasPrefix("100 %") })
    #expect(warning < progress)
    #expect(try await segment(picture, model, ["--quiet", "--overwrite"]).errors == "")
  }

  @Test func statisticsAreRecorded() async throws {
    let model = try SharedData.path("models/tf/v120/seed_onnx12_dynamic.czmodel")
    for (scope, promise) in [("image", Certificate.Promise.exact), ("tile", .canonical), ("dataset", .exact)] {
      let run = try await segment(
        Inputs.slide, model, ["--region", "0,0,64,64", "--json", "--statistics", scope, "--overwrite"])
      #expect(run.status == 0, "\(run.errors)")
      let provenance = try JSONDecoder().decode(Provenance.self, from: Data(run.output.utf8))
      #expect(provenance.certificate.promise == promise && provenance.certificate.statistics?.rawValue == scope)
      let plane = provenance.statistics?.planes.first
      #expect((plane == nil) == (scope == "tile") && plane?.z == (scope == "image" ? 0 : nil))
      // Of all of the image, not of its corner.
      if let plane { #expect(plane.mean.count == 1 && plane.mean[0] > 9 && plane.deviation[0] > 10) }
    }
  }

  @Test func jsonIsAllOfTheOutput() async throws {
    let run = try await segment(
      Inputs.slide, Inputs.czmodel, ["--region", "0,0,64,64", "--tile-size", "512", "--json", "-o", "labels"])
    #expect(run.status == 0)
    let provenance = try JSONDecoder().decode(Provenance.self, from: Data(run.output.utf8))
    #expect(provenance.model.format == "czmodel (XML 3.0.0)" && provenance.model.name == "Nuclei")
    #expect(provenance.image.channels == ["DAPI"] && provenance.image.region == [0, 0, 64, 64])
    #expect(provenance.tiles.size == [512, 512] && provenance.tiles.halo == [48, 48])
    #expect(provenance.command?.first == "kachel" && provenance.command?.last == "labels")
    #expect(try kachel.leftTemporary.isEmpty, "the unpacked model stays behind")
    let text = try String(contentsOfFile: kachel.folder.file("labels/.zattrs"), encoding: .utf8)
    #expect(text.contains(provenance.model.sha256))
  }

  @Test func everyOutput() async throws {
    let run = try await segment(
      Inputs.slide, Inputs.czann,
      Inputs.small + ["-o", "a.ome.zarr", "--preview", "a.png", "--confidence", "a.confidence.ome.zarr"])
    #expect(run.status == 0)
    #expect(run.lines == ["a.ome.zarr", "a.confidence.ome.zarr", "a.png"])
    #expect(try kachel.written == ["a.confidence.ome.zarr", "a.ome.zarr", "a.png"])
    let preview = try Image(at: kachel.folder.file("a.png"))
    #expect(preview.description.scenes[0].size == Size(width: 200, height: 150))
    #expect(preview.description.channels[0].layout == .rgb)
    let confidence = try stored(kachel.folder.file("a.confidence.ome.zarr"))
    // The winner of two classes has at least half.
    #expect(confidence.type == .uint8 && confidence.bytes.allSatisfy { $0 >= 127 })
  }

  /// The format follows from the name, and does not change the pixels.
  @Test func outputsAsTIFF() async throws {
    for name in ["a.ome.zarr", "a.ome.tiff"] {
      let options = ["-o", name, "--confidence", "c" + name, "--overwrite", "--preview", name + ".png"]
      let run = try await segment(Inputs.slide, Inputs.czann, Inputs.large + options)
      #expect(run.status == 0, "\(run.errors)")
      #expect(run.lines == [name, "c" + name, name + ".png"])
    }
    let (x, y) = (900 - 1000, 300 - 500)
    for name in ["a.ome", "ca.ome"] {
      let zarr = try stored(kachel.folder.file(name + ".zarr")),
        tiff = try Image(at: kachel.folder.file(name + ".tiff"))
      let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
      #expect(tiff.description.scenes.map(\.box) == [Region(x: x, y: y, width: 512, height: 512)])
      #expect(tiff.description.physicalSize == .init(x: 0.5, y: 0.5))
      try tiff.read(Region(tiff.description.scenes[0].size), of: PlaneIndex(), into: pixels)
      #expect(pixels.type == zarr.type && Array(pixels.bytes) == zarr.bytes)
    }
    #expect(
      try Data(contentsOf: URL(filePath: kachel.folder.file("a.ome.tiff.png")))
        == Data(contentsOf: URL(filePath: kachel.folder.file("a.ome.zarr.png"))))
    // The XML has the names of the labels and where they come from.
    let file = try Data(contentsOf: URL(filePath: kachel.folder.file("a.ome.tiff")))
    for words in [
      #"<M K="2">Nucleus</M>"#, #"<M K="2">#00FF00</M>"#, #"<CommentAnnotation ID="Annotation:2" Namespace="kachel">"#,
      #""region":[900,300,512,512]"#,
    ] { #expect(file.range(of: Data(words.utf8)) != nil, "\(words)") }
  }

  @Test func everyPlaneAsTIFF() async throws {
    let image = try Inputs.manyDimensions(in: kachel.files)
    for name in ["a", "a.tif"] {
      let run = try await segment(image, Inputs.quick, ["--channel", "0", "--dimension", "H=0", "-o", name])
      #expect(run.status == 0, "\(run.errors)")
    }
    let zarr = try Image(at: kachel.folder.file("a")), tiff = try Image(at: kachel.folder.file("a.tif"))
    #expect(tiff.description.scenes.map(\.box.x) == [0, 200] && tiff.description.format == "OME-TIFF")
    #expect(tiff.description.times == 3 && tiff.description.depth == 2)
    let (a, b) = (PixelBuffer(width: 0, height: 0, type: .uint8), PixelBuffer(width: 0, height: 0, type: .uint8))
    for (scene, width) in [(0, 40), (1, 50)] {
      let region = Region(x: 0, y: 0, width: width, height: 30)
      for plane in 0..<6 {
        let place = PlaneIndex(scene: scene, z: plane % 2, time: plane / 2)
        try zarr.read(region, of: place, into: a)
        try tiff.read(region, of: place, into: b)
        #expect(Array(a.bytes) == Array(b.bytes))
      }
    }
    let again = try await segment(image, Inputs.quick, ["--channel", "0", "--dimension", "H=0", "-o", "a.tif"])
    #expect(again.status == 73 && again.errors.contains("exists already"))
  }

  @Test func weakPixelsBecomeZero() async throws {
    let options = Inputs.small + ["--confidence", "c"]
    let all = try await segment(Inputs.slide, Inputs.czann, options + ["-o", "all"])
    #expect(all.status == 0)
    let sure = try await segment(
      Inputs.slide, Inputs.czann, Inputs.small + ["-o", "sure", "--minimum-confidence", "0.9"])
    #expect(sure.status == 0)
    let labels = try stored(kachel.folder.file("all")).bytes, kept = try stored(kachel.folder.file("sure")).bytes
    let confidence = try stored(kachel.folder.file("c")).bytes
    #expect(kept.contains(0))
    for index in labels.indices {
      // Stored to the nearest of 255 parts; what is close to the border may be on either side.
      if confidence[index] >= 231 { #expect(kept[index] == labels[index]) }
      if confidence[index] <= 228 { #expect(kept[index] == 0) }
    }
  }

  @Test func chosenPlanes() async throws {
    let image = try Inputs.manyDimensions(in: kachel.files)
    let run = try await segment(
      image, Inputs.quick,
      [
        "--scene", "1", "--time", "0,2", "--z", "1", "--channel", "GFP", "--dimension", "H=1", "--region", "5,4,30,20",
        "--json", "-o", "labels", "--preview", "p.png",
      ])
    #expect(run.status == 0, "\(run.errors)")
    let image_ = try JSONDecoder().decode(Provenance.self, from: Data(run.output.utf8)).image
    #expect(image_.scene == 1 && image_.times == [0, 2] && image_.depths == [1] && image_.channels == ["GFP"])
    #expect(image_.further == ["H": 1] && image_.region == [5, 4, 30, 20])
    #expect(try stored(kachel.folder.file("labels")).shape == [2, 1, 1, 20, 30])
    #expect(try kachel.written == ["labels", "p.png"])
  }

  @Test func everySceneHasItsOwn() async throws {
    let image = try Inputs.manyDimensions(in: kachel.files)
    let run = try await segment(
      image, Inputs.quick, ["--channel", "0", "--dimension", "H=0", "--preview", "p.png", "--time", "0", "--z", "0"])
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.lines == ["dimensions.labels.ome.zarr", "p-scene0.png", "p-scene1.png"])
    #expect(try kachel.written == run.lines)
    for (scene, width) in [(0, 40), (1, 50)] {
      let folder = kachel.folder.file("dimensions.labels.ome.zarr/\(scene)")
      #expect(try stored(folder).shape.suffix(2) == [30, width])
      #expect(try Image(at: kachel.folder.file("p-scene\(scene).png")).description.scenes[0].box.width == width)
    }
    let comparison = try await kachel.run(["compare", "dimensions.labels.ome.zarr", Inputs.truth])
    #expect(comparison.status == 65)
    #expect(comparison.errors.contains("holds several scenes; name one of them, as dimensions.labels.ome.zarr/0"))
    // Said once, not for each scene.
    #expect(run.errors.components(separatedBy: "making smaller resolutions").count == 2)
  }

  /// A CZI has the labels of the OME-Zarr, in the place of the image.
  @Test func labelsAsCZI() async throws {
    for output in ["a.czi", "a.ome.zarr"] {
      let run = try await segment(
        Inputs.slide, Inputs.czann, Inputs.small + ["-o", output, "--confidence", "c-\(output)"])
      #expect(run.status == 0 && run.lines == [output, "c-\(output)"], "\(run.errors)")
    }
    #expect(try kachel.written == ["a.czi", "a.ome.zarr", "c-a.czi", "c-a.ome.zarr"])
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    for name in ["a", "c-a"] {
      let image = try Image(at: kachel.folder.file("\(name).czi")), description = image.description
      let box = description.scenes[0].box
      #expect(description.format == "CZI" && box == Region(x: -700, y: -300, width: 200, height: 150))
      #expect(description.physicalSize.x == 0.5 && description.physicalSize.y == 0.5)
      #expect(description.channels.map(\.name) == [name == "a" ? "Nuclei" : "confidence"])
      try image.read(Region(box.size), of: PlaneIndex(), into: pixels)
      #expect(try Array(pixels.bytes) == stored(kachel.folder.file("\(name).ome.zarr")).bytes)
    }
  }

  @Test func scenesAsCZI() async throws {
    let image = try Inputs.manyDimensions(in: kachel.files)
    let options = ["--channel", "0", "--dimension", "H=0", "--region", "5,4,30,20"]
    for output in ["labels.czi", "labels"] {
      let run = try await segment(image, Inputs.quick, options + ["-o", output])
      #expect(run.status == 0, "\(run.errors)")
    }
    let labels = try Image(at: kachel.folder.file("labels.czi")), zarr = try Image(at: kachel.folder.file("labels"))
    #expect(labels.description.scenes.map(\.box).map { [$0.x, $0.y] } == [[5, 4], [205, 4]])
    #expect(labels.description.times == 3 && labels.description.depth == 2)
    let found = PixelBuffer(width: 0, height: 0, type: .uint8),
      expected = PixelBuffer(width: 0, height: 0, type: .uint8)
    for scene in 0..<2 {
      for time in 0..<3 {
        for z in 0..<2 {
          let plane = PlaneIndex(scene: scene, z: z, time: time), region = Region(x: 0, y: 0, width: 30, height: 20)
          try labels.read(region, of: plane, into: found)
          try zarr.read(region, of: plane, into: expected)
          #expect(found.bytes.elementsEqual(expected.bytes), "\(plane)")
        }
      }
    }
  }

  @Test func regressionsGiveValues() async throws {
    let picture = try Inputs.picture(in: kachel.files)
    let run = try await segment(picture, Inputs.regression)
    #expect(run.status == 0)
    #expect(run.lines == ["picture-60x40.values.ome.zarr"])
    let values = try stored(kachel.folder.file("picture-60x40.values.ome.zarr"))
    #expect(values.type == .float32 && values.shape.suffix(2) == [40, 60])
    #expect(try await segment(picture, Inputs.regression, ["-o", "values.czi"]).status == 0)
    let same = PixelBuffer(width: 0, height: 0, type: .float32)
    try Image(at: kachel.folder.file("values.czi")).read(
      Region(x: 0, y: 0, width: 60, height: 40), of: PlaneIndex(), into: same)
    #expect(same.type == .float32 && Array(same.bytes) == values.bytes)
  }

  @Test(arguments: [(1, 1), (3, 5)]) func tinyPictures(_ width: Int, _ height: Int) async throws {
    let picture = try Inputs.picture(in: kachel.files, width: width, height: height)
    for (index, model) in [try Inputs.quick, try Inputs.czann].enumerated() {
      let run = try await segment(picture, model, ["-o", "\(index)", "--preview", "\(index).png"])
      #expect(run.status == 0, "\(run.errors)")
      #expect(try stored(kachel.folder.file("\(index)")).shape.suffix(2) == [height, width])
    }
  }

  @Test func replacesWhenTold() async throws {
    let picture = try Inputs.picture(in: kachel.files)
    for options in [[], ["--overwrite"]] {
      let run = try await segment(picture, Inputs.quick, ["-o", "out", "--preview", "out.png"] + options)
      #expect(run.status == 0, "\(run.errors)")
    }
    #expect(try kachel.written == ["out", "out.png"])
  }

  /// The figure that the example comes with, and the program that computes it.
  @Test(arguments: ["out.ome.zarr", "out.czi"]) func exampleAgreesWithTruth(output: String) async throws {
    let run = try await segment(Inputs.slide, Inputs.czann, ["--quiet", "-o", output])
    #expect(run.status == 0)
    let compare = ["compare", run.lines[0], try Inputs.truth]
    let comparison = try await kachel.run(compare)
    #expect(comparison.output == "intersection over union of label 2: 0.9016\n")
    #expect(comparison.errors == "")
    let json = try await kachel.run(compare + ["--json", "--label", "2"])
    let facts = try #require(JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
    #expect((facts["intersectionOverUnion"] as? Double).map { abs($0 - 0.9016) < 5e-5 } == true)
    #expect(facts["label"] as? Int == 2)
  }
}
