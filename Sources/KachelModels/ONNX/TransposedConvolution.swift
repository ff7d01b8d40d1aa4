// SPDX-License-Identifier: Apache-2.0
internal import Foundation

/// What became of transposed convolutions whose windows overlap.
package enum Overlaps: Sendable {
  /// There are none.
  case absent
  /// They are convolutions now.
  case resolved(ModelGraph)
  /// Some stay, for that reason.
  case kept(reason: String)
}

extension ModelGraph {
  /// The network with its transposed convolutions as convolutions, where their windows overlap.
  ///
  /// A pixel behind such an operation is a sum over several windows, and in which order OpenVINO 2026.4 adds them up
  /// depends on how wide the image is: scores of one pixel differ by 1e-7 from one size of tiles to another. A convolution
  /// for each of the places that a pixel can have between the strides gives the same sums, in one order. A SavedModel
  /// becomes ONNX.
  ///
  /// - Parameter file: what errors call the network.
  /// - Throws: ``ModelError``: the graph is damaged.
  package func resolvingOverlaps(file: String) throws(ModelError) -> Overlaps {
    switch self {
    case .classical: return .absent
    case .savedModel(let files):
      guard try SavedModelGraph(files).operations["Conv2DBackpropInput"] != nil else { return .absent }
      let converted: ModelGraph
      do throws(ModelError) { converted = try SavedModelToONNX(files).convert() } catch {
        return .kept(reason: error.reason)
      }
      return try converted.resolvingOverlaps(file: file)
    case .onnx(let bytes):
      var document = try ONNXDocument(bytes, file: file, member: nil)
      var additions = ONNXAdditions(ONNXNames(document.outline.graph))
      var count = 0
      do throws(TransposedConvolution.Obstacle) {
        for node in document.model.graph.node {
          guard let convolution = try TransposedConvolution(node, in: document) else {
            additions.keep(node)
            continue
          }
          convolution.addPhases(to: &additions)
          count += 1
        }
      } catch { return .kept(reason: error.reason) }
      guard count > 0 else { return .absent }
      document.model.graph.node = additions.nodes
      document.model.graph.initializer += additions.initializers
      do { return .resolved(.onnx(try document.serialized())) } catch { return .kept(reason: "\(error)") }
    }
  }
}

/// A transposed convolution over height and width: weights of the axes input channel, output channel, height, width.
private struct TransposedConvolution {
  struct Obstacle: Error { let reason: String }

  private struct Axis {
    var kernel = 1
    var stride = 1
    /// What is cut off at the beginning of the result and at its end, and what is added to its end.
    var padding = (begin: 0, end: 0)
    var added = 0

    /// How many windows meet at a pixel, at most.
    var windows: Int { (kernel + stride - 1) / stride }
    /// What is more behind the phases than the result has, at its end.
    var surplus: Int { stride * windows - kernel + padding.end - added }
  }

  private let node: ONNX_NodeProto
  private let (inputChannels, outputChannels): (Int, Int)
  private let (y, x): (Axis, Axis)
  private let weights: [Float]
  private let bias: [Float]?

  /// - Returns: `nil` where the operation is another one, or its windows do not overlap.
  init?(_ node: ONNX_NodeProto, in document: ONNXDocument) throws(Obstacle) {
    guard node.opType == "ConvTranspose", node.domain.isEmpty || node.domain == "ai.onnx" else { return nil }
    func obstacle(_ reason: String) -> Obstacle {
      Obstacle(
        reason: "its operation ConvTranspose (\(node.name.isEmpty ? node.output.first ?? "" : node.name)) \(reason)")
    }
    func integers(_ name: String, _ otherwise: [Int]) throws(Obstacle) -> [Int] {
      guard let attribute = node.attribute.first(where: { $0.name == name }) else { return otherwise }
      let values = attribute.ints.map { Int(clamping: $0) }
      guard values.count == otherwise.count, values.allSatisfy({ 0...1024 ~= $0 }) else {
        throw obstacle("has another number of axes than height and width")
      }
      return values
    }
    guard node.input.count >= 2, let weights = document.tensor(node.input[1]), weights.dims.count == 4,
      weights.dims.allSatisfy({ 1...65_536 ~= $0 })
    else { throw obstacle("has no plain weights") }
    let dims = weights.dims.map { Int($0) }
    let strides = try integers("strides", [1, 1])
    guard strides.allSatisfy({ $0 > 0 }) else { throw obstacle("has a stride of 0") }
    var (y, x) = (Axis(kernel: dims[2], stride: strides[0]), Axis(kernel: dims[3], stride: strides[1]))
    guard y.windows > 1 || x.windows > 1 else { return nil }
    let attributes = node.attribute
    guard try integers("dilations", [1, 1]) == [1, 1], attributes.first(where: { $0.name == "group" })?.i ?? 1 == 1
    else {
      throw obstacle("is dilated or in groups")
    }
    let padding = attributes.first { $0.name == "auto_pad" }.map { String(decoding: $0.s, as: UTF8.self) } ?? "NOTSET"
    guard padding == "NOTSET" || padding == "VALID", !attributes.contains(where: { $0.name == "output_shape" }) else {
      throw obstacle("pads as its size demands")
    }
    let (pads, added) = (try integers("pads", [0, 0, 0, 0]), try integers("output_padding", [0, 0]))
    (y.padding, y.added) = ((pads[0], pads[2]), added[0])
    (x.padding, x.added) = ((pads[1], pads[3]), added[1])
    (self.node, self.y, self.x) = (node, y, x)
    (inputChannels, outputChannels) = (dims[0], dims[1])
    guard y.stride == x.stride, y.surplus >= 0, x.surplus >= 0,
      document.model.opsetImport.contains(where: { ($0.domain.isEmpty || $0.domain == "ai.onnx") && $0.version >= 11 })
    else { throw obstacle("has strides or paddings that no plain convolution has, or is of an opset before 11") }
    guard let values = weights.floats, values.count == dims.reduce(1, *) else {
      throw obstacle("has no float32 weights")
    }
    self.weights = values
    guard node.input.count > 2, !node.input[2].isEmpty else {
      bias = nil
      return
    }
    guard let values = document.tensor(node.input[2])?.floats, values.count == outputChannels else {
      throw obstacle("has no plain bias")
    }
    bias = values
  }

  /// Adds operations with the same result: pixel `s i + p` of the uncut result sums weight `p + s t` of the window that
  /// begins `t` pixels before `i`, for all `t`.
  func addPhases(to additions: inout ONNXAdditions) {
    let phases = y.stride * x.stride, (rows, columns) = (y.windows, x.windows)
    var kernels = [Float](repeating: 0, count: phases * outputChannels * inputChannels * rows * columns)
    for input in 0..<inputChannels {
      for output in 0..<outputChannels {
        for row in 0..<y.kernel {
          for column in 0..<x.kernel {
            let phase = row % y.stride * x.stride + column % x.stride
            let place = ((phase * outputChannels + output) * inputChannels + input) * rows + rows - 1 - row / y.stride
            kernels[place * columns + columns - 1 - column / x.stride] =
              weights[((input * outputChannels + output) * y.kernel + row) * x.kernel + column]
          }
        }
      }
    }
    var inputs = [
      node.input[0],
      additions.floats(kernels, shape: [phases * outputChannels, inputChannels, rows, columns]),
    ]
    if let bias {
      let all = (0..<phases).flatMap { _ in bias }
      inputs.append(additions.floats(all, shape: [all.count]))
    }
    let sums = additions.add(
      "Conv", inputs,
      [
        .integers("kernel_shape", [rows, columns]), .integers("pads", [rows - 1, columns - 1, rows - 1, columns - 1]),
      ])
    let pixels = additions.add("DepthToSpace", [sums], [.integer("blocksize", y.stride)])
    let ends = [y.surplus, x.surplus].map { $0 == 0 ? Int(Int32.max) : -$0 }
    let inner = [
      pixels, additions.integers([y.padding.begin, x.padding.begin]), additions.integers(ends),
      additions.integers([2, 3]),
    ]
    additions.add("Slice", inner, output: node.output[0])
  }
}

extension ONNX_TensorProto {
  /// The numbers of a tensor of float32.
  fileprivate var floats: [Float]? {
    guard dataType == 1 else { return nil }
    guard rawData.isEmpty else {
      return rawData.count % 4 == 0
        ? rawData.withUnsafeBytes { bytes in
          (0..<bytes.count / 4).map {
            Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
          }
        } : nil
    }
    return floatData
  }
}
