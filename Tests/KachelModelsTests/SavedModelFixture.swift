// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import Foundation
import KachelTesting
import SwiftProtobuf

/// A TensorFlow graph that grows node by node, with one input `x` and constants in place of variables.
struct SavedModelFixture {
  var nodes: [TF_NodeDef] = []
  var functions: [TF_FunctionDef] = []
  /// Free sizes are `nil`.
  var input: [Int?]
  private var count = 0

  init(input: [Int?] = [nil, nil, nil, 2]) {
    self.input = input
    nodes.append(
      .with {
        $0.name = "x"
        $0.op = "Placeholder"
        $0.attr = ["dtype": .with { $0.type = 1 }, "shape": .with { $0.shape = Self.shape(input) }]
      })
  }

  enum Attribute {
    case int(Int), ints([Int]), float(Float), bool(Bool), text(String), type(Int32), function(String)

    var message: TF_AttrValue {
      .with { value in
        switch self {
        case .int(let number): value.i = Int64(number)
        case .ints(let numbers): value.list.i = numbers.map { Int64($0) }
        case .float(let number): value.f = number
        case .bool(let truth): value.b = truth
        case .text(let text): value.s = Data(text.utf8)
        case .type(let type): value.type = type
        case .function(let name): value.func.name = name
        }
      }
    }
  }

  static func shape(_ sizes: [Int?]) -> TF_TensorShapeProto {
    .with { $0.dim = sizes.map { size in .with { $0.size = Int64(size ?? -1) } } }
  }

  /// Adds a node of float32 and returns its name.
  @discardableResult
  mutating func add(
    _ operation: String, _ inputs: [String] = ["x"], _ attributes: [String: Attribute] = [:], type: Int32 = 1
  ) -> String {
    count += 1
    let name = "\(operation)_\(count)"
    nodes.append(
      .with {
        $0.name = name
        $0.op = operation
        $0.input = inputs
        $0.attr = ["T": Attribute.type(type).message]
        for (key, value) in attributes { $0.attr[key] = value.message }
      })
    return name
  }

  private mutating func constant(_ type: Int32, _ shape: [Int], _ fill: (inout TF_TensorProto) -> Void) -> String {
    count += 1
    let name = "Const_\(count)"
    var tensor = TF_TensorProto.with {
      $0.dtype = type
      $0.tensorShape = Self.shape(shape)
    }
    fill(&tensor)
    nodes.append(
      .with {
        $0.name = name
        $0.op = "Const"
        $0.attr = ["dtype": .with { $0.type = type }, "value": .with { $0.tensor = tensor }]
      })
    return name
  }

  mutating func integers(_ numbers: [Int], shape: [Int]? = nil) -> String {
    constant(3, shape ?? [numbers.count]) { $0.intVal = numbers.map { Int32($0) } }
  }
  mutating func integer(_ number: Int) -> String { integers([number], shape: []) }
  mutating func floats(_ numbers: [Float], _ shape: [Int]) -> String {
    constant(1, shape) { tensor in
      tensor.tensorContent = numbers.withUnsafeBytes { Data($0) }
    }
  }
  mutating func float(_ number: Float) -> String { constant(1, []) { $0.floatVal = [number] } }

  /// Weights of no meaning.
  mutating func weights(_ shape: [Int]) -> String {
    var random = SeededRandom(seed: UInt64(shape.reduce(7) { $0 * 31 + $1 }))
    return floats((0..<shape.reduce(1, *)).map { _ in Float.random(in: -1...1, using: &random) }, shape)
  }

  /// The size of an axis of a value, as a scalar.
  mutating func size(of value: String, _ axis: Int) -> String {
    let shape = add("Shape", [value], ["out_type": .type(3)])
    let bounds = [integers([axis]), integers([axis + 1]), integers([1])]
    return add("StridedSlice", [shape] + bounds, ["Index": .type(3), "shrink_axis_mask": .int(1)], type: 3)
  }

  func bytes(output: String) throws -> [UInt8] {
    let model = TF_SavedModel.with { model in
      model.savedModelSchemaVersion = 1
      model.metaGraphs = [
        .with { meta in
          meta.metaInfoDef.tags = ["serve"]
          meta.graphDef.node = nodes
          meta.graphDef.library.function = functions
          meta.signatureDef["serving_default"] = .with {
            $0.inputs["x"] = .with {
              $0.name = "x:0"
              $0.dtype = 1
              $0.tensorShape = Self.shape(input)
            }
            $0.outputs["y"] = .with {
              $0.name = output + ":0"
              $0.dtype = 1
            }
            $0.methodName = "tensorflow/serving/predict"
          }
        }
      ]
    }
    return try model.serializedBytes()
  }

  func files(output: String) throws -> SavedModelFiles {
    let zip = ZipFixture([ZipFixture.Member("saved_model.pb", try bytes(output: output))]).bytes
    return try SavedModelFiles(zip: zip, file: "fixture.czmodel", member: "id.model")
  }

  func refusal(output: String) throws -> ModelError? {
    do {
      _ = try SavedModelToONNX(files(output: output)).convert()
      return nil
    } catch {
      return error as? ModelError
    }
  }
}

extension ModelGraph {
  var onnxBytes: [UInt8] { if case .onnx(let bytes) = self { bytes } else { [] } }
}
