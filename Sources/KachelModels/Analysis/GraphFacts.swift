// SPDX-License-Identifier: Apache-2.0

/// What a network itself says, read from its graph.
public struct GraphFacts: Sendable, Hashable {
  /// One input or output.
  public struct Tensor: Sendable, Hashable {
    /// The name by which engines know it; for a SavedModel the key in its signature.
    public var name: String
    /// Sizes along the axes; `nil` inside where any size is taken, or as a whole where not even the rank is known.
    public var shape: [Int?]?
    /// The type of the elements, as in `float32`.
    public var elementType: String
    /// For a SavedModel, the node that carries it, as in `serving_default_input:0`.
    public var node: String?
  }

  public var inputs: [Tensor]
  public var outputs: [Tensor]
  /// For which the graph was followed.
  public var layout: ImageLayout
  /// The version of ONNX' operations; `nil` for a SavedModel.
  public var opset: Int?
  /// What wrote the graph, as in `pytorch 2.13.0`.
  public var producer: String
  /// How often each operation occurs, in functions and loop bodies too.
  public var operations: [String: Int]
  /// How many numbers were learned.
  public var parameterCount: Int
  /// A move of the input by this many pixels moves the output by as many: the grid on which tiles must lie to agree with
  /// an untiled run. `nil` where that is not known.
  public var stride: AxisPair?
  /// Operations whose result depends on more than a limited neighbourhood of a pixel, or is not understood, and how
  /// often they occur. Empty where tiles with enough border give the same as the whole image.
  public var globalOperations: [String: Int]
  /// How far a pixel of the output sees at most, in pixels of the input: the furthest of all positions on the stride's
  /// grid, to whichever side that is more. It follows from kernels, strides and padding, so that a trained network uses
  /// as much or less. With statistics of the whole image these are taken as given. `nil` where it is not finite or not
  /// known, with the reason in ``exactness``.
  public var receptiveField: AxisPair?
  /// What a tile must see around the part that it decides, where both begin and end on the stride's grid: a multiple of
  /// the stride. It can be less than the receptive field, as the pixels that see furthest lie inside.
  public var neededBorder: AxisPair?
  /// Operations for each pixel of the output at full resolution: two, a multiplication and an addition, for each weight
  /// of convolutions, transposed convolutions and matrix products. What is done once per image is left out, as are
  /// activations, poolings and resizing. `nil` where an operation with weights is not followed.
  public var flopsPerPixel: Double?
  /// What running the network over tiles promises.
  public var exactness: Exactness
  /// The statistics with which the network standardises its input, in the order of the graph.
  package var inputStatistics: [InputStatistic]
  /// Weights whose values are not in the graph, by name.
  public var missingWeights: [String]
  /// Whether weights are missing, as where they were left in another file.
  public var hasExternalData: Bool { !missingWeights.isEmpty }

  init(
    inputs: [Tensor], outputs: [Tensor], opset: Int?, producer: String, operations: [String: Int], parameterCount: Int,
    analysis: FlowAnalysis, missingWeights: [String]
  ) {
    (self.inputs, self.outputs, self.opset, self.producer) = (inputs, outputs, opset, producer)
    (self.operations, self.parameterCount, self.missingWeights) = (operations, parameterCount, missingWeights)
    layout = analysis.flow.layout
    (stride, globalOperations, exactness) = (analysis.stride, analysis.globalOperations, analysis.exactness)
    (receptiveField, neededBorder) = (analysis.receptiveField, analysis.neededBorder)
    (flopsPerPixel, inputStatistics) = (analysis.flopsPerPixel, analysis.statistics)
  }
}

extension GraphFacts {
  /// How many channels a tensor has, where the graph says; of images the axis that the layout names.
  func channels(_ tensor: Tensor) -> Int? {
    guard let shape = tensor.shape else { return nil }
    return shape.count == 4 ? shape[layout == .channelsLast ? 3 : 1] : shape.last ?? nil
  }
}

extension ModelGraph {
  /// Looks into the graph. Takes about twice its size in memory for as long as it runs.
  ///
  /// - Parameters:
  ///   - layout: which axes of the input are what.
  ///   - file: what errors call the file that the graph is from, and `member` the part of it.
  /// - Throws: ``ModelError``: the graph is damaged, or a classical classifier.
  public func facts(
    layout: ImageLayout = .channelsLast, file: String, member: String = ""
  ) throws(ModelError) -> GraphFacts {
    switch self {
    case .onnx(let bytes): return try ONNXGraph(bytes, file: file, member: member).facts(layout: layout)
    case .savedModel(let files): return try SavedModelGraph(files).facts(layout: layout)
    case .classical(let description): throw Self.refusal(of: description, file, member)
    }
  }

  /// The network's operations, for images with their channels last.
  func flow(file: String, member: String) throws(ModelError) -> Flow {
    switch self {
    case .onnx(let bytes): return try ONNXGraph(bytes, file: file, member: member).flow(layout: .channelsLast)
    case .savedModel(let files): return try SavedModelGraph(files).flow()
    case .classical(let description): throw Self.refusal(of: description, file, member)
    }
  }

  private static func refusal(of description: String, _ file: String, _ member: String) -> ModelError {
    ModelError(
      .unsupported, file: file, member: member,
      "is a \(description): Kachel runs neural networks only, and loading a pickle would run it")
  }
}

extension ModelPackage {
  /// Looks into the graph; see ``ModelGraph/facts(layout:file:member:)``.
  public func graphFacts() throws(ModelError) -> GraphFacts {
    let facts = try graph.facts(file: path, member: graphMember)
    // Nothing says which axes of a bare network are what; those of PyTorch have the channels first.
    guard !format.isPackage, facts.stride == nil else { return facts }
    let other = try graph.facts(layout: .channelsFirst, file: path, member: graphMember)
    return other.stride == nil ? facts : other
  }
}
