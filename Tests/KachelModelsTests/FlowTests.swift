// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import Testing

/// How an image is followed through small networks.
@Suite struct FlowTests {
  /// A network in which only the middle differs: from and to channels last, with free sizes.
  private func facts(
    opset: Int64 = 12, sizes: [Int?] = [nil, nil], _ build: (inout NetworkFixture) -> Void
  ) throws -> GraphFacts {
    var network = NetworkFixture(input: [nil] + sizes + [4])
    network.transpose(toFirst: true)
    build(&network)
    network.transpose(toFirst: false)
    return try network.facts(opset: opset)
  }

  @Test func stridesMultiplyAndTheirMultipleCounts() throws {
    let facts = try facts { network in
      network.convolution(stride: 2)
      network.convolution(stride: 3)
      network.convolution(stride: 3, transposed: true)
      network.convolution(stride: 2, transposed: true)
    }
    #expect(facts.stride == AxisPair(y: 6, x: 6))
    #expect(facts.globalOperations.isEmpty)
  }

  @Test func branchesOfDifferentStrides() throws {
    // Down by 2 and by 3 beside each other: the output moves along in steps of 6.
    let facts = try facts { network in
      let start = network.last
      network.convolution(stride: 2)
      network.convolution(stride: 2, transposed: true)
      let first = network.last
      network.add("MaxPool", first: start, ints: ["strides": [3, 3], "kernel_shape": [3, 3]])
      network.convolution(stride: 3, transposed: true)
      network.add("Add", [first])
    }
    #expect(facts.stride == AxisPair(y: 6, x: 6))
  }

  @Test func thirdsAreExact() throws {
    let facts = try facts { network in
      let start = network.last
      network.add("AveragePool", ints: ["strides": [3, 3], "kernel_shape": [3, 3]])
      network.convolution(stride: 7)
      network.add("Resize", ["", network.floats([1, 1, 7, 7])])
      network.add("Resize", ["", network.floats([1, 1, 3, 3])])
      network.add("Resize", ["", network.floats([1, 1, 1 / 3, 1 / 3])])
      network.convolution(stride: 3, transposed: true)
      network.add("Add", [start])
    }
    #expect(facts.stride == AxisPair(y: 21, x: 21))
  }

  @Test func axesHaveTheirOwnStrides() throws {
    let facts = try facts { network in
      network.add("MaxPool", ints: ["strides": [2, 1], "kernel_shape": [2, 1]])
      network.add("Resize", ["", network.floats([1, 1, 2, 1])])
    }
    #expect(facts.stride == AxisPair(y: 2, x: 1))
  }

  @Test func upsamplingFirstNeedsNoStride() throws {
    let facts = try facts { network in
      network.add("Resize", ["", network.floats([1, 1, 2, 2])])
      network.convolution(stride: 2)
    }
    #expect(facts.stride == AxisPair(y: 1, x: 1))
  }

  @Test func pixelsIntoChannelsAndBack() throws {
    let facts = try facts { network in
      network.add("SpaceToDepth", int: ["blocksize": 4])
      network.add("DepthToSpace", int: ["blocksize": 4])
    }
    #expect(facts.stride == AxisPair(y: 4, x: 4))
  }

  /// Sizes computed from the image's own, as exporters of networks with free sizes write them.
  @Test(arguments: [[nil, nil], [64, 96]] as [[Int?]]) func computedSizes(sizes: [Int?]) throws {
    let facts = try facts(sizes: sizes) { network in
      network.add("MaxPool", ints: ["strides": [2, 2], "kernel_shape": [2, 2]])
      let pooled = network.last
      network.add("Shape")
      network.add("Slice", [network.integers([2]), network.integers([4]), network.integers([0])])
      network.add("Mul", [network.integers([2])])
      let size = network.last
      network.add("Shape", first: pooled)
      network.add("Slice", [network.integers([0]), network.integers([2]), network.integers([0])])
      network.add("Concat", [size], int: ["axis": 0])
      network.add("Resize", ["", "", network.last], first: pooled)
    }
    #expect(facts.stride == AxisPair(y: 2, x: 2))
    #expect(facts.globalOperations.isEmpty)
  }

  /// What depends on the whole image, and whether the image can be followed beyond it.
  @Test(arguments: [
    ("GlobalAveragePool", false), ("GlobalMaxPool", false), ("InstanceNormalization", true),
    ("GroupNormalization", true), ("SomethingNew", false), ("NonMaxSuppression", false), ("CumSum", false),
  ])
  func globalOperations(operation: String, isFollowed: Bool) throws {
    let facts = try facts { network in
      network.convolution()
      network.add(operation)
    }
    #expect(facts.globalOperations == [operation: 1])
    #expect((facts.stride != nil) == isFollowed)
  }

  @Test func gatesAreFollowed() throws {
    // Squeeze and excitation: the mean of each channel scales the channel.
    let facts = try facts { network in
      network.convolution(stride: 2)
      let features = network.last
      network.add("GlobalAveragePool")
      network.add("Sigmoid")
      network.add("Mul", [features])
      network.convolution(stride: 2, transposed: true)
    }
    #expect(facts.stride == AxisPair(y: 2, x: 2))
    #expect(facts.globalOperations == ["GlobalAveragePool": 1])
  }

  @Test func meansOverChannelsAreLocal() throws {
    let local = try facts { network in
      let features = network.last
      network.add("ReduceMean", ints: ["axes": [1]], int: ["keepdims": 1])
      network.add("Sub", [features])
    }
    #expect(local.globalOperations.isEmpty)
    #expect(local.stride == AxisPair(y: 1, x: 1))
    let global = try facts { network in
      let features = network.last
      network.add("ReduceMean", ints: ["axes": [2, 3]], int: ["keepdims": 1])
      network.add("Sub", [features])
    }
    #expect(global.globalOperations == ["ReduceMean": 1])
    #expect(global.stride == AxisPair(y: 1, x: 1))
  }

  /// Before version 13 a softmax over axis 1 runs over everything from there on.
  @Test func softmaxOverChannelsFirst() throws {
    #expect(try facts(opset: 13) { $0.add("Softmax", int: ["axis": 1]) }.globalOperations.isEmpty)
    #expect(try facts(opset: 12) { $0.add("Softmax", int: ["axis": 1]) }.globalOperations == ["Softmax": 1])
  }

  @Test func whatMovesWithNoImage() throws {
    // A map that is added at fixed places, coordinates as channels, corners that are aligned, a kernel from the image.
    #expect(try facts { $0.add("Add", [$0.weights([1, 1, 64, 64])]) }.globalOperations == ["Add": 1])
    #expect(try facts { $0.add("Add", [$0.weights([1, 4, 1, 1])]) }.globalOperations.isEmpty)
    #expect(
      try facts { $0.add("Concat", [$0.weights([1, 2, 64, 64])], int: ["axis": 1]) }.globalOperations == ["Concat": 1])
    #expect(
      try facts {
        $0.add(
          "Resize", ["", $0.floats([1, 1, 2, 2])], text: ["coordinate_transformation_mode": "align_corners"])
      }.globalOperations == ["Resize": 1])
    #expect(try facts { $0.add("Conv", [$0.last]) }.globalOperations == ["Conv": 1])
  }

  /// Pixels divided by how many there are, which differs from tile to image; and by a ratio of sizes, which does not.
  @Test func numbersOfPixels() throws {
    func build(_ network: inout NetworkFixture, isRatio: Bool) {
      let image = network.last
      network.add("Shape")
      let size = network.add("Gather", [network.integers([2])])
      if isRatio { network.add("Div", [size], first: network.add("Mul", [network.integers([3])])) }
      let number = network.add("Cast", int: ["to": 1])
      network.add("Div", [number], first: image)
    }
    let ratio = try facts { build(&$0, isRatio: true) }
    #expect(ratio.exactness == .exact && ratio.globalOperations.isEmpty)
    let size = try facts { build(&$0, isRatio: false) }
    #expect(size.exactness.name == "canonical" && size.globalOperations == ["Div": 1])
    #expect(size.stride == AxisPair(y: 1, x: 1))
    // A network of a fixed size has tiles of no other.
    #expect(try facts(sizes: [64, 64]) { build(&$0, isRatio: false) }.exactness == .exact)
  }

  @Test func theSameNameOfAnotherDomain() throws {
    let facts = try facts { $0.add("Relu", domain: "com.example") }
    #expect(facts.globalOperations == ["Relu": 1])
    #expect(facts.stride == nil)
  }

  @Test func anotherResolutionAtTheOutput() throws {
    #expect(try facts { $0.convolution(stride: 2) }.stride == nil)
  }

  @Test func aConvolutionOverTheWrongAxes() throws {
    // Without the transposition the height is taken for channels.
    var network = NetworkFixture(input: [nil, nil, nil, 4])
    network.convolution()
    let facts = try network.facts()
    #expect(facts.stride == nil)
    #expect(facts.globalOperations == ["Conv": 1])
  }

  @Test func circlesAndLooseEnds() throws {
    var network = NetworkFixture(input: [nil, nil, nil, 4])
    network.add("Add", ["Relu_2"])
    network.add("Relu")
    let facts = try network.facts()
    #expect(facts.stride == nil)
    #expect(!facts.globalOperations.isEmpty)
  }

  @Test func aLongChainDoesNotExhaustTheStack() throws {
    let facts = try facts { network in for _ in 0..<20_000 { network.add("Relu") } }
    #expect(facts.stride == AxisPair(y: 1, x: 1))
  }

  @Test func commonMultiples() {
    #expect(FlowAnalysis.commonMultiple([1, 2, 4, 8]) == 8)
    #expect(FlowAnalysis.commonMultiple([1, 2, 3]) == 6)
    #expect(FlowAnalysis.commonMultiple([1, 0.5, 0.25]) == 1)
    #expect(FlowAnalysis.commonMultiple([1, 1.5]) == 3)
    #expect(FlowAnalysis.commonMultiple([1, 65_521, 65_519]) == nil)
    #expect(FlowAnalysis.commonMultiple([.nan]) == nil)
    #expect(FlowAnalysis.commonMultiple([.infinity]) == nil)
  }
}
