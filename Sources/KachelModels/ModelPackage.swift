// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes
private import Foundation

/// A packaged network: its graph and what the package says of it.
///
/// Packages are recognised by their content; the extension does not matter.
public struct ModelPackage: Sendable {
  /// The two families of packages, with the version of their metadata.
  public enum Format: Sendable, Hashable, CustomStringConvertible {
    /// `.czmodel` and `.czseg`: metadata in XML.
    case czmodel(version: String)
    /// `.czann`: metadata in JSON.
    case czann(version: String)

    public var description: String {
      switch self {
      case .czmodel(let version): "czmodel (XML \(version))"
      case .czann(let version): "czann (JSON \(version))"
      }
    }
  }

  /// A file that a package carries along.
  public struct License: Sendable, Hashable {
    public var name: String
    public var bytes: [UInt8]
  }

  public let path: String
  public let format: Format
  public let metadata: ModelMetadata
  public let graph: ModelGraph
  public let license: License?
  /// Of the package file, as hexadecimal digits.
  public let sha256: String
  /// The package's members: names, and sizes in bytes.
  public let members: [Member]
  /// Which member the graph and the metadata are, by name.
  public let graphMember: String
  public let metadataMember: String

  /// One file in a package.
  public struct Member: Sendable, Hashable {
    public var name: String
    public var size: Int
  }

  /// Reads a package. The graph is loaded as bytes; ``graphFacts()`` looks into it.
  ///
  /// - Throws: ``ModelError``: the file is missing, no package, damaged, or of a version that is not known.
  public init(at path: String) throws(ModelError) {
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
    var metadata: ModelMetadata
    switch layout.family {
    case .xml:
      metadata = try XMLMetadata.read(text, file: path, member: layout.metadata.name, fallbackName: fallbackName)
      format = .czmodel(version: metadata.schemaVersion)
    case .json:
      metadata = try JSONMetadata.read(text, file: path, member: layout.metadata.name, fallbackName: fallbackName)
      format = .czann(version: metadata.schemaVersion)
    }
    if let member = layout.license {
      let bytes = try Self.read(member, from: archive, limit: PackageLimits.license)
      license = License(name: member.baseName, bytes: bytes)
    } else {
      license = nil
    }
    metadata.licenseName = license?.name
    self.path = path
    self.metadata = metadata
    members = archive.members.map { Member(name: $0.name, size: $0.size) }
    graphMember = layout.model.name
    metadataMember = layout.metadata.name
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
}

/// What a package may hold at most.
enum PackageLimits {
  static let metadata = 16 << 20
  static let license = 16 << 20
  /// A protobuf message cannot be larger.
  static let graph = Int(Int32.max)
  /// Texts and messages in a graph. The largest networks have some hundred thousand.
  static let graphFields = 1_000_000
  static let classes = 65_535
  static let channels = 4096
}

/// Which member of an archive is what.
private struct PackageLayout {
  enum Family { case xml, json }

  let family: Family
  let metadata: Archive.Member
  let model: Archive.Member
  let license: Archive.Member?

  /// XML packages hold `<id>.xml`, `<id>.model`, an empty `modelid=<id>` and perhaps a licence; JSON packages hold
  /// `model.json`, `model.model` and perhaps a licence. The licence keeps any name that its author gave it.
  init(_ archive: Archive) throws(ModelError) {
    let members = archive.members
    func named(_ suffix: String) -> [Archive.Member] { members.filter { $0.name.lowercased().hasSuffix(suffix) } }
    func fail(_ kind: ModelError.Kind, _ reason: String) -> ModelError {
      ModelError(kind, file: archive.file, reason)
    }

    let marker = members.first { $0.baseName.hasPrefix("modelid=") }
    let id = marker.map { $0.baseName.dropFirst("modelid=".count) }
    var xml = named(".xml")
    if let own = xml.first(where: { $0.baseName.dropLast(4) == id ?? "" }) { xml = [own] }
    let json = members.filter { $0.baseName.lowercased() == "model.json" }
    let models = named(".model")

    switch (xml.count, json.count) {
    case (0, 0): throw fail(.notAPackage, "is no model package: it has no metadata (neither model.json nor <id>.xml)")
    case (1, 0): (family, metadata) = (.xml, xml[0])
    case (0, 1): (family, metadata) = (.json, json[0])
    case (_, 0), (0, _): throw fail(.damaged, "has several metadata files; it is not clear which one is meant")
    default: throw fail(.damaged, "has XML and JSON metadata; it is not clear which one is meant")
    }
    guard let model = models.first else {
      throw fail(.damaged, "has no model (a member whose name ends in .model)")
    }
    guard models.count == 1 else {
      throw fail(.damaged, "has several models: \(models.prefix(4).map(\.name).joined(separator: ", "))")
    }
    self.model = model
    let (own, marked) = (Set([metadata, model]), marker)
    let rest = members.filter { !own.contains($0) && $0 != marked }
    license = rest.first { $0.baseName.lowercased().contains("licen") } ?? rest.first
  }
}
