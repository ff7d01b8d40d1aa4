// SPDX-License-Identifier: Apache-2.0
import Foundation
private import KachelBytes
private import KachelEngines
import KachelImages
private import KachelModels
import KachelPixels

/// A result that exists, and what it says of the run that made it.
struct CompleteRun {
  let provenance: Provenance
  let path: String

  /// How the run differs from one that is wanted, in words, as far as that shows without running it.
  func differences(
    from segmentation: Segmentation, _ outputs: SegmentationOutputs, _ files: ImageFiles
  ) -> [String] {
    let (package, image, options) = (segmentation.package, segmentation.image, segmentation.options)
    let (selection, description) = (segmentation.selection, image.description)
    let isInside = OMEZarrLabels.isInside(image.path, path: outputs.result)
    var differences: [String] = []
    func compare<Value: Equatable>(_ name: String, _ made: Value, _ wanted: Value) {
      if made != wanted { differences.append("\(name) was \(Self.text(made)) and is \(Self.text(wanted))") }
    }
    compare("Kachel", provenance.version, kachelVersion)
    compare("the model's SHA-256", provenance.model.sha256, package.sha256)
    compare("the model's name", provenance.model.name, package.metadata.name)
    compare(
      "the image", RemoteAddress.fileName(of: provenance.image.file), RemoteAddress.fileName(of: image.path))
    compare("the image's format", provenance.image.format, description.format)
    let scene = description.scenes[selection.scenes[0]].index, region = selection.regions[0]
    compare("--scene", provenance.image.scene, scene)
    if let stored = try? Image(at: path, cacheBytes: 0),
      stored.description.scenes.count > 1 || selection.scenes.count > 1, !isInside
    {
      compare("the number of scenes", stored.description.scenes.count, selection.scenes.count)
    }
    compare("--time", provenance.image.times, selection.times)
    compare("--z", provenance.image.depths, selection.depths)
    compare("--dimension", provenance.image.further, selection.further)
    compare("--region", provenance.image.region, [region.x, region.y, region.width, region.height])
    if let chosen = try? description.channels(named: options.channels, at: image.path), options.channels != nil {
      compare("--channel", provenance.image.channels, chosen.map { description.channels[$0].name })
    }
    compare("--minimum-confidence", provenance.minimumConfidence, options.minimumConfidence)
    compare("--statistics", provenance.certificate.statistics, segmentation.runNetwork.statistics)
    compare("--precision", provenance.engine.precision, options.engine.precision)
    if let device = options.engine.device { compare("--device", provenance.engine.device, "\(device)") }
    compare(
      "--skip-background", provenance.certificate.background?.choice ?? "none",
      options.background?.description ?? "none")
    compare("--tiling", provenance.tiles.tiling, options.tiling)
    if let halos = halos(segmentation), !halos.contains(provenance.tiles.halo) {
      compare("--halo", provenance.tiles.halo, halos[0])
    }
    if let side = options.tileSide {
      compare("--tile-size", provenance.tiles.size, tile(side, planeSize: description.scenes[selection.scenes[0]].size))
    }
    if let requirement = options.requirement, !requirement.isMet(by: provenance.certificate.promise) {
      compare("the result", provenance.certificate.promise.rawValue, requirement.rawValue)
    }
    // Labels have the version of the image that they lie in, as far as nothing is said.
    if let version = outputs.omeZarr.version ?? (isInside ? nil : .v04),
      FileManager.default.fileExists(atPath: path + "/.")
    {
      let isNew = FileManager.default.fileExists(atPath: path + "/zarr.json")
      compare(
        "--zarr", isNew ? OMEZarrOptions.Version.v05.rawValue : OMEZarrOptions.Version.v04.rawValue, version.rawValue)
    }
    let isCollection = selection.scenes.count > 1
    differences += Self.storage(of: path, isCollection: isCollection && !isInside, selection, outputs.omeZarr)
    if let confidence = outputs.confidence {
      differences += Self.storage(of: confidence, isCollection: isCollection, selection, outputs.omeZarr)
    }
    let made = (try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate] as? Date
    return differences + [made.flatMap(files.change)].compactMap(\.self)
  }

  private static func text<Value>(_ value: Value) -> String {
    switch value {
    case let values as [Int]: values.map { "\($0)" }.joined(separator: ",")
    case let values as [String]: values.joined(separator: ",")
    case let value as Float?: value.map { "\($0)" } ?? "none"
    case let value as StatisticsScope?: value?.rawValue ?? "none"
    default: "\(value)"
    }
  }

  /// How an output that is an OME-Zarr is stored otherwise than it would be.
  ///
  /// - Parameter isCollection: whether it holds an image for every scene.
  private static func storage(
    of path: String, isCollection: Bool, _ selection: PlaneSelection, _ options: OMEZarrOptions
  ) -> [String] {
    guard FileManager.default.fileExists(atPath: path + "/.") else { return [] }
    func size(_ shape: [Int]) -> Size { Size(width: shape[shape.count - 1], height: shape[shape.count - 2]) }
    for (scene, region) in selection.regions.prefix(isCollection ? .max : 1).enumerated() {
      let folder = isCollection ? "\(path)/\(scene)/0" : path + "/0"
      guard let array = try? ZarrArray(folder: folder, cacheBytes: 0) else { return ["\(folder) is no array any more"] }
      // Sides that are longer than the plane's are all the same.
      let chunk = size(array.chunkShape), wanted = options.chunk(in: region.size)
      let shard = array.shardShape.map(size)
      let wantedShard = options.chunksInShard(in: region.size).map { count in
        Size(width: count.width * wanted.width, height: count.height * wanted.height)
      }
      func text(_ size: Size?) -> String { size.map { "\($0)" } ?? "none" }
      if chunk != wanted { return ["--chunk was \(chunk) and is \(wanted)"] }
      if shard != wantedShard { return ["--shard was \(text(shard)) and is \(text(wantedShard))"] }
    }
    return []
  }

  /// The halos that may come of what is asked for; `nil` where that is not plain.
  private func halos(_ segmentation: Segmentation) -> [[Int]]? {
    let (package, facts, options) = (segmentation.package, segmentation.runNetwork.facts, segmentation.options)
    guard provenance.tiles.stride.count == 2, provenance.tiles.stride.allSatisfy({ $0 > 0 }) else { return nil }
    func rounded(_ width: Int, _ height: Int) -> [Int] {
      options.tiling == .zen
        ? [width, height] : zip([width, height], provenance.tiles.stride).map { AxisGrid.roundUp($0, to: $1) }
    }
    let declared =
      package.metadata.border.map { rounded($0.x, $0.y) } ?? rounded(Planner.assumedHalo, Planner.assumedHalo)
    switch options.halo {
    case .pixels(let pixels): return [rounded(pixels, pixels)]
    case .package: return [declared]
    case .automatic: return [facts.neededBorder.map { rounded($0.x, $0.y) }, declared].compactMap(\.self)
    }
  }

  /// The tile's size that comes of the side that is asked for.
  private func tile(_ side: Int, planeSize: Size) -> [Int] {
    let made = provenance.tiles
    guard made.stride.count == 2, made.stride.allSatisfy({ $0 > 0 }), made.tiling == .aligned else {
      return [side, side]
    }
    return zip(made.stride, zip(made.size, [planeSize.width, planeSize.height])).map { stride, axis in
      let (whole, own) = (AxisGrid.roundUp(side, to: stride), AxisGrid.roundUp(axis.1, to: stride))
      // An axis shorter than a tile may have shorter ones.
      return axis.0 == own && own < whole ? own : whole
    }
  }
}
