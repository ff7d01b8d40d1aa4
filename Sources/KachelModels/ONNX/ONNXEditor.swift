// SPDX-License-Identifier: Apache-2.0
internal import Foundation

/// An ONNX graph while it is edited.
struct ONNXEditor: GraphEditor {
  private let file: String
  private let member: String?
  var document: ONNXDocument
  private(set) var isChanged = false
  let opset: Int
  /// The places of the network's only input and output in the graph's lists.
  private let input: Int
  private let output: Int
  /// The axes of the input, and those of the output.
  let (inputLayout, outputLayout): (ImageLayout, ImageLayout)
  private var names: ONNXNames

  init(_ bytes: [UInt8], file: String, member: String?) throws(ModelError) {
    func fail(_ kind: ModelError.Kind, _ reason: String) -> ModelError {
      ModelError(kind, file: file, member: member, reason)
    }
    let document = try ONNXDocument(bytes, file: file, member: member)
    let outline = ONNXGraph(model: document.outline, file: file, member: member ?? "")
    let graph = outline.model.graph
    let weights = Set(graph.initializer.map(\.name))
    let inputs = document.model.graph.input.indices.filter { !weights.contains(document.model.graph.input[$0].name) }
    guard inputs.count == 1, graph.output.count == 1 else {
      throw fail(
        .unsupported,
        "the network has \(inputs.count) inputs and \(graph.output.count) outputs: networks with one input "
          + "and one output are edited")
    }
    let input = graph.input[inputs[0]]
    for (tensor, name) in [(input, "input"), (graph.output[0], "output")] {
      let type = tensor.type.tensorType
      guard type.elemType == ONNXElementType.float32 else {
        throw fail(
          .unsupported,
          "the \(name) \(tensor.name) is of the type \(ONNXElementType.name(type.elemType)); networks of "
            + "float32 are edited")
      }
      guard type.shape.dim.count == 4 else {
        throw fail(
          .unsupported,
          "the \(name) \(tensor.name) has \(type.shape.dim.count) axes; networks with 4 axes (batch, height, "
            + "width and channels) are edited")
      }
    }
    guard let opset = outline.opset, opset >= 7 else {
      throw fail(.unsupported, "the graph is of an opset before 7: export it with a newer one")
    }
    self.opset = opset
    self.document = document
    (self.file, self.member) = (file, member)
    (self.input, output) = (inputs[0], 0)
    (inputLayout, outputLayout) = outline.layouts(input: input)
    names = ONNXNames(graph)
  }

  func fail(_ kind: ModelError.Kind, _ reason: String) -> ModelError {
    ModelError(kind, file: file, member: member, reason)
  }

  func graph() throws(ModelError) -> ModelGraph {
    try document.graph(file: file, member: member)
  }

  // MARK: Input and output

  var inputName: String { document.model.graph.input[input].name }
  var outputName: String { document.model.graph.output[output].name }

  var inputShape: [ONNX_TensorShapeProto.Dimension] {
    get { document.model.graph.input[input].type.tensorType.shape.dim }
    set {
      document.model.graph.input[input].type.tensorType.shape.dim = newValue
      isChanged = true
    }
  }

  var outputShape: [ONNX_TensorShapeProto.Dimension] {
    get { document.model.graph.output[output].type.tensorType.shape.dim }
    set {
      document.model.graph.output[output].type.tensorType.shape.dim = newValue
      isChanged = true
    }
  }

  /// ONNX's number of the input's type.
  var inputElement: Int32 {
    get { document.model.graph.input[input].type.tensorType.elemType }
    set {
      document.model.graph.input[input].type.tensorType.elemType = newValue
      isChanged = true
    }
  }

  var outputElement: Int32 {
    get { document.model.graph.output[output].type.tensorType.elemType }
    set {
      document.model.graph.output[output].type.tensorType.elemType = newValue
      isChanged = true
    }
  }

  var channelCount: Int? { ONNXGraph.size(inputShape[inputLayout == .channelsFirst ? 1 : 3]) }
  var outputChannelCount: Int? { ONNXGraph.size(outputShape[outputLayout == .channelsFirst ? 1 : 3]) }

  // MARK: Edits

  mutating func prepend(_ steps: [PixelStep]) throws(ModelError) {
    var builder = ONNXAdditions(names)
    var last = inputName
    for step in steps { last = builder.add(step, after: last, layout: inputLayout, opset: opset) }
    guard last != inputName else { return }
    redirectReaders(of: inputName, to: last)
    insert(builder, at: 0)
  }

  mutating func appendComplement() throws(ModelError) {
    let axis = outputLayout == .channelsFirst ? 1 : 3
    let name = try renameOutput()
    var builder = ONNXAdditions(names)
    let complement = builder.add("Sub", [builder.floats([1], shape: []), name])
    builder.add("Concat", [name, complement], [.integer("axis", axis)], output: outputName)
    insert(builder, at: document.model.graph.node.count)
    outputShape[axis].dimValue = 2
  }

  mutating func append(_ function: ScoreFunction) throws(ModelError) {
    let axis = outputLayout == .channelsFirst ? 1 : 3
    // Before version 13 the axes from this one on are taken together.
    guard function == .sigmoid || axis == 3 || opset >= 13 else {
      throw fail(.unsupported, "softmax over channels before height and width needs ONNX' version 13 or later")
    }
    let name = try renameOutput()
    var builder = ONNXAdditions(names)
    switch function {
    case .sigmoid: builder.add("Sigmoid", [name], output: outputName)
    case .softmax: builder.add("Softmax", [name], [.integer("axis", axis)], output: outputName)
    }
    insert(builder, at: document.model.graph.node.count)
  }

  mutating func moveChannelsLast() throws(ModelError) {
    if inputLayout == .channelsFirst {
      transposeInput()
      let shape = inputShape
      inputShape = [0, 2, 3, 1].map { shape[$0] }
    }
    if outputLayout == .channelsFirst {
      try transposeOutput()
      let shape = outputShape
      outputShape = [0, 2, 3, 1].map { shape[$0] }
    }
  }

  private static let (toFirst, toLast) = ([0, 3, 1, 2], [0, 2, 3, 1])

  private mutating func transposeInput() {
    var builder = ONNXAdditions(names)
    let name = builder.add("Transpose", [inputName], [.integers("perm", Self.toFirst)])
    redirectReaders(of: inputName, to: name)
    // What turns the axes back needs neither.
    for node in document.model.graph.node where node.input == [name] && isTranspose(node, Self.toLast) {
      guard let output = node.output.first, output != outputName else { continue }
      document.model.graph.node.removeAll { $0.output == [output] }
      redirectReaders(of: output, to: inputName)
    }
    if reads(name) { insert(builder, at: 0) }
  }

  private mutating func transposeOutput() throws(ModelError) {
    // A graph that ends with turning the axes needs neither.
    let nodes = document.model.graph.node
    if let last = nodes.firstIndex(where: { $0.output == [outputName] }), isTranspose(nodes[last], Self.toFirst),
      let source = nodes[last].input.first, source != inputName,
      nodes.contains(where: { $0.output.contains(source) })
    {
      document.model.graph.node.remove(at: last)
      rename(source, to: outputName)
      return
    }
    let name = try renameOutput()
    var builder = ONNXAdditions(names)
    builder.add("Transpose", [name], [.integers("perm", Self.toLast)], output: outputName)
    insert(builder, at: document.model.graph.node.count)
  }

  private func isTranspose(_ node: ONNX_NodeProto, _ order: [Int]) -> Bool {
    node.opType == "Transpose" && node.attribute.first { $0.name == "perm" }?.ints == order.map(Int64.init)
  }

  mutating func bypass(_ operations: [FoundStandardization.Bypass]) throws(ModelError) {
    for operation in operations {
      guard let index = document.model.graph.node.firstIndex(where: { $0.output.first == operation.node }),
        document.model.graph.node[index].input.indices.contains(operation.input), operation.node != outputName
      else { throw fail(.unsupported, "the operation \(operation.node) cannot be taken out of the graph") }
      let source = document.model.graph.node[index].input[operation.input]
      document.model.graph.node.remove(at: index)
      redirectReaders(of: operation.node, to: source)
    }
    removeUnread()
  }

  /// Takes operations away of whose results nothing comes out.
  mutating func removeUnread() {
    while true {
      let read = Set(document.model.graph.node.flatMap { ONNXNames.read(by: $0) } + [outputName])
      let count = document.model.graph.node.count
      document.model.graph.node.removeAll { read.isDisjoint(with: $0.output) }
      if document.model.graph.node.count == count { return }
    }
  }

  // MARK: Wiring

  /// Puts new operations among those of the graph, before the one at `place`.
  mutating func insert(_ builder: ONNXAdditions, at place: Int) {
    document.model.graph.node.insert(contentsOf: builder.nodes, at: place)
    document.model.graph.initializer += builder.initializers
    names = builder.names
    isChanged = true
  }

  var builder: ONNXAdditions { ONNXAdditions(names) }

  /// Makes everything that reads a value read another one.
  mutating func redirectReaders(of name: String, to other: String) {
    for index in document.model.graph.node.indices {
      ONNXNames.rename(name, to: other, inputsOf: &document.model.graph.node[index])
    }
    isChanged = true
  }

  /// Takes an operation away; what read its result reads `source`, the result of another operation.
  mutating func remove(at place: Int, source: String) {
    let result = document.model.graph.node.remove(at: place).output.first
    document.model.graph.valueInfo.removeAll { $0.name == source }
    if result == outputName {
      rename(source, to: outputName)
    } else if let result {
      redirectReaders(of: result, to: source)
    }
  }

  /// Gives a value another name.
  private mutating func rename(_ name: String, to other: String) {
    redirectReaders(of: name, to: other)
    for index in document.model.graph.node.indices {
      for (place, output) in document.model.graph.node[index].output.enumerated() where output == name {
        document.model.graph.node[index].output[place] = other
      }
    }
  }

  /// Frees the output's name for what comes behind.
  ///
  /// - Returns: the value's new name.
  mutating func renameOutput() throws(ModelError) -> String {
    let name = outputName
    guard document.model.graph.node.contains(where: { $0.output.contains(name) }) else {
      throw fail(.damaged, "no operation of the graph makes its output \(name)")
    }
    let other = names.fresh("output")
    rename(name, to: other)
    // What is said of the value by its name.
    document.model.graph.valueInfo.removeAll { $0.name == name }
    return other
  }

  private func reads(_ name: String) -> Bool {
    document.model.graph.node.contains { ONNXNames.read(by: $0).contains(name) }
  }

  /// Takes a constant away that nothing reads any more.
  mutating func removeInitializer(_ name: String) {
    guard !reads(name), name != outputName else { return }
    document.model.graph.initializer.removeAll { $0.name == name }
    document.model.graph.input.removeAll { $0.name == name }
  }
}
