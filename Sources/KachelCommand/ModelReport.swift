// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel

/// What `kachel inspect` says of a model package.
struct ModelReport: Encodable {
  struct Class: Encodable {
    var label: Int
    var name: String
    var color: String
  }
  struct Port: Encodable {
    var name: String
    var shape: [Int?]?
    var type: String

    var text: String {
      "\(name) \(type)"
        + (shape.map { "[" + $0.map { $0.map(String.init) ?? "?" }.joined(separator: ", ") + "]" } ?? "")
    }
  }
  struct Graph: Encodable {
    var format: String
    var opset: Int?
    var producer: String?
    var inputs: [Port]
    var outputs: [Port]
    var parameters: Int
    /// Of the graph with its weights.
    var bytes: Int?
    var operations: [String: Int]
    /// Two for each multiplication and addition of convolutions and matrix products, per pixel of the output.
    var flopsPerPixel: Double?
    var stride: [Int]?
    var globalOperations: [String: Int]
  }
  /// What tiles of the network promise. Pairs are x and y.
  struct Tiling: Encodable {
    /// `exact`, `exact with statistics` or `canonical`.
    var exactness: String
    var reason: String?
    var receptiveField: [Int]?
    var neededBorder: [Int]?
    /// Whether the declared border is enough, where one is declared and one would be.
    var borderSuffices: Bool?
    /// Why an engine rounds by the tiles' size what the network alone would not.
    var roundedByOpenVINO: String?
    var roundedByONNXRuntime: String?
  }
  struct ZEN: Encodable {
    var blue: String
    var core: String
  }

  /// Tells programs that read the JSON what the file is; see ``ImageReport/type``.
  var type = "model"
  var file: String
  var format: String
  var sha256: String
  /// Whether there is more than a network.
  var isPackage: Bool
  /// The oldest ZEN that opens the format.
  var zen: ZEN?
  var id: String
  var name: String
  var description: String?
  var kind: String
  var classes: [Class]
  var channels: [[String]]
  var channelCount: Int
  var colorHandling: String?
  var border: [Int]?
  var input: String
  var postprocessing: String?
  var license: String?
  var graph: Graph?
  var tiling: Tiling?
  /// What is in the package instead of a network's graph.
  var content: String?
  var canBeRun = true
  /// Why it cannot be run, where it cannot.
  var refusal: String?

  init(_ package: ModelPackage) throws {
    let metadata = package.metadata
    file = package.path
    format = package.format.description
    sha256 = package.sha256
    isPackage = package.format.isPackage
    zen = package.format.openedBy.map { ZEN(blue: $0.blue, core: $0.core) }
    (id, name, description) = (metadata.id, metadata.name, metadata.description)
    kind = metadata.kind.rawValue
    classes = metadata.classes.map { Class(label: $0.labelValue, name: $0.name, color: $0.color.hex) }
    channels = metadata.channels.map { $0.pixelTypes.map(\.rawValue) }
    channelCount = metadata.channelCount
    colorHandling = metadata.colorHandling?.rawValue
    border = metadata.border.map { [$0.x, $0.y] }
    input =
      !package.format.isPackage
      ? "not said" : metadata.scalesInputByBitDepth ? "values divided by the largest of their type" : "raw values"
    postprocessing = metadata.postprocessing
    license = metadata.licenseName
    if case .classical(let description) = package.graph {
      content = description
    } else {
      let facts = try package.graphFacts()
      graph = Graph(
        format: package.graph.formatName, opset: facts.opset, producer: facts.producer.isEmpty ? nil : facts.producer,
        inputs: facts.inputs.map { Port(name: $0.name, shape: $0.shape, type: $0.elementType) },
        outputs: facts.outputs.map { Port(name: $0.name, shape: $0.shape, type: $0.elementType) },
        parameters: facts.parameterCount, bytes: package.graph.byteCount, operations: facts.operations,
        flopsPerPixel: facts.flopsPerPixel, stride: facts.stride.map { [$0.x, $0.y] },
        globalOperations: facts.globalOperations)
      tiling = try Tiling(of: package, facts)
    }
    do throws(ModelError) { _ = try package.checkRunnable() } catch {
      canBeRun = false
      refusal = error.reason
    }
  }

  var text: String {
    var sheet = FactSheet()
    sheet.add("model", file)
    sheet.add("format", format)
    sheet.add("opened by", opener)
    sheet.add("name", name)
    sheet.add("description", description)
    sheet.add("id", id.isEmpty ? nil : id)
    sheet.add("kind", kind)
    sheet.add("classes", classList)
    sheet.add(
      "channels",
      channels.isEmpty ? "\(channelCount)" : channels.map { $0.joined(separator: " or ") }.joined(separator: ", "))
    sheet.add("input", input)
    sheet.add("colour", colorHandling)
    sheet.add("border", border.map { $0[0] == $0[1] ? "\($0[0]) pixels" : "\($0[0]) x \($0[1]) pixels" })
    sheet.add("postprocessing", postprocessing.flatMap { $0.isEmpty ? nil : $0 })
    sheet.add("licence", license)
    if let graph {
      let producer = graph.producer.map { ", \($0)" } ?? ""
      sheet.add("graph", "\(graph.format)\(graph.opset.map { " opset \($0)" } ?? "")\(producer)")
      sheet.add("size", "\(graph.parameters) parameters\(graph.bytes.map { ", \(Self.size($0))" } ?? "")")
      sheet.add("inputs", graph.inputs.map(\.text).joined(separator: "\n"))
      sheet.add("outputs", graph.outputs.map(\.text).joined(separator: "\n"))
      sheet.add("operations", operations(graph))
      sheet.add("cost", graph.flopsPerPixel.map { "\(Self.rounded($0)) FLOPs per pixel" })
      sheet.add("stride", graph.stride.map(Self.pair) ?? "not plain from the graph")
    }
    if let tiling {
      sheet.add("receptive field", receptiveField(tiling))
      sheet.add("tiles", tiling.exactness + (tiling.reason.map { ": \($0)" } ?? ""))
      sheet.add("with OpenVINO", tiling.roundedByOpenVINO.map { "rounded by the tiles' size: \($0)" })
      sheet.add("with ONNX Runtime", tiling.roundedByONNXRuntime.map { "rounded by the tiles' size: \($0)" })
    }
    sheet.add("content", content)
    sheet.add("can be run", refusal.map { "no: \($0)" } ?? "yes")
    sheet.add("SHA-256", sha256.isEmpty ? nil : sha256)
    return sheet.text
  }

  private var opener: String? {
    if let zen { return "ZEN blue \(zen.blue) and ZEN core \(zen.core), or later" }
    return isPackage ? "not in the published list of formats and ZEN versions" : nil
  }

  private var classList: String? {
    let lines = classes.prefix(50).map { entry in
      let block = Console.hasColorInResults ? RGB(hex: entry.color).map { Console.block($0) + " " } ?? "" : ""
      return "\(block)\(entry.label) \"\(entry.name)\" #\(entry.color)"
    }
    let rest = classes.count > lines.count ? ["and \(classes.count - lines.count) more"] : []
    return lines.isEmpty ? nil : (lines + rest).joined(separator: "\n")
  }

  /// The most frequent ones, most frequent first.
  private func operations(_ graph: Graph) -> String {
    let sorted = graph.operations.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
    let most = sorted.prefix(8).map { "\($0.value) \($0.key)" }
    let rest = sorted.count > most.count ? ["\(sorted.count - most.count) other kinds"] : []
    return (most + rest).joined(separator: ", ")
  }

  private func receptiveField(_ tiling: Tiling) -> String? {
    guard let field = tiling.receptiveField, let needed = tiling.neededBorder else { return nil }
    let verdict =
      switch tiling.borderSuffices {
      case true?: "the declared border is enough"
      case false?: "the declared border is too small"
      case nil: "none is declared"
      }
    let pixels = field == [1, 1] ? "pixel" : "pixels"
    return "\(Self.pair(field)) \(pixels) to each side; tiles need a border of \(Self.pair(needed)): \(verdict)"
  }

  private static func pair(_ pair: [Int]) -> String {
    pair[0] == pair[1] ? "\(pair[0])" : "\(pair[0]) x \(pair[1])"
  }

  private static func size(_ bytes: Int) -> String {
    bytes < 1_000_000
      ? String(format: "%.1f kB", Double(bytes) / 1e3) : String(format: "%.1f MB", Double(bytes) / 1e6)
  }

  private static func rounded(_ number: Double) -> String {
    switch number {
    case ..<1e4: String(format: "%.0f", number)
    case ..<1e6: String(format: "%.1f thousand", number / 1e3)
    default: String(format: "%.1f million", number / 1e6)
    }
  }
}

extension ModelReport.Tiling {
  init(of package: ModelPackage, _ facts: GraphFacts) throws(ModelError) {
    exactness = facts.exactness.name
    reason = facts.exactness.reason
    receptiveField = facts.receptiveField.map { [$0.x, $0.y] }
    neededBorder = facts.neededBorder.map { [$0.x, $0.y] }
    borderSuffices =
      switch facts.verdict(onBorder: package.metadata.border) {
      case .sufficient: true
      case .insufficient: false
      case .undeclared, .unknown: nil
      }
    if case .canonical = facts.exactness { return }
    let dependence = try package.graph.sizeDependence(file: package.path)
    (roundedByOpenVINO, roundedByONNXRuntime) = (dependence.ofOpenVINO, dependence.ofONNXRuntime)
  }
}
