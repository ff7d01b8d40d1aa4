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
  let runNetwork: RunNetwork
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
    try options.engine.check()
    runNetwork = try RunNetwork(of: package, options)
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
  ///   - engine: the default is the one that the options choose.
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
    var (run, engine) = try await planned(outputs, begun, pending.warnings, engine, stage, progress)
    // What was said of the first run, as that its engine had too little memory, stays true of the result.
    if let begun { run.warnings = begun.warnings }
    if let note = resumption.note { progress(.note(note)) }
    let readableLevels =
      outputs.preview == nil ? 1 : 1 + (selection.regions.map { PreviewCanvas.shift(for: $0.size) }.max() ?? 0)
    let sink = try await stage.run { [run] in
      try resumption.begin(run, pending)
      return try ResultSink(run.layout, pending, journal: journal, readableLevels: readableLevels)
    }
    var execution = RunExecution(run, sink: sink, image: image, journal: journal, progress: progress) {
      [engine] run, error in
      // The tiles of an unfinished run stay as they are.
      guard begun == nil else { throw error }
      return try await stage.run {
        let smaller = try withSmallerTiles(than: run, engine, outputs, because: error)
        try resumption.begin(smaller, pending)
        return smaller
      }
    }
    for scene in selection.scenes.indices {
      let previewPath = pending.previewPath(scene: scene)
      await sink.begin(scene: scene, drawsPreview: previewPath != nil)
      try await execution.decide(scene: scene)
      progress(.finishing(scene: scene))
      try await sink.end(provenance: execution.run.provenance(scene, outputs.command), previewPath: previewPath)
    }
    try await sink.finish()
    try Task.checkCancellation()
    try await stage.run { try commit(pending, journal) }
    run = execution.run
    return SegmentationResult(
      outputs: pending.paths, tiles: run.tiles, warnings: run.warnings + pending.warnings,
      provenance: run.provenance(0, outputs.command))
  }

  /// Never inlined: the optimiser of Swift 6.3.1 crashes where this becomes part of an asynchronous function.
  @inline(never) private func commit(_ pending: PendingOutputs, _ journal: RunJournal?) throws {
    if let journal { try journal.finish { try pending.commit() } } else { try pending.commit() }
  }

  /// Chooses engine and tiles, and measures what the run needs to know of the image.
  private func planned(
    _ outputs: SegmentationOutputs, _ begun: RunJournal.Header?, _ warnings: [String], _ given: (any Engine)?,
    _ stage: Stage,
    _ progress: @escaping @Sendable (SegmentationProgress) -> Void
  ) async throws -> (run: PreparedRun, engine: any Engine) {
    var (run, engine) = try await stage.run {
      if let given { return (try prepare(given, outputs, begun), given) }
      // An unfinished run goes on with its engine, whatever has been installed since.
      let choice = options.engine.named(begun?.identity.provenance["engine.name"])
      var ((run, engine), note) = try choice.use(notOpenVINO: runNetwork.reasonForONNXRuntime) {
        (try prepare($0, outputs, begun), $0)
      }
      if let note { run.warn(note) }
      return (run, engine)
    }
    progress(.planned(run.summary))
    (run.warnings + warnings).forEach { progress(.warning($0)) }
    if let advice = run.advice { progress(.note(advice)) }
    let measured = try await MeasuredStatistics.measure(
      run, of: image, options, kept: begun?.measured, for: outputs.result
    ) { progress(.measuring($0)) }
    run.measured = measured
    guard run.certificate.promise == .approximate else { return (run, engine) }
    let error = try await stage.run { [run] in try begun?.measured.error ?? MeasuredError(of: run, image: image) }
    run.certificate.measuredError = error
    let warning = "the result is \(run.certificate)"
    run.warn(warning)
    progress(.warning(warning))
    return (run, engine)
  }

  private func pending(_ outputs: SegmentationOutputs) throws -> PendingOutputs {
    try PendingOutputs(outputs, selection: selection, image: image, model: package.path, isRegression: isRegression)
  }

  /// The network as it is run: without the standardisation of its input, where Kachel does that, and of any size, where
  /// that makes no difference.
  public func network(_ engine: any Engine) throws -> any Network {
    try runNetwork.network(engine, name: package.path)
  }

  var isRegression: Bool { !package.metadata.kind.isSemanticSegmentation }

  /// The run with tiles of at most half as many pixels.
  ///
  /// - Throws: the engine's error, where tiles cannot be smaller.
  private func withSmallerTiles(
    than run: PreparedRun, _ engine: any Engine, _ outputs: SegmentationOutputs, because error: EngineError
  ) throws -> PreparedRun {
    let tile = run.plan.largestTile
    guard var smaller = try? prepare(engine, outputs, nil, signals: run.signals, mostTilePixels: tile / 2),
      smaller.plan.largestTile < tile
    else {
      throw EngineError(
        error.kind, name: error.name,
        "\(error.reason). The engine ran out of memory, and tiles cannot be smaller; close other programs, or pass a "
          + "smaller --memory or --threads 1")
    }
    smaller.certificate.measuredError = run.certificate.measuredError
    smaller.measured = run.measured
    if run.certificate.promise == .approximate { smaller.warn("the result is \(smaller.certificate)") }
    smaller.warn("the engine ran out of memory (\(error.reason)), and so tiles are smaller")
    return smaller
  }

  /// Reads the network, chooses the tiles and lists them.
  ///
  /// - Parameters:
  ///   - begun: an unfinished run, whose tiles are taken as they are.
  ///   - signals: where the image shows something, where that is known.
  private func prepare(
    _ engine: any Engine, _ outputs: SegmentationOutputs, _ begun: RunJournal.Header?, signals: [[SignalMap]]? = nil,
    mostTilePixels: Int = .max
  ) throws -> PreparedRun {
    let network = try network(engine)
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
    if let begun {
      // A damaged record must not ask for more memory than any plan.
      let fixed = (network.inputs.first?.shape ?? []).dropFirst().dropLast().compactMap(\.self)
        .filter { 1...1 << 15 ~= $0 }.reduce(1, *)
      let asked = options.tileSide.map { $0 + Planner.assumedTile } ?? 0
      guard let decision = begun.plan.decision(planes: sizes, mostPixels: max(1 << 24, fixed, asked * asked)) else {
        throw SegmentationError(
          .mismatch, file: outputs.result,
          "its unfinished run has other tiles than it says; start anew without --resume")
      }
      return try PreparedRun(
        segmentation: self, engine: engine, network: network, mapping: mapping, decision: decision,
        signals: try self.signals(mapping, kept: begun.measured, for: outputs.result), threads: begun.plan.threads,
        cacheBytes: cacheBytes,
        wantsConfidence: outputs.confidence != nil)
    }
    let channelBytes = mapping.sources.map { source in
      let channel = description.channels[source.channel]
      return channel.layout.samples * channel.pixelType.size
    }
    let bytesPerPixel = channelBytes.reduce(0, +)
    // One of each request's tiles is read at a time, a piece of the image after the other: as it is in the file, as that
    // is unpacked, and its pixels.
    let piece = selection.scenes.compactMap { description.scenes[$0].levels.first?.tile?.area }.max() ?? 1 << 20
    otherBytes += min(2, threads) * 3 * min(piece, 1 << 24) * (channelBytes.max() ?? 1)
    if options.background != nil {
      let planes = selection.scenes.indices.flatMap { scene in selection.planes(scene: scene).map { _ in sizes[scene] }
      }
      otherBytes += SignalPass.bytes(for: planes, sources: mapping.sources.count, bytesPerPixel: bytesPerPixel)
    }
    let planner = Planner(
      package: package, runNetwork: runNetwork, network: network, options: options, threads: threads,
      rounding: runNetwork.rounding(by: engine), mostTilePixels: mostTilePixels)
    let decision = try planner.decide(
      planes: sizes, mapping: mapping, bytesPerPixel: bytesPerPixel, otherBytes: otherBytes)
    return try PreparedRun(
      segmentation: self, engine: engine, network: network, mapping: mapping, decision: decision,
      signals: try signals ?? self.signals(mapping), threads: threads,
      cacheBytes: cacheBytes, wantsConfidence: outputs.confidence != nil)
  }

  /// By scene and plane, where the image shows something; `nil` where all of it counts.
  ///
  /// - Parameters:
  ///   - kept: what an unfinished run found.
  ///   - output: named where that does not fit.
  private func signals(
    _ mapping: InputMapping, kept: MeasuredRecord? = nil, for output: String = ""
  ) throws -> [[SignalMap]]? {
    guard let choice = options.background else { return nil }
    let sizes = selection.scenes.indices.map { scene in
      selection.planes(scene: scene).map { _ in image.description.scenes[selection.scenes[scene]].size }
    }
    if let maps = try kept?.signals(planes: sizes, channels: mapping.sources.count, of: output) { return maps }
    let pass = SignalPass(image: image, mapping: mapping, choice: choice)
    return try selection.scenes.indices.map { scene in
      let size = image.description.scenes[selection.scenes[scene]].size
      return try selection.planes(scene: scene).map {
        try pass.map($0, size: size, region: selection.regions[scene])
      }
    }
  }
}
