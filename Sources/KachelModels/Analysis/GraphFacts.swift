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
  /// Weights whose values are not in the graph, by name.
  public var missingWeights: [String]
  /// Whether weights are missing, as where they were left in another file.
  public var hasExternalData: Bool { !missingWeights.isEmpty }
}

extension ModelPackage {
  /// Looks into the graph. Takes about twice the graph's size in memory for as long as it runs.
  ///
  /// - Throws: ``ModelError``: the graph is damaged, or a classical classifier.
  public func graphFacts() throws(ModelError) -> GraphFacts {
    switch graph {
    case .onnx(let bytes): return try ONNXGraph(bytes, file: path, member: graphMember).facts()
    case .savedModel(let archive): return try SavedModelGraph(archive).facts()
    case .classical(let description):
      throw ModelError(
        .unsupported, file: path, member: graphMember,
        "is a \(description): Kachel runs neural networks only, and loading a pickle would run it")
    }
  }
}
