// SPDX-License-Identifier: Apache-2.0
private import Foundation
internal import SwiftProtobuf

/// A parsed ONNX file, without the content of its large weights.
struct ONNXGraph {
  let model: ONNX_ModelProto
  /// Large weights by name whose content is all there.
  private let complete: Set<String>
  let file: String
  let member: String

  init(_ bytes: [UInt8], file: String, member: String) throws(ModelError) {
    guard ONNXMessages.model.holds(atMost: PackageLimits.graphFields, in: bytes) else {
      throw ModelError(
        .unsupported, file: file, member: member, "the model has more than \(PackageLimits.graphFields) parts")
    }
    if let document = try? ONNXDocument(bytes, file: file, member: member) {
      model = document.outline
      complete = Set(document.weights.map(\.name)).subtracting(document.incomplete)
    } else {
      // Of an odd form, or damaged.
      do {
        model = try ONNX_ModelProto(serializedBytes: bytes)
      } catch {
        throw ModelError(
          .damaged, file: file, member: member, "the model is no ONNX file, or it is damaged or cut off: copy it again")
      }
      complete = []
    }
    guard model.hasGraph, !model.graph.node.isEmpty else {
      throw ModelError(.damaged, file: file, member: member, "the ONNX file holds no operations")
    }
    self.file = file
    self.member = member
  }

  init(model: ONNX_ModelProto, file: String, member: String) {
    (self.model, self.file, self.member) = (model, file, member)
    complete = []
  }

  /// - Parameter layout: of the input.
  func facts(layout: ImageLayout = .channelsLast) throws(ModelError) -> GraphFacts {
    let graph = model.graph
    var survey = Survey(complete: complete)
    survey.visit(graph)
    let analysis = FlowAnalysis(flow(layout: layout))
    return GraphFacts(
      inputs: inputs.map(Self.tensor), outputs: graph.output.map(Self.tensor), opset: opset,
      producer: [model.producerName, model.producerVersion].filter { !$0.isEmpty }.joined(separator: " "),
      operations: survey.operations, parameterCount: survey.parameters, analysis: analysis,
      missingWeights: survey.missing)
  }

  private var inputs: [ONNX_ValueInfoProto] {
    let weights = Set(model.graph.initializer.map(\.name))
    // Before version 4 of the format initializers are listed as inputs too.
    return model.graph.input.filter { !weights.contains($0.name) }
  }

  /// The operations from the first input on.
  func flow(layout: ImageLayout) -> Flow { flow(input: inputs.first, layout: layout) }

  var opset: Int? {
    model.opsetImport.first { $0.domain.isEmpty || $0.domain == "ai.onnx" }.flatMap { Int(exactly: $0.version) }
  }

  private static func tensor(_ value: ONNX_ValueInfoProto) -> GraphFacts.Tensor {
    let type = value.type.tensorType
    let isTensor = if case .tensorType? = value.type.value { true } else { false }
    return GraphFacts.Tensor(
      name: value.name, shape: type.hasShape ? type.shape.dim.map(size) : nil,
      elementType: isTensor ? ONNXElementType.name(type.elemType) : "no tensor", node: nil)
  }

  static func size(_ dimension: ONNX_TensorShapeProto.Dimension) -> Int? {
    if case .dimValue(let value)? = dimension.value, value > 0 { Int(exactly: value) } else { nil }
  }

  /// Counts what a graph and the graphs inside its operations hold.
  private struct Survey {
    let complete: Set<String>
    var operations: [String: Int] = [:]
    var parameters = 0
    var missing: [String] = []

    mutating func visit(_ graph: ONNX_GraphProto, depth: Int = 0) {
      for tensor in graph.initializer { visit(tensor, name: tensor.name) }
      for tensor in graph.sparseInitializer { visit(tensor.values, name: tensor.values.name) }
      for node in graph.node {
        operations[node.opType, default: 0] += 1
        for attribute in node.attribute {
          if attribute.hasT { visit(attribute.t, name: node.output.first ?? attribute.name) }
          for tensor in attribute.tensors { visit(tensor, name: node.output.first ?? attribute.name) }
          // Deeper graphs than this do not get through the parser.
          guard depth < 100 else { continue }
          if attribute.hasG { visit(attribute.g, depth: depth + 1) }
          for graph in attribute.graphs { visit(graph, depth: depth + 1) }
        }
      }
    }

    private mutating func visit(_ tensor: ONNX_TensorProto, name: String) {
      let count = ONNXElementType.count(tensor)
      if ONNXElementType.isFloatingPoint(tensor.dataType) {
        parameters = parameters.addingReportingOverflow(count ?? 0).overflow ? .max : parameters + (count ?? 0)
      }
      if tensor.dataLocation == 1 || !complete.contains(name) && !ONNXElementType.holdsAll(tensor, count: count) {
        missing.append(name)
      }
    }
  }
}

/// The types of an ONNX tensor's elements, by their numbers in the format.
enum ONNXElementType {
  static let float32: Int32 = 1, uint8: Int32 = 2, uint16: Int32 = 4, float16: Int32 = 10

  private static let names: [Int32: (name: String, bits: Int)] = [
    1: ("float32", 32), 2: ("uint8", 8), 3: ("int8", 8), 4: ("uint16", 16), 5: ("int16", 16), 6: ("int32", 32),
    7: ("int64", 64), 8: ("string", 0), 9: ("bool", 8), 10: ("float16", 16), 11: ("float64", 64), 12: ("uint32", 32),
    13: ("uint64", 64), 14: ("complex64", 64), 15: ("complex128", 128), 16: ("bfloat16", 16),
  ]

  static func name(_ number: Int32) -> String { names[number]?.name ?? "type \(number)" }
  static func isFloatingPoint(_ number: Int32) -> Bool { [1, 10, 11, 16].contains(number) }
  static func isWhole(_ number: Int32) -> Bool { [2, 3, 4, 5, 6, 7, 12, 13].contains(number) }

  /// How many elements a tensor has; `nil` where its sizes make no sense.
  static func count(_ tensor: ONNX_TensorProto) -> Int? {
    var count = 1
    for size in tensor.dims {
      guard let size = Int(exactly: size), size >= 0 else { return nil }
      let product = count.multipliedReportingOverflow(by: size)
      guard !product.overflow, product.partialValue <= 1 << 40 else { return nil }
      count = product.partialValue
    }
    return count
  }

  /// Whether all the elements are there.
  static func holdsAll(_ tensor: ONNX_TensorProto, count: Int?) -> Bool {
    guard let count else { return false }
    if tensor.hasRawData {
      guard let bits = names[tensor.dataType]?.bits, bits > 0 else { return true }
      return tensor.rawData.count == count * bits / 8
    }
    // Small types lie in 32-bit numbers, complex ones take two.
    let held = max(
      tensor.floatData.count, tensor.int32Data.count, tensor.int64Data.count, tensor.doubleData.count,
      tensor.uint64Data.count, tensor.stringData.count)
    return held >= count || names[tensor.dataType] == nil
  }

  /// The same of a tensor whose content was left out.
  ///
  /// - Parameters:
  ///   - rawBytes: of its raw content; `nil` where it has none.
  ///   - otherBytes: of its content in numbers or texts, with what separates them.
  static func holdsAll(_ tensor: ONNX_TensorProto, rawBytes: Int?, otherBytes: Int) -> Bool {
    guard let count = count(tensor) else { return false }
    guard let type = names[tensor.dataType], type.bits > 0 else { return true }
    // A number has a byte or more.
    return rawBytes.map { $0 == count * type.bits / 8 } ?? (otherBytes >= count)
  }

  /// The numbers in a small tensor.
  static func numbers(_ tensor: ONNX_TensorProto) -> [Double]? {
    guard let count = count(tensor), count <= 64, tensor.dataLocation != 1 else { return nil }
    if tensor.hasRawData {
      return tensor.rawData.withUnsafeBytes { raw -> [Double]? in
        func read<T>(_: T.Type, _ convert: (T) -> Double) -> [Double]? {
          guard raw.count == count * MemoryLayout<T>.size else { return nil }
          return (0..<count).map { convert(raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self)) }
        }
        switch tensor.dataType {
        case 1: return read(Float.self) { Double($0) }
        case 6: return read(Int32.self) { Double($0) }
        case 7: return read(Int64.self) { Double($0) }
        case 11: return read(Double.self) { $0 }
        default: return nil
        }
      }
    }
    let numbers: [Double] =
      switch tensor.dataType {
      case 1: tensor.floatData.map(Double.init)
      case 6: tensor.int32Data.map(Double.init)
      case 7: tensor.int64Data.map(Double.init)
      case 11: tensor.doubleData
      default: []
      }
    return numbers.count == count ? numbers : nil
  }
}
