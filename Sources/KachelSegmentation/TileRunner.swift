// SPDX-License-Identifier: Apache-2.0
import KachelEngines
import KachelImages
import KachelModels
import KachelPixels

/// Streams the tiles of planes through read, infer, decide and write, with a bounded number on their way.
struct TileRunner {
  let run: PreparedRun
  let sink: ResultSink
  let image: any ImageSource
  private let readers: [Stage]
  private let inferers: [Stage]
  /// The slots for tiles of the current shape. Each belongs to one stream, so that every stream has tiles of its own
  /// waiting while another one runs.
  private var slots: [Lane] = []
  private var shape: [Int] = []

  private struct Lane: Sendable {
    let slot: TileSlot
    let stream: Int
  }

  init(run: PreparedRun, sink: ResultSink, image: any ImageSource) {
    self.run = run
    self.sink = sink
    self.image = image
    readers = (0..<run.streams).map { Stage(name: "kachel-read-\($0)") }
    inferers = (0..<run.streams).map { Stage(name: "kachel-infer-\($0)") }
  }

  /// - Parameters:
  ///   - kept: tiles that are stored already.
  ///   - decided: told the pixels of every tile that is done.
  mutating func run(scene: Int, except kept: Set<RunJournal.Place> = [], decided: (Int) -> Void) async throws {
    let grid = run.plan.grids[scene]
    guard kept.count < run.work[scene].reduce(0, { $0 + $1.count }) else { return }
    try await compile(for: grid)
    let planeSize = image.description.scenes[run.layout.selection.scenes[scene]].size
    let jobs = zip(run.layout.selection.planes(scene: scene), run.work[scene]).enumerated().lazy.flatMap {
      place, plane in
      plane.1.lazy.filter { !kept.contains(.init(plane: place, tile: $0)) }
        .map { (place: place, plane: plane.0, tile: $0) }
    }
    let region = run.layout.selection.regions[scene]
    let (image, mapping, signals, measured) = (image, run.mapping, run.signals?[scene], run.measured)
    let (sink, readers, inferers) = (sink, readers, inferers)
    try await withThrowingTaskGroup(of: (Lane, Int).self) { group in
      var free = slots
      for job in jobs {
        if free.isEmpty, let (lane, pixels) = try await group.next() {
          free.append(lane)
          decided(pixels)
        }
        try Task.checkCancellation()
        let lane = free.removeLast()
        group.addTask {
          try await readers[lane.stream].read {
            try lane.slot.read(
              grid.region(of: job.tile), core: grid.core(of: job.tile), of: job.plane, mapping: mapping, image: image,
              planeSize: planeSize, maps: measured?.maps(scene: scene, plane: job.place), signal: signals?[job.place])
          }
          try Task.checkCancellation()
          try await inferers[lane.stream].run {
            try lane.slot.request.run(input: lane.slot.input, output: lane.slot.output)
          }
          try await sink.take(lane.slot, job.tile, grid: grid, plane: job.place)
          return (lane, grid.core(of: job.tile).intersection(region).area)
        }
      }
      for try await (_, pixels) in group { decided(pixels) }
    }
  }

  /// Prepares the network and the slots for the tiles of a grid, unless they are.
  private mutating func compile(for grid: PlaneGrid) async throws {
    let wanted = [1, grid.y.tile, grid.x.tile, run.mapping.channels]
    guard wanted != shape else { return }
    slots = []
    let run = run
    slots = try await inferers[0].run {
      let compiled = try run.tileNetwork.compile(inputShape: wanted, threads: run.threads, streams: run.streams)
      let channels = run.tileNetwork.ends.choosesClasses ? 1 : run.layout.channels
      try compiled.checkOutput(channels: channels, file: run.layout.modelFile)
      return try (0..<run.streams * MemoryBudget.slotsPerStream).map { index in
        Lane(slot: try TileSlot(sources: run.mapping.sources.count, network: compiled), stream: index % run.streams)
      }
    }
    shape = wanted
  }
}

extension CompiledNetwork {
  /// Checks that the output is what the scores are read as: as high and wide as the input, so many channels a pixel.
  func checkOutput(channels: Int, file: String) throws(SegmentationError) {
    var expected = inputShape
    expected[expected.count - 1] = channels
    guard outputShape == expected else {
      throw SegmentationError(
        .mismatch, file: file,
        "the network gives \(outputShape) for an input of \(inputShape), where \(expected) is needed")
    }
  }
}
