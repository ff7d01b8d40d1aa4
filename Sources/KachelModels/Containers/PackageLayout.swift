// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes

/// What a package may hold at most.
enum PackageLimits {
  static let metadata = 16 << 20
  static let license = 16 << 20
  /// All further files together.
  static let attachments = 256 << 20
  /// A protobuf message cannot be larger.
  static let graph = Int(Int32.max)
  /// Texts and messages in a graph. The largest networks have some hundred thousand.
  static let graphFields = 1_000_000
  static let classes = 65_535
  static let channels = 4096
}

/// Which member of an archive is what.
struct PackageLayout {
  enum Family { case xml, json }

  let family: Family
  let metadata: Archive.Member
  let model: Archive.Member
  let license: Archive.Member?
  /// Whatever else there is.
  let further: [Archive.Member]

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
    let license = rest.first { $0.baseName.lowercased().contains("licen") } ?? rest.first
    self.license = license
    further = rest.filter { $0 != license }
  }
}
