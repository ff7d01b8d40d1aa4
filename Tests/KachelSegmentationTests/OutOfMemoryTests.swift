// SPDX-License-Identifier: Apache-2.0
import KachelEngines
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Synchronization
import Testing

@testable import KachelSegmentation

/// An engine that has memory for tiles of so many pixels only.
private final class SmallEngine: Engine {
  private let own: OpenVINO
  private let mostPixels: Int
  /// Whether it fails when it runs rather than when it prepares.
  private let failsLate: Bool
  /// What it says where it does not prepare a network.
  private let refusal: String
  var name: String { own.name }
  var version: String { own.version }
  var device: Device { own.device }
  var precision: Precision { own.precision }
  var readsSavedModels: Bool { own.readsSavedModels }

  init(mostPixels: Int, failsLate: Bool = false, refusal: String = "cannot prepare: std::bad_alloc") throws {
    own = try OpenVINO.load()
    (self.mostPixels, self.failsLate, self.refusal) = (mostPixels, failsLate, refusal)
  }

  func read(_ source: NetworkSource, name: String) throws(EngineError) -> any Network {
    SmallNetwork(own: try own.read(source, name: name), mostPixels: mostPixels, failsLate: failsLate, refusal: refusal)
  }
}

private struct SmallNetwork: Network {
  let own: any Network
  let mostPixels: Int
  let failsLate: Bool
  let refusal: String
  var inputs: [Port] { own.inputs }
  var outputs: [Port] { own.outputs }

  func compile(
    inputShape: [Int], elements: ElementTypes, threads: Int, streams: Int
  ) throws(EngineError) -> any CompiledNetwork {
    let isTooLarge = inputShape[1] * inputShape[2] > mostPixels
    if isTooLarge && !failsLate { throw EngineError(.refused, name: "net", refusal) }
    let compiled = try own.compile(inputShape: inputShape, elements: elements, threads: threads, streams: streams)
    return isTooLarge ? SmallCompiledNetwork(own: compiled) : compiled
  }
}

private struct SmallCompiledNetwork: CompiledNetwork {
  let own: any CompiledNetwork
  var inputShape: [Int] { own.inputShape }
  var outputShape: [Int] { own.outputShape }
  var elements: ElementTypes { own.elements }
  func makeRequest() throws(EngineError) -> sending any InferenceRequest { FailingRequest() }
}

private final class FailingRequest: InferenceRequest {
  func run(input: UnsafeMutableRawBufferPointer, output: UnsafeMutableRawBufferPointer) throws(EngineError) {
    throw EngineError(.failed, name: "net", "Failed to allocate memory for requested buffer of size 5")
  }
}

@Suite struct OutOfMemoryTests {
  private func segment(
    mostPixels: Int, failsLate: Bool, tileSide: Int? = nil
  ) async throws -> (StoredPlanes, SegmentationResult, [String]) {
    let folder = try ScratchFolder()
    let output = folder.file("out.ome.zarr")
    var options = SegmentationOptions()
    (options.tileSide, options.memory) = (tileSide, .gigabytes(16))
    let told = Mutex<[String]>([])
    let result = try await Segmentation(of: Example.image(), with: Example.package("nuclei.czann"), options: options)
      .write(to: SegmentationOutputs(result: output), engine: SmallEngine(mostPixels: mostPixels, failsLate: failsLate))
    {
      if case .warning(let text) = $0 { told.withLock { $0.append(text) } }
    }
    return (try StoredPlanes(output), result, told.withLock { $0 })
  }

  /// Tiles become smaller until the engine has memory for them, and the result is the same.
  @Test(arguments: [false, true]) func tilesBecomeSmaller(_ failsLate: Bool) async throws {
    let whole = try await KachelSegmentationTests.segment(Example.image(), Example.package("nuclei.czann"))
    let (planes, result, told) = try await segment(mostPixels: 700_000, failsLate: failsLate)
    #expect(planes.values == whole.values)
    let size = result.provenance.tiles.size
    #expect(size[0] * size[1] <= 700_000 && result.tiles > 4 && result.provenance.certificate.promise == .exact)
    #expect(told.contains { $0.contains("ran out of memory") })
    #expect(result.warnings.contains { $0.contains("ran out of memory") })
  }

  /// There is no memory for the larger of the tiles that are tried before a run.
  @Test func notEvenATrialFits() async throws {
    let (planes, result, _) = try await segment(mostPixels: 100_000, failsLate: true)
    let whole = try await KachelSegmentationTests.segment(Example.image(), Example.package("nuclei.czann"))
    #expect(planes.values == whole.values)
    #expect(result.provenance.tiles.size.reduce(1, *) <= 100_000)
  }

  @Test func tilesThatCannotBeSmallerAreAnError() async throws {
    await #expect {
      _ = try await segment(mostPixels: 500_000, failsLate: false, tileSide: 1024)
    } throws: {
      let text = "\($0)"
      return text.contains("bad_alloc") && text.contains("--memory")
    }
  }

  @Test(arguments: [
    ("std::bad_alloc", true), ("Failed to allocate 78643200 bytes of memory", true), ("a shape", false),
  ])
  func messagesAreUnderstood(_ message: String, _ isMemory: Bool) {
    #expect(EngineError(.failed, name: "net", "OpenVINO failed: \(message)").isOutOfMemory == isMemory)
  }
}

/// Networks of a fixed size, set to others.
@Suite struct ResizableNetworkTests {
  @Test func aSizeThatTheEngineRefusesIsTold() throws {
    let package = try Example.package("nuclei.czmodel")
    let segmentation = try Segmentation(of: Example.image(), with: package)
    let network = try segmentation.network(SmallEngine(mostPixels: 512 * 512, refusal: "an odd size"))
    #expect(network.inputs[0].shape == [1, nil, nil, 1] || network.inputs[0].shape == [nil, nil, nil, 1])
    _ = try network.compile(inputShape: [1, 64, 128, 1], threads: 1, streams: 1)
    #expect {
      _ = try network.compile(inputShape: [1, 512, 520, 1], threads: 1, streams: 1)
    } throws: {
      "\($0)".contains("its size of 512 x 512 pixels cannot be changed; --tile-size 512 runs it as it is: an odd size")
    }
    // No multiple of the stride.
    #expect(throws: EngineError.self) { try network.compile(inputShape: [1, 100, 128, 1], threads: 1, streams: 1) }
  }

  /// What keeps its size: where that is asked for, where ZEN runs it, and where its answer depends on it.
  @Test func ownSizes() throws {
    func shape(_ path: String, _ change: (inout SegmentationOptions) -> Void = { _ in }) throws -> [Int?] {
      var options = SegmentationOptions()
      change(&options)
      let package = try ModelPackage(at: SharedData.path(path))
      let network = try RunNetwork(of: package, options)
      return [network.ownSize?.width, network.ownSize?.height]
    }
    #expect(try shape("example/nuclei.czmodel") == [512, 512] && shape("example/nuclei.czann") == [nil, nil])
    #expect(try shape("example/nuclei.czmodel") { $0.tileSide = 512 } == [nil, nil])
    #expect(try shape("example/nuclei.czmodel") { $0.tileSide = 256 } == [512, 512])
    #expect(try shape("example/nuclei.czmodel") { $0.tiling = .zen } == [nil, nil])
    #expect(try shape("models_large/PGC_20X_nucleus_detector.czseg") == [nil, nil])
    #expect(try shape("models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel") == [256, 256])
    #expect(try shape("models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel") { $0.statistics = .tile } == [nil, nil])
  }
}
