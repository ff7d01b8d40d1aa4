// SPDX-License-Identifier: Apache-2.0
import KachelEngines
import KachelImages
import KachelModels
import KachelPixels

/// The network that gets a run's tiles. Where they are copied to a device and back, its graph takes the image's pixels as
/// they are, and gives classes instead of scores, as far as the run allows: the example's tiles become a quarter as large.
struct TileNetwork: Sendable {
  let network: any Network
  let ends: GraphEnds

  /// - Parameters:
  ///   - network: the same network, of 32-bit floating point numbers.
  ///   - wantsScores: whether scores are needed besides the class with the highest.
  init(
    _ network: any Network, of segmentation: Segmentation, engine: any Engine, mapping: InputMapping,
    kind: ResultLayout.Kind, wantsScores: Bool
  ) throws {
    var ends = GraphEnds()
    if engine.device.copiesTensors {
      let types = Set(mapping.sources.map { segmentation.image.description.channels[$0.channel].pixelType })
      // Statistics are those of a plane, and a graph is made for all of them.
      if segmentation.runNetwork.standardization == nil, types == [.uint8] || types == [.uint16],
        mapping.sources.allSatisfy({ source in source.mixes.allSatisfy { $0.place != nil } })
      {
        (ends.pixels, ends.divisor) = (types.first, mapping.sources[0].divisor)
      }
      if case .labels(let argMax, _, _) = kind, !wantsScores, 2...Int(GraphEnds.noClass) ~= argMax.labels.count {
        (ends.choosesClasses, ends.areLogits) = (true, argMax.areLogits)
      }
    }
    do {
      self.network =
        ends == GraphEnds()
        ? network
        : try segmentation.runNetwork.network(engine, name: segmentation.package.path, ends: ends)
      self.ends = ends
    } catch let error as ModelError where error.kind == .unsupported {
      (self.network, self.ends) = (network, GraphEnds())
    }
  }

  func compile(inputShape: [Int], threads: Int, streams: Int) throws(EngineError) -> any CompiledNetwork {
    let input: ElementType =
      switch ends.pixels {
      case .uint8: .uint8
      case .uint16: .uint16
      default: .float32
      }
    let elements = ElementTypes(input: input, output: ends.choosesClasses ? .uint8 : .float32)
    return try network.compile(inputShape: inputShape, elements: elements, threads: threads, streams: streams)
  }
}
