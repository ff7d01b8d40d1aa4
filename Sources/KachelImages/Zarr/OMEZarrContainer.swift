// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelPixels

/// An OME-Zarr 0.4 or 0.5 (NGFF specification) that is being written: for every scene a group with a Zarr array per
/// resolution and the metadata that viewers read. Several scenes lie side by side in one folder, in the layout of
/// bioformats2raw; labels lie in the images that they belong to.
final class OMEZarrContainer: ImageContainer {
  private let image: OutputImage
  private let options: OMEZarrOptions
  private let version: OMEZarrOptions.Version
  /// By scene.
  private let groups: [OMEZarrGroup]
  /// The folder of all groups, where several make one image.
  private let collection: String?
  private let codec: ZstandardTiles

  /// - Parameter folder: created; what it already holds is neither read nor removed.
  convenience init(_ image: OutputImage, folder: String, options: OMEZarrOptions) throws(ImageError) {
    let isCollection = image.scenes.count > 1
    let groups = image.scenes.indices.map { scene in
      OMEZarrGroup(
        folder: isCollection ? "\(folder)/\(scene)" : folder,
        name: isCollection ? image.scenes[scene].name ?? image.name : image.name,
        coordinates: OMEZarrCoordinates(of: image, scene: scene, levels: options.levels))
    }
    try self.init(image, groups, options, options.version ?? .v04, collection: isCollection ? folder : nil)
  }

  /// Label images inside the images that they belong to.
  convenience init(_ image: OutputImage, into labels: OMEZarrLabels) throws(ImageError) {
    try self.init(image, labels.groups(for: image), labels.options, labels.version, collection: nil)
  }

  private init(
    _ image: OutputImage, _ groups: [OMEZarrGroup], _ options: OMEZarrOptions, _ version: OMEZarrOptions.Version,
    collection: String?
  ) throws(ImageError) {
    do throws(OMEZarrOptions.Refusal) { try options.check(version: version) } catch {
      throw ImageError(.unsupported, file: collection ?? groups[0].folder, error.description)
    }
    self.image = image
    self.options = options
    self.version = version
    self.groups = groups
    self.collection = collection
    // Labels compress as well at the fastest level; see Benchmarks.
    let isLabels = if case .labels = image.content { true } else { false }
    codec = ZstandardTiles(file: collection ?? groups[0].folder, level: isLabels ? 1 : 3)
    for folder in [collection].compactMap(\.self) + groups.map(\.folder) { try OutputFolder.create(folder) }
  }

  func levelCount(of scene: Int) -> Int? { groups[scene].levels }
  func steps(of scene: Int) -> [ScenePyramid.Step]? { groups[scene].steps }

  func level(_ level: Int, of scene: Int, size: Size, cacheBytes: Int) throws(ImageError) -> TiledPlanes {
    let group = groups[scene], ones = [Int](repeating: 1, count: group.coordinates.leading.count)
    let chunk = options.chunk(in: size), inShard = options.chunksInShard(in: size)
    let folder = "\(group.folder)/\(level)"
    let array = try ZarrArrayFolder(
      folder,
      ZarrArrayMetadata(
        version: version, shape: group.coordinates.leading + [size.height, size.width],
        chunk: ones + [chunk.height, chunk.width],
        shard: inShard.map { ones + [$0.height * chunk.height, $0.width * chunk.width] }, type: image.pixelType,
        level: codec.level, names: group.coordinates.names))
    let store: any TileStore
    if let inShard {
      store = ZarrShardFolder(array, chunks: inShard, spool: try TileSpool(for: folder, at: folder), codec: codec)
    } else {
      store = ZarrChunkFolder(array, codec: codec)
    }
    return TiledPlanes(
      .init(planes: image.planes, size: size, tile: chunk, type: image.pixelType, edge: .filled), store: store,
      cacheBytes: cacheBytes)
  }

  func finish(scene: Int, _ pyramid: ScenePyramid, attributes: [String: any Encodable & Sendable]) throws {
    let group = groups[scene]
    try OutputFolder.writeGroup(
      group.folder, version, attributes: group.attributes(of: image, version: version, further: attributes))
  }

  func finish() throws {
    guard let collection else { return }
    switch version {
    case .v04:
      try OutputFolder.writeGroup(collection, version, attributes: ["bioformats2raw.layout": 3])
    case .v05:
      let names = JSONValue(groups.indices.map { "\($0)" })
      try OutputFolder.writeGroup(
        collection, version, attributes: ["ome": ["bioformats2raw.layout": 3, "version": .string(version.rawValue)]])
      try OutputFolder.create(collection + "/OME")
      try OutputFolder.writeGroup(
        collection + "/OME", version, attributes: ["ome": ["series": names, "version": .string(version.rawValue)]])
    }
  }
}
