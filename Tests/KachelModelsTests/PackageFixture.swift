// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import Foundation
import KachelTesting
import SwiftProtobuf

/// Packages and networks made for one test.
enum PackageFixture {
  /// A convolution of one channel to two at full resolution, in NHWC outside.
  static func network(
    channels: Int = 1, classes: Int = 2, rank: Int = 4, elementType: Int32 = 1,
    _ edit: (inout ONNX_ModelProto) -> Void = { _ in }
  ) throws -> [UInt8] {
    var graph = NetworkFixture(input: Array([1, 64, 64, channels].suffix(4)))
    graph.transpose(toFirst: true)
    graph.convolution(outputs: classes, inputs: channels)
    graph.transpose(toFirst: false)
    var model = graph.model(channels: classes)
    func adapt(_ value: inout ONNX_ValueInfoProto) {
      value.type.tensorType.elemType = elementType
      if rank == 5 { value.type.tensorType.shape.dim.insert(.with { $0.dimValue = 16 }, at: 1) }
      if rank < 4 { value.type.tensorType.shape.dim.removeFirst(4 - rank) }
    }
    for index in model.graph.input.indices { adapt(&model.graph.input[index]) }
    for index in model.graph.output.indices { adapt(&model.graph.output[index]) }
    edit(&model)
    return try model.serializedBytes()
  }

  static func json(_ changes: [String: String?] = [:]) -> String {
    var keys: [String: String] = [
      "Id": "\"00000000-0000-4000-8000-000000000001\"", "Type": "\"SingleClassSemanticSegmentation\"",
      "InputShape": "[64, 64, 1]", "OutputShape": "[64, 64, 2]", "MinOverlap": "[8, 8]",
      "Classes": "[\"Background\", \"Nucleus\"]", "ModelName": "\"fixture\"", "FormatVersion": "\"2.1.0\"",
    ]
    for (key, value) in changes { keys[key] = value }
    return "{" + keys.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", ") + "}"
  }

  static func czann(json: String = json(), model: [UInt8]? = nil, more: [ZipFixture.Member] = []) throws -> ZipFixture {
    ZipFixture(
      [ZipFixture.Member("model.json", json), ZipFixture.Member("model.model", try model ?? network())] + more)
  }

  /// The parts of an XML that a test replaces, in the order of the format.
  static let xmlParts = [
    "Id": "<Id>id-1</Id>", "ModelName": "<ModelName>fixture</ModelName>", "Status": "<Status>Trained</Status>",
    "ColorHandling": "<ColorHandling>ConvertToMonochrome</ColorHandling>",
    "Channels": "<Channels><Item PixelType=\"Gray16\" /></Channels>",
    "TrainingClasses":
      "<TrainingClasses><Item colB=\"0\" colG=\"0\" colR=\"255\" LabelValue=\"1\" Name=\"a\" />"
      + "<Item colB=\"9\" colG=\"200\" colR=\"0\" LabelValue=\"2\" Name=\"b\" /></TrainingClasses>",
    "BorderSize": "<BorderSize>8</BorderSize>",
  ]

  static func xml(_ changes: [String: String?] = [:], version: String = "3.1.0", prolog: String = "") -> String {
    var parts = xmlParts
    for (key, value) in changes { parts[key] = value }
    let body = parts.sorted { $0.key < $1.key }.map(\.value).joined()
    return "<?xml version='1.0' encoding='utf-8'?>\n\(prolog)<Model Version=\"\(version)\">\(body)</Model>"
  }

  static func czmodel(xml: String = xml(), model: [UInt8]? = nil, more: [ZipFixture.Member] = []) throws -> ZipFixture {
    ZipFixture(
      [
        ZipFixture.Member("id-1.xml", xml), ZipFixture.Member("id-1.model", try model ?? network()),
        ZipFixture.Member("modelid=id-1", ""),
      ] + more)
  }

  /// Writes a package and reads it.
  static func read(_ fixture: ZipFixture) throws -> ModelPackage {
    let folder = try ScratchFolder()
    return try ModelPackage(at: folder.write(fixture.bytes, to: "fixture.bin"))
  }

  /// The error with which a package is refused.
  static func refusal(_ fixture: ZipFixture) -> ModelError? {
    do {
      _ = try read(fixture)
      return nil
    } catch {
      return error as? ModelError
    }
  }
}

/// An ONNX graph that grows operation by operation, each reading the last one's output.
struct NetworkFixture {
  private(set) var graph = ONNX_GraphProto()
  private(set) var last = "input"
  private var count = 0

  init(input: [Int?]) {
    graph.input = [Self.value("input", input)]
  }

  static func value(_ name: String, _ shape: [Int?]) -> ONNX_ValueInfoProto {
    .with {
      $0.name = name
      $0.type.tensorType.elemType = 1
      $0.type.tensorType.shape.dim = shape.map { size in
        .with { if let size { $0.dimValue = Int64(size) } else { $0.dimParam = "any" } }
      }
    }
  }

  @discardableResult
  mutating func add(
    _ operation: String, _ more: [String] = [], first: String? = nil, domain: String = "",
    ints: [String: [Int64]] = [:], int: [String: Int64] = [:], text: [String: String] = [:]
  ) -> String {
    count += 1
    let name = "\(operation)_\(count)"
    graph.node.append(
      .with {
        $0.opType = operation
        $0.domain = domain
        $0.input = [first ?? last] + more
        $0.output = [name]
        $0.attribute =
          ints.map { key, value in
            .with {
              $0.name = key; $0.type = 7; $0.ints = value
            }
          }
          + int.map { key, value in
            .with {
              $0.name = key; $0.type = 2; $0.i = value
            }
          }
          + text.map { key, value in
            .with {
              $0.name = key; $0.type = 3; $0.s = Data(value.utf8)
            }
          }
      })
    last = name
    return name
  }

  mutating func integers(_ values: [Int64]) -> String { tensor([values.count], type: 7) { $0.int64Data = values } }
  mutating func floats(_ values: [Float]) -> String { tensor([values.count], type: 1) { $0.floatData = values } }
  mutating func weights(_ shape: [Int]) -> String {
    tensor(shape, type: 1) { $0.floatData = Array(repeating: 0.5, count: shape.reduce(1, *)) }
  }

  mutating func tensor(_ shape: [Int], type: Int32, _ fill: (inout ONNX_TensorProto) -> Void) -> String {
    count += 1
    let name = "tensor_\(count)"
    graph.initializer.append(
      .with {
        $0.name = name
        $0.dims = shape.map(Int64.init)
        $0.dataType = type
        fill(&$0)
      })
    return name
  }

  /// Makes a tensor the content of an operation instead.
  mutating func constantNode(_ tensor: String) -> String {
    let value = graph.initializer.first { $0.name == tensor } ?? ONNX_TensorProto()
    graph.initializer.removeAll { $0.name == tensor }
    graph.node.append(
      .with {
        ($0.opType, $0.output) = ("Constant", [tensor])
        $0.attribute = [
          .with {
            ($0.name, $0.t) = ("value", value)
          }
        ]
      })
    return tensor
  }

  mutating func transpose(toFirst: Bool) { add("Transpose", ints: ["perm": toFirst ? [0, 3, 1, 2] : [0, 2, 3, 1]]) }

  mutating func convolution(outputs: Int = 4, inputs: Int = 4, stride: Int64 = 1, transposed: Bool = false) {
    let shape = transposed ? [inputs, outputs, 3, 3] : [outputs, inputs, 3, 3]
    add(
      transposed ? "ConvTranspose" : "Conv", [weights(shape)],
      ints: ["strides": [stride, stride], "pads": [1, 1, 1, 1]])
  }

  func model(channels: Int = 4, opset: Int64 = 12) -> ONNX_ModelProto {
    var graph = graph
    let sizes = graph.input[0].type.tensorType.shape.dim.dropLast().map { ONNXGraph.size($0) }
    graph.output = [Self.value(last, sizes + [channels])]
    return .with {
      $0.irVersion = 7
      $0.producerName = "test"
      $0.graph = graph
      $0.opsetImport = [.with { $0.version = opset }]
    }
  }

  func facts(opset: Int64 = 12) throws -> GraphFacts {
    try ONNXGraph(model(opset: opset).serializedBytes(), file: "f", member: "m").facts()
  }
}
