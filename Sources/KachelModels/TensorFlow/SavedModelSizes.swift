// SPDX-License-Identifier: Apache-2.0

extension SavedModelEditor {
  mutating func setSpatialDimensions(height: Int, width: Int) throws(ModelError) {
    let old = (y: size(1), x: size(2))
    guard old.y != height || old.x != width else { return }
    let growth = AxisPair(y: old.y.map { height - $0 } ?? 0, x: old.x.map { width - $0 } ?? 0)
    let sizes = Sizes(try SavedModelGraph(model, files))
    if let misfit = sizes.baked.misfit(height: height, width: width, old: old) { throw fail(.mismatch, misfit) }
    if growth.y != 0 || growth.x != 0 {
      try apply(sizes) { baked throws(BakedSizes.Obstacle) in try baked.changes(growth: growth) }
      forgetShapes(alongAxes: [1, 2])
    }
    setShapes(
      input: { ($0.dim[1].size, $0.dim[2].size) = (Int64(height), Int64(width)) },
      output: {
        if $0.dim[1].size > 0 { $0.dim[1].size &+= Int64(growth.y) }
        if $0.dim[2].size > 0 { $0.dim[2].size &+= Int64(growth.x) }
      })
  }

  mutating func setBatch(_ batch: Int?) throws(ModelError) {
    let old = size(0)
    guard old != batch else { return }
    if let old {
      let sizes = Sizes(try SavedModelGraph(model, files))
      try apply(sizes) { baked throws(BakedSizes.Obstacle) in try baked.changes(batch: old, to: batch) }
      forgetShapes(alongAxes: [0])
    }
    let set = { (shape: inout TF_TensorShapeProto) in shape.dim[0].size = batch.map(Int64.init) ?? -1 }
    setShapes(input: set, output: set)
  }

  /// The sizes in the graph, and where the operations of the flow stand.
  private struct Sizes {
    let baked: BakedSizes
    let origins: [SavedModelGraph.Origin]

    init(_ graph: SavedModelGraph) {
      let (flow, origins) = graph.flowAndOrigins()
      (baked, self.origins) = (BakedSizes(flow), origins)
    }
  }

  /// New numbers for an input of a node.
  private struct Replacement: Hashable {
    var input: Int
    var old: [Int?]
    var difference: [Int]
    var numbers: [Int]?
  }

  private mutating func apply(
    _ sizes: Sizes, _ changes: (BakedSizes) throws(BakedSizes.Obstacle) -> [BakedSizes.Change]
  ) throws(ModelError) {
    let library = Dictionary(
      meta.graphDef.library.function.enumerated().map { ($1.signature.name, $0) }, uniquingKeysWith: { first, _ in first })
    func node(_ origin: SavedModelGraph.Origin) -> TF_NodeDef {
      nodes(of: origin.function.flatMap { library[$0] })[origin.node]
    }
    func refusal(_ origin: SavedModelGraph.Origin?, _ reason: String) -> ModelError {
      guard let origin else { return fail(.unsupported, reason) }
      let node = node(origin)
      return fail(.unsupported, BakedSizes.sentence(operation: node.op, name: node.name, reason))
    }
    let found: [BakedSizes.Change]
    do throws(BakedSizes.Obstacle) { found = try changes(sizes.baked) } catch {
      throw refusal(error.node.map { sizes.origins[$0] }, error.reason)
    }
    let byNode = Dictionary(grouping: found, by: \.node)
    var replacements: [SavedModelGraph.Origin: [Replacement]] = [:]
    for (index, origin) in sizes.origins.enumerated() where sizes.baked.resultAxes(index) != nil {
      let own = (byNode[index] ?? []).map {
        Replacement(
          input: node(origin).op == "Conv2DBackpropInput" ? 0 : $0.input, old: $0.old, difference: $0.difference,
          numbers: $0.numbers)
      }
      // A function that is called twice has one body.
      guard replacements[origin, default: own] == own else {
        throw refusal(origin, "is run on images of different sizes")
      }
      replacements[origin] = own
    }
    let ordered = replacements.filter { !$0.value.isEmpty }.sorted {
      ($0.key.function ?? "", $0.key.node) < ($1.key.function ?? "", $1.key.node)
    }
    for (origin, replacements) in ordered {
      let function = origin.function.flatMap { library[$0] }
      for replacement in replacements { replace(replacement, node: origin.node, of: function) }
    }
  }

  private mutating func replace(_ replacement: Replacement, node place: Int, of function: Int?) {
    let nodes = nodes(of: function)
    guard nodes[place].input.indices.contains(replacement.input) else { return }
    let reference = nodes[place].input[replacement.input]
    let type = nodes[place].op == "Reshape" ? nodes[place].attr["Tshape"]?.type : nil
    let element = type.flatMap(TensorFlowBuilder.Element.init) ?? .int32
    var builder = builder(for: function)
    let source = nodes.first { $0.name == nodeName(reference) }
    let result: String
    if let numbers = replacement.numbers {
      result = builder.integers(numbers, element)
    } else if let source, source.op == "Pack" {
      let numbers = replacement.difference.enumerated().compactMap { place, difference in
        difference == 0 ? nil : replacement.old[place].map { (place, $0 + difference) }
      }
      result = builder.repack(source, Dictionary(uniqueKeysWithValues: numbers), element)
    } else {
      result = builder.add(replacement.difference, to: reference, element)
    }
    update(function) {
      $0[place].input[replacement.input] = result
      $0 += builder.nodes
    }
  }
}
