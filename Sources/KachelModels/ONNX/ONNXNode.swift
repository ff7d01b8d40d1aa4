// SPDX-License-Identifier: Apache-2.0

extension ONNX_NodeProto {
  /// Whether its operation is one of ONNX itself.
  var isStandard: Bool { domain.isEmpty || domain == "ai.onnx" }

  /// Its name, or else that of its result.
  var place: String { name.isEmpty ? output.first ?? "" : name }

  /// Its operation and place, as messages have it.
  var title: String { "\(opType) (\(place))" }
}
