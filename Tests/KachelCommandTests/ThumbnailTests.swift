// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel
import KachelTesting
import Testing

/// `kachel inspect --thumbnail`.
@Suite struct ThumbnailTests {
  private let kachel: KachelProcess
  init() throws { kachel = try KachelProcess() }

  private struct Report: Decodable {
    struct Thumbnail: Decodable {
      struct Channel: Decodable {
        var index: Int
        var name: String
        var color: String
        var low: Double?
        var high: Double?
        var gamma: Double?
        var range: String
        var file: String?
      }
      var file: String
      var scene: Int
      var width: Int
      var height: Int
      var time: Int
      var z: Int
      var downsampling: Double
      var channels: [Channel]
    }
    var thumbnails: [Thumbnail]
  }

  private func draw(
    _ arguments: [String], at location: SourceLocation = #_sourceLocation
  ) async throws -> [Report.Thumbnail] {
    let run = try await kachel.run(["inspect", "--json"] + arguments)
    try #require(run.status == 0, "\(run.errors)", sourceLocation: location)
    #expect(run.errors == "", sourceLocation: location)
    return try JSONDecoder().decode(Report.self, from: Data(run.output.utf8)).thumbnails
  }

  private func pixels(_ name: String) throws -> (size: Size, samples: Int, bytes: [UInt8]) {
    let image = try Image(at: kachel.folder.file(name))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(Region(image.description.scenes[0].size), of: PlaneIndex(), into: pixels)
    #expect(pixels.type == .uint8)
    return (pixels.size, pixels.samples, Array(pixels.bytes))
  }

  private static let scenes = "czi/real/S3_1Pos_2Mosaic_T2Z3_CH2_sm.czi"

  @Test func oneFileForEverySceneAndChannel() async throws {
    let image = try SharedData.path(Self.scenes)
    let drawn = try await draw([image, "--thumbnail", "o.png", "--thumbnail-size", "100", "--per-channel"])
    #expect(
      try kachel.written
        == (0..<3).flatMap { ["o-scene\($0)-DAPI.png", "o-scene\($0)-EGFP.png", "o-scene\($0).png"] }.sorted())
    #expect(drawn.map(\.file) == ["o-scene0.png", "o-scene1.png", "o-scene2.png"])
    #expect(drawn.map(\.scene) == [0, 1, 2] && drawn.allSatisfy { $0.time == 0 && $0.z == 1 && $0.downsampling == 1 })
    #expect(drawn.map(\.width) == [100, 64, 100] && drawn.map(\.height) == [42, 64, 68])
    for thumbnail in drawn {
      let picture = try pixels(thumbnail.file)
      #expect(picture.size == Size(width: thumbnail.width, height: thumbnail.height) && picture.samples == 3)
      #expect(
        thumbnail.channels.map(\.name) == ["DAPI", "EGFP"] && thumbnail.channels.allSatisfy { $0.range == "display" })
      #expect(thumbnail.channels.map(\.color) == ["00A1FF", "00FF5B"])
      let alone = try thumbnail.channels.map { try pixels($0.file ?? "") }
      #expect(alone.allSatisfy { $0.samples == 1 && $0.size == picture.size })
      // The picture is the channels' brightness times their colours, rounded once.
      for index in 0..<picture.size.area {
        let (dapi, egfp) = (Double(alone[0].bytes[index]), Double(alone[1].bytes[index]))
        let light = [0, dapi * 161 / 255 + egfp, dapi + egfp * 91 / 255]
        for sample in 0..<3 {
          #expect(abs(Double(picture.bytes[3 * index + sample]) - min(255, light[sample])) <= 1.51)
        }
      }
    }
  }

  @Test func whatIsChosenIsDrawn() async throws {
    let image = try Inputs.manyDimensions(in: kachel.files)
    let all = try await draw([image, "--thumbnail", "all.png", "--scene", "1"])
    #expect(all.map(\.file) == ["all.png"] && all[0].scene == 1 && all[0].time == 0 && all[0].z == 1)
    #expect(all[0].channels.map(\.name) == ["DAPI", "GFP"])
    let some = try await draw([
      image, "--thumbnail", "some.png", "--scene", "0", "--time", "2", "--z", "0", "--dimension", "H=1", "--channel",
      "GFP", "--channel", "0", "--per-channel",
    ])
    #expect(some[0].time == 2 && some[0].z == 0 && some[0].channels.map(\.index) == [1, 0])
    #expect(some[0].channels.map(\.file) == ["some-GFP.png", "some-DAPI.png"])
    // The values grow with time, and the ranges say of what the picture is.
    #expect(try kachel.written == ["all.png", "some-DAPI.png", "some-GFP.png", "some.png"])
  }

  @Test func channelNamesBecomeFileNames() async throws {
    let region = Region(x: 0, y: 0, width: 5, height: 5)
    let names = ["A/../b", "a/.._B", "é (x)", "", ".", "A/../b"]
    let blocks = names.indices.map { index in
      CZIFixture.SubBlock(region, ["C": Int32(index)], pixels: [UInt8](repeating: 7, count: 25))
    }
    let channels = names.map { "<Channel Name=\"\($0)\"/>" }.joined()
    let xml =
      "<ImageDocument><Metadata><Information><Image><Dimensions><Channels>\(channels)</Channels></Dimensions>"
      + "</Image></Information></Metadata></ImageDocument>"
    let image = try kachel.files.write(CZIFixture(blocks, xml: xml).bytes, to: "names.czi")
    let drawn = try await draw([image, "--thumbnail", "n.png", "--per-channel"])
    let files = drawn[0].channels.compactMap(\.file)
    #expect(
      files == ["n-A_.._b.png", "n-a_.._B-1.png", "n-é__x_.png", "n-Channel_4.png", "n-..png", "n-A_.._b-5.png"])
    #expect(try Set(kachel.written) == Set(files + ["n.png"]))
  }

  @Test func labelsKeepTheirColors() async throws {
    let drawn = try await draw([try SharedData.path("omezarr/ref/v04.ome.zarr/labels/nuclei"), "--thumbnail", "l.png"])
    #expect(drawn[0].channels[0].range == "labels" && drawn[0].channels[0].low == nil)
    let picture = try pixels("l.png")
    let found = Set((0..<picture.size.area).map { Array(picture.bytes[3 * $0..<3 * $0 + 3]) })
    #expect(found.contains([0, 0, 0]) && found.count > 30)
  }

  @Test func textSaysWhatWasDrawn() async throws {
    let run = try await kachel.run(
      ["inspect", try SharedData.path("czi/real/RGB-8bit.czi"), "--thumbnail", "r.png", "--thumbnail-size", "32", "-q"])
    #expect(run.status == 0 && run.errors == "")
    #expect(
      run.lines.suffix(2) == ["thumbnail    r.png: 32 x 22, scene 0, time 0, z 0", "               \"C1\" as stored"])
  }

  @Test func existingFilesStayUnlessToldOtherwise() async throws {
    let image = try Inputs.picture(in: kachel.files)
    let arguments = ["inspect", image, "--thumbnail", "o.png", "--per-channel"]
    try Data("mine".utf8).write(to: URL(filePath: kachel.folder.file("o-Gray.png")))
    let refused = try await kachel.run(arguments)
    #expect(refused.status == 73 && refused.output == "" && refused.errors.contains("o-Gray.png: exists already"))
    #expect(try kachel.written == ["o-Gray.png"])
    #expect(try await kachel.run(arguments + ["--overwrite"]).status == 0)
    #expect(try kachel.written == ["o-Gray.png", "o.png"] && pixels("o-Gray.png").samples == 1)
  }

  @Test func damageLeavesNothing() async throws {
    // The second scene's pixels are no Zstandard frame.
    var blocks = (0..<2).map { scene in
      CZIFixture.SubBlock(
        Region(x: 100 * scene, y: 0, width: 9, height: 9), ["S": Int32(scene)], compression: .zstd0,
        pixels: [UInt8](repeating: 3, count: 81))
    }
    blocks[1].payload = Array("no frame".utf8)
    let image = try kachel.files.write(CZIFixture(blocks).bytes, to: "damaged.czi")
    let run = try await kachel.run(["inspect", image, "--thumbnail", "o.png"])
    #expect(run.status == 65 && run.output == "" && run.errors.contains("damaged.czi"))
    #expect(try kachel.written == [])
    #expect(try await kachel.run(["inspect", image]).status == 0)
  }

  @Test(arguments: [
    (["--thumbnail-size", "10"], 64, "need --thumbnail out.png"), (["--per-channel"], 64, "need --thumbnail out.png"),
    (["--channel", "0"], 64, "need --thumbnail out.png"), (["--overwrite"], 64, "need --thumbnail out.png"),
    (["--thumbnail", "o.jpg"], 64, "o.jpg should end in .png"),
    (["--thumbnail", "o.png", "--thumbnail-size", "0"], 64, "1 to 4096 pixels, not 0"),
    (["--thumbnail", "o.png", "--thumbnail-size", "4097"], 64, "1 to 4096 pixels, not 4097"),
    (["--thumbnail", "o.png", "--channel", "DAPI"], 64, "there is no channel \"DAPI\"; the image has 0 \"Gray\""),
    (["--thumbnail", "o.png", "--channel", "1"], 64, "there is no channel \"1\""),
    (["--thumbnail", "o.png", "--scene", "2"], 64, "there is no scene 2; the image has 0"),
    (["--thumbnail", "o.png", "--time", "1"], 64, "--time 1: the image has 1 time point"),
    (["--thumbnail", "o.png", "--z", "5"], 64, "--z 5: the image has 1 z plane"),
    (["--thumbnail", "o.png", "--dimension", "H=0"], 64, "there is no dimension H"),
    (["--thumbnail", "o.png", "--dimension", "H=0", "--dimension", "H=1"], 64, "it is given twice"),
    (["--thumbnail", "missing/o.png"], 73, "does not exist; create it first"),
    (["--thumbnail", ".png/"], 64, "should end in .png"),
  ]) func refusals(_ options: [String], _ status: Int32, _ words: String) async throws {
    let image = try Inputs.picture(in: kachel.files)
    let run = try await kachel.run(["inspect", image] + options)
    #expect(run.status == status && run.output == "", "\(run.errors)")
    #expect(run.errors.contains(words), "no \"\(words)\" in \(run.errors)")
    #expect(try kachel.written == [])
  }

  @Test func theImageIsNeverReplaced() async throws {
    let image = try Inputs.picture(in: kachel.files), before = try Data(contentsOf: URL(filePath: image))
    let run = try await kachel.run(["inspect", image, "--thumbnail", image, "--overwrite"])
    #expect(run.status == 73 && run.errors.contains("is the image"))
    #expect(try Data(contentsOf: URL(filePath: image)) == before)
    let folder = kachel.folder.file("folder.png")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    let other = try await kachel.run(["inspect", image, "--thumbnail", "folder.png", "--overwrite"])
    #expect(other.status == 73 && other.errors.contains("is a folder"))
    let package = try await kachel.run(["inspect", try Inputs.quick, "--thumbnail", "o.png"])
    #expect(package.status == 64 && package.errors.contains("is a model; --thumbnail"))
    #expect(try kachel.written == ["folder.png"])
  }
}
