// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
package import KachelPixels

/// An OME-Zarr 0.1 to 0.5 (Zarr version 2 or 3): an image with its resolutions, all images of a bioformats2raw layout or
/// of a labels group as scenes, or an array of 2 to 5 dimensions by itself.
package final class OMEZarrImage: ImageSource {
  package let path: String
  package let description: ImageDescription
  package let cacheBytes: Int
  private let scenes: [OMEZarrScene]
  private let store: any ZarrStore

  private static let mostScenes = 10_000

  /// Whether a folder says that it holds Zarr.
  static func isZarr(_ store: any ZarrStore) -> Bool {
    ["zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata"].contains { name in
      // An entry that cannot be read is reported when it is opened.
      do throws(ImageError) { return try store.read(name, .range(offset: 0, count: 0), limit: 0) != nil } catch {
        return true
      }
    }
  }

  package convenience init(folder: String, cacheBytes: Int) throws(ImageError) {
    try self.init(LocalZarrStore(folder: folder), path: folder, cacheBytes: cacheBytes)
  }

  /// - Parameter path: what the user calls the image.
  package init(_ store: any ZarrStore, path: String, cacheBytes: Int) throws(ImageError) {
    self.path = path
    self.cacheBytes = cacheBytes
    self.store = store
    let hierarchy = try ZarrHierarchy(store)
    scenes = try Self.scenes(of: hierarchy, path: path, cache: ZarrChunkCache(limit: cacheBytes))
    // Beside several images they would have to be looked for one by one.
    var labels: [String] = []
    if scenes.count == 1, !scenes[0].isArray, case .group(let attributes, _) = try? hierarchy.node("labels") {
      labels = (attributes["ome"] ?? attributes)["labels"]?.strings ?? []
    }
    description = try Self.description(of: scenes, notes: Self.notes(of: scenes, labels: labels), path: path)
  }

  private static func description(
    of scenes: [OMEZarrScene], notes: [String], path: String
  ) throws(ImageError) -> ImageDescription {
    let first = scenes[0]
    if let other = scenes.first(where: { $0.type != first.type }) {
      throw ImageError(
        .unsupported, file: path,
        "its images have pixels of different types (\(first.type.rawValue), \(other.type.rawValue)); open the folder of one"
      )
    }
    func most(_ axis: (OMEZarrDimensions) -> Int?) -> Int {
      scenes.map { $0.dimensions.size(axis($0.dimensions), $0.shape) }.max() ?? 1
    }
    let channels = most(\.channel)
    guard channels <= 1 << 16 else {
      throw ImageError(.unsupported, file: path, "an image of \(channels) channels is not read")
    }
    var further: [ImageDescription.FurtherDimension] = []
    for scene in scenes {
      for dimension in scene.dimensions.further {
        let count = scene.shape[dimension.axis]
        if let place = further.firstIndex(where: { $0.name == dimension.name }) {
          further[place].count = max(further[place].count, count)
        } else {
          further.append(.init(name: dimension.name, count: count))
        }
      }
    }
    let labelled = scenes.max { $0.channels.count < $1.channels.count } ?? first
    var compressions: [String] = []
    for name in scenes.flatMap({ $0.levels[0].array.compressions }) where !compressions.contains(name) {
      compressions.append(name)
    }
    return ImageDescription(
      format: first.isArray ? "Zarr" : "OME-Zarr",
      scenes: scenes.enumerated().map { index, scene in
        .init(
          index: index, name: scene.name, box: Region(scene.levels[0].size),
          levels: scene.levels.map { level in
            let (columns, rows) = (scene.dimensions.x, scene.dimensions.y)
            return .init(
              size: level.size, downsampling: level.downsampling,
              tile: Size(width: level.array.chunkShape[columns], height: level.array.chunkShape[rows]))
          })
      },
      channels: (0..<channels).map { index in
        let known = index < labelled.channels.count ? labelled.channels[index] : nil
        return .init(
          name: known?.name ?? (first.labels != nil && channels == 1 ? "Labels" : "Channel \(index + 1)"),
          color: known?.color, pixelType: first.type, layout: .gray, display: known?.display(of: first.type),
          isShown: known?.isActive ?? true)
      },
      depth: most(\.z), times: most(\.time),
      axes: scenes.reduce(into: []) { axes, scene in
        if scene.dimensions.time != nil { axes.insert("t") }
        if scene.dimensions.channel != nil { axes.insert("c") }
        if scene.dimensions.z != nil { axes.insert("z") }
      },
      furtherDimensions: further, physicalSize: first.physicalSize,
      compressions: compressions.isEmpty ? ["uncompressed"] : compressions, labels: labels(of: scenes),
      storage: first.storage, notes: notes)
  }

  /// What all images say of their labels; `nil` where one of them is no label image.
  private static func labels(of scenes: [OMEZarrScene]) -> [LabelDescription]? {
    guard scenes.allSatisfy({ $0.labels != nil && $0.type.isFloatingPoint == false }) else { return nil }
    var labels: [Int: LabelDescription] = [:], disputed: Set<Int> = []
    for label in scenes.flatMap({ $0.labels ?? [] }) {
      if labels.updateValue(label, forKey: label.value).map({ $0 != label }) ?? false { disputed.insert(label.value) }
    }
    return labels.values.filter { !disputed.contains($0.value) }.sorted { $0.value < $1.value }
  }

  private static func scenes(
    of hierarchy: ZarrHierarchy, path: String, cache: ZarrChunkCache
  ) throws(ImageError) -> [OMEZarrScene] {
    switch try hierarchy.node("") {
    case nil: throw ImageError(.notAnImage, file: path, hierarchy.store.absence)
    case .array(let layout, let attributes):
      let array = try ZarrArray(hierarchy.store, key: "", layout, cache: cache)
      return [try OMEZarrScene(array, attributes: attributes, file: path)]
    case .group(let attributes, let file):
      let group = attributes["ome"] ?? attributes
      if group["multiscales"] != nil {
        return [try OMEZarrScene(group, key: "", file: file, in: hierarchy, cache: cache)]
      }
      if group["plate"] != nil || group["well"] != nil {
        throw ImageError(
          .unsupported, file: path,
          "plates and wells are not read as a whole; open the folder of an image, such as A/1/0")
      }
      if group["bioformats2raw.layout"] != nil {
        let (paths, file) = try series(of: hierarchy, path: path)
        return try scenes(paths, of: hierarchy, file: file, cache: cache, named: false)
      }
      if let labels = group["labels"] {
        guard let names = labels.strings else { throw ImageError(.damaged, file: file, "labels is no list of names") }
        return try scenes(names, of: hierarchy, file: file, cache: cache, named: true)
      }
      throw ImageError(
        .notAnImage, file: path,
        "is a Zarr group without an image: it has no multiscales; open the folder of an image or array in it")
    }
  }

  /// The images of a bioformats2raw layout: those that its OME group lists, or the folders 0, 1 and so on.
  private static func series(
    of hierarchy: ZarrHierarchy, path: String
  ) throws(ImageError) -> (paths: [String], file: String) {
    if case .group(let attributes, let file) = try hierarchy.node("OME"),
      let series = (attributes["ome"] ?? attributes)["series"]
    {
      guard let paths = series.strings else { throw ImageError(.damaged, file: file, "series is no list of paths") }
      return (paths, file)
    }
    var paths: [String] = []
    while paths.count < mostScenes, try hierarchy.node("\(paths.count)") != nil { paths.append("\(paths.count)") }
    return (paths, path)
  }

  /// Where the image's scenes lie, where they are OME-Zarr images: the keys of their groups.
  static func keys(of hierarchy: ZarrHierarchy, path: String) throws(ImageError) -> [String] {
    if case .group(let attributes, _) = try hierarchy.node("") {
      let group = attributes["ome"] ?? attributes
      if group["multiscales"] != nil { return [""] }
      if group["bioformats2raw.layout"] != nil {
        return try series(of: hierarchy, path: path).paths.compactMap { ZarrKey.inside("", path: $0) }
      }
    }
    throw ImageError(
      .unsupported, file: path,
      "is no OME-Zarr image, so that no labels are written into it; name an output of its own, such as labels.ome.zarr")
  }

  private static func scenes(
    _ paths: [String], of hierarchy: ZarrHierarchy, file: String, cache: ZarrChunkCache, named: Bool
  ) throws(ImageError) -> [OMEZarrScene] {
    guard !paths.isEmpty else { throw ImageError(.notAnImage, file: file, "lists no images") }
    guard paths.count <= mostScenes else {
      throw ImageError(.unsupported, file: file, "\(paths.count) images at once are not read")
    }
    var scenes: [OMEZarrScene] = []
    var keys: Set<String> = []
    for path in paths {
      guard let key = ZarrKey.inside("", path: path) else {
        throw ImageError(.damaged, file: file, "the image's path \(path.prefix(80)) leads out of the folder")
      }
      guard keys.insert(key).inserted else {
        throw ImageError(.damaged, file: file, "lists the image \(path.prefix(80)) twice")
      }
      guard case .group(let attributes, let place) = try hierarchy.node(key) else {
        throw ImageError(.damaged, file: file, "the image \(path.prefix(80)) is missing, or no group")
      }
      var scene = try OMEZarrScene(
        attributes["ome"] ?? attributes, key: key, file: place, in: hierarchy, cache: cache)
      if named || scene.name == nil { scene.name = path }
      scenes.append(scene)
    }
    return scenes
  }

  /// Where a plane lies.
  private struct Place {
    var level: OMEZarrScene.Level
    var dimensions: OMEZarrDimensions
    /// `nil` where other scenes have such a plane, but not this one.
    var position: [Int]?
  }

  private func place(of plane: PlaneIndex) throws(ImageError) -> Place {
    guard scenes.indices.contains(plane.scene), scenes[plane.scene].levels.indices.contains(plane.level),
      description.channels.indices.contains(plane.channel), (0..<description.depth).contains(plane.z),
      (0..<description.times).contains(plane.time),
      plane.further.allSatisfy({ name, position in
        description.furtherDimensions.contains { $0.name == name && (0..<$0.count).contains(position) }
      })
    else {
      throw ImageError(
        .outOfRange, file: path,
        "there is no plane at \(plane), level \(plane.level); the image has \(scenes.count) scenes, "
          + "\(description.times) times, \(description.depth) z, \(description.channels.count) channels")
    }
    let scene = scenes[plane.scene], level = scene.levels[plane.level], dimensions = scene.dimensions
    let shape = level.array.shape
    var place = Place(level: level, dimensions: dimensions)
    var position = [Int](repeating: 0, count: shape.count)
    var wanted: [(axis: Int?, position: Int)] = [
      (dimensions.channel, plane.channel), (dimensions.z, plane.z), (dimensions.time, plane.time),
    ]
    for (name, value) in plane.further {
      wanted.append((dimensions.further.first { $0.name == name }?.axis, value))
    }
    for (axis, value) in wanted {
      guard value < dimensions.size(axis, scene.shape) else { return place }
      guard let axis else { continue }
      // A smaller resolution may have fewer planes along z.
      position[axis] = value * shape[axis] / scene.shape[axis]
    }
    place.position = position
    return place
  }

  package func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws {
    let place = try place(of: plane)
    let array = place.level.array
    try region.checkReadable(bytesPerPixel: array.type.size, file: path)
    pixels.reshape(width: region.width, height: region.height, samples: 1, type: array.type)
    let part = region.intersection(Region(place.level.size))
    guard let position = place.position, !part.isEmpty else {
      pixels.fill(byte: 0)
      return
    }
    if part != region { pixels.fill(byte: 0) }
    try array.read(
      part, at: position, rows: place.dimensions.y, columns: place.dimensions.x, into: pixels, for: region)
  }

  package func hasPixels(in region: Region, of plane: PlaneIndex) -> Bool {
    !coveredRegions(in: region, of: plane).isEmpty
  }

  package func coveredRegions(in region: Region, of plane: PlaneIndex) -> [Region] {
    guard !region.isEmpty, region.isBounded, let place = try? place(of: plane), place.position != nil else { return [] }
    let part = region.intersection(Region(place.level.size))
    return part.isEmpty ? [] : [part]
  }

  package func chunkFiles(ofScenes scenes: [Int]) throws -> ChunkFiles? {
    guard !store.isRemote else { return nil }
    return try ChunkFiles(of: scenes.map { self.scenes[$0].levels[0].array.path }, in: store.name)
  }
}
