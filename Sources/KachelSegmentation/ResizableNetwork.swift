// SPDX-License-Identifier: Apache-2.0
import KachelEngines
import KachelModels
import KachelPixels

/// A network of a fixed size as one that takes any size: its graph is set to every size that it is prepared for.
final class ResizableNetwork: Network {
  let inputs: [KachelEngines.Port]
  let outputs: [KachelEngines.Port]
  private let graph: ModelGraph
  private let engine: any Engine
  private let name: String
  private let ownSize: Size
  private let ends: GraphEnds

  /// - Parameters:
  ///   - ownSize: its size.
  ///   - name: what errors call the network: the package's file.
  ///   - ends: what the graph does at its ends.
  init(_ graph: ModelGraph, of ownSize: Size, _ engine: any Engine, name: String, ends: GraphEnds) throws {
    let fixed = try graph.network(engine, name: name, ends: ends)
    self.ends = ends
    inputs = fixed.inputs.map(\.ofAnySize)
    outputs = fixed.outputs.map(\.ofAnySize)
    (self.graph, self.ownSize, self.engine, self.name) = (graph, ownSize, engine, name)
  }

  func compile(
    inputShape: [Int], elements: ElementTypes, threads: Int, streams: Int
  ) throws(EngineError) -> any CompiledNetwork {
    guard inputShape.count == 4 else { throw EngineError(.refused, name: name, "its input has 4 axes") }
    do {
      return try GraphEditing(graph, file: name)
        .settingSpatialDimensions(height: inputShape[1], width: inputShape[2])
        .network(engine, name: name, ends: ends)
        .compile(inputShape: inputShape, elements: elements, threads: threads, streams: streams)
    } catch let error as EngineError where error.kind != .refused || error.isOutOfMemory {
      throw error
    } catch {
      let reason = (error as? EngineError)?.reason ?? (error as? ModelError)?.reason ?? "\(error)"
      let way = ownSize.width == ownSize.height ? "; --tile-size \(ownSize.width) runs it as it is" : ""
      throw EngineError(.refused, name: name, "its size of \(ownSize) pixels cannot be changed\(way): \(reason)")
    }
  }
}

extension KachelEngines.Port {
  /// With an open height and width, of the axes batch, height, width, channels.
  fileprivate var ofAnySize: Self {
    guard shape.count == 4 else { return self }
    return Self(name: name, shape: [shape[0], nil, nil, shape[3]], element: element)
  }
}
