// SPDX-License-Identifier: Apache-2.0

/// How a model is stored.
public enum PackageFormat: Sendable, Hashable, CustomStringConvertible {
  /// `.czmodel` and `.czseg`: metadata in XML, of the version given. Up to 3.1.0 the network takes raw pixel values;
  /// 3.2.0 says whether it does.
  case czmodel(version: String)
  /// `.czann`: metadata in JSON, of the version given. The network takes values from 0 to 1.
  case czann(version: String)
  /// A model of the BioImage Model Zoo, described in YAML of the version given. The network takes raw pixel values.
  case bioImageIO(version: String)
  /// An ONNX file without a package around it: nothing says what the network is for.
  case onnx
  /// The folder of a TensorFlow SavedModel, of which the same is true.
  case savedModel

  public var description: String {
    switch self {
    case .czmodel(let version): "czmodel (XML \(version))"
    case .czann(let version): "czann (JSON \(version))"
    case .bioImageIO(let version): "bioimage.io (\(version))"
    case .onnx: "ONNX file"
    case .savedModel: "SavedModel folder"
    }
  }

  /// Whether there are metadata beside the network.
  public var isPackage: Bool {
    switch self {
    case .czmodel, .czann, .bioImageIO: true
    case .onnx, .savedModel: false
    }
  }

  /// Whether metadata are XML of version 3.2, which ZEN alone writes.
  var isOfZEN: Bool { if case .czmodel(let version) = self { version.hasPrefix("3.2.") } else { false } }
}
