// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelEngines
import KachelModels
import KachelPixels

/// What is checked of one file: without an engine as far as that goes, then with one.
enum VerificationSubject {
  case package(ModelPackage, GraphFacts?)
  case bioImageIO(BioImageIOPackage)

  /// - Throws: `ModelError` where the file is no package at all.
  init(at path: String) throws(ModelError) {
    if BioImageIOPackage.isPackage(at: path) {
      self = .bioImageIO(try BioImageIOPackage(at: path))
    } else {
      let package = try ModelPackage(at: path)
      if case .classical = package.graph {
        self = .package(package, nil)
      } else {
        self = .package(package, try package.graphFacts())
      }
    }
  }

  var format: String {
    switch self {
    case .package(let package, _): package.format.description
    case .bioImageIO(let package): "bioimage.io \(package.formatVersion)"
    }
  }

  var staticChecks: [Check] {
    switch self {
    case .package(let package, let facts): package.staticChecks(facts)
    case .bioImageIO(let package): package.staticChecks()
    }
  }

  /// Why the network is not run, where it is not.
  var obstacle: String? {
    switch self {
    case .package(let package, let facts):
      if case .classical(let description) = package.graph { return "holds a \(description), which Kachel does not run" }
      guard package.format.isPackage else { return "there is no package around the network" }
      guard facts?.hasExternalData != true else { return "weights are missing" }
      guard package.metadata.kind.isSemanticSegmentation || package.metadata.kind == .regression else {
        return "is of the type \(package.metadata.kind.rawValue), which Kachel does not run"
      }
      return nil
    case .bioImageIO(let package):
      do throws(ModelError) {
        _ = try package.graph()
        return nil
      } catch { return error.reason }
    }
  }

  /// - Parameter test: pixels of a real image in the declared range, where there is one.
  func runningChecks(_ engine: any Engine, test: (picture: Picture, name: String)? = nil) throws -> [Check] {
    let threads = ProcessInfo.processInfo.activeProcessorCount
    switch self {
    case .bioImageIO(let package):
      guard let weights = package.readableWeights else { return [] }
      let network = try package.graph().network(engine, name: package.path)
      return BioImageIOChecks(
        package: package, weights: weights, facts: try package.graphFacts(), network: network, threads: threads
      ).run()
    case .package(let package, let facts):
      guard let facts else { return [] }
      let network = try package.graph.network(engine, name: package.path)
      let metadata = package.metadata
      let probe = NetworkProbe(
        network, isChannelsFirst: false, channels: metadata.channelCount, threads: threads)
      let isScaled = metadata.scalesInputByBitDepth
      let maximum = isScaled ? 255 : Float(package.largestPixel)
      let drawing = Picture(
        cells: probe.fixed.height.map { 2 * $0 } ?? 512, probe.fixed.width.map { 2 * $0 } ?? 512,
        channels: probe.inputChannels)
      let picture = test?.picture ?? (isScaled ? drawing : drawing.multiplied(by: maximum))
      let other: (Float, String)? =
        maximum == 1 || package.showsInputRange
        ? nil : isScaled ? (maximum, "raw values") : (1 / maximum, "values from 0 to 1")
      return RunningChecks(
        probe: probe, kind: metadata.kind, border: metadata.border.map { Size($0) },
        needed: facts.neededBorder.map { Size($0) },
        stride: facts.tileStride,
        globalOperations: facts.globalOperations, picture: picture,
        pictureName: test?.name ?? "a drawing of cells", otherRange: other
      ).run()
    }
  }
}

extension ModelPackage {
  /// The largest value that images of the first pixel type that the package accepts mostly have.
  fileprivate var largestPixel: Int {
    switch metadata.channels.first?.pixelTypes.first {
    // Most cameras give 12 of the 16 bits.
    case .gray16, .bgr48: 4095
    case .gray32Float, .bgr96Float, .gray64ComplexFloat, .bgr192ComplexFloat: 1
    case .gray8, .bgr24, .bgra32, nil: 255
    }
  }
}

extension GraphFacts {
  /// The grid on which tiles lie: the network's stride, or a multiple of any usual one where it is not known.
  var tileStride: Size {
    stride.map { Size(width: $0.x, height: $0.y) }
      ?? Size(width: Planner.assumedStride, height: Planner.assumedStride)
  }
}

extension Size {
  init(_ pair: AxisPair) { self.init(width: pair.x, height: pair.y) }
}
