// SPDX-License-Identifier: Apache-2.0
private import Foundation
internal import KachelBytes
internal import KachelPixels

extension BioImageIOPackage {
  /// The model as a package for ZEN: the pre- and post-processing of the description becomes part of the network, its
  /// channels go last, and the halo becomes the border.
  ///
  /// The network takes pixel values as they are. One probability becomes two classes, of which the second is what the
  /// first is not.
  ///
  /// - Throws: ``ModelError``: `unsupported`, with the operation, axis or weights that cannot be part of such a package.
  public func modelPackage() throws(ModelError) -> ModelPackage {
    guard let input = inputs.first, let output = outputs.first, inputs.count == 1, outputs.count == 1 else {
      throw refusal("has \(inputs.count) inputs and \(outputs.count) outputs; packages have one of each")
    }
    for tensor in [input, output] { try checkAxes(tensor) }
    var graph = try graph()
    if case .savedModel(let files) = graph { graph = try SavedModelToONNX(files).convert() }
    func edit(_ graph: ModelGraph) -> GraphEditing {
      GraphEditing(graph, file: path, member: readableWeights?.file.source)
    }
    // The description says which axes are channels; the graph itself may not.
    if input.axes.last?.kind != .channel || output.axes.last?.kind != .channel {
      graph = try edit(graph).withChannelsLast()
    }
    graph = try edit(graph).prepending(layers(before: input))
    let ending = try ending(after: output)
    for layer in ending.layers { graph = try edit(graph).appending(layer) }

    let channels = try channelCount(input, graph.facts(file: path).inputs.first?.shape)
    let facts = try graph.facts(file: path)
    let classes = (facts.outputs.first?.shape?.last ?? nil) ?? 0
    var metadata = ModelMetadata(
      id: ModelMetadata.freshID(), name: name, schemaVersion: "", kind: ending.kind, classes: [], channels: [],
      channelCount: channels, scalesInputByBitDepth: false)
    metadata.description = description
    if ending.kind.isSemanticSegmentation {
      metadata.nameClasses(try classNames(output, count: classes))
    }
    let halo = output.axes.filter { $0.kind == .space }.map(\.halo)
    if halo.count == 2, halo.contains(where: { $0 > 0 }) { metadata.border = AxisPair(y: halo[0], x: halo[1]) }
    let sizes = input.axes.filter { $0.kind == .space }
    if let y = sizes[0].micrometers, let x = sizes[1].micrometers { metadata.pixelSize = ModelPixelSize(x: x, y: y) }
    var package = try ModelPackage(graph: graph, metadata: metadata, path: path, sha256: sha256())
    package.format = .bioImageIO(version: formatVersion)
    if case .fixed(let height) = sizes[0].size, case .fixed(let width) = sizes[1].size,
      facts.inputs.first?.shape?.contains(nil) == true
    {
      package.metadata.tileSize = KachelPixels.Size(width: width, height: height)
    }
    if let license { package.note("the licence is \(license); its text is not part of bioimage.io packages") }
    return package
  }

  /// Of the archive, or of the weights in a folder.
  private func sha256() throws(ModelError) -> String {
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue {
      do throws(BytesError) { return try SHA256.hex(ofFile: path) } catch { throw ModelError(error, file: path) }
    }
    guard let weights = readableWeights else { return "" }
    return try files.read(weights.file, limit: PackageLimits.graph).withUnsafeBytes { SHA256.hex(of: $0) }
  }

  // MARK: Axes

  private func checkAxes(_ tensor: Tensor) throws(ModelError) {
    let names = tensor.axes.map(\.id).joined(separator: ", ")
    for axis in tensor.axes where [.time, .index].contains(axis.kind) || (axis.kind == .space && axis.id == "z") {
      throw refusal("\(tensor.id) has the axis \(axis.id) (of \(names)); packages hold networks for planes")
    }
    guard tensor.axes.first?.kind == .batch, tensor.axes.count == 4,
      tensor.axes.count(where: { $0.kind == .channel }) == 1,
      tensor.axes.filter({ $0.kind == .space }).map(\.id) == ["y", "x"], tensor.axes[2].kind == .space
    else {
      throw refusal("\(tensor.id) has the axes \(names); batch, channel, y, x and batch, y, x, channel are converted")
    }
  }

  private func channelCount(_ input: Tensor, _ shape: [Int?]?) throws(ModelError) -> Int {
    let axis = input.axes.first { $0.kind == .channel }
    if case .fixed(let count)? = axis?.size { return count }
    if let count = (shape?.last ?? nil) { return count }
    if let count = axis?.names.count, count > 0 { return count }
    throw refusal("does not say how many channels \(input.id) has")
  }

  // MARK: Processing

  private func layers(before input: Tensor) throws(ModelError) -> [Preprocessing] {
    let channels = input.axes.first { $0.kind == .channel }
    let isGray = channels?.size == .fixed(1) || channels?.names.count == 1
    var layers: [Preprocessing] = []
    for operation in input.operations {
      switch operation {
      case .ensureType("float32"): break
      case .scaleLinear(let gain, let offset, let axis) where axis == nil || axis == channels?.id:
        if gain != [1] { layers.append(.scale(gain)) }
        if offset != [0] { layers.append(.shift(offset)) }
      case .fixedZeroMeanUnitVariance(let mean, let deviation, let axis) where axis == nil || axis == channels?.id:
        layers.append(
          .normalization(mean: mean, standardDeviation: deviation.map { $0 + BioImageIOOperation.fixedEpsilon }))
      case .zeroMeanUnitVariance(.sample(let axes), let epsilon):
        guard axes.contains("y"), axes.contains("x"), isGray || axes.contains(channels?.id ?? "channel") else {
          throw refusal("its \(operation.name) is taken over \(axes.joined(separator: ", ")), not over all of an image")
        }
        layers.append(.zeroMeanUnitVariance(epsilon: epsilon))
      default: throw refusal("its pre-processing \(Self.text(operation)) cannot be part of such a package")
      }
    }
    return layers
  }

  private static func text(_ operation: BioImageIOOperation) -> String {
    switch operation {
    case .zeroMeanUnitVariance(.dataset, _), .scaleRange(.dataset, _, _, _, _): "\(operation.name) of the whole dataset"
    default: operation.name
    }
  }

  /// What comes behind the network, and what the result is.
  private func ending(after output: Tensor) throws(ModelError) -> (layers: [Postprocessing], kind: ModelKind) {
    let channels = output.axes.first { $0.kind == .channel }
    let isOne = channels?.size == .fixed(1) || channels?.names.count == 1
    let operations = output.operations.filter { if case .ensureType("float32") = $0 { false } else { true } }
    guard let last = operations.last else { return ([], .regression) }
    guard operations.count == 1 else {
      let names = operations.map(\.name).joined(separator: ", ")
      throw refusal("its post-processing (\(names)) cannot be part of such a package")
    }
    switch last {
    case .sigmoid where isOne: return ([.sigmoid, .sigmoidToSoftmaxScores], .singleClassSemanticSegmentation)
    case .sigmoid: return ([.sigmoid], .multiClassSemanticSegmentation)
    case .softmax(let axis) where axis == channels?.id: return ([.softmax], .singleClassSemanticSegmentation)
    default: throw refusal("its post-processing \(Self.text(last)) cannot be part of such a package")
    }
  }

  private func classNames(_ output: Tensor, count: Int) throws(ModelError) -> [String] {
    guard (2...PackageLimits.classes).contains(count) else { throw refusal("gives \(count) classes") }
    var names = output.axes.first { $0.kind == .channel }?.names ?? []
    if names.count == 1, count == 2 { names.append("not \(names[0])") }
    return names.count == count && Set(names).count == count ? names : (1...count).map { "Class \($0)" }
  }

  private func refusal(_ reason: String) -> ModelError {
    ModelError(.unsupported, file: path, member: descriptionName, reason)
  }
}
