// SPDX-License-Identifier: Apache-2.0
import KachelEngines
import KachelImages
import KachelPixels

/// What the outputs of a run have in common.
struct ResultLayout: Sendable {
  enum Kind: Sendable {
    case labels(ArgMax, PixelType, classes: [LabelDescription])
    /// The network's output is stored as it is; so many channels.
    case regression(channels: Int)
  }

  let kind: Kind
  /// Channels of the network's output.
  var channels: Int {
    switch kind {
    case .labels(let argMax, _, _): argMax.labels.count
    case .regression(let channels): channels
    }
  }
  let name: String
  let image: ImageDescription
  let selection: PlaneSelection
  let mapping: InputMapping
  let cacheBytes: Int
  let modelFile: String
  /// Whether scores are used as probabilities.
  let needsProbabilities: Bool

  /// The dimensions of an output of one scene, those that the input has.
  func axes(scene: Int, channels: Int) -> [OMEZarrAxis] {
    let region = selection.regions[scene], physical = image.physicalSize
    var axes: [OMEZarrAxis] = []
    /// Positions that were chosen unevenly have no one distance; the provenance lists them.
    func chosen(_ name: Character, _ positions: [Int], _ step: Double?) -> OMEZarrAxis {
      let distances = Set(zip(positions, positions.dropFirst()).map { $1 - $0 })
      guard distances.count <= 1 else { return OMEZarrAxis(name: name, count: positions.count) }
      return OMEZarrAxis(
        name: name, count: positions.count, step: Double(distances.first ?? 1) * (step ?? 1),
        origin: Double(positions.first ?? 0) * (step ?? 1), unit: step == nil ? nil : "micrometer")
    }
    if image.axes.contains("t") || selection.times.count > 1 { axes.append(chosen("t", selection.times, nil)) }
    if image.axes.contains("c") || channels > 1 { axes.append(OMEZarrAxis(name: "c", count: channels)) }
    if image.axes.contains("z") || selection.depths.count > 1 {
      axes.append(chosen("z", selection.depths, physical.z))
    }
    func space(_ name: Character, _ count: Int, _ first: Int, _ step: Double?) -> OMEZarrAxis {
      OMEZarrAxis(
        name: name, count: count, step: step ?? 1, origin: Double(first) * (step ?? 1),
        unit: step == nil ? nil : "micrometer")
    }
    return axes + [space("y", region.height, region.y, physical.y), space("x", region.width, region.x, physical.x)]
  }
}

/// The last two stages: decides the classes of a tile's core and writes them, on one thread.
actor ResultSink {
  private nonisolated let thread = OwnThread(name: "kachel-write")
  nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

  private let layout: ResultLayout
  private var scene = 0
  private var main: OMEZarrWriter?
  private var confidence: OMEZarrWriter?
  private var preview: PreviewCanvas?
  private let decided = PixelBuffer(width: 0, height: 0, type: .uint8)
  private let certain = PixelBuffer(width: 0, height: 0, type: .uint8)
  private let scratch = PixelBuffer(width: 0, height: 0, type: .uint8)

  init(_ layout: ResultLayout) { self.layout = layout }

  /// Creates the outputs of a scene.
  func begin(scene: Int, folder: String, confidenceFolder: String?, drawsPreview: Bool) throws {
    self.scene = scene
    switch layout.kind {
    case .labels(_, let type, let classes):
      main = try OMEZarrWriter(
        folder: folder, name: layout.name, content: .labels(classes), axes: layout.axes(scene: scene, channels: 1),
        type: type, cacheBytes: layout.cacheBytes)
    case .regression(let channels):
      let descriptions = (0..<channels).map { IntensityDescription(name: "output \($0)", range: 0...1) }
      main = try OMEZarrWriter(
        folder: folder, name: layout.name, content: .intensities(descriptions),
        axes: layout.axes(scene: scene, channels: channels), type: .float32, cacheBytes: layout.cacheBytes)
    }
    confidence = try confidenceFolder.map {
      try OMEZarrWriter(
        folder: $0, name: "confidence",
        content: .intensities([IntensityDescription(name: "confidence", range: 0...255)]),
        axes: layout.axes(scene: scene, channels: 1), type: .uint8, cacheBytes: layout.cacheBytes)
    }
    guard drawsPreview else { return }
    let region = layout.selection.regions[scene]
    switch layout.kind {
    case .labels: preview = PreviewCanvas(region: region, mapping: layout.mapping, image: layout.image)
    case .regression: preview = PreviewCanvas(grayOf: region)
    }
  }

  /// Decides a tile and stores the part of its core that lies in the region.
  ///
  /// - Parameter plane: the plane's position among those of the scene, in C order of time and z.
  func take(_ slot: TileSlot, _ tile: PlaneGrid.Tile, grid: PlaneGrid, plane: Int) throws {
    guard let main, let scores = slot.scores.assumingMemoryBound(to: Float.self).baseAddress else { return }
    let region = layout.selection.regions[scene]
    let core = grid.core(of: tile).intersection(region)
    guard !core.isEmpty else { return }
    let origin = grid.origin(of: tile), inTile = core.offsetBy(x: -origin.x, y: -origin.y)
    let inRegion = core.offsetBy(x: -region.x, y: -region.y)
    switch layout.kind {
    case .labels(let argMax, let type, _):
      let report = argMax.decide(
        scores, width: grid.x.tile, core: inTile, into: decided, type: type,
        confidence: confidence == nil ? nil : certain)
      if problem(report) != nil {
        // It may lie where there is no data, and nobody asked for a result.
        for part in slot.covered.map({ $0.intersection(core) }) where !part.isEmpty {
          let report = argMax.decide(
            scores, width: grid.x.tile, core: part.offsetBy(x: -origin.x, y: -origin.y), into: scratch, type: type)
          if let problem = problem(report) {
            throw SegmentationError(.badScores, file: layout.modelFile, problem + " (pixels \(part))")
          }
        }
      }
      decided.clear(outside: slot.covered, of: core)
      try main.fullResolution.write(decided, at: inRegion, of: plane)
      if let confidence {
        certain.clear(outside: slot.covered, of: core)
        try confidence.fullResolution.write(certain, at: inRegion, of: plane)
      }
      if plane == 0 { preview?.add(slot.raw, of: slot.rawRegion, core: core) }
    case .regression(let channels):
      let depths = layout.selection.depths.count
      let time = plane / depths, depth = plane % depths
      for channel in 0..<channels {
        decided.fill(channel: channel, of: channels, fromScores: scores, width: grid.x.tile, region: inTile)
        decided.clear(outside: slot.covered, of: core)
        try main.fullResolution.write(decided, at: inRegion, of: (time * channels + channel) * depths + depth)
        if plane == 0 && channel == 0 { preview?.add([decided], of: core, core: core) }
      }
    }
  }

  /// What is wrong with the scores, if anything.
  private func problem(_ report: ArgMax.Report) -> String? {
    if !report.isFinite {
      return "the network returned values that are not numbers; its input may be of the wrong range"
    }
    if layout.needsProbabilities && (report.lowest < -0.001 || report.highest > 1.001) {
      return """
        the network's scores (\(report.lowest) to \(report.highest)) are not probabilities, so that there is no \
        confidence; run without --confidence and --minimum-confidence
        """
    }
    return nil
  }

  /// Completes the scene's outputs.
  func end(provenance: Provenance, previewPath: String?) throws {
    try main?.finish(attributes: ["kachel": provenance])
    try confidence?.finish(attributes: ["kachel": provenance])
    if let previewPath, let preview, let main {
      var colors: [Int: RGB] = [:]
      if case .labels(_, _, let classes) = layout.kind {
        for label in classes where !label.isBackground { colors[label.value] = label.color }
      }
      try preview.draw(
        to: previewPath, overwrite: true, labels: main.levels[preview.shift], plane: 0, classes: colors)
    }
    (main, confidence, preview) = (nil, nil, nil)
  }
}

extension LabelDescription {
  /// Whether the class is what is left when the objects are taken away, by its name.
  var isBackground: Bool { ["background", "hintergrund", "bg"].contains(name.lowercased()) }
}
