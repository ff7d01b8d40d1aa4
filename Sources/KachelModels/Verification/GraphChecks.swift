// SPDX-License-Identifier: Apache-2.0

/// What a package says of its network against what the network is.
extension ModelPackage {
  func weightsCheck(_ facts: GraphFacts) -> Check {
    var findings = Findings()
    if let name = facts.missingWeights.first {
      findings.fail(
        """
        \(facts.missingWeights.count) weights are not in the package (as \(name)), so it can never run: export the \
        model again with its weights in one file
        """)
    }
    return findings.check("weights", "all \(facts.parameterCount) are in the package")
  }

  /// What ``checkRunnable()`` says.
  func networkCheck() -> Check {
    guard metadata.kind.isSemanticSegmentation || metadata.kind == .regression else {
      return Check("network", .skipped, "is of the type \(metadata.kind.rawValue), which Kachel does not run")
    }
    do throws(ModelError) {
      _ = try checkRunnable()
      return Check("network", .passed, "one input and one output, as the package says")
    } catch {
      return Check("network", .failed, error.reason)
    }
  }

  /// The sizes that the package declares, and the order of the axes.
  func shapesCheck(_ facts: GraphFacts) -> Check {
    var findings = Findings()
    for (tensor, declared, name) in [
      (facts.inputs.first, metadata.inputShape, "InputShape"),
      (facts.outputs.first, metadata.outputShape, "OutputShape"),
    ] {
      guard let shape = tensor?.shape, shape.count > 2 else { continue }
      let own = Array(shape.dropFirst())
      if let declared {
        if declared.count != own.count {
          findings.fail("\(name) has \(declared.count) sizes, but the network has \(own.count) besides the batch")
        } else if let hint = Self.difference(declared, own) {
          findings.fail("\(name) is \(declared), but the network's is \(Self.text(own))\(hint)")
        }
      } else if own.count == 3, let first = own[0], let last = own[2], Self.isChannelCount(first),
        !Self.isChannelCount(last)
      {
        findings.fail(
          "the network's \(name == "InputShape" ? "input" : "output") is \(Self.text(own)): its channels come first, "
            + "but packages want them last")
      }
    }
    return findings.check("shapes", metadata.inputShape == nil ? "height, width, channels" : "as declared")
  }

  private static func isChannelCount(_ size: Int) -> Bool { size <= 8 }

  private static func text(_ sizes: [Int?]) -> String {
    "[" + sizes.map { $0.map(String.init) ?? "any" }.joined(separator: ", ") + "]"
  }

  /// What is wrong where a declared shape is not the network's: an explanation, or nothing more.
  private static func difference(_ declared: [Int], _ own: [Int?]) -> String? {
    func fits(_ shape: [Int]) -> Bool { zip(shape, own).allSatisfy { $1 == nil || $0 == $1 } }
    guard !fits(declared), let last = declared.last, let first = declared.first else { return nil }
    if fits([last] + declared.dropLast()) { return ": the network's channels come first, but packages want them last" }
    if fits(declared.dropFirst() + [first]) { return ": the channels are declared first, but must be last" }
    if fits(declared.dropLast().reversed() + [last]) { return ": height and width are swapped" }
    return ""
  }

  /// Whether the ZEN that opens such packages can run the graph.
  ///
  /// Source: the compatibility table and the ANN Model Specification of the czmodel documentation.
  func targetCheck(_ facts: GraphFacts) -> Check {
    var findings = Findings()
    let zen = format.openedBy, isSaved = facts.opset == nil
    let (isCzann, version) =
      switch format {
      case .czmodel(let version): (false, version)
      case .czann(let version): (true, version)
      case .bioImageIO, .onnx, .savedModel: (false, "")
      }
    if !isCzann, version.hasPrefix("3.0"), !isSaved {
      findings.warn("format 3.0.0 holds SavedModels, but this is ONNX, which ZEN reads from 3.1.0 on")
    }
    if isCzann, isSaved, !version.hasPrefix("1.") {
      findings.warn("format \(version) holds ONNX, but this is a SavedModel, which ZEN reads up to 1.1.0")
    }
    // What ZEN itself writes has no published promise.
    if let opset = facts.opset, zen != nil {
      let highest = isCzann && version.hasPrefix("2.1") ? 18 : 12
      if opset > highest {
        findings.warn(
          "the graph needs opset \(opset), but format \(version) promises \(highest) at most: older ZEN may refuse it")
      }
    }
    let foreign = foreignOperations()
    if !foreign.isEmpty {
      findings.warn("has operations outside the ONNX standard (\(foreign.prefix(4).joined(separator: ", ")))")
    }
    let graph = facts.opset.map { "ONNX opset \($0)" } ?? "SavedModel"
    return findings.check(
      "target",
      "\(graph), \(zen.map { "for ZEN blue \($0.blue) and ZEN core \($0.core) or later" } ?? "in format \(version), of which no table says which ZEN opens it")"
    )
  }

  private func foreignOperations() -> [String] {
    guard case .onnx(let bytes) = graph, let graph = try? ONNXGraph(bytes, file: path, member: graphMember) else {
      return []
    }
    let names = graph.model.graph.node.filter { !["", "ai.onnx", "ai.onnx.ml"].contains($0.domain) }
    return Set(names.map { "\($0.domain).\($0.opType)" }).sorted()
  }

  /// Whether the network's first operations show which range of numbers it takes.
  package var showsInputRange: Bool {
    FirstOperations(of: graph, file: path, member: graphMember).range != .unknown
  }

  /// Whether the network's first operations fit the range of numbers that programs feed.
  func rangeCheck() -> Check {
    var findings = Findings()
    let first = FirstOperations(of: graph, file: path, member: graphMember)
    let isScaled = metadata.scalesInputByBitDepth
    let fed = isScaled ? "0 to 1" : "raw values"
    let takesFloats = metadata.channels.flatMap(\.pixelTypes).contains { $0 == .gray32Float || $0 == .bgr96Float }
    switch first.range {
    case .raw where isScaled:
      findings.fail(
        """
        the network first computes (x - \(first.center.short)) / \(first.spread.short), which is made for raw values, \
        but a package of this format is fed 0 to 1: everything looks black to it. Package it as .czmodel, or put a scale \
        in front
        """)
    case .unit where !isScaled && !takesFloats:
      findings.fail(
        """
        the network first computes (x - \(first.center.short)) / \(first.spread.short), which is made for values from 0 \
        to 1, but a package of this format is fed raw values. Package it as .czann, or put a scale in front
        """)
    default: break
    }
    let text: String =
      switch first.range {
      case .any: "the network standardises every tile, so it takes any range; it is fed \(fed)"
      case .unknown: "fed \(fed); the network's first operations do not tell its range"
      case .raw, .unit: "fed \(fed), which fits the network's first operations"
      }
    return findings.check("input range", text)
  }
}

extension Double {
  /// With as many digits as a line of text bears.
  fileprivate var short: String {
    let text = "\((self * 1000).rounded() / 1000)"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }
}
