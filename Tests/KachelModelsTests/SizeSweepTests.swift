// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import KachelEngines
import KachelTesting
import SwiftProtobuf
import Testing

/// What exactness rests on: an operation gives a pixel the same bits in images of any width, with the engines as they are.
/// A new version of an engine that chooses another order of sums fails here.
@Suite struct SizeSweepTests {
  struct Operation: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// How many pixels of the output stand for one of the input, and of the input for one of the output.
    var (up, down) = (1, 1)
    /// Whether a pixel of the output is made of that pixel alone, so that it is the same up to the image's edge.
    var isPointwise = false
    /// An odd number of odd rows has ends that no vector of numbers fits into.
    var channels: Int { isPointwise ? 5 : 16 }
    let build: @Sendable (inout NetworkFixture) -> Void

    static func pointwise(_ name: String) -> Operation {
      var operation = Operation(name) { $0.add(name) }
      operation.isPointwise = true
      return operation
    }

    init(_ name: String, up: Int = 1, down: Int = 1, _ build: @escaping @Sendable (inout NetworkFixture) -> Void) {
      (testDescription, self.up, self.down, self.build) = (name, up, down, build)
    }
  }

  private static let channels = 16
  /// Columns beside a cut that may see it.
  private static let margin = 20
  private static let (height, width) = (24, 480)
  /// For many of these OpenVINO adds up dilated and transposed convolutions in another order than for others.
  private static let widths = [48, 84, 108, 152, 176, 228, 284, 296, 340, 344, 352, 404]

  static let operations: [Operation] =
    [1, 3, 5, 7, 9].map { kernel in Operation("Conv \(kernel)") { $0.convolve(kernel) } }
    + [2, 3, 4, 12].map { dilation in Operation("Conv 3, dilation \(dilation)") { $0.convolve(3, dilation: dilation) } }
    + [1, 4].map { dilation in
      Operation("Conv of one channel each, dilation \(dilation)") {
        $0.convolve(3, dilation: dilation, groups: channels)
      }
    } + [
      Operation("Conv in groups") { $0.convolve(3, groups: 2) },
      Operation("Conv 3 / 2", down: 2) { $0.convolve(3, stride: 2) },
      Operation("Conv, Sigmoid, Mul") { network in
        let start = network.convolve(3)
        network.add("Mul", [start], first: network.add("Sigmoid"))
      },
      Operation("Conv, Add, Relu, Conv") { network in
        let start = network.last
        network.convolve(3)
        network.add("Add", [start])
        network.add("Relu")
        network.convolve(1)
      },
      Operation("BatchNormalization") { network in
        let statistics = (0..<4).map { _ in network.random([channels], 0.5...1) }
        network.add("BatchNormalization", statistics)
      },
      Operation("Conv, more columns") { $0.convolve(3, pads: [1, 2, 1, 2]) },
      Operation("Conv, pads on one side") { $0.convolve(5, pads: [2, 0, 2, 4]) },
      Operation("PRelu") { network in
        let slopes = network.random([channels, 1, 1], -1...1)
        network.add("PRelu", [slopes])
      },
      Operation("Softmax") { $0.add("Softmax", int: ["axis": 1]) },
      Operation("ReduceMean of channels") { network in
        let start = network.last
        network.add("Mul", [start], first: network.add("ReduceMean", ints: ["axes": [1]], int: ["keepdims": 1]))
      },
      Operation("MatMul of channels") { network in
        network.transpose(toFirst: false)
        let weights = network.random([channels, channels], -1...1)
        network.add("MatMul", [weights])
        network.transpose(toFirst: true)
      },
      Operation("DepthToSpace", up: 2) { network in
        network.convolve(3, outputs: 4 * channels)
        network.add("DepthToSpace", int: ["blocksize": 2])
      },
    ]
    + [
      "Abs", "Cos", "Elu", "Erf", "Exp", "HardSigmoid", "LeakyRelu", "Mish", "Neg", "Relu", "Selu", "Sigmoid", "Sin",
      "Softplus", "Softsign", "Tanh", "ThresholdedRelu",
    ].map(Operation.pointwise)
    + ["MaxPool", "AveragePool"].flatMap { name in
      [
        Operation("\(name) 2 / 2", down: 2) {
          $0.add(name, ints: ["kernel_shape": [2, 2], "strides": [2, 2]])
        },
        Operation("\(name) 3") { $0.add(name, ints: ["kernel_shape": [3, 3], "pads": [1, 1, 1, 1]]) },
      ]
    }
    + [(2, 2, 0, 0), (3, 2, 1, 1), (4, 2, 1, 0), (5, 2, 2, 1), (8, 4, 2, 0)].map { kernel, stride, pad, added in
      Operation("ConvTranspose \(kernel) / \(stride)", up: stride) { network in
        let weights = network.random([channels, channels, kernel, kernel], -0.3...0.3)
        network.add(
          "ConvTranspose", [weights],
          ints: [
            "strides": [Int64(stride), Int64(stride)], "pads": Array(repeating: Int64(pad), count: 4),
            "output_padding": [Int64(added), Int64(added)],
          ])
      }
    }
    + [("nearest", 2), ("nearest", 3), ("linear", 2), ("linear", 4), ("cubic", 2)].map { mode, factor in
      Operation("Resize \(mode) \(factor)", up: factor) { network in
        let factors = network.floats([1, 1, Float(factor), Float(factor)])
        network.add("Resize", ["", factors], text: ["mode": mode])
      }
    }

  @Test(arguments: operations) func widthsDoNotMatter(operation: Operation) throws {
    var network = NetworkFixture(input: [1, nil, nil, operation.channels])
    network.transpose(toFirst: true)
    operation.build(&network)
    network.transpose(toFirst: false)
    let found = try network.graph(output: [1, nil, nil, operation.channels], opset: operation.isPointwise ? 18 : 13)
      .sizeDependence(file: "f")
    var engines: [any Engine] = []
    if found.ofOpenVINO == nil { engines.append(try OpenVINO.load()) }
    if found.ofONNXRuntime == nil { engines.append(try ONNXRuntime.load()) }
    #expect(!engines.isEmpty)
    guard case .onnx(let bytes) = found.graph else {
      Issue.record("it became no ONNX")
      return
    }
    for engine in engines {
      let network = try engine.read(.onnx(bytes), name: "network")
      let height = operation.isPointwise ? Self.height - 1 : Self.height
      let whole = try run(network, [1, height, Self.width, operation.channels])
      for width in Self.widths.map({ operation.isPointwise ? $0 - 1 : $0 }) {
        let part = try run(network, [1, height, width, operation.channels])
        let seen = operation.isPointwise ? width : width - Self.margin
        let columns = seen * operation.up / operation.down * operation.channels
        let (rows, pitch) = (height * operation.up / operation.down, part.count / part.rows)
        #expect(part.rows == rows && whole.rows == rows)
        let isSame = (0..<rows).allSatisfy { row in
          let other = row * (whole.count / rows)
          return part.values[row * pitch..<row * pitch + columns] == whole.values[other..<other + columns]
        }
        #expect(isSame, "\(engine.name), \(width) columns")
      }
    }
  }

  private struct Scores {
    let values: [Float]
    let rows: Int
    var count: Int { values.count }
  }

  /// Runs the network on the first columns of an image.
  private func run(_ network: any Network, _ shape: [Int]) throws -> Scores {
    let compiled = try network.compile(inputShape: shape, threads: 2, streams: 1)
    let (input, output) = try compiled.makeBuffers()
    let values = input.bytes.bindMemory(to: Float.self)
    for index in values.indices {
      let (row, column) = index.quotientAndRemainder(dividingBy: shape[2] * shape[3])
      var bits = UInt64(row * 100_003 + column) &* 0x9E37_79B9_7F4A_7C15
      bits = (bits ^ bits >> 29) &* 0xBF58_476D_1CE4_E5B9
      values[index] = Float(bits >> 40) / Float(1 << 24) - 0.3
    }
    try compiled.makeRequest().run(input: input.bytes, output: output.bytes)
    return Scores(values: Array(output.bytes.bindMemory(to: Float.self)), rows: compiled.outputShape[1])
  }
}

extension NetworkFixture {
  fileprivate mutating func random(_ shape: [Int], _ range: ClosedRange<Float>) -> String {
    tensor(shape, type: 1) { tensor in
      var random = SeededRandom(seed: UInt64(shape.reduce(7) { $0 * 31 + $1 }))
      tensor.floatData = (0..<shape.reduce(1, *)).map { _ in Float.random(in: range, using: &random) }
    }
  }

  @discardableResult
  fileprivate mutating func convolve(
    _ kernel: Int, stride: Int64 = 1, dilation: Int = 1, groups: Int = 1, outputs: Int = 16, pads: [Int64]? = nil
  ) -> String {
    let inputs = [random([outputs, 16 / groups, kernel, kernel], -0.5...0.5), random([outputs], -1...1)]
    return add(
      "Conv", inputs,
      ints: [
        "strides": [stride, stride], "dilations": Array(repeating: Int64(dilation), count: 2),
        "pads": pads ?? Array(repeating: Int64(kernel / 2 * dilation), count: 4),
      ], int: ["group": Int64(groups)])
  }
}
