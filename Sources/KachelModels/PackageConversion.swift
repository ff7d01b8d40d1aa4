// SPDX-License-Identifier: Apache-2.0
internal import KachelPixels

extension ModelPackage {
  /// The same model in another format.
  ///
  /// Where the formats feed networks differently, the input is multiplied in the graph, so that the results are the same:
  /// XML up to 3.1 gives raw pixel values, JSON those divided by the largest of their type. What the other format cannot
  /// say is listed in ``notes``. Borders become overlaps of twice their size, and back; where the axes differ, the
  /// larger one counts. A SavedModel becomes ONNX in a `.czann`; see ``SavedModelToONNX``. Shapes are taken from the
  /// graph, or from ``ModelMetadata/tileSize`` where it leaves them open.
  ///
  /// - Throws: ``ModelError``: `option` where the format needs what the package does not say, as the pixel type;
  ///   `unsupported` where the network cannot be changed so.
  public func converted(to target: PackageFormat) throws(ModelError) -> ModelPackage {
    var package = self
    try package.convert(to: target)
    return package
  }

  /// ``converted(to:)`` in place, so that a large network is not held twice. After an error the package is of no use.
  public mutating func convert(to target: PackageFormat) throws(ModelError) {
    guard target != format else { return }
    if case .classical(let description) = graph {
      throw fail(.unsupported, "is a \(description): only neural networks are converted")
    }
    let source = format
    switch (source, target) {
    case (.czmodel, .czmodel), (.czann, .czann): break
    default: original = nil
    }
    if case .czann = target { try becomeONNX() }
    try matchInput(to: target)
    format = target
    switch target {
    case .czmodel(let version): try describeInXML(version, from: source)
    case .czann(let version): try describeInJSON(version)
    case .bioImageIO: throw fail(.option, "packages of bioimage.io are read, not written")
    case .onnx, .savedModel: throw fail(.option, "a package cannot become a bare network; unpack it")
    }
  }

  mutating func note(_ text: String) { if !notes.contains(text) { notes.append(text) } }

  /// `.czann` packages hold ONNX; a SavedModel that cannot become one stays what it is, which their first versions allow.
  private mutating func becomeONNX() throws(ModelError) {
    guard case .savedModel(let model) = graph else { return }
    do throws(ModelError) {
      graph = try SavedModelToONNX(model).convert()
      note("the SavedModel was converted to ONNX")
    } catch {
      guard error.kind == .unsupported else { throw error }
      note("the network stays a SavedModel, which not every version of ZEN takes in a .czann: \(error.reason)")
    }
  }

  // MARK: Input

  /// Multiplies what the network is fed, where the target feeds it differently.
  private mutating func matchInput(to target: PackageFormat) throws(ModelError) {
    let isScaled =
      switch target {
      case .czann: true
      case .czmodel where target.isOfZEN: format.isPackage ? metadata.scalesInputByBitDepth : true
      default: false
      }
    defer { metadata.scalesInputByBitDepth = isScaled }
    guard format.isPackage, isScaled != metadata.scalesInputByBitDepth else { return }
    takeChannelsFromGraph()
    let largest = try largestValues()
    guard largest.contains(where: { $0 != 1 }) else { return }
    let same = Set(largest).count == 1
    graph = try editing.prepending([.scale((same ? [largest[0]] : largest).map { isScaled ? $0 : 1 / $0 })])
    let numbers = (same ? [largest[0]] : largest).map { "\(Int($0))" }.joined(separator: ", ")
    note(
      isScaled
        ? "the network took raw values and is now fed values from 0 to 1: its input is multiplied by \(numbers)"
        : "the network took values from 0 to 1 and is now fed raw values: its input is divided by \(numbers)")
  }

  /// A `.czann` does not say for which pixels it is. But where its network begins by making raw values of 8 or 16 bits
  /// again, as this conversion lets it, it does.
  private mutating func takeChannelsFromGraph() {
    guard metadata.channels.isEmpty, case .czann = format,
      let factor = FirstOperations(of: graph, file: path, member: graphMember).firstFactor
    else { return }
    let type: ModelPixelType? =
      switch (factor, metadata.channelCount) {
      case (255, 3): .bgr24
      case (255, 4): .bgra32
      case (255, _): .gray8
      case (65535, 3): .bgr48
      case (65535, let count) where count != 4: .gray16
      default: nil
      }
    guard let type else { return }
    let channels = ModelChannel(pixelTypes: [type])
    metadata.setPixelTypes(Array(repeating: type, count: max(1, metadata.channelCount / channels.samples)))
    note("the network multiplies its input by \(Int(factor)), and so takes pixels of the type \(type.rawValue)")
  }

  /// The largest value of each of the network's input channels, 1 for floating point.
  private func largestValues() throws(ModelError) -> [Double] {
    guard !metadata.channels.isEmpty else {
      throw fail(
        .option,
        "says not for which pixels it is, but the other format feeds them as they are; pass --pixel-type, as "
          + "Gray16")
    }
    var values: [Double] = []
    for channel in metadata.channels {
      let largest = Set(channel.pixelTypes.map(\.largestValue))
      guard let value = largest.first, largest.count == 1 else {
        let types = channel.pixelTypes.map(\.rawValue).joined(separator: ", ")
        throw fail(
          .option,
          "takes \(types), but in the other format their values would differ; pass --pixel-type with one of them")
      }
      values += Array(repeating: value, count: channel.samples)
    }
    return values
  }

  // MARK: Metadata

  private mutating func describeInXML(_ version: String, from source: PackageFormat) throws(ModelError) {
    let isOfZEN = format.isOfZEN
    metadata.schemaVersion = version
    // The other family never turns colours into gray.
    if metadata.colorHandling == nil, case .czann = source { metadata.colorHandling = .splitRGB }
    if metadata.channels.isEmpty, isOfZEN { metadata.channels = ModelChannel.anyDepth(count: metadata.channelCount) }
    if let border = metadata.border, border.x != border.y {
      let larger = max(border.x, border.y)
      metadata.border = AxisPair(y: larger, x: larger)
      note("the border was \(border.y) x \(border.x) (height x width) and is now \(larger) on both axes")
    }
    if metadata.kind == .multiClassSemanticSegmentation {
      metadata.kind = .singleClassSemanticSegmentation
      note("a pixel could have several classes; the format gives it the most likely one")
    }
    if metadata.pixelSize != nil {
      metadata.pixelSize = nil
      note("the pixel size for which the model was made is not kept: the format has no place for it")
    }
    (metadata.inputShape, metadata.outputShape) = (nil, nil)
    if isOfZEN {
      let sides = try spatialSizes()
      if let height = sides.y, let width = sides.x { metadata.tileSize = Size(width: width, height: height) }
    } else {
      metadata.tileSize = nil
      if metadata.description != nil {
        metadata.description = nil
        note("the description is not kept: the format has no place for it")
      }
      if metadata.postprocessing == "None" { metadata.postprocessing = nil }
    }
  }

  private mutating func describeInJSON(_ version: String) throws(ModelError) {
    metadata.schemaVersion = version
    let facts = try graphFacts(), sides = try spatialSizes()
    let channels = facts.inputs.first?.shape?.last ?? nil, outputs = facts.outputs.first?.shape?.last ?? nil
    if let height = sides.y, let width = sides.x {
      let size = metadata.inputShape?.count == 4 ? metadata.inputShape?.first.map { [$0] } ?? [] : []
      metadata.inputShape = size + [height, width, channels ?? metadata.channelCount]
      metadata.outputShape = size + [height, width, outputs ?? metadata.classes.count]
      metadata.tileSize = Size(width: width, height: height)
    }
    metadata.channelCount = metadata.inputShape?.last ?? metadata.channelCount
    if metadata.colorHandling == .convertToMonochrome, original == nil,
      metadata.channels.contains(where: { $0.samples > 1 })
    {
      note("colours were turned into gray; the format does not say so")
    }
    let plain = ModelMetadata.classes(named: metadata.classes.map(\.name))
    if metadata.classes.map(\.labelValue) != plain.map(\.labelValue) {
      note("the label values were \(metadata.classes.map(\.labelValue)) and are now 1 to \(plain.count)")
    } else if metadata.classes != plain {
      note("the colours of the classes are not kept: the format has no place for them")
    }
    if let postprocessing = metadata.postprocessing, postprocessing != "None" {
      note("the post-processing \(postprocessing) is not kept: the format has no place for it")
    }
    metadata.classes = plain
    (metadata.colorHandling, metadata.postprocessing, metadata.featureExtractor) = (nil, nil, nil)
    metadata.channels = []
  }

  /// Height and width of a tile: the graph's, or what the package declares where those are open.
  private func spatialSizes() throws(ModelError) -> (y: Int?, x: Int?) {
    let shape = try graphFacts().inputs.first?.shape ?? []
    guard shape.count >= 4 else { return (nil, nil) }
    return (shape[shape.count - 3] ?? metadata.tileSize?.height, shape[shape.count - 2] ?? metadata.tileSize?.width)
  }
}

extension ModelPixelType {
  /// By what pixel values are divided to lie between 0 and 1; floating-point values are taken as they are.
  var largestValue: Double {
    switch self {
    case .gray8, .bgr24, .bgra32: 255
    case .gray16, .bgr48: 65535
    case .gray32Float, .bgr96Float, .gray64ComplexFloat, .bgr192ComplexFloat: 1
    }
  }
}

extension ModelChannel {
  /// Channels for images of any bit depth, as ZEN declares them: one in colour, or gray ones.
  static func anyDepth(count: Int) -> [Self] {
    switch count {
    case 3: [Self(pixelTypes: [.bgr24, .bgr48, .bgr96Float])]
    case 4: [Self(pixelTypes: [.bgra32])]
    default: Array(repeating: Self(pixelTypes: [.gray8, .gray16, .gray32Float]), count: max(0, count))
    }
  }
}
