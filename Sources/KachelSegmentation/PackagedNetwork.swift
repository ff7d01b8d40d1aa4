// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelEngines
import KachelModels

extension ModelGraph {
  /// The network as an engine has read it.
  ///
  /// - Parameters:
  ///   - name: what errors call it: the package's file.
  ///   - ends: what the graph does at its ends.
  func network(_ engine: any Engine, name: String, ends: GraphEnds = GraphEnds()) throws -> any Network {
    var graph = try readable(by: engine, name: name)
    if ends != GraphEnds() { graph = try graph.with(ends, file: name) }
    if engine.precision == .fp16 { graph = try graph.inHalfPrecision(file: name) }
    return try graph.read(engine, name: name)
  }

  private func readable(by engine: any Engine, name: String) throws -> ModelGraph {
    guard case .savedModel(let archive) = self, !engine.readsSavedModels else { return self }
    do throws(ModelError) { return try SavedModelToONNX(archive).convert() } catch {
      throw EngineError(
        .refused, name: name, "\(engine.name) reads ONNX only, and the SavedModel cannot be converted: \(error.reason)"
      )
    }
  }

  private func read(_ engine: any Engine, name: String) throws -> any Network {
    switch self {
    case .onnx(let bytes): return try engine.read(.onnx(bytes), name: name)
    case .savedModel(let archive):
      let folder = FileManager.default.temporaryDirectory.appending(path: "kachel-\(UUID().uuidString)").path
      do {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
      } catch {
        throw ModelError(
          .cannotWrite, file: folder,
          "the folder for the unpacked model cannot be created: \(error.localizedDescription)")
      }
      return try UnpackedNetwork(folder: folder) {
        try archive.extract(to: folder)
        return try engine.read(.savedModel(folder: folder), name: name)
      }
    case .classical(let description):
      throw ModelError(.unsupported, file: name, "a \(description) cannot be run")
    }
  }
}

/// A network in an unpacked folder, which lives as long as the network: the engine may read it again.
private final class UnpackedNetwork: Network {
  private let folder: String
  private let network: any Network

  init(folder: String, _ read: () throws -> any Network) throws {
    do {
      network = try read()
    } catch {
      try? FileManager.default.removeItem(atPath: folder)
      throw error
    }
    self.folder = folder
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  var inputs: [KachelEngines.Port] { network.inputs }
  var outputs: [KachelEngines.Port] { network.outputs }
  func compile(
    inputShape: [Int], elements: ElementTypes, threads: Int, streams: Int
  ) throws(EngineError) -> any CompiledNetwork {
    try network.compile(inputShape: inputShape, elements: elements, threads: threads, streams: streams)
  }
}
