// SPDX-License-Identifier: Apache-2.0
private import Foundation
public import KachelBytes
import KachelPixels

#if canImport(Glibc)
  private import Glibc
#endif

/// Label images in the OME-Zarr image that they belong to: `IMAGE/labels/NAME`, and where the image is a collection of
/// several (bioformats2raw), `IMAGE/<i>/labels/NAME` for those that are chosen.
///
/// They are of the image's version, and have its dimensions and as many resolutions as it has: of the same sizes where
/// halving, once or several times, leads to them; if not, each half of the one before. They appear under their names, and
/// in the groups' lists of labels, only with ``commit(with:)``. The images themselves are not changed.
///
/// `@unchecked Sendable`: only the end of its life changes it.
public final class OMEZarrLabels: @unchecked Sendable {
  public let options: OMEZarrOptions
  /// The image's.
  public let version: OMEZarrOptions.Version
  private let name: String
  private let images: [OMEZarrLabelledImage]
  private var targets: [Target] = []
  /// Folders that did not exist before.
  private var madeFolders: [String] = []

  private struct Target {
    /// The group of all labels of an image.
    var folder: String
    var output: PendingOutput
  }

  /// Whether a path is that of labels in an image, by its form.
  ///
  /// - Parameter image: the path of the image.
  public static func isInside(_ image: String, path: String) -> Bool { name(path, in: image) != nil }

  private static func name(_ path: String, in image: String) -> String? {
    func standard(_ url: URL) -> String { url.resolvingSymlinksInPath().standardizedFileURL.path }
    // The last two parts may be missing; what is missing is no link.
    let url = URL(filePath: path).standardizedFileURL
    let group = url.deletingLastPathComponent()
    guard !path.contains("://"), group.lastPathComponent == "labels",
      standard(group.deletingLastPathComponent()) == standard(URL(filePath: image))
    else { return nil }
    return url.lastPathComponent
  }

  /// - Parameters:
  ///   - path: `IMAGE/labels/NAME`; see ``isInside(_:path:)``.
  ///   - image: the path of the image.
  ///   - scenes: those of the image's scenes that get labels, by position.
  ///   - overwrite: whether labels of that name are replaced.
  /// - Throws: ``OMEZarrOptions/Refusal`` where the options or the name are not right; ``ImageError``: `unsupported` where
  ///   the image cannot have labels; ``BytesError``: `cannotWrite`, also where there are labels of that name.
  public init(path: String, of image: String, scenes: [Int], overwrite: Bool, options: OMEZarrOptions) throws {
    guard let name = Self.name(path, in: image) else {
      throw ImageError(.cannotWrite, file: path, "is not \(image)/labels/NAME")
    }
    try Self.check(name)
    let hierarchy = try ZarrHierarchy(LocalZarrStore(folder: image))
    let keys = try OMEZarrImage.keys(of: hierarchy, path: image)
    var images: [OMEZarrLabelledImage] = []
    for scene in scenes {
      guard keys.indices.contains(scene) else {
        throw ImageError(.outOfRange, file: image, "there is no scene \(scene)")
      }
      images.append(try OMEZarrLabelledImage(keys[scene], in: hierarchy))
    }
    guard let version = images.first?.version, images.allSatisfy({ $0.version == version }) else {
      throw ImageError(.unsupported, file: image, "its images are of different versions")
    }
    guard options.version ?? version == version else {
      throw OMEZarrOptions.Refusal(
        description: "the image is of the OME-Zarr version \(version.rawValue), and so are its labels; leave --zarr out"
      )
    }
    guard options.shardSide == nil || version == .v05 else {
      throw OMEZarrOptions.Refusal(
        description: "the image is of the OME-Zarr version 0.4, which has no shards; leave --shard out")
    }
    try options.check(version: version)
    (self.options, self.version, self.name, self.images) = (options, version, name, images)
    warnings = try Self.copies(of: hierarchy, keys: [""] + scenes.map { keys[$0] }).map { file in
      """
      \(file) is a copy of the image's metadata that does not know the labels; programs that read it see them when it is \
      made anew, as by zarr.consolidate_metadata
      """
    }

    let folders = scenes.map { hierarchy.store.file(ZarrKey.join(keys[$0], "labels")) }
    // All is checked before anything is made.
    for folder in folders { _ = try list(folder) }
    for folder in folders {
      if !FileManager.default.fileExists(atPath: folder) {
        try OutputFolder.create(folder)
        madeFolders.append(folder)
      }
      targets.append(
        Target(folder: folder, output: try PendingOutput(path: folder + "/" + name, overwrite: overwrite)))
    }
  }

  deinit {
    // Outputs that are not committed vanish, and then folders that nothing is in.
    targets = []
    for folder in madeFolders { rmdir(folder) }
  }

  /// What the label images are called when they are complete.
  public var paths: [String] { targets.map(\.output.path) }

  /// What the user should know of the image.
  public let warnings: [String]

  /// What they are called until then.
  package var temporaryPaths: [String] { targets.map(\.output.temporaryPath) }

  /// The label images.
  ///
  /// - Throws: `unsupported` where what is to be written does not match the images.
  func groups(for image: OutputImage) throws(ImageError) -> [OMEZarrGroup] {
    func refusal(_ reason: String) -> ImageError { ImageError(.unsupported, file: paths[0], reason) }
    guard case .labels = image.content, image.channels.count == 1, !image.pixelType.isFloatingPoint else {
      throw refusal("only labels are written into an image")
    }
    guard image.scenes.count == images.count else { throw refusal("other scenes are written than chosen") }
    for (scene, labelled) in zip(image.scenes, images) {
      guard scene.size == labelled.size, scene.x == 0, scene.y == 0, image.times.count == labelled.times,
        image.depths.count == labelled.depths
      else {
        throw refusal(
          """
          labels in an image have its size (\(labelled.size), \(labelled.times) times, \(labelled.depths) z planes), not \
          \(scene.size), \(image.times.count) times, \(image.depths.count) z planes; leave --region, --time and --z \
          out, or name an output of its own, such as labels.ome.zarr
          """)
      }
    }
    return zip(targets, images).map { target, labelled in
      OMEZarrGroup(
        folder: target.output.temporaryPath, name: name, coordinates: labelled.coordinates, steps: labelled.steps,
        source: "../../")
    }
  }

  /// Gives the label images and the other outputs of a run their final names, all or none, and adds the labels to the
  /// lists of their groups.
  public func commit(with others: [PendingOutput] = []) throws {
    try PendingOutput.commit(targets.map(\.output) + others)
    madeFolders = []
    for target in targets { try enlist(target.folder) }
  }

  /// Files with metadata of all that is below their groups ("consolidated").
  private static func copies(of hierarchy: ZarrHierarchy, keys: [String]) throws(ImageError) -> [String] {
    var files: [String] = []
    for key in Set(keys).sorted() {
      let old = ZarrKey.join(key, ".zmetadata"), new = ZarrKey.join(key, "zarr.json")
      if try hierarchy.store.json(old) != nil { files.append(hierarchy.store.file(old)) }
      let copy = try hierarchy.store.json(new)?["consolidated_metadata"]
      if copy?.object != nil { files.append(hierarchy.store.file(new)) }
    }
    return files
  }

  private static func check(_ name: String) throws(OMEZarrOptions.Refusal) {
    let isOtherFormat = (try? OutputFormat(path: name)).map { !$0.isFolder } ?? false
    guard ZarrKey.inside("", path: name) != nil, !name.hasPrefix("."), !name.hasPrefix("__"), name != "zarr.json",
      !isOtherFormat
    else {
      throw OMEZarrOptions.Refusal(
        description: "labels in an image cannot be called \"\(name)\"; choose a name such as nuclei")
    }
  }

  /// The metadata of a group of labels and the labels that it lists; new ones where there are none yet.
  private func list(_ folder: String) throws(ImageError) -> (document: JSONValue, names: [String]) {
    let store = LocalZarrStore(folder: folder)
    guard try store.json(".zarray") == nil, try store.json(version == .v05 ? ".zgroup" : "zarr.json") == nil else {
      throw ImageError(
        .unsupported, file: folder, "is no group of labels of the OME-Zarr version \(version.rawValue)")
    }
    let document: JSONValue, group: JSONValue
    switch version {
    case .v04:
      document = try store.json(".zattrs") ?? [:]
      group = document
    case .v05:
      document = try store.json("zarr.json") ?? ["zarr_format": 3, "node_type": "group"]
      group = document["attributes"]?["ome"] ?? [:]
    }
    let file = store.file(version == .v05 ? "zarr.json" : ".zattrs")
    guard document.object != nil, document["node_type"]?.string ?? "group" == "group",
      let names = (group["labels"] ?? []).strings
    else { throw ImageError(.damaged, file: file, "is no group with a list of labels") }
    // A number that JSON does not have could not be written again.
    guard (try? document.text()) != nil else {
      throw ImageError(.unsupported, file: file, "has numbers that JSON does not have, such as NaN; remove them")
    }
    return (document, names)
  }

  /// Adds the label image to the list, keeping what else is there. Read anew: a run takes long.
  private func enlist(_ folder: String) throws(ImageError) {
    var (document, names) = try list(folder)
    if !names.contains(name) { names.append(name) }
    switch version {
    case .v04:
      try OutputFolder.replace(folder + "/.zgroup", with: ["zarr_format": 2])
      document["labels"] = JSONValue(names)
      try OutputFolder.replace(folder + "/.zattrs", with: document)
    case .v05:
      document["consolidated_metadata"] = nil
      var attributes = document["attributes"] ?? [:], group = attributes["ome"] ?? [:]
      group["labels"] = JSONValue(names)
      group["version"] = .string(version.rawValue)
      attributes["ome"] = group
      document["attributes"] = attributes
      try OutputFolder.replace(folder + "/zarr.json", with: document)
    }
  }
}
