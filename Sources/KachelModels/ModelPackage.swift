// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes
private import Foundation

/// A network and what is said of it: read from a package, or made of its parts to be written as one.
///
/// ```swift
/// let metadata = ModelMetadata(
///   name: "Nuclei", classes: ["Background", "Nucleus"], pixelTypes: [.gray16], colorHandling: .convertToMonochrome,
///   borderSize: 8, licenseFile: license)
/// let package = try ModelPackage(graph: .savedModel(at: "model"), metadata: metadata)
///   .prepending([.perImageStandardization])
///   .settingSpatialDimensions(height: 1024, width: 1024)
/// try package.write(to: "nuclei.czmodel")
/// ```
///
/// Packages are recognised by their content; the extension does not matter.
public struct ModelPackage: Sendable {
  /// A file that a package carries along.
  public struct AttachedFile: Sendable, Hashable {
    public var name: String
    public var bytes: [UInt8]

    public init(name: String, bytes: [UInt8]) {
      self.name = name
      self.bytes = bytes
    }
  }

  /// One file in a package.
  public struct Member: Sendable, Hashable {
    public var name: String
    public var size: Int
  }

  /// Where the package was read; for one that was made, what errors call it.
  public let path: String
  /// How the content is stored, and so what the network takes. A package that was made of its parts has the format of
  /// its graph alone: then the network takes what the format feeds it that it is written in.
  public internal(set) var format: PackageFormat
  public var metadata: ModelMetadata
  public var graph: ModelGraph { didSet { hasOriginalGraph = false } }
  public var license: AttachedFile?
  /// Files in the package that no format knows.
  public var attachments: [AttachedFile] = []
  /// What got lost or was decided in conversions, for the user to read.
  public internal(set) var notes: [String] = []
  /// Of the file that was read, as hexadecimal digits; empty where there is none.
  public let sha256: String
  /// The members of the file that was read: names, and sizes in bytes.
  public let members: [Member]
  /// Which member the graph and the metadata were, by name; empty where there was none.
  public let graphMember: String
  public let metadataMember: String
  /// The metadata in the file that was read, as long as the format is the same.
  var original: OriginalMetadata?
  private(set) var hasOriginalGraph = true

  /// Makes a package of a network that is fed what the format feeds that it will be written in: raw pixel values in
  /// `.czmodel`, values from 0 to 1 in `.czann`. Whether the parts fit is checked when the package is written.
  ///
  /// - Parameter license: the licence; where `nil`, the metadata's ``ModelMetadata/licenseFile`` is read.
  /// - Throws: ``ModelError``: the licence cannot be read.
  public init(graph: ModelGraph, metadata: ModelMetadata, license: AttachedFile? = nil) throws(ModelError) {
    try self.init(graph: graph, metadata: metadata, license: license, path: "the model \"\(metadata.name)\"")
  }

  init(
    graph: ModelGraph, metadata: ModelMetadata, license: AttachedFile? = nil, path: String, sha256: String = ""
  ) throws(ModelError) {
    self.path = path
    self.graph = graph
    self.metadata = metadata
    if case .onnx = graph { format = .onnx } else { format = .savedModel }
    (self.sha256, members, graphMember, metadataMember) = (sha256, [], "", "")
    self.license = license
    if license == nil, let file = metadata.licenseFile { self.license = try AttachedFile(reading: file.path) }
    self.metadata.licenseName = self.license?.name
    self.metadata.licenseFile = nil
  }

  /// Reads a package, also of bioimage.io (a folder, archive or description), an ONNX file or the folder of a SavedModel.
  /// The graph is loaded as bytes; ``graphFacts()`` looks
  /// into it. Of a network without a package, the metadata say only what the graph says.
  ///
  /// - Throws: ``ModelError``: the file is missing, no package, damaged, or of a version that is not known.
  public init(at path: String) throws(ModelError) {
    switch Self.bareFormat(at: path) {
    case .onnx?: try self.init(bare: .onnx(at: path), at: path)
    case .savedModel?: try self.init(bare: .savedModel(at: path), at: path)
    default:
      if BioImageIOPackage.isPackage(at: path) {
        self = try BioImageIOPackage(at: path).modelPackage()
      } else {
        try self.init(archive: path)
      }
    }
  }

  /// Whether a file or folder is a model by its content: a zip archive, an ONNX file, the folder of a SavedModel, or a
  /// package of bioimage.io.
  public static func isModel(at path: String) -> Bool {
    if bareFormat(at: path) != nil || BioImageIOPackage.isPackage(at: path) { return true }
    guard let source = try? ByteSource(path: path), let start = try? source.read(at: 0, count: 2) else { return false }
    return start == [0x50, 0x4B]
  }

  /// The format of a network without a package.
  private static func bareFormat(at path: String) -> PackageFormat? {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { return nil }
    if isFolder.boolValue {
      return FileManager.default.fileExists(atPath: path + "/" + SavedModelFiles.graphName) ? .savedModel : nil
    }
    return (try? ByteSource(path: path)).map(ONNXFile.isONNX) == true ? .onnx : nil
  }

  private init(bare graph: ModelGraph, at path: String) throws(ModelError) {
    var name = URL(filePath: path).lastPathComponent
    if name.lowercased().hasSuffix(".onnx") { name.removeLast(5) }
    let metadata = ModelMetadata(
      id: "", name: name, schemaVersion: "", kind: .singleClassSemanticSegmentation, classes: [], channels: [],
      channelCount: 0, scalesInputByBitDepth: false)
    try self.init(graph: graph, metadata: metadata, path: path)
    let facts = try graphFacts()
    self.metadata.channelCount = facts.inputs.first.flatMap(facts.channels) ?? 0
    let classes = facts.outputs.first.flatMap(facts.channels) ?? 0
    if (1...PackageLimits.classes).contains(classes) {
      self.metadata.classes = ModelMetadata.classes(named: (1...classes).map { "Class \($0)" })
    }
  }

  private init(archive path: String) throws(ModelError) {
    do throws(BytesError) {
      // Hashed first: this also tells a missing file from one that is no package.
      sha256 = try SHA256.hex(ofFile: path)
    } catch {
      throw ModelError(error, file: path)
    }
    let archive: Archive
    do throws(BytesError) {
      archive = try Archive(path: path)
    } catch {
      let kind: ModelError.Kind =
        switch error.kind {
        case .damaged where error.reason == "is not a zip archive": .notAPackage
        default: ModelError(error, file: path).kind
        }
      let prefix = kind == .notAPackage ? "is no model package: it " : ""
      throw ModelError(kind, file: path, prefix + error.reason)
    }
    let layout = try PackageLayout(archive)
    let fallbackName = URL(filePath: path).deletingPathExtension().lastPathComponent
    let text = try Self.read(layout.metadata, from: archive, limit: PackageLimits.metadata)
    let original: OriginalMetadata =
      switch layout.family {
      case .xml: try .init(xml: text, file: path, member: layout.metadata.name, fallbackName: fallbackName)
      case .json: try .init(json: text, file: path, member: layout.metadata.name, fallbackName: fallbackName)
      }
    self.path = path
    self.original = original
    (metadata, format) = (original.metadata, original.format)
    if let member = layout.license {
      let bytes = try Self.read(member, from: archive, limit: PackageLimits.license)
      license = AttachedFile(name: member.baseName, bytes: bytes)
    }
    metadata.licenseName = license?.name
    members = archive.members.map { Member(name: $0.name, size: $0.size) }
    graphMember = layout.model.name
    metadataMember = layout.metadata.name
    var room = PackageLimits.attachments
    for member in layout.further {
      attachments.append(AttachedFile(name: member.name, bytes: try Self.read(member, from: archive, limit: room)))
      room -= member.size
    }
    graph = try ModelGraph(
      payload: Self.read(layout.model, from: archive, limit: PackageLimits.graph), file: path, member: layout.model.name
    )
  }

  private static func read(
    _ member: Archive.Member, from archive: Archive, limit: Int
  ) throws(ModelError) -> [UInt8] {
    do throws(BytesError) {
      return try archive.read(member, limit: limit)
    } catch {
      throw ModelError(error, file: archive.file, member: member.name)
    }
  }

  /// Whether the network and the metadata are those of the file that was read.
  var isAsRead: Bool { hasOriginalGraph && hasOriginalMetadata }

  /// Whether the metadata are those of the file that was read.
  var hasOriginalMetadata: Bool {
    guard let original, original.format == format else { return false }
    var metadata = metadata
    (metadata.licenseName, metadata.licenseFile) = (nil, nil)
    return metadata == original.metadata
  }
}

extension ModelPackage {
  /// Says what the network is fed now, where nothing but its graph is known, or the package is wrong about it: raw pixel
  /// values, or those divided by the largest of their type. ``converted(to:)`` goes by it.
  public mutating func networkTakes(scaledValues isScaled: Bool) {
    if format.isOfZEN || (format.isPackage && metadata.scalesInputByBitDepth == isScaled) {
      metadata.scalesInputByBitDepth = isScaled
    } else {
      (format, original) = (isScaled ? .czann(version: "1.0.0") : .czmodel(version: "3.0.0"), nil)
      metadata.scalesInputByBitDepth = isScaled
    }
  }
}

extension ModelPackage.AttachedFile {
  /// A file from the disk under its own name.
  ///
  /// - Throws: ``ModelError``: there is no such file, or it is too large for a licence.
  public init(reading path: String) throws(ModelError) {
    do throws(BytesError) {
      let source = try ByteSource(path: path)
      guard source.count <= PackageLimits.license else {
        throw BytesError(.unsupported, file: path, "is larger than the \(PackageLimits.license >> 20) MB of a licence")
      }
      self.init(name: URL(filePath: path).lastPathComponent, bytes: try source.read(at: 0, count: source.count))
    } catch {
      throw ModelError(error, file: path)
    }
  }
}
