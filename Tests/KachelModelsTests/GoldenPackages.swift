// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelTesting
import Testing

/// The packages of the reference data and what their manifest says of them.
struct GoldenPackage: Sendable, CustomTestStringConvertible, Decodable {
  struct Tensor: Decodable, Sendable {
    var name: String
    var shape: [Dimension]
    var dtype: String
  }
  struct ONNX: Decodable, Sendable {
    var producer: String
    var opset: [String: Int]
    var inputs: [Tensor]
    var outputs: [Tensor]
    var ops: [String: Int]
    var external_data: [String]
  }
  struct SignatureTensor: Decodable, Sendable {
    var tensor: String
    var shape: [Int]
    var dtype: Int
  }
  struct SavedModel: Decodable, Sendable {
    struct Signature: Decodable, Sendable {
      var inputs: [String: SignatureTensor]
      var outputs: [String: SignatureTensor]
    }
    var tf_version: String
    var signature: Signature
    var reachable_ops: [String: Int]
  }
  struct Member: Decodable, Sendable {
    var name: String
    var size: Int
  }
  /// A number, or a name for any number.
  struct Dimension: Decodable, Sendable {
    var size: Int?
    init(from decoder: any Decoder) throws { size = try? decoder.singleValueContainer().decode(Int.self) }
  }

  var path: String
  var sha256: String
  var container_members: [Member]
  var metadata_member: String
  var metadata_text: String
  var model_kind: String
  var savedmodel_files: [Member]?
  var onnx: ONNX?
  var savedmodel: SavedModel?

  var testDescription: String { path }
  var file: String { get throws { try SharedData.path("models/" + path) } }

  static let all: [GoldenPackage] = {
    struct Manifest: Decodable { var models: [GoldenPackage] }
    guard let data = try? SharedData.data("models/manifest.json") else { return [] }
    return (try? JSONDecoder().decode(Manifest.self, from: data).models) ?? []
  }()

  /// All packages, those that the manifest does not describe too, relative to the reference data.
  static let everyPath =
    all.map { "models/" + $0.path } + [
      "models/sebi06/N2V_tobacco_leaf.czann", "models/sebi06/N2V_tobacco_leaf_Whitened.czann",
      "models/sebi06/simple_regmodel.czann", "models/sebi06/simple_regmodel_out5.czann",
      "models/sebi06/simple_nuclei_segmodel.czann", "models_large/PGC_20X_nucleus_detector.czseg",
      "example/nuclei.czmodel", "example/nuclei.czann",
    ]
}
