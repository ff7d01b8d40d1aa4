// SPDX-License-Identifier: Apache-2.0
private import Foundation
private import KachelBytes
public import KachelEngines
public import KachelImages
public import KachelModels
private import KachelPixels

/// A network to be run over an image.
///
/// ```swift
/// let result = try await Segmentation(of: Image(at: "slide.czi"), with: ModelPackage(at: "nuclei.czmodel"))
///   .write(to: SegmentationOutputs(result: "slide.labels.ome.zarr")) { print($0) }
/// ```
///
/// Every pixel of the result is decided by a tile that sees what the network needs around it, see ``HaloChoice``. Tiles without any pixel of
/// the image are not run; their result, and that of single pixels without data, is 0.
public struct Segmentation: Sendable {
  public let image: any ImageSource
  public let package: ModelPackage
  public let options: SegmentationOptions
  public let selection: PlaneSelection
  let facts: GraphFacts
  private let threads: Int

  /// Checks that the image, the model and the options fit together, as far as that shows without the engine.
  ///
  /// - Throws: ``SegmentationError``, ``ModelError``.
  public init(
    of image: any ImageSource, with package: ModelPackage, options: SegmentationOptions = SegmentationOptions()
  ) throws {
    self.image = image
    self.package = package
    self.options = options
    facts = try package.checkRunnable()
    selection = try PlaneSelection(of: image.description, at: image.path, options.planes)
    threads = options.threads ?? ProcessInfo.processInfo.activeProcessorCount
    guard threads >= 1 else { throw SegmentationError(.option, file: package.path, "at least one thread is needed") }
    if let side = options.tileSide, side < 1 || side > 1 << 15 {
      throw SegmentationError(.option, file: package.path, "a tile's side is 1 to \(1 << 15) pixels, not \(side)")
    }
    if case .pixels(let halo) = options.halo, halo < 0 || halo > 1 << 14 {
      throw SegmentationError(.option, file: package.path, "a halo is 0 to \(1 << 14) pixels, not \(halo)")
    }
    if options.minimumConfidence != nil, isRegression {
      throw SegmentationError(.option, file: package.path, "a regression has no classes and so no --minimum-confidence")
    }
    if let minimum = options.minimumConfidence, !(0...1).contains(minimum) {
      throw SegmentationError(.option, file: package.path, "a confidence is 0 to 1, not \(minimum)")
    }
  }

  /// Runs the network and writes the results, which appear under their names only when all are complete.
  ///
  /// Cancelling the task stops the run after the tiles in work. What is decided by then is kept, see
  /// ``SegmentationOutputs/resume``; if that is nothing, nothing is left behind.
  ///
  /// - Parameters:
  ///   - engine: the default is OpenVINO.
  ///   - progress: called from any thread, one call at a time.
  /// - Throws: ``SegmentationError``, ``ImageError``, ``ModelError``, ``EngineError``, ``BytesError``,
  ///   `CancellationError`; ``UnfinishedRun`` around it where the run can go on later.
  public func write(
    to outputs: SegmentationOutputs, engine: (any Engine)? = nil,
    progress: @escaping @Sendable (SegmentationProgress) -> Void = { _ in }
  ) async throws -> SegmentationResult {
    let stage = Stage(name: "kachel-engine")
    let (paths, journal) = try await stage.run {
      // Wrong names are told as such before there is a journal. When a run goes on, outputs may be complete.
      var named = outputs
      named.overwrite = outputs.overwrite || outputs.resume
      let paths = try pending(named).paths
      return (paths, outputs.isJournaled ? try RunJournal(of: outputs, image: image.path) : nil)
    }
    do {
      return try await write(outputs, paths, journal, engine, stage, progress)
    } catch {
      throw await stage.run { journal?.close(after: error) ?? error }
    }
  }

  private func write(
    _ wanted: SegmentationOutputs, _ paths: [String], _ journal: RunJournal?, _ engine: (any Engine)?, _ stage: Stage,
    _ progress: @escaping @Sendable (SegmentationProgress) -> Void
  ) async throws -> SegmentationResult {
    let resumption = try await stage.run { try Resumption(self, wanted, paths, journal) }
    if let result = resumption.result {
      journal?.discard()
      progress(.note("\(wanted.result) is complete already"))
      return result
    }
    let (outputs, begun) = (resumption.outputs, resumption.begun)
    let pending = try pending(outputs)
    let (run, sink) = try await stage.run {
      let engine = try engine ?? OpenVINO.load()
      let run = try prepare(engine, outputs, begun?.plan)
      progress(.planned(run.summary))
      (run.warnings + pending.warnings).forEach { progress(.warning($0)) }
      if let note = resumption.note { progress(.note(note)) }
      try resumption.begin(run, pending)
      let readableLevels =
        outputs.preview == nil ? 1 : 1 + (selection.regions.map { PreviewCanvas.shift(for: $0.size) }.max() ?? 0)
      return (run, try ResultSink(run.layout, pending, journal: journal, readableLevels: readableLevels))
    }
    var done = SegmentationProgress.Tiles(done: 0, total: run.tiles, pixels: 0)
    var runner = TileRunner(run: run, sink: sink, image: image)
    for scene in selection.scenes.indices {
      let previewPath = pending.previewPath(scene: scene)
      await sink.begin(scene: scene, drawsPreview: previewPath != nil)
      var kept: Set<RunJournal.Place> = []
      while let tile = try await sink.takeKept(grid: run.plan.grids[scene], image: image) {
        try Task.checkCancellation()
        guard kept.insert(tile.place).inserted else { break }
        (done.done, done.kept) = (done.done + 1, done.kept + 1)
        progress(.tile(done))
      }
      try await runner.run(scene: scene, except: kept) { pixels in
        done.done += 1
        done.pixels += pixels
        progress(.tile(done))
      }
      progress(.finishing(scene: scene))
      try await sink.end(provenance: run.provenance(scene, outputs.command), previewPath: previewPath)
    }
    try await sink.finish()
    try Task.checkCancellation()
    try await stage.run {
      if let journal { try journal.finish { try pending.commit() } } else { try pending.commit() }
    }
    return SegmentationResult(
      outputs: pending.paths, tiles: run.tiles, warnings: run.warnings + pending.warnings,
      provenance: run.provenance(0, outputs.command))
  }

  private func pending(_ outputs: SegmentationOutputs) throws -> PendingOutputs {
    try PendingOutputs(outputs, selection: selection, image: image, model: package.path, isRegression: isRegression)
  }

  var isRegression: Bool { !package.metadata.kind.isSemanticSegmentation }

  /// Reads the network, chooses the tiles and lists them.
  ///
  /// - Parameter given: the tiles of an unfinished run, which are taken as they are.
  private func prepare(
    _ engine: any Engine, _ outputs: SegmentationOutputs, _ given: PlanRecord?
  ) throws -> PreparedRun {
    let network = try package.graph.network(engine, name: package.path)
    let description = image.description
    let channels = (network.inputs.first?.shape.last ?? nil) ?? package.metadata.channelCount
    let mapping = try InputMapping(
      of: description, at: image.path, names: options.channels, for: package.metadata, wanted: channels)
    let sizes = selection.scenes.map { description.scenes[$0].size }
    let cacheBytes = min(128 << 20, options.memory.bytes / 16)
    var otherBytes = image.cacheBytes + cacheBytes * (outputs.confidence == nil ? 1 : 2)
    if outputs.preview != nil {
      otherBytes +=
        selection.regions.map {
          PreviewCanvas.bytes(for: $0.size, mapping: mapping, image: description)
        }.max() ?? 0
    }
    if let given {
      // A damaged record must not ask for more memory than any plan.
      let fixed = (network.inputs.first?.shape ?? []).dropFirst().dropLast().compactMap(\.self)
        .filter { 1...1 << 15 ~= $0 }.reduce(1, *)
      let asked = options.tileSide.map { $0 + Planner.assumedTile } ?? 0
      guard let decision = given.decision(planes: sizes, mostPixels: max(1 << 24, fixed, asked * asked)) else {
        throw SegmentationError(
          .mismatch, file: outputs.result,
          "its unfinished run has other tiles than it says; start anew without --resume")
      }
      return try PreparedRun(
        segmentation: self, engine: engine, network: network, mapping: mapping, decision: decision,
        threads: given.threads, cacheBytes: cacheBytes, wantsConfidence: outputs.confidence != nil)
    }
    let planner = Planner(package: package, facts: facts, network: network, options: options, threads: threads)
    let bytesPerPixel = mapping.sources.reduce(0) { sum, source in
      let channel = description.channels[source.channel]
      return sum + channel.layout.samples * channel.pixelType.size
    }
    let decision = try planner.decide(
      planes: sizes, mapping: mapping, bytesPerPixel: bytesPerPixel, otherBytes: otherBytes)
    return try PreparedRun(
      segmentation: self, engine: engine, network: network, mapping: mapping, decision: decision, threads: threads,
      cacheBytes: cacheBytes, wantsConfidence: outputs.confidence != nil)
  }
}
