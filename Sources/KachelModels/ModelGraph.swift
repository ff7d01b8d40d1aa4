// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes

/// A package's network, in the form that the package holds.
public enum ModelGraph: Sendable {
  /// An ONNX file.
  case onnx([UInt8])
  /// A TensorFlow SavedModel.
  case savedModel(SavedModelFiles)
  /// A classical classifier: a pickled Python object, which is described but never loaded, as loading one runs it.
  case classical(description: String)

  /// Tells what a payload is by its first bytes.
  init(payload: [UInt8], file: String, member: String) throws(ModelError) {
    if payload.starts(with: [0x50, 0x4B]) {
      self = .savedModel(try SavedModelFiles(zip: payload, file: file, member: member))
    } else if payload.count >= 2, payload[0] == 0x80, (2...5).contains(payload[1]) {
      let library = payload.contains("sklearn") ? "scikit-learn, " : ""
      self = .classical(
        description: "classical classifier (\(library)Python pickle protocol \(payload[1]), \(payload.count) bytes)")
    } else if payload.isEmpty {
      throw ModelError(.damaged, file: file, member: member, "the model is empty")
    } else if payload.starts(with: [0x89, 0x48, 0x44, 0x46]) {
      throw ModelError(
        .unsupported, file: file, member: member, "the model is an HDF5 (Keras) file; export it as ONNX or SavedModel")
    } else {
      // Every field of an ONNX message has a number below 26, so its first byte is small.
      guard payload[0] >= 0x08, payload[0] < 0xF0, payload[0] & 7 == 0 || payload[0] & 7 == 2 else {
        throw ModelError(
          .damaged, file: file, member: member, "the model is neither ONNX nor a zipped SavedModel nor a pickle")
      }
      self = .onnx(payload)
    }
  }

  /// The network in an ONNX file.
  ///
  /// - Throws: ``ModelError``: the file is missing, or no ONNX.
  public static func onnx(at file: String) throws(ModelError) -> Self {
    do throws(BytesError) {
      let source = try ByteSource(path: file)
      guard source.count <= PackageLimits.graph, ONNXFile.isONNX(source) else {
        throw BytesError(.damaged, file: file, "is no ONNX file, or it is larger than the 2 GB that one may have")
      }
      return .onnx(try source.read(at: 0, count: source.count))
    } catch {
      throw ModelError(
        error.kind == .damaged ? .notAPackage : ModelError(error, file: file).kind, file: file, error.reason)
    }
  }

  /// The network in a SavedModel's folder.
  ///
  /// - Throws: ``ModelError``: there is no such folder, or it is no SavedModel.
  public static func savedModel(at folder: String) throws(ModelError) -> Self {
    .savedModel(try SavedModelFiles(folder: folder))
  }

  /// As in `ONNX`.
  public var formatName: String {
    switch self {
    case .onnx: "ONNX"
    case .savedModel: "SavedModel"
    case .classical: "classical"
    }
  }

  /// The size of the graph and its weights in bytes; `nil` where there is none.
  public var byteCount: Int? {
    switch self {
    case .onnx(let bytes): bytes.count
    case .savedModel(let files): files.files.values.reduce(0, +)
    case .classical: nil
    }
  }
}

extension [UInt8] {
  fileprivate func contains(_ word: String) -> Bool {
    let word = Array(word.utf8)
    return withUnsafeBufferPointer { bytes in
      guard bytes.count >= word.count else { return false }
      return (0...bytes.count - word.count).contains { at in
        bytes[at] == word[0] && word.indices.allSatisfy { bytes[at + $0] == word[$0] }
      }
    }
  }
}
