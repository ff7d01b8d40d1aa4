// SPDX-License-Identifier: Apache-2.0
import KachelEngines
import KachelModels
import KachelPixels

/// Whose mean and deviation a network's input is standardised with, where the network does that.
public enum StatisticsScope: String, Codable, Sendable, Hashable, CaseIterable {
  /// Each plane's own, over all of its pixels that the image holds, whatever region of it is segmented.
  case image
  /// Those of every tile, its halo included: what the network does by itself, and ZEN with it.
  case tile
  /// Those of all planes that are chosen, together.
  case dataset
}

/// A package's network as a run takes it: with the standardisation of its input taken out of it, where the run does that,
/// for tiles of any size, where their size does not show in the result, and without a softmax at its end, where classes are
/// chosen.
struct RunNetwork: Sendable {
  let graph: ModelGraph
  let facts: GraphFacts
  /// What was taken out, and is done to the pixels that the network gets.
  let standardization: InputStandardization?
  /// Whose statistics are used; `nil` where the network uses none.
  let statistics: StatisticsScope?
  /// Why they are those of every tile though nobody asked for that.
  let bound: String?
  /// The size that the network has though it gets tiles of another one.
  let ownSize: Size?
  /// How engines round it by the tiles' size, where that would show: where the network alone is exact.
  private let dependence: SizeDependence?
  /// Whether the network gives logits, of which it made probabilities by a softmax at its end.
  let givesLogits: Bool

  /// - Throws: ``ModelError`` where the network cannot be run, ``SegmentationError`` where it cannot be run with the
  ///   statistics that are asked for.
  init(of package: ModelPackage, _ options: SegmentationOptions) throws {
    let facts = try package.checkRunnable()
    let asked = options.statistics
    if let asked, asked != .tile, options.tiling == .zen {
      throw SegmentationError(
        .option, file: package.path,
        "ZEN takes the statistics of every tile, so that --tiling zen does not go with --statistics \(asked.rawValue)")
    }
    guard !facts.inputStatistics.isEmpty else {
      try self.init(of: package, options, graph: package.graph, facts: facts)
      return
    }
    guard options.tiling == .aligned, asked != .tile else {
      try self.init(of: package, options, graph: package.graph, facts: facts, statistics: .tile)
      return
    }
    let lifted: LiftedNetwork
    do throws(ModelError) {
      lifted = try package.liftingStandardization()
    } catch {
      guard error.kind == .unsupported else { throw error }
      if let asked {
        throw SegmentationError(
          .option, file: package.path,
          """
          the network's statistics cannot be those of the \(asked.rawValue), as \(error.reason); pass --statistics \
          tile, or leave it out
          """)
      }
      try self.init(of: package, options, graph: package.graph, facts: facts, statistics: .tile, bound: error.reason)
      return
    }
    try self.init(
      of: package, options, graph: lifted.graph, facts: lifted.facts, standardization: lifted.standardization,
      statistics: asked ?? .image)
  }

  private init(
    of package: ModelPackage, _ options: SegmentationOptions, graph: ModelGraph, facts: GraphFacts,
    standardization: InputStandardization? = nil, statistics: StatisticsScope? = nil, bound: String? = nil
  ) throws(ModelError) {
    (self.facts, self.standardization) = (facts, standardization)
    (self.statistics, self.bound) = (statistics, bound)
    dependence =
      facts.exactness == .exact && options.tiling == .aligned ? try graph.sizeDependence(file: package.path) : nil
    var graph = dependence?.graph ?? graph
    // ZEN chooses among probabilities.
    let isChoice = options.tiling == .aligned && package.metadata.kind.isSemanticSegmentation
    let logits = isChoice ? try GraphEditing(graph, file: package.path).removingFinalSoftmax() : nil
    (graph, givesLogits) = (logits ?? graph, logits != nil)
    self.graph = graph
    ownSize = Self.sizeThatMayChange(facts, graph, package.path, options)
  }

  /// A size that is fixed and need not be: where the network is exact, larger tiles give the same with less work.
  private static func sizeThatMayChange(
    _ facts: GraphFacts, _ graph: ModelGraph, _ file: String, _ options: SegmentationOptions
  ) -> Size? {
    guard options.tiling == .aligned, facts.exactness == .exact, let stride = facts.stride,
      let shape = facts.inputs.first?.shape, shape.count == 4, let height = shape[1], let width = shape[2],
      height % stride.y == 0, width % stride.x == 0, options.tileSide != height || options.tileSide != width
    else { return nil }
    // Whether all that follows from its size can be changed shows with any other one.
    let isPossible =
      (try? GraphEditing(graph, file: file)
        .settingSpatialDimensions(height: height + stride.y, width: width + stride.x)) != nil
    return isPossible ? Size(width: width, height: height) : nil
  }

  /// That an engine gives a pixel other bits in tiles of another size, and why, where the network alone would not.
  func rounding(by engine: any Engine) -> String? {
    guard let dependence else { return nil }
    guard engine.device == .cpu else {
      return "whether \(engine.device) gives the same bits in tiles of any size is not known"
    }
    let reason = engine is ONNXRuntime ? dependence.ofONNXRuntime : dependence.ofOpenVINO
    return reason.map { "\(engine.name) rounds differently in tiles of another size, as \($0)" }
  }

  /// Why ONNX Runtime is to run the network on the processor, where OpenVINO would not give the same bits in all tiles.
  var reasonForONNXRuntime: String? {
    guard let reason = dependence?.ofOpenVINO, dependence?.ofONNXRuntime == nil else { return nil }
    return "OpenVINO rounds differently in tiles of another size: \(reason)"
  }

  /// The network as an engine has read it.
  ///
  /// - Parameters:
  ///   - name: what errors call it: the package's file.
  ///   - ends: what the graph does at its ends.
  func network(_ engine: any Engine, name: String, ends: GraphEnds = GraphEnds()) throws -> any Network {
    guard let ownSize else { return try graph.network(engine, name: name, ends: ends) }
    return try ResizableNetwork(graph, of: ownSize, engine, name: name, ends: ends)
  }
}
