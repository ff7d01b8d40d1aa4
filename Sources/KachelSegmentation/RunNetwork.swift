// SPDX-License-Identifier: Apache-2.0
import KachelModels

/// Whose mean and deviation a network's input is standardised with, where the network does that.
public enum StatisticsScope: String, Codable, Sendable, Hashable, CaseIterable {
  /// Each plane's own, over all of its pixels that the image holds, whatever region of it is segmented.
  case image
  /// Those of every tile, its halo included: what the network does by itself, and ZEN with it.
  case tile
  /// Those of all planes that are chosen, together.
  case dataset
}

/// A package's network as a run takes it: with the standardisation of its input taken out of it, where the run does that.
struct RunNetwork: Sendable {
  let graph: ModelGraph
  let facts: GraphFacts
  /// What was taken out, and is done to the pixels that the network gets.
  let standardization: InputStandardization?
  /// Whose statistics are used; `nil` where the network uses none.
  let statistics: StatisticsScope?
  /// Why they are those of every tile though nobody asked for that.
  let bound: String?

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
      self.init(graph: package.graph, facts: facts)
      return
    }
    guard options.tiling == .aligned, asked != .tile else {
      self.init(graph: package.graph, facts: facts, statistics: .tile)
      return
    }
    do throws(ModelError) {
      let lifted = try package.liftingStandardization()
      self.init(
        graph: lifted.graph, facts: lifted.facts, standardization: lifted.standardization, statistics: asked ?? .image)
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
      self.init(graph: package.graph, facts: facts, statistics: .tile, bound: error.reason)
    }
  }

  private init(
    graph: ModelGraph, facts: GraphFacts, standardization: InputStandardization? = nil,
    statistics: StatisticsScope? = nil, bound: String? = nil
  ) {
    (self.graph, self.facts, self.standardization) = (graph, facts, standardization)
    (self.statistics, self.bound) = (statistics, bound)
  }
}
