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
    var operations: [String: Int]
    var stride: [Int]?
    var globalOperations: [String: Int]
  }

  /// Tells programs that read the JSON what the file is; see ``ImageReport/type``.
  var type = "model"
  var file: String
  var format: String
  var sha256: String
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
        parameters: facts.parameterCount, operations: facts.operations, stride: facts.stride.map { [$0.x, $0.y] },
        globalOperations: facts.globalOperations)
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
    sheet.add("name", name)
    sheet.add("description", description)
    sheet.add("id", id.isEmpty ? nil : id)
    sheet.add("kind", kind)
    let list = classes.prefix(50).map { "\($0.label) \"\($0.name)\" #\($0.color)" }
    sheet.add("classes", classes.isEmpty ? nil : list.joined(separator: "\n"))
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
      sheet.add(
        "graph", "\(graph.format)\(graph.opset.map { " opset \($0)" } ?? "")\(producer), \(graph.parameters) parameters"
      )
      sheet.add("inputs", graph.inputs.map(\.text).joined(separator: "\n"))
      sheet.add("outputs", graph.outputs.map(\.text).joined(separator: "\n"))
      sheet.add(
        "stride", graph.stride.map { $0[0] == $0[1] ? "\($0[0])" : "\($0[0]) x \($0[1])" } ?? "not plain from the graph"
      )
      let global = graph.globalOperations.sorted { $0.key < $1.key }.map { "\($0.key) (\($0.value))" }
      sheet.add("see the whole tile", global.isEmpty ? "no operation" : global.joined(separator: ", "))
    }
    sheet.add("content", content)
    sheet.add("can be run", refusal.map { "no: \($0)" } ?? "yes")
    sheet.add("SHA-256", sha256.isEmpty ? nil : sha256)
    return sheet.text
  }
}
