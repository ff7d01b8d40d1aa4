// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel
import KachelTesting
import Testing

/// Runs that fail: each with its exit code, a message that says what and where, and nothing left behind.
@Suite struct RefusalTests {
  private let kachel: KachelProcess
  init() throws { kachel = try KachelProcess() }

  /// - Parameters:
  ///   - words: what standard error must say.
  ///   - remaining: what lay in the folder before.
  private func refuses(
    _ arguments: [String], _ status: Int32, _ words: [String], environment: [String: String] = [:],
    remaining: [String] = [], at location: SourceLocation = #_sourceLocation
  ) async throws {
    let run = try await kachel.run(arguments, environment: environment)
    #expect(run.status == status, "\(run.errors)", sourceLocation: location)
    #expect(run.output == "", sourceLocation: location)
    for word in words {
      #expect(run.errors.contains(word), "no \"\(word)\" in \(run.errors)", sourceLocation: location)
    }
    #expect(try kachel.written == remaining, sourceLocation: location)
    #expect(try kachel.leftTemporary == [], sourceLocation: location)
  }

  private func refusesSegment(
    _ image: String? = nil, _ model: String? = nil, _ options: [String] = [], _ status: Int32, _ words: [String],
    at location: SourceLocation = #_sourceLocation
  ) async throws {
    let image = try image ?? Inputs.picture(in: kachel.files)
    try await refuses(
      ["segment", image, "--model", try model ?? Inputs.quick] + options, status, words, at: location)
  }

  // MARK: 64, usage

  @Test(arguments: [
    (["--bogus"], "Unknown option '--bogus'"),
    (["--memory", "lots"], "lots is not an amount such as 2G or 800M"),
    (["--memory", "2"], "2 is not an amount"),
    (["--region", "1,2,3"], "1,2,3 is not x,y,width,height"),
    (["--region", "0,0,0,5"], "0,0,0,5 is not x,y,width,height"),
    (["--region", "40,0,40,40"], "the region 40,0,40,40 is not inside scene 0, which is 60 x 40 pixels large"),
    (["--scene", "x"], "x is not a list such as 3, 0-4 or 0-2,7"),
    (["--scene", "3"], "there is no scene 3; the image has 0"),
    (["--time", "1"], "--time 1: the image has 1 time point, counted from 0"),
    (["--z", "0-3"], "--z 0-3: the image has 1 z plane, counted from 0"),
    (["--channel", "DAPI"], "there is no channel \"DAPI\"; the image has 0 \"Gray\""),
    (["--dimension", "H"], "H is not such as H=0"),
    (["--dimension", "H=0"], "there is no dimension H"),
    (["--dimension", "H=0", "--dimension", "H=1"], "it is given twice"),
    (["--tile-size", "0"], "a tile's side is 1 to 32768 pixels, not 0"),
    (["--require", "perfect"], "--require is exact or canonical, not perfect"),
    (["--tile-size", "100", "--tiling", "zen"], "the network takes tiles of 128 x 128 pixels only, not of 100"),
    (["--halo", "-1"], "--halo"),
    (["--statistics", "median"], "--statistics is image, tile, dataset, not median"),
    (["--statistics", "image", "--tiling", "zen"], "--tiling zen does not go with --statistics image"),
    (["--threads", "0"], "at least one thread is needed"),
    (["--minimum-confidence", "2"], "a confidence is 0 to 1, not 2.0"),
    (["--minimum-confidence", "nan"], "a confidence is 0 to 1, not nan"),
    (["--memory", "1M"], "more than the 1 MB allowed; pass --memory with more"),
    (["-o", "a", "--preview", "a"], "must have different names"),
  ]) func wrongOptions(_ options: [String], _ words: String) async throws {
    try await refusesSegment(nil, nil, options, 64, [words])
  }

  @Test func wrongCommands() async throws {
    try await refuses(["segment", "a.czi"], 64, ["Missing expected argument '--model <model>'"])
    try await refuses(["inspect"], 64, ["Missing expected argument '<file>'"])
    try await refuses(["dance"], 64, ["dance"])
    try await refuses(["compare", "a", "b", "--label", "x"], 64, ["'x' is invalid for '--label <label>'"])
  }

  @Test func leavesInputsAlone() async throws {
    let image = try Inputs.picture(in: kachel.files), model = kachel.files.file("model.czann")
    try FileManager.default.copyItem(atPath: Inputs.quick, toPath: model)
    for output in [image, model] {
      for option in ["-o", "--preview", "--confidence"] {
        let before = try Data(contentsOf: URL(filePath: output))
        try await refusesSegment(image, model, [option, output, "--overwrite"], 64, ["must have different names"])
        #expect(try Data(contentsOf: URL(filePath: output)) == before)
      }
    }
  }

  @Test func dimensionsMustBeChosen() async throws {
    let image = try Inputs.manyDimensions(in: kachel.files)
    try await refusesSegment(
      image, nil, ["--channel", "0"], 64, ["a dimension H with 2 positions", "--dimension H=0"])
  }

  @Test func regressionsHaveNoConfidence() async throws {
    for options in [["--confidence", "c"], ["--minimum-confidence", "0.5"]] {
      try await refusesSegment(nil, Inputs.regression, options, 64, ["a regression has no classes", options[0]])
    }
  }

  @Test func tilesMustHaveRoom() async throws {
    try await refusesSegment(
      Inputs.slide, Inputs.czann, ["--tile-size", "96"], 64, ["leave no room between halos of 48 x 48", "--halo"])
  }

  @Test func halosAreNumbersOrWords() async throws {
    try await refusesSegment(nil, nil, ["--halo", "wide"], 64, ["--halo is auto, package or a number", "wide"])
  }

  @Test func resultsThatAreNotExactAreRefusedWhereThatIsAsked() async throws {
    try await refusesSegment(
      Inputs.slide, Inputs.czann, ["--halo", "8", "--tile-size", "512", "--require", "exact"], 64,
      ["would not be exact", "8 x 8", "48 x 48"])
  }

  // MARK: 65, bad input

  @Test func noImages() async throws {
    let text = try kachel.files.write(Array("Dear diary".utf8), to: "diary.czi")
    try await refusesSegment(text, nil, [], 65, ["diary.czi: is of no known image format"])
    try await refusesSegment(
      kachel.files.file("missing.czi"), nil, [], 65, ["missing.czi: cannot be opened: No such file"])
    try await refusesSegment(kachel.files.path, nil, [], 65, ["is a folder without images"])
    try await refusesSegment(Inputs.czann, nil, [], 65, ["is a zip archive (as are .czmodel and .czann packages)"])
    try await refuses(["inspect", text], 65, ["diary.czi: is of no known image format"])
    try await refuses(["inspect", text, "--json"], 65, ["diary.czi"])
  }

  @Test func noPackages() async throws {
    let picture = try Inputs.picture(in: kachel.files)
    try await refusesSegment(nil, picture, [], 65, ["is no model package: it is not a zip archive"])
    let other = try kachel.files.write(ZipFixture([.init("letter.txt", "Dear all")]).bytes, to: "other.czann")
    try await refusesSegment(nil, other, [], 65, ["is no model package: it has no metadata"])
    try await refuses(["inspect", other], 65, ["is no model package: it has no metadata"])
    let half = try Data(contentsOf: URL(filePath: Inputs.quick)).prefix(60_000)
    try await refusesSegment(nil, kachel.files.write(half, to: "half.czann"), [], 65, ["half.czann"])
  }

  @Test func packagesThatCannotBeRun() async throws {
    let classical = try SharedData.path("models/oad/XRM_Sandstone_Default_Features_Demo.czmodel")
    try await refusesSegment(nil, classical, [], 65, ["is a classical classifier", "pickle"])
    let lost = try SharedData.path("models/negative/lost_weights_613.czann")
    try await refusesSegment(nil, lost, [], 65, ["weights are not in the package (as 1.0.weight)"])
    let other = try SharedData.path("models/sebi06/simple_regmodel_out5.czann")
    try await refusesSegment(nil, other, [], 65, ["the package declares 5 channels, but the network takes 1"])
  }

  @Test func damagedImages() async throws {
    let bytes = try Data(contentsOf: URL(filePath: Inputs.slide))
    for count in [20, 700, bytes.count / 2, bytes.count - 100] {
      let path = try kachel.files.write(bytes.prefix(count), to: "cut-\(count).czi")
      try await refusesSegment(path, Inputs.quick, [], 65, ["cut-\(count).czi"])
    }
    let picture = try Data(contentsOf: URL(filePath: Inputs.picture(in: kachel.files)))
    let cut = try kachel.files.write(picture.prefix(picture.count - 30), to: "cut.png")
    try await refusesSegment(cut, nil, [], 65, ["cut.png", "incomplete"])
  }

  @Test func unreadCompressions() async throws {
    var fixture = CZIFixture.mosaic([Region(x: 0, y: 0, width: 64, height: 64)]) { x, _, _ in UInt8(x) }
    fixture.subBlocks[0].compression = 101
    let image = try kachel.files.write(fixture.bytes, to: "raw.czi")
    for arguments in [["inspect", image], ["segment", image, "-m", try Inputs.quick]] {
      try await refuses(arguments, 65, ["compression camera RAW (code 101) in 1 of 1 sub-blocks is not read"])
    }
  }

  @Test func channelsThatDoNotFit() async throws {
    let image = try SharedData.path("czi/real/tiles.czi")
    try await refusesSegment(
      image, nil, [], 65,
      ["\"torch_unet_nuclei\" takes 1 channel, but the image has 2: 0 \"Ch1\" (gray, uint8), 1 \"T PMT\" (gray, uint8)"]
    )
    try await refusesSegment(image, nil, ["--channel", "0", "--channel", "1"], 65, ["the chosen channels give 2"])
    try await refusesSegment(nil, Inputs.color, [], 65, ["takes 3 channels", "has 1: 0 \"Gray\""])
    let color = try SharedData.path("czi/real/RGB-8bit.czi")
    try await refusesSegment(
      color, nil, [], 65, ["the image has 3: 0 \"C1\" (bgr, uint8)", "does not say to turn colours into gray"])
  }

  @Test func comparisonsThatDoNotFit() async throws {
    let picture = try Inputs.picture(in: kachel.files)
    try await refuses(["compare", "nothing", picture], 65, ["nothing: cannot be opened: No such file"])
    try await refuses(["compare", "nothing", picture, "--label", "0"], 64, ["a label is 1 or more, not 0"])
    let run = try await kachel.run(["segment", picture, "-m", Inputs.quick, "-o", "labels"])
    #expect(run.status == 0)
    try await refuses(
      ["compare", "labels", try Inputs.truth], 65, ["has 3480 x 1040 pixels, but the labels have 60 x 40"],
      remaining: ["labels"])
  }

  @Test func enginesDevicesAndPrecisionsThatAreNotThere() async throws {
    let picture = try Inputs.picture(in: kachel.files), model = try Inputs.quick
    let choices: [([String], [String])] = [
      (["--engine", "tensorflow"], ["openvino, onnxruntime and auto"]),
      (["--device", "gpu"], ["cpu, cuda:0 and auto"]),
      (["--precision", "fp8"], ["fp32, tf32 and fp16"]),
      (["--device", "cuda:97"], ["cuda:97", "this machine has"]),
      (["--engine", "openvino", "--device", "cuda:0"], ["OpenVINO", "--engine onnxruntime"]),
      (["--precision", "fp16"], ["fp16", "--device cuda:0"]),
      (["--engine", "onnxruntime", "--precision", "tf32"], ["tf32", "--device cuda:0"]),
    ]
    for (choice, words) in choices {
      try await refuses(["segment", picture, "-m", model] + choice, 64, words)
      try await refuses(["segment", picture, picture, "-m", model, "-o", "folder"] + choice, 64, words)
    }
    for command in [["prove", model, picture], ["verify", model]] {
      try await refuses(command + ["--device", "cuda:97"], 64, ["cuda:97"])
    }
  }

  // MARK: 69, no engine or no OpenSlide

  @Test func needsOpenSlideForSlides() async throws {
    let slide = try SharedData.path("wsi/CMU-1-Small-Region.svs")
    let words = [slide + ": is an Aperio slide", "/nowhere", "libopenslide0", "KACHEL_OPENSLIDE_PATH"]
    for run in [["inspect", slide], ["segment", slide, "--model", try Inputs.quick]] {
      try await refuses(run, 69, words, environment: ["KACHEL_OPENSLIDE_PATH": "/nowhere"])
    }
  }

  @Test func missingEngine() async throws {
    let picture = try Inputs.picture(in: kachel.files), empty = try ScratchFolder()
    let wrong = try kachel.files.write([1, 2, 3], to: "libopenvino_c.so")
    let run = ["segment", picture, "-m", try Inputs.quick]
    for (path, word) in [
      (empty.path, "holds no libopenvino_c"), ("/no/such", "does not exist"), (wrong, "cannot be loaded"),
    ] {
      try await refuses(run, 69, [word, "scripts/bootstrap"], environment: ["KACHEL_ENGINE_PATH": path])
    }
    try await refuses(
      run + ["--engine", "onnxruntime"], 69, ["ONNX Runtime", "does not exist", "scripts/bootstrap"],
      environment: ["KACHEL_ONNXRUNTIME_PATH": "/no/such"])
    // What needs no engine does without.
    let inspected = try await kachel.run(["inspect", picture], environment: ["KACHEL_ENGINE_PATH": empty.path])
    #expect(inspected.status == 0)
  }
}
