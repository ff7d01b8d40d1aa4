// SPDX-License-Identifier: Apache-2.0
internal import KachelPixels
private import Foundation

extension ModelPackage {
  /// Checks that the parts fit each other and the format. What was read and is unchanged passes: it is as good as it was.
  ///
  /// - Throws: ``ModelError``: `mismatch`, `unsupported` or `damaged`, with what to change.
  func check() throws(ModelError) {
    if case .classical(let description) = graph {
      throw fail(.unsupported, "is a \(description): only neural networks are written")
    }
    if isAsRead { return }
    try checkNames()
    let facts = try graphFacts()
    try checkGraph(facts)
    switch format {
    case .czmodel(let version): try checkXML(version, facts)
    case .czann(let version): try checkJSON(version, facts)
    case .bioImageIO, .onnx, .savedModel: break
    }
    try checkClasses(facts)
    try checkBorder(facts)
  }

  func fail(_ kind: ModelError.Kind, _ reason: String) -> ModelError { ModelError(kind, file: path, reason) }

  // MARK: Names

  private func checkNames() throws(ModelError) {
    // Other files refer to the id, and members are named by it.
    if original?.metadata.id != metadata.id, UUID(uuidString: metadata.id) == nil {
      throw fail(.mismatch, "the id \"\(metadata.id.prefix(60))\" is no UUID such as \(ModelMetadata.freshID())")
    }
    try checkText("name", metadata.name)
    if let description = metadata.description { try checkText("description", description) }
    var taken: Set<String> = []
    for name in memberNames where !taken.insert(name.lowercased()).inserted {
      throw fail(.mismatch, "two files in the package would be named \(name); rename the licence")
    }
    // The czmodel tools take the first such file that they find for the model or its metadata.
    if let name = license?.name, [".model", ".json", ".xml"].contains(where: name.lowercased().hasSuffix) {
      throw fail(.mismatch, "the licence \(name) would be taken for a part of the model; rename it to \(name).txt")
    }
  }

  private func checkText(_ what: String, _ text: String) throws(ModelError) {
    guard !text.isEmpty else { throw fail(.mismatch, "the \(what) is empty") }
    if let scalar = text.unicodeScalars.first(where: { $0.value < 0x20 && !"\t\n\r".unicodeScalars.contains($0) }) {
      throw fail(.mismatch, "the \(what) holds the control character U+\(String(scalar.value, radix: 16))")
    }
  }

  // MARK: The graph

  private func checkGraph(_ facts: GraphFacts) throws(ModelError) {
    if let name = facts.missingWeights.first {
      throw fail(
        .damaged,
        "\(facts.missingWeights.count) of the network's weights are not in its file (as \(name)): "
          + "save the model again with its weights inside, in Python with onnx.save(model, path)")
    }
    for (tensors, what) in [(facts.inputs, "input"), (facts.outputs, "output")] {
      guard tensors.count == 1, let tensor = tensors.first else {
        throw fail(.mismatch, "the network has \(tensors.count) \(what)s; packages have one")
      }
      guard tensor.elementType == "float32" else {
        throw fail(.mismatch, "the \(what) \(tensor.name) is of the type \(tensor.elementType); packages have float32")
      }
      guard let shape = tensor.shape, (4...5).contains(shape.count) else {
        throw fail(.mismatch, "the \(what) \(tensor.name) has not the axes batch, height, width, channels")
      }
      if let batch = shape[0], batch != 1 {
        throw fail(.mismatch, "the \(what) \(tensor.name) has a fixed batch of \(batch); export it with a free one")
      }
    }
  }

  // MARK: The format

  private func checkXML(_ version: String, _ facts: GraphFacts) throws(ModelError) {
    guard version.hasPrefix("3.0.") || version.hasPrefix("3.1.") || version.hasPrefix("3.2.") else {
      throw fail(.option, "version \(version) of XML packages is not written; 3.0.0, 3.1.0 and 3.2.0 are")
    }
    if version.hasPrefix("3.0."), case .onnx = graph {
      throw fail(.mismatch, "XML \(version) holds SavedModels, not ONNX; choose 3.1.0")
    }
    if version.hasPrefix("3.0."), metadata.channels.count > 1 {
      throw fail(.mismatch, "XML \(version) has one channel, not \(metadata.channels.count); choose 3.1.0")
    }
    if let opset = facts.opset, opset > 12 {
      throw fail(
        .mismatch,
        "the network's operations are of ONNX' version \(opset), but XML packages take 12 at most: "
          + "export it with opset 12, or write a .czann")
    }
    guard metadata.kind.isSemanticSegmentation else {
      throw fail(.mismatch, "is of the type \(metadata.kind.rawValue); only a .czann can say that")
    }
    guard metadata.colorHandling != nil else {
      throw fail(.option, "nothing says what to do with colours; pass --color-handling ConvertToMonochrome or SplitRgb")
    }
    guard !metadata.channels.isEmpty else {
      throw fail(.option, "nothing says for which pixels the model is; pass --pixel-type, as Gray16")
    }
    if !format.isOfZEN, let channel = metadata.channels.first(where: { $0.pixelTypes.count > 1 }) {
      let types = channel.pixelTypes.map(\.rawValue).joined(separator: ", ")
      throw fail(.option, "XML \(version) takes one pixel type a channel, not \(types); pass --pixel-type with one")
    }
    guard metadata.border != nil else { throw fail(.option, "nothing says how wide the border is; pass --border") }
    let declared = metadata.channels.reduce(0) { $0 + $1.samples }
    if let channels = facts.inputs.first?.shape?.last ?? nil, channels != declared,
      !(metadata.colorHandling == .convertToMonochrome && channels == metadata.channels.count)
    {
      let types = metadata.channels.map { $0.pixelTypes.map(\.rawValue).joined(separator: " ") }
      throw fail(
        .mismatch,
        "the network takes \(channels) channels, but the pixel types (\(types.joined(separator: ", "))) have "
          + "\(declared)")
    }
  }

  private func checkJSON(_ version: String, _ facts: GraphFacts) throws(ModelError) {
    guard ["1.0.", "1.1.", "2.0.", "2.1."].contains(where: version.hasPrefix) else {
      throw fail(.option, "version \(version) of .czann is not written; 1.0.0, 1.1.0, 2.0.0 and 2.1.0 are")
    }
    if let opset = facts.opset, opset > 12, !version.hasPrefix("2.1.") {
      throw fail(
        .mismatch,
        "the network's operations are of ONNX' version \(opset), but JSON \(version) takes 12 at most: "
          + "choose 2.1.0")
    }
    if metadata.pixelSize != nil, version.hasPrefix("1.0.") {
      throw fail(.mismatch, "JSON \(version) has no place for a pixel size; choose 1.1.0")
    }
    if metadata.pixelSize?.z != nil, version.hasPrefix("1.1.") {
      throw fail(.mismatch, "JSON \(version) has no place for a pixel size along z; choose 2.0.0")
    }
    for (declared, tensors, what) in [
      (metadata.inputShape, facts.inputs, "input"), (metadata.outputShape, facts.outputs, "output"),
    ] {
      guard let declared, let shape = tensors.first?.shape else {
        throw fail(.option, "nothing says how large tiles are; pass --tile, as 1024x1024")
      }
      guard declared.count == shape.count - 1, zip(declared, shape.dropFirst()).allSatisfy({ $1 == nil || $0 == $1 })
      else {
        let found = shape.dropFirst().map { $0.map(String.init) ?? "any" }.joined(separator: ", ")
        throw fail(.mismatch, "the \(what) is declared as \(declared), but the network has \(found)")
      }
    }
  }

  // MARK: Classes and border

  private func checkClasses(_ facts: GraphFacts) throws(ModelError) {
    let names = metadata.classes.map(\.name)
    for name in names { try checkText("name of a class", name) }
    if let name = names.first(where: { name in names.count { $0 == name } > 1 }) {
      throw fail(.mismatch, "two classes are named \"\(name)\"; rename one")
    }
    guard metadata.kind.isSemanticSegmentation else { return }
    guard names.count >= 2 else {
      throw fail(.mismatch, "a segmentation has two classes or more, not \(names.count)")
    }
    if let outputs = facts.outputs.first?.shape?.last ?? nil, outputs != names.count {
      throw fail(.mismatch, "\(names.count) classes are named, but the network gives \(outputs)")
    }
  }

  private func checkBorder(_ facts: GraphFacts) throws(ModelError) {
    guard let border = metadata.border else { return }
    guard border.y >= 0, border.x >= 0 else { throw fail(.mismatch, "a border is 0 pixels or more") }
    let shape = facts.inputs.first?.shape ?? []
    let sizes = shape.count >= 3 ? (shape[shape.count - 3], shape[shape.count - 2]) : (nil, nil)
    let tile = (metadata.tileSize?.height ?? sizes.0, metadata.tileSize?.width ?? sizes.1)
    for (border, side) in [(border.y, tile.0), (border.x, tile.1)] {
      guard let side, 2 * border >= side else { continue }
      throw fail(
        .mismatch, "borders of \(border) pixels leave nothing of a tile of \(side); choose a border below \(side / 2)")
    }
  }
}
