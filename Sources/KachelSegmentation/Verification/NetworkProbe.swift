// SPDX-License-Identifier: Apache-2.0
import KachelEngines

/// Runs a network on small pictures, to see what it does.
final class NetworkProbe {
  /// The height and width that the network fixes.
  let fixed: (height: Int?, width: Int?)
  let inputChannels: Int
  private let network: any Network
  private let isChannelsFirst: Bool
  private let threads: Int
  private var compiled: (shape: [Int], network: any CompiledNetwork, request: any InferenceRequest)?

  /// - Parameters:
  ///   - isChannelsFirst: whether the tensors' axes are batch, channels, height, width; channels last otherwise.
  ///   - channels: how many the network takes, where it does not say.
  init(_ network: any Network, isChannelsFirst: Bool, channels: Int, threads: Int) {
    (self.network, self.isChannelsFirst, self.threads) = (network, isChannelsFirst, threads)
    let shape = network.inputs.first?.shape ?? []
    let axes = isChannelsFirst ? (channel: 1, y: 2, x: 3) : (channel: 3, y: 1, x: 2)
    fixed = shape.count == 4 ? (shape[axes.y], shape[axes.x]) : (nil, nil)
    inputChannels = (shape.count == 4 ? shape[axes.channel] : nil) ?? channels
  }

  /// Runs the network on a tensor of any shape.
  func run(_ values: [Float], shape: [Int]) throws -> (values: [Float], shape: [Int]) {
    if compiled?.shape != shape {
      // The old one is released first: two of a large network may not fit.
      compiled = nil
      let network = try network.compile(inputShape: shape, threads: threads, streams: 1)
      compiled = (shape, network, try network.makeRequest())
    }
    guard let compiled else { return ([], []) }
    let outputShape = compiled.network.outputShape
    var input = values
    var output = [Float](repeating: .nan, count: outputShape.reduce(1, *))
    try input.withUnsafeMutableBytes { source in
      try output.withUnsafeMutableBytes { target in try compiled.request.run(input: source, output: target) }
    }
    return (output, outputShape)
  }

  /// - Throws: `mismatch` where the output is not as high and wide as the picture; what the engine throws.
  func run(_ picture: Picture) throws -> Picture {
    let (height, width, channels) = (picture.height, picture.width, picture.channels)
    let result = try run(
      isChannelsFirst ? Self.planes(picture.values, channels: channels) : picture.values,
      shape: isChannelsFirst ? [1, channels, height, width] : [1, height, width, channels])
    let axes = isChannelsFirst ? (channel: 1, y: 2, x: 3) : (channel: 3, y: 1, x: 2)
    guard result.shape.count == 4, result.shape[axes.y] == height, result.shape[axes.x] == width else {
      throw OutputShape(input: [height, width], output: result.shape)
    }
    let outputs = result.shape[axes.channel]
    return Picture(
      height: height, width: width, channels: outputs,
      values: isChannelsFirst ? Self.planes(result.values, channels: height * width) : result.values)
  }

  /// The output of a network that does not give a picture of the input's size.
  struct OutputShape: Error, CustomStringConvertible {
    let input: [Int]
    let output: [Int]
    var description: String { "gives \(output) for an input of \(input[0]) x \(input[1]) pixels" }
  }

  /// Exchanges the order of a matrix of `channels` columns.
  static func planes(_ values: [Float], channels: Int) -> [Float] {
    guard channels > 1, values.count > channels else { return values }
    let pixels = values.count / channels
    return (0..<channels).flatMap { channel in (0..<pixels).map { values[$0 * channels + channel] } }
  }
}
