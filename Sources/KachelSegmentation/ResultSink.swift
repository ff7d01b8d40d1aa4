// SPDX-License-Identifier: Apache-2.0
import KachelEngines
import KachelImages
import KachelModels
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

  /// The labels, or the values of a regression.
  var result: OutputImage {
    switch kind {
    case .labels(_, let type, let classes):
      return selection.output(
        of: image, name: name, content: .labels(classes), channels: [.init(name: name, pixelType: type)])
    case .regression(let channels):
      return selection.output(
        of: image, name: name, content: .intensities,
        channels: (0..<channels).map { .init(name: "output \($0)", pixelType: .float32, range: 0...1) })
    }
  }

  /// The winning class's probability, where 255 is 1.
  var confidence: OutputImage {
    selection.output(
      of: image, name: "confidence", content: .intensities,
      channels: [.init(name: "confidence", pixelType: .uint8, range: 0...255)])
  }
}

/// The last two stages: decides the classes of a tile's core and writes them, on one thread.
actor ResultSink {
  private nonisolated let thread = OwnThread(name: "kachel-write")
  nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

  private let layout: ResultLayout
  private let main: ImageWriter
  private let confidence: ImageWriter?
  private let journal: RunJournal?
  /// The tiles of the scene that were kept and are stored.
  private(set) var kept: Set<RunJournal.Place> = []
  private var scene = 0
  private var preview: PreviewCanvas?
  private let decided = PixelBuffer(width: 0, height: 0, type: .uint8)
  private let certain = PixelBuffer(width: 0, height: 0, type: .uint8)
  private let scratch = PixelBuffer(width: 0, height: 0, type: .uint8)

  /// - Parameters:
  ///   - journal: where tiles are kept that are stored.
  ///   - readableLevels: how many resolutions of the result a preview needs.
  /// - Throws: ``ImageError``, also where a format cannot hold the result.
  init(_ layout: ResultLayout, _ outputs: PendingOutputs, journal: RunJournal?, readableLevels: Int) throws {
    self.layout = layout
    self.journal = journal
    main = try outputs.resultWriter(
      layout.result, cacheBytes: layout.cacheBytes, readableLevels: readableLevels)
    confidence = try outputs.confidenceWriter(layout.confidence, cacheBytes: layout.cacheBytes)
  }

  /// Goes on with a scene.
  func begin(scene: Int, drawsPreview: Bool) {
    self.scene = scene
    kept = []
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
    guard let start = slot.output.baseAddress else { return }
    let region = layout.selection.regions[scene]
    let core = grid.core(of: tile).intersection(region)
    guard !core.isEmpty else { return }
    let origin = grid.origin(of: tile), inTile = core.offsetBy(x: -origin.x, y: -origin.y)
    let inRegion = core.offsetBy(x: -region.x, y: -region.y)
    var place = self.place(ofPlane: plane)
    var kept = journal?.tile(at: .init(plane: plane, tile: tile), scene: scene)
    switch layout.kind {
    case .labels(let argMax, let type, _):
      let report = argMax.decide(
        start, of: slot.elements.output, width: grid.x.tile, core: inTile, into: decided, type: type,
        confidence: confidence == nil ? nil : certain)
      if problem(report) != nil {
        // It may lie where there is no data, and nobody asked for a result.
        for part in slot.covered.map({ $0.intersection(core) }) where !part.isEmpty {
          let report = argMax.decide(
            start, of: slot.elements.output, width: grid.x.tile, core: part.offsetBy(x: -origin.x, y: -origin.y),
            into: scratch, type: type)
          if let problem = problem(report) {
            throw SegmentationError(.badScores, file: layout.modelFile, problem + " (pixels \(part))")
          }
        }
      }
      decided.clear(outside: slot.covered, of: core)
      try main.write(decided, at: inRegion, of: place)
      keep(decided, in: &kept)
      if let confidence {
        certain.clear(outside: slot.covered, of: core)
        try confidence.write(certain, at: inRegion, of: place)
        keep(certain, in: &kept)
      }
      if plane == 0 { preview?.add(slot.raw, of: slot.rawRegion, core: core) }
    case .regression(let channels):
      let scores = start.assumingMemoryBound(to: Float.self)
      for channel in 0..<channels {
        place.channel = channel
        decided.fill(channel: channel, of: channels, fromScores: scores, width: grid.x.tile, region: inTile)
        decided.clear(outside: slot.covered, of: core)
        try main.write(decided, at: inRegion, of: place)
        keep(decided, in: &kept)
        if plane == 0 && channel == 0 { preview?.add([decided], of: core, core: core) }
      }
    }
    if let kept { try journal?.append(kept) }
  }

  private func keep(_ pixels: PixelBuffer, in tile: inout RunJournal.Tile?) {
    guard let journal, var kept = tile.take() else { return }
    journal.add(pixels, to: &kept)
    tile = kept
  }

  private func place(ofPlane plane: Int) -> PlaneIndex {
    let depths = layout.selection.depths.count
    return PlaneIndex(scene: scene, z: plane % depths, time: plane / depths)
  }

  /// Stores the next tile of the scene that the journal keeps of an unfinished run, as ``take(_:_:grid:plane:)`` did.
  ///
  /// - Parameter image: read again for what a preview shows under the labels.
  /// - Returns: whether there was one.
  func takeKept(grid: PlaneGrid, image: any ImageSource) throws -> Bool {
    let region = layout.selection.regions[scene]
    guard let journal, var tile = try journal.nextTile(of: scene, limit: mostBytes(of: grid)) else { return false }
    let known = layout.selection.planes(scene: scene), number = tile.place
    guard number.plane < known.count, number.tile.column < grid.x.count, number.tile.row < grid.y.count else {
      throw journal.damaged()
    }
    let core = grid.core(of: number.tile).intersection(region)
    let inRegion = core.offsetBy(x: -region.x, y: -region.y)
    guard !core.isEmpty, kept.insert(number).inserted else { throw journal.damaged() }
    var place = self.place(ofPlane: number.plane)
    switch layout.kind {
    case .labels(_, let type, _):
      decided.reshape(width: core.width, height: core.height, samples: 1, type: type)
      try journal.take(decided, of: &tile)
      try main.write(decided, at: inRegion, of: place)
      if let confidence {
        certain.reshape(width: core.width, height: core.height, samples: 1, type: .uint8)
        try journal.take(certain, of: &tile)
        try confidence.write(certain, at: inRegion, of: place)
      }
      if number.plane == 0 && preview != nil {
        let shown = try layout.mapping.sources.map { source in
          var plane = known[0]
          plane.channel = source.channel
          let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
          do { try image.read(core, of: plane, into: pixels) } catch {
            // What waits for a server ends when the task is cancelled.
            try Task.checkCancellation()
            throw error
          }
          return pixels
        }
        preview?.add(shown, of: core, core: core)
      }
    case .regression(let channels):
      for channel in 0..<channels {
        place.channel = channel
        decided.reshape(width: core.width, height: core.height, samples: 1, type: .float32)
        try journal.take(decided, of: &tile)
        try main.write(decided, at: inRegion, of: place)
        if number.plane == 0 && channel == 0 { preview?.add([decided], of: core, core: core) }
      }
    }
    return true
  }

  /// The most bytes of what a tile decides.
  private func mostBytes(of grid: PlaneGrid) -> Int {
    switch layout.kind {
    case .labels(_, let type, _): grid.x.tile * grid.y.tile * (type.size + 1)
    case .regression(let channels): grid.x.tile * grid.y.tile * 4 * channels
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

  /// Completes the scene in the outputs.
  func end(provenance: Provenance, previewPath: String?) throws {
    try main.finish(scene: scene, attributes: ["kachel": provenance])
    try confidence?.finish(scene: scene, attributes: ["kachel": provenance])
    if let previewPath, let preview {
      var colors: [Int: RGB] = [:]
      if case .labels(_, _, let classes) = layout.kind {
        for label in classes where !label.isBackground { colors[label.value] = label.color }
      }
      try preview.draw(to: previewPath, overwrite: true, labels: main, scene: scene, classes: colors)
    }
    preview = nil
  }

  /// Completes the outputs.
  func finish() throws {
    try main.finish()
    try confidence?.finish()
  }
}

extension ArgMax {
  /// Decides pixels from what a tile's network gave: scores, or classes.
  fileprivate func decide(
    _ start: UnsafeMutableRawPointer, of element: ElementType, width: Int, core: Region, into output: PixelBuffer,
    type: PixelType, confidence: PixelBuffer? = nil
  ) -> Report {
    element == .float32
      ? decide(
        start.assumingMemoryBound(to: Float.self), width: width, core: core, into: output, type: type,
        confidence: confidence)
      : decide(
        classes: start.assumingMemoryBound(to: UInt8.self), none: GraphEnds.noClass, width: width, core: core,
        into: output, type: type)
  }
}

extension LabelDescription {
  /// Whether the class is what is left when the objects are taken away, by its name.
  var isBackground: Bool { ["background", "hintergrund", "bg"].contains(name.lowercased()) }
}
