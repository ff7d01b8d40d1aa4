// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelEngines
@testable import KachelModels
import KachelPixels
import KachelTesting
import Testing

/// A model gives the same results in every format.
@Suite struct PackageConversionTests {
  private let folder: ScratchFolder
  init() throws { folder = try ScratchFolder() }

  private func package(_ path: String) throws -> ModelPackage { try ModelPackage(at: SharedData.path(path)) }

  /// Writes and reads.
  private func stored(_ package: ModelPackage, _ name: String) throws -> ModelPackage {
    try package.write(to: folder.file(name), overwrite: true)
    return try ModelPackage(at: folder.file(name))
  }

  // MARK: Results

  /// What the network gives for pixel values, fed as the package's format feeds it.
  private func results(_ package: ModelPackage, _ pixels: [Float], _ shape: [Int], largest: Float) throws -> [Float] {
    var input = package.metadata.scalesInputByBitDepth ? pixels.map { $0 / largest } : pixels
    let engine = try OpenVINO.load()
    let scratch = try ScratchFolder()
    let network: any Network
    switch package.graph {
    case .onnx(let bytes): network = try engine.read(.onnx(bytes), name: package.path)
    case .savedModel(let files):
      try files.extract(to: scratch.path)
      network = try engine.read(.savedModel(folder: scratch.path), name: package.path)
    case .classical: return []
    }
    let compiled = try network.compile(inputShape: shape, threads: 2, streams: 1)
    var output = [Float](repeating: .nan, count: compiled.outputShape.reduce(1, *))
    try input.withUnsafeMutableBytes { source in
      try output.withUnsafeMutableBytes { target in
        try compiled.makeRequest().run(input: UnsafeMutableRawBufferPointer(source), output: target)
      }
    }
    return withExtendedLifetime(scratch) { output }
  }

  /// Compares two packages on noise of the pixel type.
  private func agree(_ one: ModelPackage, _ other: ModelPackage, largest: Float, side: Int) throws {
    let facts = try one.graphFacts()
    let shape = try #require(facts.inputs.first?.shape)
    let sizes = [1, shape[1] ?? side, shape[2] ?? side, try #require(shape[3])]
    var random = SeededRandom(seed: 7)
    let pixels = (0..<sizes.reduce(1, *)).map { _ in Float(UInt16.random(in: 0...UInt16(largest), using: &random)) }
    let before = try results(one, pixels, sizes, largest: largest)
    let after = try results(other, pixels, sizes, largest: largest)
    #expect(before.count == after.count && !before.isEmpty)
    let difference = zip(before, after).map { abs($0 - $1) }.max() ?? .infinity
    #expect(difference <= 1e-5, "\(one.path): \(difference)")
    #expect(Set(before.map { Int($0 * 100) }).count > 1, "a result that says nothing")
  }

  private static let raw = [
    "models/tf/v120/seed_onnx12.czmodel", "models/tf/v120/unet_onnx12.czmodel", "models/tf/v510/nuclei_legacy.czmodel",
    "models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel", "models/tf/unet_rgb/unet_rgb.czmodel",
    "models/tf/normalization/DNNModel.czmodel", "models/tf/oad_unet/oad_unet.czmodel", "example/nuclei.czmodel",
    "models/tf/v120/seed_savedmodel_fallback_310.czmodel",
  ]

  @Test(arguments: raw) func oldBecomesNewAndOld(path: String) throws {
    let old = try package(path)
    let type = try #require(old.metadata.channels.first?.pixelTypes.first)
    let new = try stored(old, "new.czann")
    #expect(new.metadata.scalesInputByBitDepth && new.format != old.format)
    #expect(new.metadata.id == old.metadata.id && new.metadata.name == old.metadata.name)
    #expect(new.metadata.classes.map(\.name) == old.metadata.classes.map(\.name))
    #expect(new.metadata.border == old.metadata.border)
    let facts = try new.checkRunnable()
    #expect(new.metadata.inputShape.map { $0 as [Int?] } == facts.inputs.first?.shape.map { Array($0.dropFirst()) })
    try agree(old, new, largest: Float(type.largestValue), side: 96)

    // The network itself tells for which pixels it is.
    #expect(new.metadata.channels.isEmpty)
    let untold = try stored(new, "untold.czmodel")
    #expect(untold.metadata.channels == old.metadata.channels)

    var back = new
    back.metadata.setPixelTypes([type])
    back.metadata.colorHandling = old.metadata.colorHandling
    let again = try stored(back, "old.czmodel")
    #expect(again.metadata.channels == old.metadata.channels)
    #expect(again.metadata.classes == old.metadata.classes)
    #expect(again.metadata.border == old.metadata.border && again.metadata.id == old.metadata.id)
    try again.checkRunnable()
    try agree(old, again, largest: Float(type.largestValue), side: 96)
  }

  @Test(arguments: [ModelPixelType.gray8, .gray16]) func newBecomesOld(type: ModelPixelType) throws {
    var new = try package("example/nuclei.czann")
    new.metadata.setPixelTypes([type])
    let old = try stored(new, "old.czmodel")
    #expect(old.format == .czmodel(version: "3.1.0"))
    #expect(!old.metadata.scalesInputByBitDepth && old.metadata.colorHandling == .splitRGB)
    try agree(new, old, largest: Float(type.largestValue), side: 96)
  }

  /// ZEN's own version takes the network as it is.
  @Test func newBecomesThatOfZEN() throws {
    let new = try package("models/torch/torch_unet_nuclei.czann")
    var small = try package("models/tf/v510/nuclei_seg.czann")
    small.metadata.description = "for dim nuclei"
    let zen = try stored(small, "m.czseg")
    #expect(zen.format == .czmodel(version: "3.2.0"))
    #expect(zen.metadata.scalesInputByBitDepth && zen.metadata.description == "for dim nuclei")
    #expect(zen.metadata.channels == [ModelChannel(pixelTypes: [.gray8, .gray16, .gray32Float])])
    #expect(zen.metadata.tileSize == Size(width: 128, height: 128))
    guard case .onnx(let before) = small.graph, case .onnx(let after) = zen.graph else {
      Issue.record("no ONNX")
      return
    }
    #expect(before == after)
    // Of operations that XML packages do not take.
    #expect { try new.write(to: folder.file("x.czseg")) } throws: {
      ($0 as? ModelError)?.reason.contains("opset 12") == true
    }
    // And back.
    let back = try stored(zen, "m.czann")
    #expect(back.metadata.inputShape == [128, 128, 1] && back.metadata.border == small.metadata.border)
  }

  @Test func thatOfZENBecomesOld() throws {
    var small = try package("models/tf/v510/nuclei_seg.czann")
    small.metadata.description = "for dim nuclei"
    var zen = try stored(small, "m.czseg")
    #expect { try zen.converted(to: .czmodel(version: "3.1.0")) } throws: {
      ($0 as? ModelError)?.kind == .option && ($0 as? ModelError)?.reason.contains("--pixel-type") == true
    }
    zen.metadata.setPixelTypes([.gray16])
    let old = try zen.converted(to: .czmodel(version: "3.1.0"))
    #expect(old.notes.contains { $0.contains("description is not kept") })
    #expect(old.notes.contains { $0.contains("divided by 65535") })
    let read = try stored(old, "old.czmodel")
    #expect(read.metadata.classes == zen.metadata.classes)
    let text = String(decoding: read.metadataBytes, as: UTF8.self)
    for word in ["IsAfterColorHandling", "ScaleInputs", "TotalTile", "Description"] { #expect(!text.contains(word)) }
    try agree(zen, read, largest: 65535, side: 64)
  }

  // MARK: What a format needs and loses

  private func error(_ make: () throws -> ModelPackage) -> ModelError? {
    do {
      _ = try make()
      return nil
    } catch { return error as? ModelError }
  }

  @Test func whatMustBeSaid() throws {
    let new = try package("example/nuclei.czann")
    let pixels = error { try new.converted(to: .czmodel(version: "3.1.0")) }
    #expect(pixels?.kind == .option && pixels?.reason.contains("--pixel-type, as Gray16") == true)
    let free = try package("models/tf/v120/seed_onnx12_dynamic.czmodel")
    let tile = error { try stored(free, "m.czann") }
    #expect(tile?.kind == .option && tile?.reason.contains("--tile") == true)
    let sized = try stored(free.settingSpatialDimensions(height: 48, width: 64), "m.czann")
    #expect(sized.metadata.inputShape == [48, 64, 1] && sized.metadata.outputShape == [48, 64, 2])
    #expect(sized.format == .czann(version: "1.0.0"))
    let regression = error {
      var package = try package("models/tf/v510/regression.czann")
      package.metadata.setPixelTypes([.gray8])
      return try stored(package, "m.czmodel")
    }
    #expect(regression?.reason.contains("only a .czann can say that") == true)
    let two = error {
      var package = try package("models/tf/v120/seed_onnx12.czmodel")
      package.metadata.channels = [ModelChannel(pixelTypes: [.gray8, .gray16])]
      return try package.converted(to: .czann(version: "1.0.0"))
    }
    #expect(two?.kind == .option && two?.reason.contains("Gray8, Gray16") == true)
    // Floating-point values are the same in both.
    var float = try package("models/tf/v120/seed_onnx12.czmodel")
    float.metadata.setPixelTypes([.gray32Float])
    #expect(try float.converted(to: .czann(version: "1.0.0")).notes.isEmpty)
  }

  @Test func sizesThatTheStrideForbids() throws {
    let error = error { try package("example/nuclei.czann").settingSpatialDimensions(height: 100, width: 128) }
    #expect(error?.kind == .mismatch && error?.file.hasSuffix("nuclei.czann") == true, "\(String(describing: error))")
  }

  @Test func layersThatDoNotFit() throws {
    let gray = try package("example/nuclei.czann")
    for layer in [Preprocessing.rgbaToBGRA, .transposeChannels([1, 0]), .shift([1, 2])] {
      #expect(error { try gray.prepending([layer]) }?.kind == .mismatch, "\(layer)")
    }
    #expect(error { try gray.appending(.sigmoidToSoftmaxScores) }?.kind == .mismatch)
  }

  @Test func whatIsLostIsSaid() throws {
    var new = try package("models/tf/v510/nuclei_seg.czann")
    new.metadata.border = AxisPair(y: 8, x: 12)
    new.metadata.setPixelTypes([.gray8])
    let old = try new.converted(to: .czmodel(version: "3.1.0"))
    #expect(old.metadata.border == AxisPair(y: 12, x: 12))
    #expect(old.notes.contains { $0.contains("8 x 12") } && old.notes.contains { $0.contains("pixel size") })
    #expect(old.notes.contains { $0.contains("divided by 255") })

    var colored = try package("models/tf/v120/seed_onnx12.czmodel")
    colored.metadata.classes[0].color = RGB(red: 1, green: 2, blue: 3)
    #expect(
      try colored.converted(to: .czann(version: "1.0.0")).notes.contains { $0.contains("colours of the classes") })
    colored.metadata.classes[0].labelValue = 7
    #expect(try colored.converted(to: .czann(version: "1.0.0")).notes.contains { $0.contains("[7, 2]") })
    #expect(try colored.converted(to: .czmodel(version: "3.1.0")).notes == [])
  }

  /// Channels of different depths are multiplied each by its own number.
  @Test func channelsOfDifferentDepths() throws {
    var old = try package("models/tf/v120/unet_onnx12.czmodel")
    old.metadata.setPixelTypes([.gray8, .gray16, .gray32Float])
    let new = try old.converted(to: .czann(version: "1.0.0"))
    #expect(new.notes.count == 1 && new.notes[0].contains("multiplied by 255, 65535, 1"))
    let shape = try old.graphFacts().inputs[0].shape ?? []
    let sizes = [1, shape[1] ?? 64, shape[2] ?? 64, 3], largest: [Float] = [255, 65535, 1]
    var random = SeededRandom(seed: 3)
    let scaled = (0..<sizes.reduce(1, *)).map { _ in Float(UInt8.random(in: 0...255, using: &random)) / 255 }
    let raw = scaled.enumerated().map { $1 * largest[$0 % 3] }
    let before = try results(old, raw, sizes, largest: 1), after = try results(new, scaled, sizes, largest: 1)
    #expect(zip(before, after).allSatisfy { abs($0 - $1) <= 1e-5 } && before.count == after.count)
  }

  /// A network alone takes what it will be fed, unless it is said what that is.
  @Test func networksAlone() throws {
    let metadata = ModelMetadata(
      name: "m", classes: ["a", "b"], pixelTypes: [.gray16], colorHandling: .splitRGB, borderSize: 2)
    var bare = try ModelPackage(graph: .onnx(PackageFixture.network()), metadata: metadata)
    for (name, scaled) in [("m.czann", true), ("m.czmodel", false)] {
      let read = try stored(bare, name)
      #expect(read.metadata.scalesInputByBitDepth == scaled)
      guard case .onnx(let after) = read.graph, case .onnx(let before) = bare.graph else { continue }
      #expect(before == after)
    }
    bare.networkTakes(scaledValues: false)
    #expect(try bare.converted(to: bare.format(forName: "m.czann")).notes.count == 1)
    #expect(try bare.converted(to: bare.format(forName: "m.czmodel")).notes == [])
    bare.networkTakes(scaledValues: true)
    #expect(try bare.converted(to: bare.format(forName: "m.czann")).notes == [])
    #expect(try bare.converted(to: bare.format(forName: "m.czmodel")).notes.count == 1)
  }

  @Test func versionsOfOneFamily() throws {
    var new = try package("models/tf/v510/nuclei_seg.czann")
    new = try new.converted(to: .czann(version: "2.1.0"))
    let text = String(decoding: new.metadataBytes, as: UTF8.self)
    #expect(text.hasPrefix("{\"FormatVersion\": \"2.1.0\", \"Id\": ") && text.contains("\"Scaling\": [1e-07, 1e-07]"))
    #expect(try stored(new, "m.czann").format == .czann(version: "2.1.0"))
    #expect(error { try stored(new.converted(to: .czann(version: "1.0.0")), "m.czann") } == nil)
    #expect(try ModelPackage(at: folder.file("m.czann")).format == .czann(version: "1.1.0"))
    let old = try package("models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel")
    #expect(try stored(old.converted(to: .czmodel(version: "3.1.0")), "m.czmodel").format == .czmodel(version: "3.1.0"))
  }

  @Test func distinctColors() {
    #expect(ClassColors.distinctColors(count: 3) == ClassColors.colors(count: 3))
    for count in [0, 4, 24, 200] {
      let colors = ClassColors.distinctColors(count: count)
      #expect(colors.count == count && Set(colors).count == count)
    }
  }
}
