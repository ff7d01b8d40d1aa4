// SPDX-License-Identifier: Apache-2.0
internal import SwiftProtobuf

/// A parsed SavedModel: the graph with its functions, without the values of its variables.
struct SavedModelGraph {
  let model: TF_SavedModel
  /// Which of the model's graphs is the one for serving.
  let place: Int
  let meta: TF_MetaGraphDef
  let signature: TF_SignatureDef
  let functions: [String: TF_FunctionDef]
  private let archive: SavedModelFiles

  init(_ archive: SavedModelFiles) throws(ModelError) {
    try self.init(
      archive.graph.model(size: archive.files[SavedModelFiles.graphName] ?? 0) { () throws(ModelError) in
        try Self.parse(archive)
      }, archive)
  }

  private static func parse(_ archive: SavedModelFiles) throws(ModelError) -> TF_SavedModel {
    let bytes = try archive.graphBytes()
    guard SavedModelMessages.model.holds(atMost: PackageLimits.graphFields, in: bytes) else {
      throw ModelError(
        .unsupported, file: archive.file, member: archive.member,
        "saved_model.pb has more than \(PackageLimits.graphFields) parts")
    }
    do {
      return try TF_SavedModel(serializedBytes: bytes)
    } catch {
      throw ModelError(
        .damaged, file: archive.file, member: archive.member, "saved_model.pb is damaged or cut off: copy it again")
    }
  }

  /// - Parameter archive: Where the model is from.
  init(_ model: TF_SavedModel, _ archive: SavedModelFiles) throws(ModelError) {
    func damaged(_ reason: String) -> ModelError {
      ModelError(.damaged, file: archive.file, member: archive.member, reason)
    }
    guard let place = model.metaGraphs.firstIndex(where: { $0.metaInfoDef.tags.contains("serve") }) else {
      throw damaged("saved_model.pb has no graph for serving (with the tag serve)")
    }
    let meta = model.metaGraphs[place]
    guard let signature = meta.signatureDef["serving_default"] else {
      throw damaged("saved_model.pb has no signature serving_default")
    }
    self.archive = archive
    (self.model, self.place) = (model, place)
    self.meta = meta
    self.signature = signature
    functions = Dictionary(
      meta.graphDef.library.function.map { ($0.signature.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// - Parameter layout: of the input.
  func facts(layout: ImageLayout = .channelsLast) throws(ModelError) -> GraphFacts {
    let survey = Survey(self)
    guard !survey.isMissing else {
      throw ModelError(
        .damaged, file: archive.file, member: archive.member,
        "the signature serving_default names an output that the graph does not have")
    }
    let analysis = FlowAnalysis(flow(layout: layout))
    return GraphFacts(
      inputs: tensors(signature.inputs), outputs: tensors(signature.outputs), opset: nil,
      producer: "TensorFlow \(meta.metaInfoDef.tensorflowVersion)", operations: survey.operations,
      parameterCount: survey.parameters, analysis: analysis,
      missingWeights: survey.variables.isEmpty ? [] : missingFiles())
  }

  private func tensors(_ infos: [String: TF_TensorInfo]) -> [GraphFacts.Tensor] {
    infos.sorted { $0.key < $1.key }.map { key, info in
      GraphFacts.Tensor(
        name: key, shape: info.hasTensorShape ? Self.shape(info.tensorShape) : nil,
        elementType: Self.typeName(info.dtype), node: info.name)
    }
  }

  static func shape(_ shape: TF_TensorShapeProto) -> [Int?]? {
    shape.unknownRank ? nil : shape.dim.map { $0.size >= 0 ? Int(exactly: $0.size) : nil }
  }

  private static func typeName(_ number: Int32) -> String {
    let names: [Int32: String] = [
      1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 9: "int64", 10: "bool",
      14: "bfloat16", 17: "uint16", 19: "float16",
    ]
    return names[number] ?? "type \(number)"
  }

  /// Files of variables that are not in the archive: the index, or data `i` of `n`.
  private func missingFiles() -> [String] {
    let index = "variables/variables.index"
    guard archive.files[index] != nil else { return [index] }
    let data = archive.files.keys.filter { $0.hasPrefix("variables/variables.data-") }
    guard let count = data.compactMap({ Int($0.suffix(5)) }).max(), count > 0 else {
      return ["variables/variables.data-00000-of-00001"]
    }
    func padded(_ number: Int) -> String { String(repeating: "0", count: max(0, 5 - "\(number)".count)) + "\(number)" }
    return (0..<count).map { "variables/variables.data-\(padded($0))-of-\(padded(count))" }
      .filter { archive.files[$0] == nil }
  }

  /// Counts what the signature's outputs need, by values and by order.
  private struct Survey {
    var operations: [String: Int] = [:]
    var variables: Set<String> = []
    var parameters = 0
    var isMissing = false

    init(_ graph: SavedModelGraph) {
      let nodes = Dictionary(graph.meta.graphDef.node.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
      var open = graph.signature.outputs.values.map { nodeName($0.name) }
      var seen: Set<String> = []
      var functions: [String] = []
      while let name = open.popLast() {
        guard seen.insert(name).inserted else { continue }
        guard let node = nodes[name] else {
          isMissing = true
          continue
        }
        visit(node, &functions)
        open += node.input.map(nodeName)
      }
      var seenFunctions: Set<String> = []
      while let name = functions.popLast() {
        guard seenFunctions.insert(name).inserted, let function = graph.functions[name] else { continue }
        for node in function.nodeDef { visit(node, &functions) }
      }
    }

    private mutating func visit(_ node: TF_NodeDef, _ functions: inout [String]) {
      operations[node.op, default: 0] += 1
      functions += node.attr.values.flatMap(SavedModelGraph.functionNames)
      guard node.op == "VarHandleOp", variables.insert(node.name).inserted, let dtype = node.attr["dtype"]?.type,
        [1, 2, 14, 19].contains(dtype), let shape = node.attr["shape"].flatMap({ SavedModelGraph.shape($0.shape) })
      else { return }
      var count = 1
      for size in shape {
        let product = count.multipliedReportingOverflow(by: size ?? 0)
        guard !product.overflow, product.partialValue <= 1 << 40 else { return }
        count = product.partialValue
      }
      parameters += count
    }
  }

  static func functionNames(_ attribute: TF_AttrValue) -> [String] {
    switch attribute.value {
    case .func(let function)?: [function.name]
    case .list(let list)?: list.func.map(\.name)
    default: []
    }
  }
}

/// The node of a reference as `node`, `node:0`, `node:output:0` or `^node`.
func nodeName(_ reference: String) -> String {
  String((reference.hasPrefix("^") ? reference.dropFirst() : reference[...]).prefix { $0 != ":" })
}
