// SPDX-License-Identifier: Apache-2.0

extension ModelPackage {
  /// Checks that the network can be run on images and is what the package says.
  ///
  /// - Returns: the graph's facts, of which the check is made.
  /// - Throws: ``ModelError``: `unsupported` where Kachel does not run such networks, `mismatch` where the package and
  ///   its network disagree, `damaged` where weights are missing.
  @discardableResult
  public func checkRunnable() throws(ModelError) -> GraphFacts {
    func fail(_ kind: ModelError.Kind, _ reason: String) -> ModelError {
      ModelError(kind, file: path, member: graphMember, reason)
    }

    guard format.isPackage else {
      throw fail(
        .unsupported,
        "is a network without a package: nothing says what it takes and which classes it gives; make one with "
          + "kachel package")
    }
    guard metadata.kind.isSemanticSegmentation || metadata.kind == .regression else {
      throw fail(
        .unsupported, "is of the type \(metadata.kind.rawValue); semantic segmentation and regression are run")
    }
    let facts = try graphFacts()
    if let name = facts.missingWeights.first {
      throw fail(
        .damaged,
        "\(facts.missingWeights.count) of the network's weights are not in the package (as \(name)): "
          + "export the model again with its weights in one file")
    }
    let input = try only(facts.inputs, "input", fail)
    let output = try only(facts.outputs, "output", fail)
    let channels = try check(input, "input", fail)
    let outputChannels = try check(output, "output", fail)

    if let channels, !acceptedChannelCounts.contains(channels) {
      throw fail(
        .mismatch, "the package declares \(metadata.channelCount) channels, but the network takes \(channels)")
    }
    if let outputChannels {
      if metadata.kind.isSemanticSegmentation, outputChannels != metadata.classes.count {
        throw fail(
          .mismatch, "the package names \(metadata.classes.count) classes, but the network gives \(outputChannels)")
      }
      if let declared = metadata.outputShape?.last, declared != outputChannels {
        throw fail(
          .mismatch, "the package declares \(declared) output channels, but the network gives \(outputChannels)")
      }
    }
    for (axis, name) in [(1, "height"), (2, "width")] {
      if let before = input.shape?[axis], let after = output.shape?[axis], before != after {
        throw fail(
          .unsupported, "the output's \(name) is \(after) for an input of \(before): such networks are not run")
      }
    }
    return facts
  }

  /// Gray channels made from colour ones are counted once: packages mean either.
  var acceptedChannelCounts: Set<Int> {
    var counts: Set = [metadata.channelCount]
    if metadata.colorHandling == .convertToMonochrome { counts.insert(metadata.channels.count) }
    return counts
  }

  private func only(
    _ tensors: [GraphFacts.Tensor], _ what: String, _ fail: (ModelError.Kind, String) -> ModelError
  ) throws(ModelError) -> GraphFacts.Tensor {
    guard tensors.count == 1 else {
      let names = tensors.prefix(4).map(\.name).joined(separator: ", ")
      throw fail(.unsupported, "the network has \(tensors.count) \(what)s (\(names)); networks with one are run")
    }
    return tensors[0]
  }

  /// - Returns: the number of channels, where the graph says.
  private func check(
    _ tensor: GraphFacts.Tensor, _ what: String, _ fail: (ModelError.Kind, String) -> ModelError
  ) throws(ModelError) -> Int? {
    guard tensor.elementType == "float32" else {
      throw fail(.unsupported, "the \(what) \(tensor.name) is of the type \(tensor.elementType); float32 is run")
    }
    guard let shape = tensor.shape else {
      throw fail(.unsupported, "the graph does not say how many axes the \(what) \(tensor.name) has")
    }
    guard shape.count == 4 else {
      let reason = shape.count == 5 ? "3-D models are not run yet" : "batch, height, width and channels are needed"
      throw fail(.unsupported, "the \(what) \(tensor.name) has \(shape.count) axes: \(reason)")
    }
    if let batch = shape[0], batch != 1 {
      throw fail(.unsupported, "the \(what) \(tensor.name) has a fixed batch of \(batch); export it with a free one")
    }
    return shape[3]
  }
}
