// SPDX-License-Identifier: Apache-2.0

/// Changes of a network that are made on its graph, without a framework: the result is a network that does by itself
/// what was separate steps before. Weights are not touched, and the names of the input and the output stay.
///
/// ```swift
/// let edited = try GraphEditing(graph, file: "nuclei.onnx")
///   .prepending([.rgbToBGR, .perImageStandardization])
/// ```
///
/// Networks have one input and one output, float32, of the axes batch, height, width, channels, or, in ONNX, batch,
/// channels, height, width. The same input gives the same bytes.
///
/// What an edited SavedModel holds besides its signature is made to fail rather than to give the network as it was
/// before: Keras' own description of the model, and functions of the saved program that are called past the signature.
public struct GraphEditing: Sendable {
  private let graph: ModelGraph
  private let file: String
  private let member: String?

  /// - Parameters:
  ///   - file: What errors call the network: its file or folder.
  ///   - member: Its part in that file, if it is one.
  public init(_ graph: ModelGraph, file: String, member: String? = nil) {
    (self.graph, self.file, self.member) = (graph, file, member)
  }

  /// Puts layers before the network, in the order given.
  ///
  /// - Throws: ``ModelError``: `mismatch` where a layer does not go with the network's channels; `unsupported`.
  public func prepending(_ layers: [Preprocessing]) throws(ModelError) -> ModelGraph {
    if layers.isEmpty { return graph }
    return try edited { editor throws(ModelError) in
      guard let channels = editor.channelCount else {
        throw fail(.unsupported, "the graph does not say how many channels the network's input has")
      }
      var steps: [PixelStep] = []
      for layer in layers {
        do throws(Preprocessing.Misfit) { steps += try layer.steps(channels: channels) } catch {
          throw fail(.mismatch, error.reason)
        }
      }
      try editor.prepend(steps)
    }
  }

  /// Puts a layer behind the network.
  ///
  /// - Throws: ``ModelError``: `mismatch` where it does not go with the network's output; `unsupported`.
  public func appending(_ layer: Postprocessing) throws(ModelError) -> ModelGraph {
    switch layer {
    case .sigmoidToSoftmaxScores:
      try edited { editor throws(ModelError) in
        guard editor.outputChannelCount == 1 else {
          let count = editor.outputChannelCount.map { "\($0)" } ?? "an unknown number of"
          throw fail(
            .mismatch, "sigmoid-to-softmax-scores takes a network with 1 output channel; this one has \(count) channels"
          )
        }
        try editor.appendComplement()
      }
    case .sigmoid: try edited { editor throws(ModelError) in try editor.append(.sigmoid) }
    case .softmax: try edited { editor throws(ModelError) in try editor.append(.softmax) }
    }
  }

  /// Sets the size of the images that the network takes, in pixels. A network whose size is free gets a fixed one; of a
  /// network whose size is fixed everything is changed that follows from the size.
  ///
  /// - Throws: ``ModelError``: `mismatch` where the network's stride does not allow that size (the error names sizes that
  ///   it allows); `unsupported` where sizes are built into the network that cannot be told apart from other numbers.
  public func settingSpatialDimensions(height: Int, width: Int) throws(ModelError) -> ModelGraph {
    guard (1...65_536).contains(height), (1...65_536).contains(width) else {
      throw fail(.mismatch, "a size of \(width) x \(height) pixels cannot be set: 1 to 65536 are possible")
    }
    return try edited { editor throws(ModelError) in
      try editor.setSpatialDimensions(height: height, width: width)
    }
  }

  /// Sets how many images the network takes at once; `nil` for any number.
  ///
  /// - Throws: ``ModelError``: `unsupported` where the number is built into the network.
  public func settingBatch(_ size: Int?) throws(ModelError) -> ModelGraph {
    if let size {
      guard (1...65_536).contains(size) else {
        throw fail(.mismatch, "a batch of \(size) cannot be set: 1 to 65536 are possible")
      }
    }
    return try edited { editor throws(ModelError) in try editor.setBatch(size) }
  }

  /// Gives a network with the axes batch, channels, height, width at its input and output the axes batch, height, width,
  /// channels. A network that has them is returned as it is.
  public func withChannelsLast() throws(ModelError) -> ModelGraph {
    try edited { editor throws(ModelError) in try editor.moveChannelsLast() }
  }

  /// Takes operations out: what read their results reads one of their inputs.
  func bypassing(_ operations: [FoundStandardization.Bypass]) throws(ModelError) -> ModelGraph {
    try edited { editor throws(ModelError) in try editor.bypass(operations) }
  }

  func edited(_ edit: (inout any GraphEditor) throws(ModelError) -> Void) throws(ModelError) -> ModelGraph {
    var editor: any GraphEditor
    switch graph {
    case .onnx(let bytes): editor = try ONNXEditor(bytes, file: file, member: member)
    case .savedModel(let files): editor = try SavedModelEditor(files, file: file, member: member)
    case .classical(let description):
      throw fail(.unsupported, "is a \(description): only neural networks are edited")
    }
    try edit(&editor)
    return editor.isChanged ? try editor.graph() : graph
  }

  private func fail(_ kind: ModelError.Kind, _ reason: String) -> ModelError {
    ModelError(kind, file: file, member: member, reason)
  }
}

/// What makes probabilities of a network's numbers.
enum ScoreFunction {
  case sigmoid
  /// Over the channels of a pixel.
  case softmax
}

/// A graph of one format while it is edited.
protocol GraphEditor {
  var channelCount: Int? { get }
  var outputChannelCount: Int? { get }
  var isChanged: Bool { get }
  mutating func prepend(_ steps: [PixelStep]) throws(ModelError)
  /// Makes the output's only channel `p` two, `p` and `1 - p`.
  mutating func appendComplement() throws(ModelError)
  mutating func append(_ function: ScoreFunction) throws(ModelError)
  mutating func setSpatialDimensions(height: Int, width: Int) throws(ModelError)
  mutating func setBatch(_ size: Int?) throws(ModelError)
  mutating func moveChannelsLast() throws(ModelError)
  mutating func bypass(_ operations: [FoundStandardization.Bypass]) throws(ModelError)
  /// - Returns: whether there was one over the channels, and it is taken away.
  mutating func removeFinalSoftmax() throws(ModelError) -> Bool
  func graph() throws(ModelError) -> ModelGraph
}
