// SPDX-License-Identifier: Apache-2.0
import KachelTesting
import SwiftProtobuf
import Testing

@testable import KachelModels

/// Transposed convolutions whose windows overlap, as convolutions.
@Suite struct OverlapsTests {
  struct Window: Sendable, CustomTestStringConvertible {
    var kernel: [Int]
    var stride: Int64
    var pads: [Int64] = [0, 0, 0, 0]
    var added: Int64 = 0
    var channels = (3, 2)
    var hasBias = true
    var testDescription: String { "\(kernel) / \(stride) \(pads) + \(added) \(channels)" }
  }

  private func graph(_ window: Window, ints: [String: [Int64]] = [:], text: [String: String] = [:]) throws -> ModelGraph
  {
    let (inputs, outputs) = window.channels
    var network = NetworkFixture(input: [nil, nil, nil, inputs])
    network.transpose(toFirst: true)
    func tensor(_ shape: [Int]) -> String {
      network.tensor(shape, type: 1) {
        $0.floatData = (0..<shape.reduce(1, *)).map { Float(($0 * 7919 + 13) % 101) / 101 - 0.4 }
      }
    }
    let weights = [tensor([inputs, outputs] + window.kernel)] + (window.hasBias ? [tensor([outputs])] : [])
    network.add(
      "ConvTranspose", weights,
      ints: [
        "strides": [window.stride, window.stride], "pads": window.pads,
        "output_padding": [window.added, window.added],
      ].merging(ints) { $1 }.filter { text.isEmpty || $0.key != "pads" }, text: text)
    network.transpose(toFirst: false)
    return try network.graph(output: [nil, nil, nil, outputs], opset: 13)
  }

  @Test(arguments: [
    Window(kernel: [3, 3], stride: 2, pads: [0, 0, 1, 1]),
    Window(kernel: [3, 3], stride: 2, pads: [1, 1, 1, 1], added: 1),
    Window(kernel: [4, 4], stride: 2, pads: [1, 1, 1, 1], hasBias: false), Window(kernel: [3, 3], stride: 1),
    Window(kernel: [5, 5], stride: 3, pads: [1, 2, 1, 0], added: 1), Window(kernel: [2, 5], stride: 2),
    Window(kernel: [6, 6], stride: 2, pads: [2, 2, 2, 2], channels: (16, 16)),
  ]) func theResultIsTheSame(window: Window) throws {
    let graph = try graph(window)
    guard case .resolved(let other) = try graph.resolvingOverlaps(file: "f") else {
      Issue.record("it was not taken as overlapping")
      return
    }
    let operations = try other.facts(file: "f").operations
    #expect(operations["ConvTranspose"] == nil && operations["Conv"] == 1)
    for (height, width) in [(7, 11), (1, 4)] {
      let image = PlainImage([1, height, width, window.channels.0])
      let expected = try graph.run(image), found = try other.run(image)
      #expect(expected.shape == found.shape)
      #expect(found.difference(expected) <= 2e-5)
    }
  }

  @Test func whatStaysAsItIs() throws {
    func isAbsent(_ graph: ModelGraph) throws -> Bool {
      if case .absent = try graph.resolvingOverlaps(file: "f") { true } else { false }
    }
    #expect(try isAbsent(graph(Window(kernel: [2, 2], stride: 2))))
    #expect(try isAbsent(.packaged("example/nuclei.czann")) && isAbsent(.packaged("example/nuclei.czmodel")))
    let odd = [
      try graph(Window(kernel: [3, 3], stride: 2), ints: ["dilations": [2, 2]]),
      try graph(Window(kernel: [3, 3], stride: 2), text: ["auto_pad": "SAME_UPPER"]),
      try graph(Window(kernel: [3, 3], stride: 2), ints: ["strides": [2, 1]]),
      try graph(Window(kernel: [3, 3], stride: 2), ints: ["strides": [1 << 40, 1]]),
    ]
    for graph in odd {
      guard case .kept(let reason) = try graph.resolvingOverlaps(file: "f") else {
        Issue.record("it was changed")
        continue
      }
      #expect(reason.contains("ConvTranspose"))
    }
  }
}
