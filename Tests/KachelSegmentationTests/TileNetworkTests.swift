// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelEngines
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Synchronization
import Testing

@testable import KachelSegmentation

/// What a GPU gets and gives, tried out on the processor.
@Suite struct TileNetworkTests {
  /// ONNX Runtime on the processor, which says that it computes on a GPU.
  private final class Apart: Engine {
    let own: ONNXRuntime
    let compiled = Mutex<[ElementTypes]>([])
    init() throws { own = try ONNXRuntime.load() }
    var name: String { own.name }
    var version: String { own.version }
    let device = Device.cuda(0)
    var precision: Precision { own.precision }
    let readsSavedModels = false

    func read(_ source: NetworkSource, name: String) throws(EngineError) -> any Network {
      Watched(own: try own.read(source, name: name), engine: self)
    }
  }

  private struct Watched: Network {
    let own: any Network
    let engine: Apart
    var inputs: [KachelEngines.Port] { own.inputs }
    var outputs: [KachelEngines.Port] { own.outputs }

    func compile(
      inputShape: [Int], elements: ElementTypes, threads: Int, streams: Int
    ) throws(EngineError) -> any CompiledNetwork {
      engine.compiled.withLock { $0.append(elements) }
      return try own.compile(inputShape: inputShape, elements: elements, threads: threads, streams: streams)
    }
  }

  struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var package: String
    var image: String
    var region: Region
    var elements = ElementTypes()
    var confidence = false
    var kind: ModelKind?
    var statistics: StatisticsScope?
  }

  private static let nuclei = "example/nuclei-mosaic.czi"
  private static let part = Region(x: 1100, y: 300, width: 300, height: 260)

  /// The labels are those of a run whose tiles are not copied, and what is copied is as small as it can be.
  @Test(arguments: [
    Case(
      testDescription: "ONNX", package: "example/nuclei.czann", image: nuclei, region: part,
      elements: ElementTypes(input: .uint8, output: .uint8)),
    Case(
      testDescription: "a SavedModel", package: "example/nuclei.czmodel", image: nuclei, region: part,
      elements: ElementTypes(input: .uint8, output: .uint8)),
    Case(
      testDescription: "confidence", package: "example/nuclei.czann", image: nuclei, region: part,
      elements: ElementTypes(input: .uint8), confidence: true),
    Case(
      testDescription: "a regression", package: "example/nuclei.czann", image: nuclei, region: part,
      elements: ElementTypes(input: .uint8), kind: .regression),
    Case(
      testDescription: "standardised by the image's statistics",
      package: "models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel", image: nuclei, region: part,
      elements: ElementTypes(output: .uint8)),
    Case(
      testDescription: "standardised by the network",
      package: "models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel", image: nuclei, region: part,
      elements: ElementTypes(input: .uint8, output: .uint8), statistics: .tile),
  ]) func resultsAreTheSame(of test: Case) async throws {
    var package = try ModelPackage(at: SharedData.path(test.package))
    if let kind = test.kind { package.metadata.kind = kind }
    let image = try Image(at: SharedData.path(test.image))
    var options = SegmentationOptions()
    (options.planes.region, options.statistics) = (test.region, test.statistics)
    let folder = try ScratchFolder()
    func run(_ engine: any Engine, _ name: String) async throws -> StoredPlanes {
      var outputs = SegmentationOutputs(result: folder.file("\(name).ome.zarr"))
      if test.confidence { outputs.confidence = folder.file("\(name)-confidence.ome.zarr") }
      _ = try await Segmentation(of: image, with: package, options: options).write(to: outputs, engine: engine)
      return try StoredPlanes(outputs.result)
    }
    let here = try await run(ONNXRuntime.load(), "here"), engine = try Apart()
    let apart = try await run(engine, "apart")
    #expect(here.values == apart.values && Set(here.values).count > 1)
    // Those of the trial tiles and of the run's.
    #expect(engine.compiled.withLock { $0.first } == ElementTypes())
    #expect(engine.compiled.withLock { $0.last } == test.elements)
    guard test.confidence else { return }
    #expect(
      try StoredPlanes(folder.file("here-confidence.ome.zarr")).values
        == StoredPlanes(folder.file("apart-confidence.ome.zarr")).values)
  }

  @Test(
    arguments: ["models/tf/unet_rgb/unet_rgb.czmodel", "models/torch/torch_from_json.czann"],
    [(PixelType.uint8, SampleLayout.bgr), (.uint16, .rgb), (.float32, .bgr)])
  func coloursOfAnyType(path: String, pixels kind: (type: PixelType, layout: SampleLayout)) async throws {
    let package = try ModelPackage(at: SharedData.path(path)), (type, layout) = kind
    let size = Size(width: 70, height: 50), pixels = size.area * 3
    var random = SeededRandom(seed: 5)
    let bytes: [UInt8] = (0..<pixels).flatMap { _ in
      let value = UInt8.random(in: 0...255, using: &random)
      switch type {
      case .uint8: return [value]
      case .uint16: return [UInt8.random(in: 0...255, using: &random), value]
      default: return withUnsafeBytes(of: Float(value)) { Array($0) }
      }
    }
    let image = ArrayImage(bytes, size: size, type: type, layout: layout)
    let engine = try Apart(), folder = try ScratchFolder()
    func run(_ engine: any Engine, _ name: String) async throws -> [Float] {
      let output = folder.file(name)
      _ = try await Segmentation(of: image, with: package).write(
        to: SegmentationOutputs(result: output), engine: engine)
      return try StoredPlanes(output).values
    }
    let here = try await run(ONNXRuntime.load(), "here.ome.zarr")
    #expect(try await run(engine, "apart.ome.zarr") == here && Set(here).count > 1)
    let input: ElementType = type == .uint8 ? .uint8 : type == .uint16 ? .uint16 : .float32
    #expect(engine.compiled.withLock { $0.last } == ElementTypes(input: input, output: .uint8))
  }

  /// Scores that are not numbers are told, whoever chooses classes.
  @Test func scoresThatAreNotNumbers() async throws {
    let package = try Example.package("nuclei.czann")
    let size = Size(width: 96, height: 96)
    let bytes = (0..<size.area).flatMap { withUnsafeBytes(of: $0 == 4000 ? Float.nan : 0.1) { Array($0) } }
    let image = ArrayImage(bytes, size: size, type: .float32)
    for engine in [try ONNXRuntime.load(), try Apart()] as [any Engine] {
      let folder = try ScratchFolder()
      await #expect {
        _ = try await Segmentation(of: image, with: package).write(
          to: SegmentationOutputs(result: folder.file("out.ome.zarr")), engine: engine)
      } throws: {
        "\($0)".contains("values that are not numbers")
      }
    }
  }
}
