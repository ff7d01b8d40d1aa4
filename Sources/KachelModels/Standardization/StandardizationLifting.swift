// SPDX-License-Identifier: Apache-2.0

/// A network that gets its input standardised, as the network that it was made from standardised its own.
package struct LiftedNetwork: Sendable {
  package let graph: ModelGraph
  /// Of the network that is left.
  package let facts: GraphFacts
  package let standardization: InputStandardization
}

extension ModelPackage {
  /// Takes the standardisation of the input by its mean and deviation out of the network, so that it can be done with
  /// those of more than a tile.
  ///
  /// - Throws: ``ModelError``, `unsupported` where it is of a form that cannot be taken out.
  package func liftingStandardization() throws(ModelError) -> LiftedNetwork {
    func fail(_ reason: String) -> ModelError { ModelError(.unsupported, file: path, member: graphMember, reason) }
    let flow = try graph.flow(file: path, member: graphMember)
    let analysis = FlowAnalysis(flow)
    let found: FoundStandardization
    do throws(FlowAnalysis.Bound) {
      found = try analysis.findStandardization()
    } catch { throw fail(error.reason) }
    let graph = try editing.bypassing(found.bypassed)
    let facts = try graph.facts(file: path, member: graphMember)
    // What is left must see no more of a tile than without the statistics.
    switch (analysis.exactness, facts.exactness) {
    case (.exactWithStatistics, .exact): break
    case (.canonical(let before), .canonical(let after)) where before == after && facts.inputStatistics.isEmpty: break
    default: throw fail("the network takes further statistics of its input")
    }
    return LiftedNetwork(graph: graph, facts: facts, standardization: found.standardization)
  }
}
