// SPDX-License-Identifier: Apache-2.0
internal import Foundation
internal import SwiftProtobuf

/// A SavedModel while it is edited.
///
/// Programs read a SavedModel in two ways: as a graph that is run, or as functions that are called through the signature.
/// The graph calls the signature's function, so what is put into that function serves both.
struct SavedModelEditor: GraphEditor {
  let files: SavedModelFiles
  private let file: String
  private let member: String?
  private(set) var model: TF_SavedModel
  let place: Int
  let (inputKey, outputKey): (String, String)
  private let placeholder: String
  /// Where new operations go: a function by its place in the library, or the graph itself.
  private let body: Int?
  /// The image in the body.
  private let image: String
  private(set) var isChanged = false

  init(_ files: SavedModelFiles, file: String, member: String?) throws(ModelError) {
    func fail(_ kind: ModelError.Kind, _ reason: String) -> ModelError {
      ModelError(kind, file: file, member: member, reason)
    }
    let graph = try SavedModelGraph(files)
    (self.files, self.file, self.member) = (files, file, member)
    (model, place) = (graph.model, graph.place)
    let signature = graph.signature
    guard let input = signature.inputs.first, let output = signature.outputs.first, signature.inputs.count == 1,
      signature.outputs.count == 1
    else {
      throw fail(
        .unsupported,
        "the network has \(signature.inputs.count) inputs and \(signature.outputs.count) outputs: networks "
          + "with one input and one output are edited")
    }
    for (tensor, name) in [(input, "input"), (output, "output")] {
      guard tensor.value.dtype == 1 else {
        throw fail(.unsupported, "the \(name) \(tensor.key) is not of the type float32, the only one that is edited")
      }
      guard !tensor.value.tensorShape.unknownRank, tensor.value.tensorShape.dim.count == 4 else {
        throw fail(
          .unsupported,
          "the \(name) \(tensor.key) has not 4 axes; networks with the axes batch, height, width and "
            + "channels are edited")
      }
    }
    let placeholder = nodeName(input.value.name)
    (inputKey, outputKey, self.placeholder) = (input.key, output.key, placeholder)
    let readers = graph.meta.graphDef.node.filter {
      $0.input.contains { !$0.hasPrefix("^") && nodeName($0) == placeholder }
    }
    guard graph.meta.graphDef.node.contains(where: { $0.name == placeholder }), let reader = readers.first else {
      throw fail(.damaged, "nothing in the graph reads the signature's input \(placeholder)")
    }
    let called = reader.attr["f"].flatMap { SavedModelGraph.functionNames($0).first }
    let library = graph.meta.graphDef.library.function
    if readers.count == 1, let called, let function = library.firstIndex(where: { $0.signature.name == called }),
      let argument = reader.input.firstIndex(where: { nodeName($0) == placeholder }),
      library[function].signature.inputArg.indices.contains(argument)
    {
      (body, image) = (function, library[function].signature.inputArg[argument].name)
    } else if graph.meta.objectGraphDef.concreteFunctions.isEmpty {
      (body, image) = (nil, placeholder)
    } else {
      throw fail(.unsupported, "the signature is not one function, as TensorFlow 2 writes it: export the network again")
    }
  }

  func fail(_ kind: ModelError.Kind, _ reason: String) -> ModelError {
    ModelError(kind, file: file, member: member, reason)
  }

  /// What calls the network past its signature would give it as it was, so that is taken away: the functions of the saved
  /// object, and what Keras would make the model anew from.
  func graph() throws(ModelError) -> ModelGraph {
    var model = model
    var objects = model.metaGraphs[place].objectGraphDef.nodes
    for index in objects.indices where objects[index].hasUserObject { objects[index].userObject.metadata = "" }
    if !objects.isEmpty {
      let isFunction = objects.map { $0.hasFunction || $0.hasBareConcreteFunction }
      objects[0].children.removeAll {
        isFunction.indices.contains(Int($0.nodeID)) && isFunction[Int($0.nodeID)]
      }
    }
    model.metaGraphs[place].objectGraphDef.nodes = objects
    do {
      return .savedModel(
        try files.replacing(graph: model).removing("keras_metadata.pb").removing("fingerprint.pb"))
    } catch {
      throw fail(.unsupported, "the edited graph cannot be written: \(error)")
    }
  }

  // MARK: The parts of the model

  private(set) var meta: TF_MetaGraphDef {
    get { model.metaGraphs[place] }
    _modify { yield &model.metaGraphs[place] }
  }

  private var signature: TF_SignatureDef {
    get { meta.signatureDef["serving_default"] ?? TF_SignatureDef() }
    set {
      meta.signatureDef["serving_default"] = newValue
      isChanged = true
    }
  }

  /// The value that is the network's output, by its node in the graph.
  var outputReference: String { signature.outputs[outputKey]?.name ?? "" }

  func size(_ axis: Int) -> Int? { Self.size(signature.inputs[inputKey], axis) }
  func outputSize(_ axis: Int) -> Int? { Self.size(signature.outputs[outputKey], axis) }

  private static func size(_ tensor: TF_TensorInfo?, _ axis: Int) -> Int? {
    guard let dim = tensor?.tensorShape.dim, dim.indices.contains(axis), dim[axis].size > 0 else { return nil }
    return Int(exactly: dim[axis].size)
  }

  var channelCount: Int? { size(3) }
  var outputChannelCount: Int? { outputSize(3) }

  func nodes(of function: Int?) -> [TF_NodeDef] {
    function.map { meta.graphDef.library.function[$0].nodeDef } ?? meta.graphDef.node
  }

  mutating func update(_ function: Int?, _ edit: (inout [TF_NodeDef]) -> Void) {
    if let function {
      edit(&meta.graphDef.library.function[function].nodeDef)
    } else {
      edit(&meta.graphDef.node)
    }
    isChanged = true
  }

  func builder(for function: Int?) -> TensorFlowBuilder {
    var taken = Set(nodes(of: function).map(\.name))
    if let function {
      taken.formUnion(meta.graphDef.library.function[function].signature.inputArg.map(\.name))
    }
    return TensorFlowBuilder(taken: taken, isFunction: function != nil)
  }

  // MARK: Edits

  mutating func prepend(_ steps: [PixelStep]) throws(ModelError) {
    var builder = builder(for: body)
    var last = image
    for step in steps { last = builder.add(step, after: last) }
    guard last != image else { return }
    let image = image
    update(body) { nodes in
      for node in nodes.indices {
        for (index, input) in nodes[node].input.enumerated() where input == image || input == image + ":0" {
          nodes[node].input[index] = last
        }
      }
      nodes += builder.nodes
    }
    guard let body else { return }
    for (name, source) in meta.graphDef.library.function[body].ret where source == image {
      meta.graphDef.library.function[body].ret[name] = last
    }
  }

  mutating func appendComplement() throws(ModelError) {
    try append { $0.complement($1) }
    setShapes(output: { $0.dim[3].size = 2 })
  }

  mutating func append(_ function: ScoreFunction) throws(ModelError) {
    try append { $0.scores(function, of: $1) }
  }

  /// Puts operations behind the network.
  private mutating func append(_ add: (inout TensorFlowBuilder, String) -> String) throws(ModelError) {
    var builder = builder(for: body)
    if let body {
      let name = try resultName(body)
      guard let source = meta.graphDef.library.function[body].ret[name] else {
        throw fail(.damaged, "the signature's function does not return \(name)")
      }
      meta.graphDef.library.function[body].ret[name] = add(&builder, source)
    } else {
      let source = outputReference
      signature.outputs[outputKey]?.name = add(&builder, source) + ":0"
    }
    update(body) { $0 += builder.nodes }
    forgetShapes(of: nil)
  }

  /// Which result of the signature's function is the network's output.
  private func resultName(_ function: Int) throws(ModelError) -> String {
    let definition = meta.graphDef.library.function[function].signature
    var reference = outputReference
    for _ in 0..<8 {
      guard let node = meta.graphDef.node.first(where: { $0.name == nodeName(reference) }) else { break }
      if node.op == "Identity", let source = node.input.first {
        reference = source
        continue
      }
      let parts = reference.split(separator: ":")
      guard let called = node.attr["f"].flatMap({ SavedModelGraph.functionNames($0).first }), called == definition.name,
        let index = parts.count > 1 ? Int(parts[parts.count - 1]) : 0, definition.outputArg.indices.contains(index)
      else { break }
      return definition.outputArg[index].name
    }
    throw fail(.unsupported, "the signature's output is not a result of the signature's function")
  }

  /// TensorFlow computes with channels first on graphics processors only.
  mutating func moveChannelsLast() throws(ModelError) {
    let nodes = meta.graphDef.node + meta.graphDef.library.function.flatMap(\.nodeDef)
    guard !nodes.contains(where: { $0.op == "Conv2D" && $0.attr["data_format"]?.s == Data("NCHW".utf8) }) else {
      throw fail(.unsupported, "the network computes with its channels first: export it with channels last")
    }
  }

  mutating func bypass(_ operations: [FoundStandardization.Bypass]) throws(ModelError) {
    for operation in operations {
      let function =
        operation.function.isEmpty
        ? nil : meta.graphDef.library.function.firstIndex { $0.signature.name == operation.function }
      let values = nodes(of: function).first { $0.name == operation.node }?.input.filter { !$0.hasPrefix("^") } ?? []
      guard operation.function.isEmpty == (function == nil), values.indices.contains(operation.input) else {
        throw fail(.unsupported, "the operation \(operation.node) cannot be taken out of the graph")
      }
      let source = values[operation.input]
      func isRead(_ reference: String) -> Bool { !reference.hasPrefix("^") && nodeName(reference) == operation.node }
      update(function) { nodes in
        for node in nodes.indices {
          for (index, input) in nodes[node].input.enumerated() where isRead(input) { nodes[node].input[index] = source }
        }
      }
      guard let function else { continue }
      for (name, value) in meta.graphDef.library.function[function].ret where isRead(value) {
        meta.graphDef.library.function[function].ret[name] = source
      }
    }
  }

  // MARK: Shapes

  /// Changes the shapes that are written down for the input and the output, wherever they are.
  mutating func setShapes(
    input: (inout TF_TensorShapeProto) -> Void = { _ in }, output: (inout TF_TensorShapeProto) -> Void
  ) {
    func edit(_ shape: inout TF_TensorShapeProto, _ edit: (inout TF_TensorShapeProto) -> Void) {
      if !shape.unknownRank, shape.dim.count == 4 { edit(&shape) }
    }
    var signature = signature
    if signature.inputs[inputKey] != nil { edit(&signature.inputs[inputKey, default: .init()].tensorShape, input) }
    if signature.outputs[outputKey] != nil { edit(&signature.outputs[outputKey, default: .init()].tensorShape, output) }
    self.signature = signature
    for index in meta.graphDef.node.indices where meta.graphDef.node[index].name == placeholder {
      for (name, value) in meta.graphDef.node[index].attr where name == "shape" || name == "_output_shapes" {
        meta.graphDef.node[index].attr[name] = Self.changed(value) { edit(&$0, input) }
      }
    }
    guard let body else { return }
    let definition = meta.graphDef.library.function[body].signature
    if let argument = definition.inputArg.firstIndex(where: { $0.name == image }) {
      let key = UInt32(argument)
      if let value = meta.graphDef.library.function[body].argAttr[key]?.attr["_output_shapes"] {
        meta.graphDef.library.function[body].argAttr[key]?.attr["_output_shapes"] = Self.changed(value) {
          edit(&$0, input)
        }
      }
      if var value = meta.graphDef.library.function[body].attr["_input_shapes"],
        value.list.shape.indices.contains(argument)
      {
        edit(&value.list.shape[argument], input)
        meta.graphDef.library.function[body].attr["_input_shapes"] = value
      }
    }
    if var concrete = meta.objectGraphDef.concreteFunctions[definition.name] {
      Self.change(&concrete.canonicalizedInputSignature, named: inputKey) { edit(&$0, input) }
      Self.change(&concrete.outputSignature, named: outputKey) { edit(&$0, output) }
      meta.objectGraphDef.concreteFunctions[definition.name] = concrete
    }
  }

  private static func changed(_ value: TF_AttrValue, _ edit: (inout TF_TensorShapeProto) -> Void) -> TF_AttrValue {
    var value = value
    switch value.value {
    case .shape?: edit(&value.shape)
    case .list?: for index in value.list.shape.indices { edit(&value.list.shape[index]) }
    default: break
    }
    return value
  }

  /// The parser lets no value through that is too deep for this.
  private static func change(
    _ value: inout TF_StructuredValue, named name: String, _ edit: (inout TF_TensorShapeProto) -> Void
  ) {
    switch value.kind {
    case .tensorSpecValue(let specification)? where specification.name == name: edit(&value.tensorSpecValue.shape)
    case .listValue?:
      for index in value.listValue.values.indices { change(&value.listValue.values[index], named: name, edit) }
    case .tupleValue?:
      for index in value.tupleValue.values.indices { change(&value.tupleValue.values[index], named: name, edit) }
    case .dictValue?:
      for (key, var inner) in value.dictValue.fields {
        change(&inner, named: name, edit)
        value.dictValue.fields[key] = inner
      }
    default: break
    }
  }

  /// Takes away the shapes of values inside, which TensorFlow finds by itself. The input keeps its own.
  mutating func forgetShapes(of function: Int?) {
    let placeholder = placeholder
    update(function) { nodes in
      for index in nodes.indices where function != nil || nodes[index].name != placeholder {
        nodes[index].attr["_output_shapes"] = nil
      }
    }
  }

  /// Takes away all shapes inside that follow from the sizes along some axes.
  mutating func forgetShapes(alongAxes axes: [Int]) {
    forgetShapes(of: nil)
    func free(_ shape: inout TF_TensorShapeProto) {
      if shape.dim.count == 4 { for axis in axes { shape.dim[axis].size = -1 } }
    }
    for function in meta.graphDef.library.function.indices {
      forgetShapes(of: function)
      if let value = meta.graphDef.library.function[function].attr["_input_shapes"] {
        meta.graphDef.library.function[function].attr["_input_shapes"] = Self.changed(value, free)
      }
      for (key, var argument) in meta.graphDef.library.function[function].argAttr {
        guard let value = argument.attr["_output_shapes"] else { continue }
        argument.attr["_output_shapes"] = Self.changed(value, free)
        meta.graphDef.library.function[function].argAttr[key] = argument
      }
    }
  }
}
