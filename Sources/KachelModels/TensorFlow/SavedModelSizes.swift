// SPDX-License-Identifier: Apache-2.0

extension SavedModelEditor {
  mutating func setSpatialDimensions(height: Int, width: Int) throws(ModelError) {
    let old = (y: size(1), x: size(2))
    guard old.y != height || old.x != width else { return }
    let growth = AxisPair(y: old.y.map { height - $0 } ?? 0, x: old.x.map { width - $0 } ?? 0)
    let sizes = try sizes()
    if let misfit = sizes.misfit(height: height, width: width, old: old) { throw fail(.mismatch, misfit) }
    if growth.y != 0 || growth.x != 0 {
      try apply(sizes) { baked throws(BakedSizes.Obstacle) in try baked.changes(growth: growth) }
      forgetShapes(alongAxes: [1, 2])
    }
    let outputSize = sizes.outputSize(height: height, width: width)
    setShapes(
      input: { ($0.dim[1].size, $0.dim[2].size) = (Int64(height), Int64(width)) },
      output: {
        // TensorFlow finds by itself what is not known here.
        $0.dim[1].size = outputSize.map { Int64($0.y) } ?? -1
        $0.dim[2].size = outputSize.map { Int64($0.x) } ?? -1
      })
  }

  mutating func setBatch(_ batch: Int?) throws(ModelError) {
    let old = size(0)
    guard old != batch else { return }
    if let old {
      let sizes = try sizes()
      try apply(sizes) { baked throws(BakedSizes.Obstacle) in try baked.changes(batch: old, to: batch) }
      forgetShapes(alongAxes: [0])
    }
    let set = { (shape: inout TF_TensorShapeProto) in shape.dim[0].size = batch.map(Int64.init) ?? -1 }
    setShapes(input: set, output: set)
  }

  private func sizes() throws(ModelError) -> BakedSizes { BakedSizes(try SavedModelGraph(model, files).flow()) }

  /// The place of an operation: a node of a function, or of the graph itself.
  private struct Origin: Hashable, Comparable {
    var function: String
    var node: String

    init(_ place: Flow.Place) { (function, node) = (place.function, place.name) }

    static func < (a: Self, b: Self) -> Bool { (a.function, a.node) < (b.function, b.node) }
  }

  /// New numbers for an input of a node.
  private struct Replacement: Hashable {
    var input: Int
    var old: [Int?]
    var difference: [Int]
    var numbers: [Int]?
  }

  private mutating func apply(
    _ sizes: BakedSizes, _ changes: (BakedSizes) throws(BakedSizes.Obstacle) -> [BakedSizes.Change]
  ) throws(ModelError) {
    func refusal(_ node: Int?, _ reason: String) -> ModelError {
      guard let node = node.map({ sizes.flow.nodes[$0] }) else { return fail(.unsupported, reason) }
      return fail(
        .unsupported, BakedSizes.sentence(operation: node.operation, name: node.place.name, reason))
    }
    let found: [BakedSizes.Change]
    do throws(BakedSizes.Obstacle) { found = try changes(sizes) } catch {
      throw refusal(error.node, error.reason)
    }
    let byNode = Dictionary(grouping: found, by: \.node)
    var replacements: [Origin: [Replacement]] = [:]
    for (index, node) in sizes.flow.nodes.enumerated() where sizes.resultAxes(index) != nil {
      let own = (byNode[index] ?? []).map {
        // The flow has the image first.
        Replacement(
          input: node.operation == "Conv2DBackpropInput" ? 0 : $0.input, old: $0.old, difference: $0.difference,
          numbers: $0.numbers)
      }
      let origin = Origin(node.place)
      // A function that is called twice has one body.
      guard replacements[origin, default: own] == own else {
        throw refusal(index, "is run on images of different sizes")
      }
      replacements[origin] = own
    }
    let library = Dictionary(
      meta.graphDef.library.function.enumerated().map { ($1.signature.name, $0) },
      uniquingKeysWith: { first, _ in first })
    for (origin, replacements) in replacements.sorted(by: { $0.key < $1.key }) where !replacements.isEmpty {
      let function = origin.function.isEmpty ? nil : library[origin.function]
      guard let node = nodes(of: function).firstIndex(where: { $0.name == origin.node }) else { continue }
      for replacement in replacements { replace(replacement, node: node, of: function) }
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
