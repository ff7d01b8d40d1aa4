// SPDX-License-Identifier: Apache-2.0
import KachelEngines
import KachelImages
import KachelModels
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
  var name: String { own.name }
  var version: String { own.version }
  var device: Device { own.device }
  var precision: Precision { own.precision }
  var readsSavedModels: Bool { own.readsSavedModels }

  init(mostPixels: Int, failsLate: Bool) throws {
    own = try OpenVINO.load()
    (self.mostPixels, self.failsLate) = (mostPixels, failsLate)
  }

  func read(_ source: NetworkSource, name: String) throws(EngineError) -> any Network {
    SmallNetwork(own: try own.read(source, name: name), mostPixels: mostPixels, failsLate: failsLate)
  }
}

private struct SmallNetwork: Network {
  let own: any Network
  let mostPixels: Int
  let failsLate: Bool
  var inputs: [Port] { own.inputs }
  var outputs: [Port] { own.outputs }

  func compile(inputShape: [Int], threads: Int, streams: Int) throws(EngineError) -> any CompiledNetwork {
    let isTooLarge = inputShape[1] * inputShape[2] > mostPixels
    if isTooLarge && !failsLate { throw EngineError(.refused, name: "net", "cannot prepare: std::bad_alloc") }
    let compiled = try own.compile(inputShape: inputShape, threads: threads, streams: streams)
    return isTooLarge ? SmallCompiledNetwork(own: compiled) : compiled
  }
}

private struct SmallCompiledNetwork: CompiledNetwork {
  let own: any CompiledNetwork
  var inputShape: [Int] { own.inputShape }
  var outputShape: [Int] { own.outputShape }
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
