// SPDX-License-Identifier: Apache-2.0
import KachelEngines
import KachelImages

/// A run from its first tile to its last: what an unfinished run has decided is stored again, the other tiles are run.
struct RunExecution {
  private(set) var run: PreparedRun
  let sink: ResultSink
  let image: any ImageSource
  let journal: RunJournal?
  let progress: @Sendable (SegmentationProgress) -> Void
  /// The run with smaller tiles, where the engine has no memory for those that it has.
  let smaller: (PreparedRun, EngineError) async throws -> PreparedRun
  private var runner: TileRunner
  private var done: SegmentationProgress.Tiles

  init(
    _ run: PreparedRun, sink: ResultSink, image: any ImageSource, journal: RunJournal?,
    progress: @escaping @Sendable (SegmentationProgress) -> Void,
    smaller: @escaping (PreparedRun, EngineError) async throws -> PreparedRun
  ) {
    self.run = run
    (self.sink, self.image, self.journal) = (sink, image, journal)
    (self.progress, self.smaller) = (progress, smaller)
    runner = TileRunner(run: run, sink: sink, image: image)
    done = SegmentationProgress.Tiles(done: 0, total: run.tiles, pixels: 0)
  }

  /// Decides all tiles of a scene.
  mutating func decide(scene: Int) async throws {
    try await takeKept(scene)
    let kept = await sink.kept
    if let journal, !run.has(kept, scene: scene) { throw journal.damaged() }
    while let error = try await runTiles(of: scene, except: kept) {
      // The engine's memory is freed before it is tried again.
      runner = TileRunner(run: run, sink: sink, image: image)
      run = try await smaller(run, error)
      runner = TileRunner(run: run, sink: sink, image: image)
      done.total = run.tiles
      run.warnings.suffix(1).forEach { progress(.warning($0)) }
      progress(.planned(run.summary))
    }
  }

  private mutating func takeKept(_ scene: Int) async throws {
    while true {
      let isTaken = try await sink.takeKept(grid: run.plan.grids[scene], image: image)
      guard isTaken else { return }
      try Task.checkCancellation()
      (done.done, done.kept) = (done.done + 1, done.kept + 1)
      progress(.tile(done))
    }
  }

  /// - Returns: the engine's error, where it had no memory for any tile yet.
  private mutating func runTiles(of scene: Int, except kept: Set<RunJournal.Place>) async throws -> EngineError? {
    var done = done
    defer { self.done = done }
    do {
      try await runner.run(scene: scene, except: kept) { [progress] pixels in
        done.done += 1
        done.pixels += pixels
        progress(.tile(done))
      }
      return nil
    } catch let error as EngineError where error.isOutOfMemory && done.done == 0 {
      return error
    }
  }
}
