// SPDX-License-Identifier: Apache-2.0
internal import Foundation
internal import KachelEngines
internal import KachelTesting
internal import Testing

/// What cannot be run is refused with a reason, and nothing crashes.
struct RefusalTests {
  @Test(arguments: TestedEngine.allCases, ["nothing", "text", "zeros", "ones"])
  func garbage(_ tested: TestedEngine, _ kind: String) throws {
    let engine = try tested.load()
    let bytes: [UInt8] =
      switch kind {
      case "text": Array("garbage".utf8)
      case "zeros": [UInt8](repeating: 0, count: 1000)
      case "ones": [UInt8](repeating: 0xff, count: 64)
      default: []
      }
    let error = try #require(engineError { _ = try engine.read(.onnx(bytes), name: "garbage.onnx") })
    #expect(error.kind == .refused)
    #expect(error.description.hasPrefix("garbage.onnx: \(engine.name) cannot read this network: "))
    #expect(!error.reason.contains("Exception from") && !error.reason.contains("\n"))
  }

  /// A graph that breaks off, or whose bytes are damaged, may be refused or may run, but does not crash.
  @Test(arguments: TestedEngine.allCases) func damagedGraphs(_ tested: TestedEngine) throws {
    let engine = try tested.load()
    let graph = try packagedGraph("models/tf/v120/seed_onnx12_dynamic.czmodel")
    for cut in stride(from: 1, to: graph.count, by: graph.count / 23 + 1) {
      _ = engineError { _ = try engine.read(.onnx(Array(graph[..<cut])), name: "cut") }
      var damaged = graph
      damaged[cut] ^= 0x5a
      _ = engineError { _ = try engine.read(.onnx(damaged), name: "damaged") }
    }
  }

  @Test(arguments: TestedEngine.allCases) func weightsThatAreMissing(_ tested: TestedEngine) throws {
    let engine = try tested.load()
    let graph = try packagedGraph("models/negative/lost_weights_613.czann")
    let error = try #require(
      engineError {
        let network = try engine.read(.onnx(graph), name: "lost_weights_613.czann")
        _ = try network.compile(inputShape: [1, 32, 32, 1], threads: 1, streams: 1)
      })
    #expect(error.kind == .refused)
    #expect(error.description.hasPrefix("lost_weights_613.czann: "))
  }

  @Test func foldersThatAreNoSavedModel() throws {
    let engine = try OpenVINO.load()
    let folder = try ScratchFolder()
    for path in [folder.path, folder.file("absent")] {
      let error = try #require(engineError { _ = try engine.read(.savedModel(folder: path), name: "model") })
      #expect(error.kind == .refused)
      #expect(error.reason.contains("saved_model.pb"))
    }
    _ = try folder.write([1, 2, 3], to: "saved_model.pb")
    #expect(engineError { _ = try engine.read(.savedModel(folder: folder.path), name: "model") }?.kind == .refused)
  }

  @Test(
    arguments: TestedEngine.allCases,
    [[], [1, 64, 64], [1, 64, 64, 3], [1, 0, 64, 1], [1, -64, 64, 1], [1, Int.max, Int.max, 1]])
  func shapesThatDoNotFit(_ tested: TestedEngine, _ shape: [Int]) throws {
    let network = try tested.exampleNetwork()
    let error = try #require(
      engineError { _ = try network.compile(inputShape: shape, threads: 1, streams: 1) }, "\(shape)")
    #expect(error.kind == .refused)
    #expect(error.name == "nuclei.czann")
    // The refusal leaves the network as good as it was.
    #expect(try network.compile(inputShape: [1, 64, 64, 1], threads: 1, streams: 1).outputShape == [1, 64, 64, 2])
  }

  @Test(arguments: TestedEngine.allCases) func numbersOfThreadsThatMakeNoSense(_ tested: TestedEngine) throws {
    let network = try tested.exampleNetwork()
    for (threads, streams) in [(0, 1), (1, 0), (-1, -1)] {
      #expect(
        engineError { _ = try network.compile(inputShape: [1, 64, 64, 1], threads: threads, streams: streams) }?.kind
          == .refused)
    }
  }

  /// A network that holds its size as numbers. Given another input, one kind has layers that do not fit together; the
  /// other would take one large picture for four small ones and say nothing.
  @Test(arguments: TestedEngine.allCases) func sizesThatAreBuiltIn(_ tested: TestedEngine) throws {
    let engine = try tested.load()
    let folder = try ScratchFolder()
    let unet = try unzip(packagedGraph("models/tf/unet_rgb/unet_rgb.czmodel"), into: folder)
    let seed = try packagedGraph("models/tf/v120/seed_onnx12.czmodel")
    let cases: [(network: () throws -> any Network, own: [Int], other: [Int])] = [
      ({ try tested.readSavedModel(unet, name: "network") }, [1, 64, 96, 3], [1, 128, 96, 3]),
      ({ try tested.readSavedModel(unet, name: "network") }, [1, 64, 96, 3], [1, 128, 192, 3]),
      ({ try engine.read(.onnx(seed), name: "network") }, [1, 128, 128, 1], [1, 256, 128, 1]),
      ({ try engine.read(.onnx(seed), name: "network") }, [1, 128, 128, 1], [1, 256, 256, 1]),
    ]
    for (read, own, other) in cases {
      let network = try read()
      #expect(network.inputs.map(\.shape) == [[nil, own[1], own[2], own[3]]])
      let error = try #require(engineError { _ = try network.compile(inputShape: other, threads: 1, streams: 1) })
      #expect(error.kind == .refused)
      let lengths = own.dropFirst().map(String.init).joined(separator: " x ")
      #expect(error.reason.hasPrefix("its input has the fixed shape ? x \(lengths), which cannot be changed to 1 x "))
      #expect(try network.compile(inputShape: own, threads: 1, streams: 1).inputShape == own)
    }
    withExtendedLifetime(folder) {}
  }

  /// Not every size that a file states is built in: this network takes others, and does the same there.
  @Test func sizesThatAreOnlyStated() throws {
    let engine = try OpenVINO.load()
    let network = try engine.read(.onnx(packagedGraph("models/tf/v120/unet_onnx12.czmodel")), name: "unet_onnx12")
    #expect(network.inputs.map(\.shape) == [[nil, 64, 96, 3]])
    let compiled = try network.compile(inputShape: [1, 128, 96, 3], threads: 1, streams: 1)
    #expect(compiled.outputShape == [1, 128, 96, 3])
    // The upper rows of the taller picture are those of the shorter one, but for what is seen of the rows below.
    let picture = noise(128 * 96 * 3).map { ($0 * 255).rounded() }
    let tall = try compiled.run(picture).prefix(24 * 96 * 3)
    let short = try network.compile(inputShape: [1, 64, 96, 3], threads: 1, streams: 1)
      .run(Array(picture.prefix(64 * 96 * 3))).prefix(24 * 96 * 3)
    #expect(difference(Array(tall), Array(short)) <= 1e-5)
  }

  @Test func aSavedModelIsNoONNX() throws {
    let engine = try ONNXRuntime.load()
    let error = engineError { _ = try engine.read(.savedModel(folder: "/nowhere"), name: "model") }
    #expect(error?.kind == .refused && error?.reason.contains("SavedModel") == true)
  }

  @Test(arguments: TestedEngine.allCases) func buffersOfTheWrongSize(_ tested: TestedEngine) throws {
    let compiled = try tested.exampleNetwork().compile(inputShape: [1, 64, 64, 1], threads: 1, streams: 1)
    let request = try compiled.makeRequest()
    let (input, output) = (64 * 64 * 4, 64 * 64 * 2 * 4)
    let sizes = [
      (input - 4, output), (input + 4, output), (input, output - 4), (input, output + 4), (0, output), (input, 0),
    ]
    let source = UnsafeMutableRawBufferPointer.allocate(byteCount: input + 8, alignment: 64)
    let target = UnsafeMutableRawBufferPointer.allocate(byteCount: output + 8, alignment: 64)
    defer {
      source.deallocate()
      target.deallocate()
    }
    source.initializeMemory(as: UInt8.self, repeating: 0)
    for (input, output) in sizes {
      let error = engineError {
        try request.run(
          input: UnsafeMutableRawBufferPointer(rebasing: source[..<input]),
          output: UnsafeMutableRawBufferPointer(rebasing: target[..<output]))
      }
      #expect(error?.kind == .failed, "\(input) and \(output) bytes")
      #expect(error?.reason.contains("bytes") == true)
    }
    // Not aligned to a number.
    #expect(
      engineError {
        try request.run(
          input: UnsafeMutableRawBufferPointer(rebasing: source[1..<input + 1]),
          output: UnsafeMutableRawBufferPointer(rebasing: target[..<output]))
      }?.kind == .failed)
    #expect(try request.run(noise(64 * 64), giving: 64 * 64 * 2).allSatisfy { !$0.isNaN })
  }
}
