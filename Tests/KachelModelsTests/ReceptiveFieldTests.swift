// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import KachelTesting
import SwiftProtobuf
import Testing

/// What pixels see, in networks small enough to work it out by hand.
@Suite struct ReceptiveFieldTests {
  typealias Build = (inout NetworkFixture) -> Void

  private func facts(opset: Int64 = 13, sizes: [Int?] = [nil, nil], _ build: Build) throws -> GraphFacts {
    try NetworkFixture.channelsFirstInside(sizes: sizes, build).facts(opset: opset)
  }

  /// Checks for free and for fixed sizes.
  private func expect(
    _ field: Int, border: Int, opset: Int64 = 13, at location: SourceLocation = #_sourceLocation, _ build: Build
  ) throws {
    for sizes in [[nil, nil], [96, 120]] as [[Int?]] {
      let facts = try facts(opset: opset, sizes: sizes, build)
      #expect(facts.exactness == .exact, sourceLocation: location)
      #expect(facts.receptiveField == AxisPair(y: field, x: field), sourceLocation: location)
      #expect(facts.neededBorder == AxisPair(y: border, x: border), sourceLocation: location)
    }
  }

  @Test func pointwiseOperations() throws {
    try expect(0, border: 0) { network in
      network.add("Relu")
      network.window("Conv", kernel: 1)
    }
  }

  @Test func chains() throws {
    try expect(3, border: 3) { network in for _ in 0..<3 { network.window("Conv", kernel: 3, pads: (1, 1)) } }
    // Each of the two sees two steps of two to each side.
    try expect(8, border: 8) { network in
      for _ in 0..<2 { network.window("Conv", kernel: 5, dilation: 2, pads: (4, 4)) }
    }
    try expect(6, border: 6) { $0.window("AveragePool", kernel: 7, pads: (6, 0)) }
    // Without padding the output is smaller; its first pixel sees the input's first three.
    try expect(2, border: 2) { $0.window("Conv", kernel: 3) }
  }

  @Test func paddingToTheSameSize() throws {
    // Of a kernel of two, the second pixel comes after, or the first before.
    try expect(1, border: 1) { $0.window("Conv", kernel: 2, automatic: "SAME_UPPER") }
    let upper = try facts { $0.window("Conv", kernel: 4, automatic: "SAME_UPPER") }
    let lower = try facts { $0.window("Conv", kernel: 4, automatic: "SAME_LOWER") }
    #expect(upper.receptiveField == AxisPair(y: 2, x: 2) && lower.receptiveField == AxisPair(y: 2, x: 2))
    // Of three pixels in steps of two the one that is added comes after: element i sees 2i ... 2i + 2.
    try expect(2, border: 2) { network in
      network.window("Conv", kernel: 3, stride: 2, automatic: "SAME_UPPER")
      network.window("ConvTranspose", kernel: 2, stride: 2)
    }
  }

  @Test func downAndUp() throws {
    // Element i sees 2i - 1 ... 2i + 1, and is pixel 2i and 2i + 1 of the output: those see one back and one ahead, and two
    // back. Beyond a core from 2i on that is one.
    try expect(2, border: 2) { network in
      network.window("Conv", kernel: 3, stride: 2, pads: (1, 1))
      network.window("ConvTranspose", kernel: 2, stride: 2)
    }
    // Pixel 2i is made of element i, which is 2i and 2i + 1; pixel 2i + 1 of the elements i and i + 1.
    try expect(2, border: 2) { network in
      network.window("MaxPool", kernel: 2, stride: 2)
      network.window("ConvTranspose", kernel: 3, stride: 2, pads: (1, 1), outputPadding: 1)
    }
    // A pixel sees the square of four pixels that it is in, and no core cuts one.
    try expect(1, border: 0) { network in
      network.window("MaxPool", kernel: 2, stride: 2)
      network.window("ConvTranspose", kernel: 2, stride: 2)
    }
    try expect(3, border: 0) { network in
      network.add("SpaceToDepth", int: ["blocksize": 4])
      network.add("DepthToSpace", int: ["blocksize": 4])
    }
    try expect(7, border: 0) { network in
      for _ in 0..<3 { network.window("AveragePool", kernel: 2, stride: 2) }
      for _ in 0..<3 { network.window("ConvTranspose", kernel: 2, stride: 2) }
    }
  }

  /// After a pooling by two, up again by two.
  @Test(arguments: [
    ("nearest", "asymmetric", "floor", 1, 0), ("nearest", "half_pixel", "round_prefer_floor", 1, 0),
    ("nearest", "tf_half_pixel_for_nn", "floor", 1, 0),
    // Pixel 2i + 1 is the element i + 1, which is the two pixels after it.
    ("nearest", "asymmetric", "ceil", 2, 2),
    // Pixel 2i lies between the elements i - 1 and i, which are the pixels 2i - 2 ... 2i + 1; 2i + 1 between i and i + 1.
    ("linear", "half_pixel", "", 2, 2), ("linear", "pytorch_half_pixel", "", 2, 2),
    // Pixel 2i is the element i, 2i + 1 lies between i and i + 1, that is 2i ... 2i + 3.
    ("linear", "asymmetric", "", 2, 2),
    // Pixel 2i is made of i - 2 ... i + 1, pixel 2i + 1 of i - 1 ... i + 2.
    ("cubic", "half_pixel", "", 4, 4),
  ])
  func resizing(mode: String, place: String, rounding: String, field: Int, border: Int) throws {
    try expect(field, border: border) { network in
      network.window("MaxPool", kernel: 2, stride: 2)
      network.add(
        "Resize", ["", network.floats([1, 1, 2, 2])],
        text: ["mode": mode, "coordinate_transformation_mode": place].merging(
          rounding.isEmpty ? [:] : ["nearest_mode": rounding]
        ) { $1 })
    }
  }

  @Test func resizingDown() throws {
    // Element i lies in the middle of the pixels 2i and 2i + 1; with antialiasing it is made of two more.
    let small: (Int64) -> Build = { antialias in
      { network in
        network.add(
          "Resize", ["", network.floats([1, 1, 0.5, 0.5])], int: ["antialias": antialias], text: ["mode": "linear"])
        network.window("ConvTranspose", kernel: 2, stride: 2)
      }
    }
    try expect(1, border: 0, opset: 18, small(0))
    try expect(2, border: 2, opset: 18, small(1))
  }

  /// Weights of thirds are rounded, those of quarters are not.
  @Test(arguments: [
    ("linear", 3, false), ("cubic", 3, false), ("linear", 6, false), ("linear", 4, true), ("cubic", 2, true),
    ("nearest", 3, true),
  ]) func weightsThatAreRounded(mode: String, factor: Int64, isExact: Bool) throws {
    let facts = try facts { network in
      network.window("MaxPool", kernel: Int(factor), stride: factor)
      network.add("Resize", ["", network.floats([1, 1, Float(factor), Float(factor)])], text: ["mode": mode])
    }
    #expect(
      facts.exactness
        == (isExact
          ? .exact
          : .canonical(
            reason:
              "Resize (Resize_4) interpolates by no power of two, and its weights are rounded by where a tile lies")))
    // What it sees is known all the same.
    #expect(facts.stride?.x == Int(factor) && facts.receptiveField != nil && facts.neededBorder != nil)
    #expect(facts.globalOperations.isEmpty)
  }

  @Test func branches() throws {
    try expect(4, border: 4) { network in
      let start = network.last
      network.window("Conv", kernel: 3, dilation: 4, pads: (4, 4))
      network.add("Add", [start])
    }
    // One looks back, the other ahead.
    try expect(4, border: 4) { network in
      let start = network.last
      network.window("Conv", kernel: 5, pads: (4, 0))
      let back = network.last
      network.window("Conv", first: start, kernel: 3, pads: (0, 2))
      network.add("Concat", [back], int: ["axis": 1])
      network.window("Conv", kernel: 1, inputs: 8)
    }
  }

  @Test func cropsAndPads() throws {
    try expect(2, border: 2) { network in
      network.add(
        "Slice", [network.integers([2, 2]), network.integers([1 << 60, 1 << 60]), network.integers([2, 3])])
    }
    try expect(0, border: 0) { network in
      network.add("Pad", [network.integers([0, 0, 3, 3, 0, 0, 0, 0])])
      network.add(
        "Slice", [network.integers([3, 3]), network.integers([1 << 60, 1 << 60]), network.integers([2, 3])])
    }
    // What is padded in front moves every pixel; a convolution without padding takes it away again.
    try expect(3, border: 3) { network in
      network.add("Pad", [network.integers([0, 0, 3, 3, 0, 0, 3, 3])], text: ["mode": "reflect"])
      network.window("Conv", kernel: 7)
    }
  }

  @Test func axesOnTheirOwn() throws {
    let facts = try facts { network in
      network.add(
        "Conv", [network.weights([4, 4, 3, 5])], ints: ["pads": [1, 2, 1, 2], "kernel_shape": [3, 5]])
    }
    #expect(facts.receptiveField == AxisPair(y: 1, x: 2))
  }

  /// What wraps the transposed convolutions of a network with free sizes in exports of TensorFlow: the difference from
  /// the wanted size is cut off, or padded.
  @Test func computedCropsAndPads() throws {
    try expect(2, border: 2) { network in
      network.window("Conv", kernel: 3, stride: 2, automatic: "SAME_UPPER")
      let small = network.last
      // From the whole image without padding: a row and a column too many.
      let large = network.window("ConvTranspose", kernel: 3, stride: 2)
      func side(_ axis: Int64, of value: String) -> String {
        network.add("Shape", first: value)
        return network.add(
          "Slice", [network.integers([axis]), network.integers([axis + 1]), network.integers([0])])
      }
      var starts: [String] = [], ends: [String] = []
      for axis in [2, 3] as [Int64] {
        let wanted = network.add("Mul", [network.integers([2])], first: side(axis, of: small))
        let rest = network.add("Sub", [wanted], first: side(axis, of: large))
        network.add("Max", [network.integers([0])], first: rest)
        starts.append(network.add("Div", [network.integers([2])]))
        ends.append(network.add("Add", [wanted]))
      }
      let start = network.add("Concat", [starts[1]], first: starts[0], int: ["axis": 0])
      let end = network.add("Concat", [ends[1]], first: ends[0], int: ["axis": 0])
      network.add("Slice", [start, end, network.integers([2, 3])], first: large)
    }
  }

  /// The difference of sizes is padded, as U-Nets of PyTorch do for images of any size.
  @Test func paddingToTheSizeOfAnotherImage() throws {
    try expect(3, border: 2) { network in
      let start = network.last
      network.window("MaxPool", kernel: 2, stride: 2)
      network.window("Conv", kernel: 3, pads: (1, 1))
      let up = network.window("ConvTranspose", kernel: 2, stride: 2)
      var amounts: [String] = []
      for axis in [2, 3] as [Int64] {
        network.add("Shape", first: up)
        let own = network.add("Gather", [network.integers([axis])])
        network.add("Shape", first: start)
        network.add("Gather", [network.integers([axis])])
        network.add("Sub", [own])
        amounts.append(network.add("Div", [network.integers([2])]))
      }
      let zeros = network.integers([0, 0])
      let pads = network.add("Concat", [amounts[0], amounts[1], zeros] + amounts, first: zeros, int: ["axis": 0])
      network.add("Pad", [pads], first: up)
      network.add("Concat", [start], int: ["axis": 1])
      network.window("Conv", kernel: 1, inputs: 8)
    }
  }

  @Test func whatIsNotKnown() throws {
    // By how much is padded in front, or how large a kernel is, only running would tell.
    let padded = try facts { network in
      network.add("Pad", [network.tensor([8], type: 7) { $0.dataLocation = 1 }])
    }
    #expect(padded.receptiveField == nil && padded.stride == AxisPair(y: 1, x: 1))
    #expect(padded.exactness == .canonical(reason: "how far it sees is not known beyond Pad (Pad_3)"))
    let corners = try facts { network in
      network.add(
        "Resize", ["", network.floats([1, 1, 2, 2])], text: ["coordinate_transformation_mode": "align_corners"])
    }
    #expect(corners.exactness.reason?.contains("depends on the image's size (align_corners)") == true)
    let small = try facts { $0.window("MaxPool", kernel: 2, stride: 2) }
    #expect(small.exactness == .canonical(reason: "the output has another resolution than the input"))
  }

  @Test func layouts() throws {
    var network = NetworkFixture(input: [nil, 4, nil, nil])
    network.window("Conv", kernel: 3, pads: (1, 1))
    let graph = ModelGraph.onnx(try network.model().serializedBytes())
    #expect(try graph.facts(layout: .channelsFirst, file: "f").receptiveField == AxisPair(y: 1, x: 1))
    #expect(try graph.facts(file: "f").receptiveField == nil)
  }

  @Test func borders() throws {
    var facts = try facts { network in
      network.window("Conv", kernel: 3, stride: 2, pads: (1, 1))
      network.window("ConvTranspose", kernel: 2, stride: 2)
    }
    let needed = AxisPair(y: 2, x: 2)
    #expect(facts.verdict(onBorder: needed) == .sufficient(needed: needed))
    #expect(facts.verdict(onBorder: AxisPair(y: 8, x: 1)) == .insufficient(needed: needed))
    #expect(facts.verdict(onBorder: nil) == .undeclared(needed: needed))
    facts = try self.facts { network in
      let features = network.window("Conv", kernel: 3, pads: (1, 1))
      network.add("GlobalAveragePool")
      network.add("Mul", [features])
    }
    guard case .unknown(let reason) = facts.verdict(onBorder: needed) else {
      Issue.record("no border helps a network that sees all of its tile")
      return
    }
    #expect(reason.contains("GlobalAveragePool"))
  }

  @Test func operationsPerPixel() throws {
    // 4 x 4 weights of 3 x 3 for every pixel; a quarter of that at half the resolution, a quarter again for the kernel of
    // the transposed convolution, which takes the smaller side's elements; 16 for the matrix.
    let facts = try facts { network in
      network.window("Conv", kernel: 3, pads: (1, 1))
      network.window("Conv", kernel: 3, stride: 2, pads: (1, 1))
      network.window("ConvTranspose", kernel: 2, stride: 2)
      network.transpose(toFirst: false)
      network.add("MatMul", [network.weights([4, 4])])
      network.transpose(toFirst: true)
    }
    #expect(facts.flopsPerPixel == Double(2 * (144 + 36 + 16 + 16)))
    #expect(try self.facts { $0.add("SomethingNew") }.flopsPerPixel == nil)
    #expect(try self.facts { $0.add("Relu") }.flopsPerPixel == 0)
  }

  // MARK: Bounds

  @Test func whatIsTooLargeIsNotFollowed() throws {
    let huge = try facts { network in
      network.window("Conv", kernel: 1 << 40, pads: (0, 0))
    }
    #expect(huge.receptiveField == nil)
    let wide = try facts { network in
      network.add("MaxPool", ints: ["kernel_shape": [1 << 30, 1 << 30], "strides": [1, 1]])
      network.add("MaxPool", ints: ["kernel_shape": [1 << 30, 1 << 30], "strides": [1, 1]])
    }
    #expect(wide.receptiveField == nil)
    let padded = try facts { network in
      network.add("Conv", [network.weights([4, 4, 1, 1])], ints: ["pads": [.max, .min, .max, .min]])
    }
    #expect(padded.receptiveField == nil)
  }

  /// Many phases in many nodes: the exact answer is given up for a bound, and no more work is done than is worth it.
  @Test func longChainsOfManyPhases() throws {
    for factor in [64, 65_536] as [Int64] {
      let facts = try facts { network in
        network.window("MaxPool", kernel: Int(factor), stride: factor)
        network.window("ConvTranspose", kernel: Int(factor), stride: factor)
        let start = network.last
        for _ in 0..<2000 {
          network.window("Conv", kernel: 3, pads: (1, 1))
          network.add("Add", [start])
        }
      }
      #expect(facts.stride == AxisPair(y: Int(factor), x: Int(factor)))
      let field = facts.receptiveField.map { $0.y }
      #expect(factor == 64 ? field == 63 + 2000 : field == nil)
    }
  }

  @Test func wideFans() throws {
    let facts = try facts { network in
      let start = network.last
      var all: [String] = []
      for _ in 0..<5000 { all.append(network.window("Conv", first: start, kernel: 3, pads: (1, 1))) }
      for name in all { network.add("Add", [name]) }
    }
    #expect(facts.receptiveField == AxisPair(y: 1, x: 1))
  }
}

extension NetworkFixture {
  /// A network in which only the middle differs: from and to channels last.
  static func channelsFirstInside(sizes: [Int?], _ build: (inout NetworkFixture) -> Void) -> NetworkFixture {
    var network = NetworkFixture(input: [nil] + sizes + [4])
    network.transpose(toFirst: true)
    build(&network)
    network.transpose(toFirst: false)
    return network
  }

  /// A convolution or pooling, the same along both axes.
  @discardableResult
  mutating func window(
    _ operation: String, first: String? = nil, kernel: Int, stride: Int64 = 1, dilation: Int64 = 1,
    pads: (Int64, Int64) = (0, 0), automatic: String? = nil, outputPadding: Int64 = 0, inputs: Int = 4
  ) -> String {
    let isPool = operation.hasSuffix("Pool")
    let shape = operation == "ConvTranspose" ? [inputs, 4, kernel, kernel] : [4, inputs, kernel, kernel]
    var ints: [String: [Int64]] = [
      "kernel_shape": [Int64(kernel), Int64(kernel)], "strides": [stride, stride],
    ]
    if dilation > 1 { ints["dilations"] = [dilation, dilation] }
    if automatic == nil { ints["pads"] = [pads.0, pads.0, pads.1, pads.1] }
    if outputPadding > 0 { ints["output_padding"] = [outputPadding, outputPadding] }
    // Weights that are too many are not in the graph.
    let isHuge = kernel > 64
    return add(
      operation,
      isPool ? [] : [isHuge ? tensor(shape, type: 1) { $0.dataLocation = 1 } : weights(shape)], first: first,
      ints: ints, text: automatic.map { ["auto_pad": $0] } ?? [:])
  }
}
