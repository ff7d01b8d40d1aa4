// SPDX-License-Identifier: Apache-2.0
private import Foundation
internal import KachelBytes

/// A model in the form of the BioImage Model Zoo: a folder or a zip archive with a description in YAML (versions 0.4 and
/// 0.5), weights in one or more formats, and tensors that show what the model does.
///
/// Source: the `bioimageio.spec` model descriptions 0.4 and 0.5.
public struct BioImageIOPackage: Sendable {
  /// A file that the description names: a path inside the package, or an address on the web.
  public struct File: Sendable, Hashable {
    public var source: String
    /// As hexadecimal digits, where the description states it.
    public var sha256: String?
  }

  /// An axis of a tensor.
  public struct Axis: Sendable, Hashable {
    public enum Kind: String, Sendable, Hashable { case batch, index, channel, time, space }

    public var kind: Kind
    /// `batch`, `channel`, `z`, `y`, `x`, or what the description calls it.
    public var id: String
    public var size: Size
    /// The channels' names, on an axis of channels.
    public var names: [String] = []
    /// Pixels on either side of an output that are not to be trusted.
    public var halo = 0
    /// The distance of pixels in micrometres, where it is stated in a unit of length.
    public var micrometers: Double?
  }

  /// How long an axis is.
  public enum Size: Sendable, Hashable {
    case fixed(Int)
    /// `minimum`, and any number of `step` more.
    case steps(minimum: Int, step: Int)
    /// `factor` times the size of another tensor's axis, and `offset` more, rounded down.
    case reference(tensor: String, axis: String, factor: Double, offset: Double)
    case any
  }

  /// An input or an output.
  public struct Tensor: Sendable, Hashable {
    public var id: String
    /// In the order of the tensor.
    public var axes: [Axis]
    /// What is done to an input before the network sees it, or to what the network gives.
    public var operations: [BioImageIOOperation]
    /// What the network's authors put in, or got out.
    public var testTensor: File?
  }

  /// Weights in one of the formats that the description offers.
  public struct Weights: Sendable, Hashable {
    /// `onnx`, `tensorflow_saved_model_bundle`, `torchscript`, ...
    public var format: String
    public var file: File
    public var opset: Int?
  }

  /// How far results may be from the test tensors.
  public struct Tolerance: Sendable, Hashable {
    public var absolute = 1e-3
    public var relative = 1e-3
    /// How many of a million elements may be further off.
    public var mismatchesPerMillion = 100.0

    public init() {}
  }

  /// The folder or archive.
  public let path: String
  /// The description's name in it.
  public let descriptionName: String
  public let formatVersion: String
  public let id: String?
  public let name: String
  public let description: String?
  /// As an SPDX identifier.
  public let license: String?
  public let inputs: [Tensor]
  public let outputs: [Tensor]
  public let weights: [Weights]
  /// By the output's name and the weights' format, the last that fits counts.
  let tolerances: [(outputs: [String], formats: [String], tolerance: Tolerance)]
  let files: BioImageIOFiles

  /// Reads a description. Weights and tensors are read when they are asked for.
  ///
  /// - Parameter path: a folder or a zip archive with `bioimageio.yaml`, `rdf.yaml` or a name that ends in
  ///   `.bioimageio.yaml`; or such a description itself, with its files beside it.
  /// - Throws: ``ModelError``: there is no such file, it has no description, or the description is damaged, of another
  ///   version, or not of a model.
  public init(at path: String) throws(ModelError) {
    guard let files = try BioImageIOFiles(at: path) else {
      throw ModelError(.notAPackage, file: path, "has no bioimageio.yaml or rdf.yaml: it is no bioimage.io package")
    }
    self.files = files
    self.path = path
    descriptionName = files.description
    let text = try files.read(files.description, limit: YAMLText.mostBytes)
    let value: JSONValue
    do throws(YAMLText.Failure) { value = try YAMLText.read(text) } catch {
      throw ModelError(.damaged, file: path, member: files.description, error.reason)
    }
    let reader = try BioImageIOReader(value, file: path, member: files.description)
    formatVersion = reader.version
    id = reader.root["id"]?.string
    let fallback = URL(filePath: path).deletingPathExtension().lastPathComponent
    name = reader.root["name"]?.string.flatMap { $0.isEmpty ? nil : $0 } ?? fallback
    description = reader.root["description"]?.string
    license = reader.root["license"]?.string
    inputs = try reader.tensors("inputs")
    outputs = try reader.tensors("outputs")
    weights = try reader.weights()
    tolerances = reader.tolerances()
    try reader.check(inputs, outputs)
  }

  /// Whether a path is such a package, as far as its names tell.
  public static func isPackage(at path: String) -> Bool {
    let files: BioImageIOFiles?? = try? BioImageIOFiles(at: path)
    if case .some(.some) = files { return true }
    return false
  }

  /// The weights that can be read here: ONNX, else a SavedModel.
  public var readableWeights: Weights? {
    ["onnx", "tensorflow_saved_model_bundle"].lazy.compactMap { format in weights.first { $0.format == format } }.first
  }

  /// The network, as the package holds it: without its pre- and post-processing.
  ///
  /// - Throws: ``ModelError``: there are no weights that can be read, they are not in the package, or not those that the
  ///   description means.
  public func graph() throws(ModelError) -> ModelGraph {
    guard let weights = readableWeights else {
      let has = self.weights.map(\.format).sorted().joined(separator: ", ")
      throw ModelError(
        .unsupported, file: path, member: descriptionName,
        """
        has no weights that Kachel reads (ONNX or a TensorFlow SavedModel), only \(has.isEmpty ? "none" : has): add \
        ONNX weights with `bioimageio add-weights`
        """)
    }
    let bytes = try files.read(weights.file, limit: PackageLimits.graph)
    return try ModelGraph(payload: bytes, file: path, member: weights.file.source)
  }

  /// What was put in or came out when the model was published.
  ///
  /// - Throws: ``ModelError``: the description names none, or the file is missing or damaged.
  public func testTensor(of tensor: Tensor) throws(ModelError) -> NumberTensor {
    guard let file = tensor.testTensor else {
      throw ModelError(.damaged, file: path, member: descriptionName, "names no test tensor for \(tensor.id)")
    }
    let bytes = try files.read(file, limit: 4 * NumPyFile.mostElements)
    do throws(NumPyFile.Failure) { return try NumPyFile.read(bytes) } catch {
      throw ModelError(.damaged, file: path, member: file.source, error.reason)
    }
  }

  /// How far an output of these weights may be from its test tensor.
  public func tolerance(of output: Tensor, weights: Weights) -> Tolerance {
    tolerances.last { entry in
      (entry.outputs.isEmpty || entry.outputs.contains(output.id))
        && (entry.formats.isEmpty || entry.formats.contains(weights.format))
    }?.tolerance ?? Tolerance()
  }
}
