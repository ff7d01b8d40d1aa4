// SPDX-License-Identifier: Apache-2.0

extension BioImageIOPackage {
  /// Looks at everything that can be told of the package without running its network.
  public func staticChecks() -> [Check] {
    let checks = [filesCheck(), metadataCheck(), processingCheck()]
    do throws(ModelError) {
      let facts = try graphFacts()
      return checks + [networkCheck(facts), haloCheck(facts)]
    } catch {
      return checks + [Check("network", .failed, error.reason)]
    }
  }

  /// Whether the files that are needed are there, and are those that the description means.
  private func filesCheck() -> Check {
    var findings = Findings()
    var wanted = (inputs + outputs).compactMap(\.testTensor)
    if let weights = readableWeights { wanted.insert(weights.file, at: 0) }
    for file in wanted {
      do throws(ModelError) { _ = try files.read(file, limit: PackageLimits.graph) } catch {
        findings.fail("\(file.source) \(error.reason)")
      }
    }
    let unstated = wanted.filter { $0.sha256 == nil }.map(\.source)
    let text = unstated.isEmpty ? "and are the ones that the description means" : "(no hash stated of \(unstated[0]))"
    return findings.check("files", "weights and test tensors are there \(text)")
  }

  private func metadataCheck() -> Check {
    var findings = Findings()
    if license == nil { findings.warn("states no license, so that nobody may pass it on") }
    for tensor in inputs + outputs where tensor.testTensor == nil {
      findings.warn("names no test tensor for \(tensor.id)")
    }
    return findings.check("metadata", "\"\(name)\", format \(formatVersion), license \(license ?? "")")
  }

  private func processingCheck() -> Check {
    var findings = Findings()
    for tensor in inputs + outputs {
      for operation in tensor.operations {
        switch operation {
        case .unknown(let name): findings.warn("\(name) of \(tensor.id) is not known here")
        case .zeroMeanUnitVariance(.dataset, _), .scaleRange(.dataset, _, _, _, _), .scaleMeanVariance(.dataset, _, _):
          findings.warn(
            "\(operation.name) of \(tensor.id) needs statistics of a whole dataset, which an image does not tell")
        default: break
        }
      }
    }
    let names = (inputs + outputs).flatMap(\.operations).map(\.name).filter { $0 != "ensure_dtype" }
    return findings.check("processing", names.isEmpty ? "none" : names.joined(separator: ", "))
  }

  /// What the graph says, in the layout that the description gives it.
  ///
  /// - Throws: ``ModelError`` as ``graph()`` does, or where it is damaged.
  package func graphFacts() throws(ModelError) -> GraphFacts {
    try graph().facts(
      layout: isChannelsFirst ? .channelsFirst : .channelsLast, file: path, member: readableWeights?.file.source ?? "")
  }

  /// Whether the input is a 2-D image with its channels before height and width.
  package var isChannelsFirst: Bool { inputs[0].axes.map(\.kind) == [.batch, .channel, .space, .space] }
  /// Whether the input is a 2-D image with its channels last.
  package var isChannelsLast: Bool { inputs[0].axes.map(\.kind) == [.batch, .space, .space, .channel] }
  /// The halo of the first output, where it is a 2-D image.
  package var halo: AxisPair? {
    let axes = outputs[0].axes.filter { $0.kind == .space }
    return axes.count == 2 ? AxisPair(y: axes[0].halo, x: axes[1].halo) : nil
  }

  private func haloCheck(_ facts: GraphFacts) -> Check {
    guard isChannelsFirst || isChannelsLast, let halo else {
      return Check("border declared", .skipped, "only models of 2-D images are tiled")
    }
    var findings = Findings()
    let text = facts.borderText(halo, &findings)
    return findings.check("border declared", text)
  }

  /// The description against the graph.
  private func networkCheck(_ facts: GraphFacts) -> Check {
    var findings = Findings()
    if let name = facts.missingWeights.first {
      findings.fail("\(facts.missingWeights.count) weights are not in the package (as \(name))")
    }
    for (own, described, what) in [(facts.inputs, inputs, "inputs"), (facts.outputs, outputs, "outputs")] {
      guard own.count == described.count else {
        findings.fail("describes \(described.count) \(what), but the network has \(own.count)")
        continue
      }
      for (port, tensor) in zip(own, described) {
        guard let shape = port.shape else { continue }
        guard shape.count == tensor.axes.count else {
          findings.fail(
            "\(tensor.id) is described with \(tensor.axes.count) axes, but the network's has \(shape.count)")
          continue
        }
        for (size, axis) in zip(shape, tensor.axes) {
          if let size, case .fixed(let stated) = axis.size, size != stated {
            findings.fail("\(axis.id) of \(tensor.id) is described as \(stated), but the network's is \(size)")
          }
        }
      }
    }
    return findings.check(
      "network",
      "\(facts.opset.map { "ONNX opset \($0)" } ?? "SavedModel"), \(facts.parameterCount) parameters, as described")
  }
}
