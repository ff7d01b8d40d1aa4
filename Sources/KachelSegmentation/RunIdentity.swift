// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
private import KachelEngines
import KachelImages
private import KachelModels

/// What names a run: all that decides its pixels and its outputs, by the names that a user knows.
struct RunIdentity: Codable, Sendable, Equatable {
  /// What is known before the engine has read the network: the model, the image's files, the options.
  var given: [String: String]
  /// The provenance of the first scene, but for the command.
  var provenance: [String: String] = [:]

  init(of segmentation: Segmentation, _ outputs: SegmentationOutputs, _ files: ImageFiles) {
    let (package, image, options) = (segmentation.package, segmentation.image, segmentation.options)
    let selection = segmentation.selection, description = image.description
    let output = RemoteAddress.fileName(of: outputs.result)
    given = [
      "Kachel": kachelVersion,
      "the output's name": output,
      "the model": "\(URL(filePath: package.path).lastPathComponent) (SHA-256 \(Self.digest(of: package).prefix(16)))",
      "the image": RemoteAddress.fileName(of: image.path),
      "--scene": Self.list(selection.scenes.map { description.scenes[$0].index }),
      "--time": Self.list(selection.times), "--z": Self.list(selection.depths),
      "--dimension": Self.list(selection.further.map { "\($0.key)=\($0.value)" }.sorted()),
      "--region": options.planes.region.map { "\($0)" } ?? "all",
      "--channel": options.channels.map(Self.list) ?? "all",
      "--tiling": options.tiling.rawValue, "--halo": Self.halo(options.halo),
      "--tile-size": options.tileSide.map { "\($0)" } ?? "free",
      "--statistics": options.statistics?.rawValue ?? "free",
      "--skip-background": options.background.map { "\($0)" } ?? "none",
      "--engine": options.engine.name.rawValue, "--device": options.engine.device.map { "\($0)" } ?? "auto",
      "--precision": options.engine.precision.rawValue,
      "--require": options.requirement?.rawValue ?? "none",
      "--minimum-confidence": options.minimumConfidence.map { "\($0)" } ?? "none",
      "--confidence": outputs.confidence.map(RemoteAddress.fileName) ?? "none",
      "--preview": outputs.preview.map(RemoteAddress.fileName) ?? "none",
      "--zarr": outputs.omeZarr.version?.rawValue ?? "none",
      "--shard": outputs.omeZarr.shardSide.map { "\($0)" } ?? "none", "--chunk": "\(outputs.omeZarr.chunkSide)",
      "the number of resolutions": outputs.omeZarr.levels.map { "\($0)" } ?? "free",
    ]
    for file in files.files { given["the image's file \(file.name)"] = "\(file.size) bytes of \(file.time)" }
    given[Self.chunks] = files.chunks?.description
    given["what the image holds"] = Self.content(of: description)
  }

  private static let chunks = "the image's chunks"

  /// Adds what is known when the run is prepared.
  mutating func add(_ provenance: Provenance) throws {
    var provenance = provenance
    provenance.command = nil
    self.provenance = Self.leaves(of: try JSONValue(encoding: provenance))
  }

  /// How another run differs from this one, in words; empty where it does not, as far as both are known.
  func differences(from other: RunIdentity) -> [String] {
    let isPrepared = !provenance.isEmpty && !other.provenance.isEmpty
    return Self.differences(given, other.given)
      + (isPrepared ? Self.differences(provenance, other.provenance) : [])
  }

  private static func differences(_ known: [String: String], _ now: [String: String]) -> [String] {
    Set(known.keys).union(now.keys).sorted().compactMap { name in
      let (before, after) = (known[name], now[name])
      guard before != after else { return nil }
      switch name {
      // Digests say nothing to a reader.
      case "what the image holds": return "\(name) has changed"
      case chunks: return "\(name) have changed: they were \(before ?? "not there") and are \(after ?? "not there")"
      default: return "\(name) was \(before ?? "not there") and is \(after ?? "not there")"
      }
    }
  }

  /// The texts, numbers and truth values of a JSON value by their places.
  static func leaves(of value: JSONValue, at path: String = "") -> [String: String] {
    let children: [(String, JSONValue)]
    switch value {
    case .object(let members): children = members.map { ($0.key, $0.value) }
    case .array(let values): children = values.enumerated().map { ("\($0.offset)", $0.element) }
    case .string(let text): return [path: text]
    case .null: return [:]
    case .bool(let value): return [path: "\(value)"]
    case .integer(let value): return [path: "\(value)"]
    case .unsigned(let value): return [path: "\(value)"]
    case .number(let value): return [path: "\(value)"]
    }
    var leaves: [String: String] = [:]
    for (name, child) in children {
      leaves.merge(Self.leaves(of: child, at: path.isEmpty ? name : path + "." + name)) { $1 }
    }
    return leaves
  }

  private static func halo(_ halo: HaloChoice) -> String {
    switch halo {
    case .automatic: "auto"
    case .package: "package"
    case .pixels(let pixels): "\(pixels)"
    }
  }

  private static func list(_ items: [some CustomStringConvertible]) -> String {
    items.map(\.description).joined(separator: ",")
  }

  /// The package's own digest, or that of its network where it has no file.
  private static func digest(of package: ModelPackage) -> String {
    if !package.sha256.isEmpty { return package.sha256 }
    guard case .onnx(let bytes) = package.graph else { return "none, \(package.graph.byteCount ?? 0) bytes" }
    return bytes.withUnsafeBytes { SHA256.hex(of: $0) }
  }

  /// A digest of the image's geometry, channels and physical size.
  private static func content(of image: ImageDescription) -> String {
    var text = "\(image.format) \(image.depth) \(image.times) \(image.axes.sorted()) \(image.furtherDimensions)"
    text += " \(image.physicalSize) \(image.channels)"
    for scene in image.scenes { text += " \(scene.index) \(scene.name ?? "") \(scene.box)" }
    return Array(text.utf8).withUnsafeBytes { SHA256.hex(of: $0) }
  }
}
