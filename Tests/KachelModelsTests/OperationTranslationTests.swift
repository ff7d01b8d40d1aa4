// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import KachelEngines
import KachelTesting
import Testing

/// Single operations: OpenVINO reads TensorFlow's graph too, by translations of its own, so each graph is run as it is
/// and as ONNX.
@Suite struct OperationTranslationTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var input: [Int?] = [nil, nil, nil, 2]
    var shape = [2, 9, 7, 2]
    /// Where the versions of ONNX's operators differ in what the operation becomes, both.
    var opsets = [12]
    var build: @Sendable (inout SavedModelFixture) -> String

    var inBothVersions: Self {
      var test = self
      test.opsets = [12, 18]
      return test
    }
  }

  private static func window(_ padding: String, stride: Int = 1, dilation: Int = 1) -> [String: SavedModelFixture
    .Attribute]
  {
    [
      "padding": .text(padding), "strides": .ints([1, stride, stride, 1]),
      "dilations": .ints([1, dilation, dilation, 1]),
      "data_format": .text("NHWC"),
    ]
  }

  static let convolutions: [Case] = ["SAME", "VALID"].flatMap { padding in
    [1, 2, 3].flatMap { stride in
      [1, 2, 3].map { kernel in
        Case(testDescription: "Conv2D \(padding) \(kernel)x\(kernel) / \(stride)") {
          $0.add("Conv2D", ["x", $0.weights([kernel, kernel, 2, 3])], window(padding, stride: stride))
        }
      }
    }
  }

  /// As Keras writes them: the size of the output is computed from that of the input.
  static let transposedConvolutions: [Case] = ["SAME", "VALID"].flatMap { padding in
    [(1, 2), (2, 2), (3, 2), (4, 2), (5, 2), (2, 3), (3, 1)].map { kernel, stride in
      Case(testDescription: "Conv2DBackpropInput \(padding) \(kernel)x\(kernel) / \(stride)") {
        var sizes = [$0.size(of: "x", 0)]
        for axis in [1, 2] {
          let grown = $0.add("Mul", [$0.size(of: "x", axis), $0.integer(stride)], type: 3)
          let more = padding == "VALID" ? max(0, kernel - stride) : 0
          sizes.append(more > 0 ? $0.add("AddV2", [grown, $0.integer(more)], type: 3) : grown)
        }
        sizes.append($0.integer(4))
        let shape = $0.add("Pack", sizes, ["N": .int(4), "axis": .int(0)], type: 3)
        return $0.add(
          "Conv2DBackpropInput", [shape, $0.weights([kernel, kernel, 4, 2]), "x"], window(padding, stride: stride))
      }
    }
  }

  static let windows: [Case] = [
    Case(testDescription: "grouped", input: [nil, nil, nil, 4], shape: [1, 5, 6, 4]) {
      $0.add("Conv2D", ["x", $0.weights([3, 3, 2, 6])], window("SAME"))
    },
    Case(testDescription: "fixed sizes", input: [nil, 9, 8, 2], shape: [3, 9, 8, 2]) {
      let first = $0.add("Conv2D", ["x", $0.weights([3, 4, 2, 3])], window("SAME", stride: 2))
      return $0.add(
        "MaxPool", [first], window("SAME", stride: 2).merging(["ksize": .ints([1, 3, 3, 1])]) { a, _ in a })
    },
    Case(testDescription: "dilated") {
      $0.add("Conv2D", ["x", $0.weights([3, 3, 2, 3])], window("SAME", dilation: 2))
    },
    Case(testDescription: "depthwise") {
      $0.add("DepthwiseConv2dNative", ["x", $0.weights([3, 3, 2, 3])], window("SAME"))
    },
    Case(testDescription: "MaxPool SAME") {
      $0.add("MaxPool", ["x"], window("SAME", stride: 2).merging(["ksize": .ints([1, 2, 2, 1])]) { a, _ in a })
    },
    Case(testDescription: "AvgPool SAME") {
      $0.add("AvgPool", ["x"], window("SAME").merging(["ksize": .ints([1, 3, 3, 1])]) { a, _ in a })
    },
    Case(testDescription: "padding before a convolution") {
      let padded = $0.add("Pad", ["x", $0.integers([0, 0, 1, 0, 2, 1, 0, 0], shape: [4, 2])])
      return $0.add("Conv2D", [padded, $0.weights([3, 3, 2, 3])], window("VALID", stride: 2))
    },
    Case(testDescription: "blocks", input: [nil, 9, 7, 2]) {
      let blocks = $0.integers([2, 3])
      let cut = $0.add("SpaceToBatchND", ["x", blocks, $0.integers([2, 3, 3, 5], shape: [2, 2])])
      let convolved = $0.add("Conv2D", [cut, $0.weights([3, 3, 2, 4])], window("VALID"))
      let summed = $0.add("BiasAdd", [convolved, $0.weights([4])])
      return $0.add("BatchToSpaceND", [summed, blocks, $0.integers([0, 1, 0, 2], shape: [2, 2])])
    },
    normalized("FusedBatchNormV3 after a convolution") {
      $0.add("Conv2D", ["x", $0.weights([3, 3, 2, 2])], window("SAME"))
    },
    normalized("FusedBatchNormV3 of the input") { _ in "x" },
    normalized("FusedBatchNormV3 after an activation") {
      $0.add("Relu", [$0.add("Conv2D", ["x", $0.weights([3, 3, 2, 2])], window("SAME"))])
    },
    Case(testDescription: "normalisation as Keras 3 writes it") {
      let convolved = $0.add("Conv2D", ["x", $0.weights([3, 3, 2, 2])], window("SAME"))
      let deviation = $0.add("Rsqrt", [$0.add("AddV2", [$0.floats([0.5, 2], [2]), $0.float(0.001)])])
      let factor = $0.add("Mul", [deviation, $0.floats([1.5, 0.2], [2])])
      let summand = $0.add("Sub", [$0.floats([0.1, -1], [2]), $0.add("Mul", [$0.floats([0.3, 0.4], [2]), factor])])
      return $0.add("Relu", [$0.add("AddV2", [$0.add("Mul", [convolved, factor]), summand])])
    },
    Case(testDescription: "weights that two convolutions share") {
      let weights = $0.weights([3, 3, 2, 2])
      let first = $0.add("Conv2D", ["x", weights], window("SAME"))
      let scaled = $0.add("Mul", [first, $0.floats([3, 0.5], [2])])
      return $0.add("Conv2D", [scaled, weights], window("SAME"))
    },
    Case(testDescription: "SpaceToDepth", shape: [2, 8, 6, 2]) {
      $0.add("SpaceToDepth", ["x"], ["block_size": .int(2), "data_format": .text("NHWC")])
    },
    Case(testDescription: "DepthToSpace", input: [nil, nil, nil, 8], shape: [1, 3, 2, 8]) {
      $0.add("DepthToSpace", ["x"], ["block_size": .int(2), "data_format": .text("NHWC")])
    },
  ]

  private static func normalized(
    _ name: String, _ before: @Sendable @escaping (inout SavedModelFixture) -> String
  ) -> Case {
    Case(testDescription: name) {
      let inputs = [[1.5, 0.2], [0.1, -1], [0.3, 0.4], [0.5, 2]].map { numbers in numbers.map(Float.init) }
      let image = before(&$0)
      var names = [image]
      for numbers in inputs { names.append($0.floats(numbers, [2])) }
      return $0.add(
        "FusedBatchNormV3", names,
        ["U": .type(1), "is_training": .bool(false), "epsilon": .float(0.001), "data_format": .text("NHWC")])
    }
  }

  /// Sizes as factors and as numbers, by all three rules of where pixels lie.
  static let resizes: [Case] = ["ResizeBilinear", "ResizeNearestNeighbor"].flatMap { kind in
    ["half_pixel_centers", "align_corners", "neither"].flatMap { rule in
      [true, false].map { isFactor in
        Case(testDescription: "\(kind) \(rule) \(isFactor ? "x 2" : "to 13 x 5")") {
          var sizes: [String] = []
          for axis in [1, 2] where isFactor {
            sizes.append($0.add("Mul", [$0.size(of: "x", axis), $0.integer(2)], type: 3))
          }
          let size = isFactor ? $0.add("Pack", sizes, ["N": .int(2), "axis": .int(0)], type: 3) : $0.integers([13, 5])
          return $0.add(
            kind, ["x", size],
            [
              "half_pixel_centers": .bool(rule == "half_pixel_centers"),
              "align_corners": .bool(rule == "align_corners"),
            ])
        }
      }
    }
  }

  static let pointwise: [Case] =
    [
      "Relu", "Relu6", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Exp", "Expm1", "Square", "Neg", "Abs",
      "Sign", "Floor", "Ceil", "Rint", "Erf", "Erfc", "Softmax", "LogSoftmax", "Sin", "ZerosLike", "OnesLike",
    ].map { kind in Case(testDescription: kind) { $0.add(kind) } }
    + ["Sqrt", "Rsqrt", "Log", "Log1p", "Reciprocal"].map { kind in
      Case(testDescription: kind) { $0.add(kind, [$0.add("AddV2", [$0.add("Square"), $0.float(0.5)])]) }
    }
    + ["AddV2", "Sub", "Mul", "RealDiv", "Maximum", "Minimum", "SquaredDifference", "FloorDiv", "DivNoNan"].map {
      kind in
      Case(testDescription: "\(kind) in both orders of axes") {
        let convolved = $0.add("Conv2D", ["x", $0.weights([1, 1, 2, 2])], window("SAME"))
        let row = $0.add(kind, [convolved, $0.weights([7, 2])])
        return $0.add(kind, [$0.weights([1, 9, 1, 1]), $0.add(kind, [row, "x"])])
      }
    }
    + [
      Case(testDescription: "LeakyRelu") { $0.add("LeakyRelu", ["x"], ["alpha": .float(0.3)]) },
      Case(testDescription: "Pow") { $0.add("Pow", [$0.add("Square"), $0.float(1.5)]) },
      Case(testDescription: "AddN") { $0.add("AddN", ["x", "x", $0.add("Relu")], ["N": .int(3)]) },
      Case(testDescription: "ClipByValue") { $0.add("ClipByValue", ["x", $0.float(-0.2), $0.float(0.4)]) },
      Case(testDescription: "SelectV2") {
        $0.add("SelectV2", [$0.add("Greater", ["x", $0.float(0)]), "x", $0.add("Exp")])
      },
      Case(testDescription: "softmax between convolutions") {
        let before = $0.add("Conv2D", ["x", $0.weights([3, 3, 2, 3])], window("SAME"))
        return $0.add("Conv2D", [$0.add("Softmax", [before]), $0.weights([3, 3, 3, 2])], window("SAME"))
      },
    ]

  static let reductions: [Case] = ["Mean", "Sum", "Max", "Min", "Prod"].flatMap { kind in
    [[1, 2], [-1], [0, 1, 2, 3], [1]].map { axes in
      Case(testDescription: "\(kind) \(axes)") {
        let convolved = $0.add("Conv2D", ["x", $0.weights([1, 1, 2, 2])], window("SAME"))
        let kept = $0.add(kind, [convolved, $0.integers(axes)], ["keep_dims": .bool(true), "Tidx": .type(3)])
        let gone = $0.add(kind, [convolved, $0.integers(axes)], ["keep_dims": .bool(false), "Tidx": .type(3)])
        return $0.add(
          "AddV2",
          [
            $0.add("Mul", [convolved, kept]),
            $0.add("Reshape", [gone, $0.add("Shape", [kept], ["out_type": .type(3)])], ["Tshape": .type(3)]),
          ])
      }
    }
  }

  static let movements: [Case] = [
    Case(testDescription: "ConcatV2") {
      let convolved = $0.add("Conv2D", ["x", $0.weights([3, 3, 2, 3])], window("SAME"))
      return $0.add("ConcatV2", ["x", convolved, $0.integer(-1)], ["N": .int(2), "Tidx": .type(3)])
    },
    Case(testDescription: "Transpose") {
      let convolved = $0.add("Conv2D", ["x", $0.weights([3, 3, 2, 3])], window("SAME"))
      let turned = $0.add("Transpose", [convolved, $0.integers([0, 2, 1, 3])], ["Tperm": .type(3)])
      return $0.add("Conv2D", [turned, $0.weights([1, 3, 3, 2])], window("SAME"))
    },
    Case(testDescription: "repeated rows, as Keras 3 writes nearest upsampling") {
      let convolved = $0.add("Conv2D", ["x", $0.weights([3, 3, 2, 3])], window("SAME"))
      let wide = $0.add("ExpandDims", [convolved, $0.integer(2)], ["Tdim": .type(3)])
      let tiled = $0.add("Tile", [wide, $0.integers([1, 1, 2, 1, 1])], ["Tmultiples": .type(3)])
      let sizes = [$0.size(of: "x", 0), $0.integer(-1), $0.size(of: "x", 2), $0.integer(3)]
      let shape = $0.add("Pack", sizes, ["N": .int(4), "axis": .int(0)], type: 3)
      let joined = $0.add("Reshape", [tiled, shape], ["Tshape": .type(3)])
      return $0.add("Conv2D", [joined, $0.weights([3, 3, 3, 2])], window("SAME"))
    },
    Case(testDescription: "a dense layer on every pixel") {
      let convolved = $0.add("Conv2D", ["x", $0.weights([3, 3, 2, 3])], window("SAME"))
      let rows = $0.add("Reshape", [convolved, $0.integers([-1, 3])], ["Tshape": .type(3)])
      let product = $0.add("MatMul", [rows, $0.weights([3, 4])])
      let sizes = [$0.size(of: "x", 0), $0.size(of: "x", 1), $0.size(of: "x", 2), $0.integer(4)]
      let shape = $0.add("Pack", sizes, ["N": .int(4), "axis": .int(0)], type: 3)
      return $0.add("Reshape", [product, shape], ["Tshape": .type(3)])
    },
    Case(testDescription: "squeeze and excite") {
      let convolved = $0.add("Conv2D", ["x", $0.weights([3, 3, 2, 3])], window("SAME"))
      let mean = $0.add("Mean", [convolved, $0.integers([1, 2])], ["keep_dims": .bool(false), "Tidx": .type(3)])
      let gate = $0.add("Sigmoid", [$0.add("MatMul", [mean, $0.weights([3, 3])])])
      let pixel = $0.add("Reshape", [gate, $0.integers([-1, 1, 1, 3])], ["Tshape": .type(3)])
      return $0.add("Mul", [convolved, pixel])
    },
    Case(testDescription: "Split") {
      let convolved = $0.add("Conv2D", ["x", $0.weights([3, 3, 2, 4])], window("SAME"))
      let split = $0.add("Split", [$0.integer(3), convolved], ["num_split": .int(2)])
      return $0.add("Sub", ["\(split):1", split])
    },
    Case(testDescription: "StridedSlice") {
      let convolved = $0.add("Conv2D", ["x", $0.weights([3, 3, 2, 4])], window("SAME"))
      let bounds = [$0.integers([0, 1, 2, 3]), $0.integers([0, -1, 0, -5]), $0.integers([1, 1, 2, -1])]
      return $0.add(
        "StridedSlice", [convolved] + bounds, ["Index": .type(3), "begin_mask": .int(1), "end_mask": .int(0b101)])
    },
    Case(testDescription: "GatherV2") {
      $0.add(
        "GatherV2", ["x", $0.integers([1, 0, 1]), $0.integer(-1)],
        ["Tparams": .type(1), "Tindices": .type(3), "Taxis": .type(3)])
    },
    Case(testDescription: "PadV2") {
      $0.add(
        "PadV2", ["x", $0.integers([0, 0, 1, 2, 0, 3, 0, 0], shape: [4, 2]), $0.float(0.5)], ["Tpaddings": .type(3)])
    },
    Case(testDescription: "MirrorPad REFLECT") {
      $0.add(
        "MirrorPad", ["x", $0.integers([0, 0, 1, 2, 3, 0, 0, 0], shape: [4, 2])],
        ["Tpaddings": .type(3), "mode": .text("REFLECT")])
    },
    Case(testDescription: "MirrorPad SYMMETRIC") {
      $0.add(
        "MirrorPad", ["x", $0.integers([0, 0, 1, 2, 3, 0, 0, 0], shape: [4, 2])],
        ["Tpaddings": .type(3), "mode": .text("SYMMETRIC")])
    },
    Case(testDescription: "a number of pixels") {
      let shape = $0.add("Shape", ["x"], ["out_type": .type(3)])
      let bounds = [$0.integers([1]), $0.integers([0]), $0.integers([1])]
      let sizes = $0.add("StridedSlice", [shape] + bounds, ["Index": .type(3), "end_mask": .int(1)], type: 3)
      let count = $0.add("Prod", [sizes, $0.integers([0])], ["keep_dims": .bool(false), "Tidx": .type(3)], type: 3)
      return $0.add("Mul", ["x", $0.add("Rsqrt", [$0.add("Cast", [count], ["SrcT": .type(3), "DstT": .type(1)])])])
    },
  ]

  static let all =
    convolutions + transposedConvolutions + windows + pointwise
    + (resizes + reductions + movements).map(\.inBothVersions)

  @Test(arguments: all) func asTensorFlow(test: Case) throws {
    var fixture = SavedModelFixture(input: test.input)
    let output = fixture.add("Identity", [test.build(&fixture)])
    let folder = try ScratchFolder()
    _ = try folder.write(fixture.bytes(output: output), to: "saved_model.pb")
    var random = SeededRandom(seed: 3)
    let picture = (0..<test.shape.reduce(1, *)).map { _ in Float.random(in: -1...1, using: &random) }
    let engine = try OpenVINO.load()
    let original = try engine.read(.savedModel(folder: folder.path), name: "saved_model.pb")
      .compile(inputShape: test.shape, threads: 1, streams: 1)
    let expected = try original.run(picture)
    for opset in test.opsets {
      let onnx = try SavedModelToONNX(fixture.files(output: output), opset: opset).convert()
      let converted = try engine.read(.onnx(onnx.onnxBytes), name: "converted.onnx")
        .compile(inputShape: test.shape, threads: 1, streams: 1)
      #expect(converted.outputShape == original.outputShape)
      let found = try converted.run(picture)
      let scale = max(1, expected.reduce(0) { max($0, abs($1)) })
      #expect(largestDifference(found, expected) <= 1e-5 * scale, "opset \(opset)")
      withExtendedLifetime(folder) {}
    }
  }

  /// OpenVINO does not read this one in TensorFlow's form.
  @Test func reversal() throws {
    var fixture = SavedModelFixture()
    let axes = fixture.integers([-1, 1])
    let output = fixture.add("ReverseV2", ["x", axes], ["Tidx": .type(3)])
    let onnx = try SavedModelToONNX(fixture.files(output: output)).convert()
    let picture = (0..<2 * 3 * 2 * 2).map(Float.init)
    let found = try OpenVINO.load().read(.onnx(onnx.onnxBytes), name: "converted.onnx")
      .compile(inputShape: [2, 3, 2, 2], threads: 1, streams: 1).run(picture)
    // Rows from the last to the first, and the two channels of every pixel exchanged.
    var expected: [Float] = []
    for image in 0..<2 {
      for row in [2, 1, 0] {
        for column in [1, 0, 3, 2] { expected.append(picture[image * 12 + row * 4 + column]) }
      }
    }
    #expect(found == expected)
  }
}
