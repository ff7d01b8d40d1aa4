// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes

/// A package's network, in the form that the package holds.
public enum ModelGraph: Sendable {
  /// An ONNX file.
  case onnx([UInt8])
  /// A TensorFlow SavedModel folder, zipped.
  case savedModel(SavedModelArchive)
  /// A classical classifier: a pickled Python object, which is described but never loaded, as loading one runs it.
  case classical(description: String)

  /// Tells what a payload is by its first bytes.
  init(payload: [UInt8], file: String, member: String) throws(ModelError) {
    if payload.starts(with: [0x50, 0x4B]) {
      self = .savedModel(try SavedModelArchive(zip: payload, file: file, member: member))
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

  /// As in `ONNX`.
  public var formatName: String {
    switch self {
    case .onnx: "ONNX"
    case .savedModel: "SavedModel"
    case .classical: "classical"
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

/// A zipped SavedModel folder in memory.
public struct SavedModelArchive: Sendable {
  /// The zip itself.
  public let bytes: [UInt8]
  /// The folder's files and their sizes in bytes, by their paths relative to the folder.
  public let files: [String: Int]
  let file: String
  let member: String
  /// The folder inside the zip that holds `saved_model.pb`: empty, or ending in `/`.
  private let root: String

  init(zip bytes: [UInt8], file: String, member: String) throws(ModelError) {
    self.bytes = bytes
    self.file = file
    self.member = member
    let archive = try Self.open(bytes, file: file, member: member)
    let graphs = archive.members.filter { $0.baseName == "saved_model.pb" }
    guard graphs.count == 1 else {
      throw ModelError(
        .damaged, file: file, member: member,
        graphs.isEmpty
          ? "the zipped model has no saved_model.pb: it is no SavedModel"
          : "the zipped model has several saved_model.pb; it is not clear which one is meant")
    }
    let root = String(graphs[0].name.dropLast("saved_model.pb".count))
    self.root = root
    files = Dictionary(
      uniqueKeysWithValues: archive.members.filter { $0.name.hasPrefix(root) }.map {
        (String($0.name.dropFirst(root.count)), $0.size)
      })
  }

  /// Writes the SavedModel's files into an existing folder.
  ///
  /// - Throws: `cannotWrite`, as where the folder is missing or has files of these names; `damaged`.
  public func extract(to folder: String) throws(ModelError) {
    let archive = try Self.open(bytes, file: file, member: member)
    do throws(BytesError) {
      let root = root
      try archive.extract(to: folder) { $0.name.hasPrefix(root) ? String($0.name.dropFirst(root.count)) : nil }
    } catch {
      throw ModelError(error, file: error.kind == .cannotWrite ? error.file : file, member: member)
    }
  }

  /// The content of `saved_model.pb`.
  func graphBytes() throws(ModelError) -> [UInt8] {
    let archive = try Self.open(bytes, file: file, member: member)
    do throws(BytesError) {
      guard let graph = archive[root + "saved_model.pb"] else { return [] }
      return try archive.read(graph, limit: PackageLimits.graph)
    } catch {
      throw ModelError(error, file: file, member: member)
    }
  }

  private static func open(_ bytes: [UInt8], file: String, member: String) throws(ModelError) -> Archive {
    let archive: Result<Archive, BytesError> = bytes.withUnsafeBytes { raw in
      do throws(BytesError) {
        return .success(try Archive(bytes: raw, file: file))
      } catch {
        return .failure(error)
      }
    }
    switch archive {
    case .success(let archive): return archive
    case .failure(let error):
      let kind = ModelError(error, file: file).kind
      throw ModelError(kind, file: file, member: member, "the zipped model: \(error.reason)")
    }
  }
}
