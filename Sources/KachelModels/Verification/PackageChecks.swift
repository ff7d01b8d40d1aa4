// SPDX-License-Identifier: Apache-2.0
private import Foundation
private import KachelBytes
private import KachelPixels

extension ModelPackage {
  /// Looks at everything that can be told of the package without running its network.
  ///
  /// - Parameter facts: the graph's, where it could be read; `nil` for a classical classifier.
  public func staticChecks(_ facts: GraphFacts?) -> [Check] {
    guard format.isPackage else {
      let text = "is a network without a package: nothing says what it takes and gives; make one with kachel package"
      return [Check("container", .failed, text)]
    }
    var checks = [containerCheck(), metadataCheck(), classesCheck(facts), channelsCheck(facts)]
    if let facts {
      checks += [borderCheck(facts), weightsCheck(facts), shapesCheck(facts), targetCheck(facts), rangeCheck()]
      // It repeats what others found, and says what else stands in the way.
      if !checks.contains(where: { $0.status == .failed }) { checks.append(networkCheck()) }
    }
    return checks
  }

  private var isXML: Bool { if case .czmodel = format { true } else { false } }

  // MARK: Container

  private func containerCheck() -> Check {
    var findings = Findings()
    let names = members.map(\.name)
    let id = metadata.id
    if isXML {
      let markers = names.filter { $0.hasPrefix("modelid=") }
      if markers.isEmpty {
        findings.warn("the empty member modelid=\(id) is missing, by which ZEN tells models apart")
      } else if markers != ["modelid=\(id)"] {
        findings.fail("the package is marked \(markers.joined(separator: ", ")), but its metadata has the id \(id)")
      }
      for (name, wanted) in [(metadataMember, "\(id).xml"), (graphMember, "\(id).model")] where name != wanted {
        findings.fail("\(name) should be called \(wanted), after the id in the metadata")
      }
    } else {
      for (name, wanted) in [(metadataMember, "model.json"), (graphMember, "model.model")] where name != wanted {
        findings.warn("\(name) should be called \(wanted)")
      }
    }
    if !attachments.isEmpty {
      let names = attachments.prefix(4).map(\.name).joined(separator: ", ")
      findings.warn("it holds files that belong to no model: \(names)")
    }
    let suffix = URL(filePath: path).pathExtension.lowercased()
    let suffixes = isXML ? ["czmodel", "czseg"] : ["czann"]
    if !suffixes.contains(suffix) {
      findings.warn("ZEN goes by the name, which should end in .\(suffixes.joined(separator: " or ."))")
    }
    return findings.check("container", "\(members.count) members, their names and ids agree")
  }

  // MARK: Metadata

  private func metadataCheck() -> Check {
    var findings = Findings()
    if UUID(uuidString: metadata.id) == nil {
      findings.warn("the id \"\(metadata.id.prefix(60))\" is no UUID, which ZEN expects")
    }
    if isXML {
      if metadata.colorHandling == nil { findings.warn("ColorHandling is missing") }
      if metadata.featureExtractor == nil { findings.warn("FeatureExtractor is missing") }
    } else {
      jsonFindings(&findings)
    }
    if let size = metadata.pixelSize, ![size.x, size.y].allSatisfy({ (1e-4...1e4).contains($0) }) {
      findings.warn("the pixel size of \(size.x) x \(size.y) micrometres cannot be meant; Scaling is in metres")
    }
    return findings.check("metadata", "agrees with the schema of \(format)")
  }

  /// What reading forgives.
  private func jsonFindings(_ findings: inout Findings) {
    guard let json = original?.keys else { return }
    if let overlap = json["MinOverlap"]?.ints {
      if overlap.contains(where: { $0 % 2 != 0 }) {
        findings.warn("MinOverlap is \(overlap), which must be even: it is twice the border")
      }
      if overlap.count == 1 {
        findings.warn("MinOverlap is one number; the format wants one for each of height and width")
      }
    }
    if metadata.kind.isSemanticSegmentation, json["Classes"] == nil {
      findings.warn("Classes are missing, so the classes have no names")
    }
    if metadata.schemaVersion.hasPrefix("1."), (metadata.inputShape?.count ?? 3) > 3 {
      findings.warn("declares a 3-D network, which ZEN knows from format 2.0.0 on")
    }
  }

  private func classesCheck(_ facts: GraphFacts?) -> Check {
    var findings = Findings()
    let names = metadata.classes.map(\.name)
    if metadata.kind.isSemanticSegmentation {
      if names.count < 2 { findings.warn("names \(names.count) class; a segmentation needs two, the background too") }
      if Set(names).count < names.count { findings.warn("two classes have the same name") }
      if names.contains(where: { $0.allSatisfy(\.isWhitespace) }) { findings.warn("a class has no name") }
      if metadata.classes.map(\.labelValue) != Array(1...max(1, names.count)) {
        findings.warn("the label values \(metadata.classes.map(\.labelValue)) do not count from 1")
      }
    } else if metadata.kind == .regression, !names.isEmpty {
      findings.warn("is a regression, whose result is an image, but names classes")
    }
    let output = facts?.outputs.first?.shape?.last ?? nil
    if let output, metadata.kind.isSemanticSegmentation, output != names.count {
      findings.fail("names \(names.count) classes, but the network gives \(output) scores a pixel: correct the list")
    }
    return findings.check(
      "classes", names.isEmpty ? "none; the output is an image" : names.joined(separator: ", "))
  }

  private func channelsCheck(_ facts: GraphFacts?) -> Check {
    var findings = Findings()
    let declared = metadata.channelCount
    let input = facts?.inputs.first?.shape?.last ?? nil
    if let input, !acceptedChannelCounts.contains(input) {
      findings.fail("declares \(declared) channel\(declared == 1 ? "" : "s"), but the network takes \(input)")
    }
    let types = metadata.channels.flatMap(\.pixelTypes)
    if metadata.colorHandling == .convertToMonochrome, input ?? 1 > 1, types.contains(where: { $0.samples > 1 }) {
      findings.warn(
        "says to turn colours into gray, but the network takes \(input ?? 0) channels: SplitRgb is meant")
    }
    if types.contains(where: { $0 == .gray64ComplexFloat || $0 == .bgr192ComplexFloat }) {
      findings.warn("takes complex pixels, which no program feeds")
    }
    let text =
      types.isEmpty
      ? "\(declared)"
      : metadata.channels.map { $0.pixelTypes.map(\.rawValue).joined(separator: " or ") }.joined(separator: ", ")
    return findings.check("channels", "takes \(text)\(metadata.colorHandling.map { ", \($0.rawValue)" } ?? "")")
  }

  private func borderCheck(_ facts: GraphFacts) -> Check {
    var findings = Findings()
    guard let border = metadata.border else {
      findings.warn("the package declares no border; programs then guess how far tiles must overlap")
      return findings.check("border declared", "")
    }
    let (height, width) = fixedSize(facts)
    for (border, side, name) in [(border.y, height, "high"), (border.x, width, "wide")] {
      if let side, 2 * border >= side {
        findings.fail(
          "a border of \(border) pixels on both sides leaves nothing of a tile that is \(side) pixels \(name)")
      }
    }
    let good = facts.borderText(border, &findings)
    return findings.check("border declared", good)
  }

  private func fixedSize(_ facts: GraphFacts) -> (height: Int?, width: Int?) {
    let shape = facts.inputs.first?.shape
    let own = shape?.count == 4 ? (shape?[1] ?? nil, shape?[2] ?? nil) : (nil, nil)
    return (own.0 ?? metadata.tileSize?.height, own.1 ?? metadata.tileSize?.width)
  }
}

extension AxisPair {
  var text: String { y == x ? "\(x)" : "\(y) x \(x)" }
}

extension GraphFacts {
  /// Whether a declared border suffices by the graph, for what is said of it.
  func borderText(_ border: AxisPair, _ findings: inout Findings) -> String {
    switch verdict(onBorder: border) {
    case .sufficient(let needed): return "\(border.text) pixels; by its graph the network needs \(needed.text)"
    case .insufficient(let needed):
      findings.warn(
        "\(border.text) pixels, but by its graph the network needs \(needed.text): declare that, or tiles show in ZEN")
      return ""
    case .undeclared, .unknown: return "\(border.text) pixels; none is enough, as pixels see the whole tile"
    }
  }
}
