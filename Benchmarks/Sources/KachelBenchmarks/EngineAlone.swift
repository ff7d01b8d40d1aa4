// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel
import Synchronization

/// The engine's part of a run: the same network, with a softmax at its end or without as in a run, prepared for the same
/// tiles, threads and streams, on the same pixels, which are in memory before the clock starts.
struct EngineAlone {
  struct Report: Encodable {
    var tiles: Int
    /// What preparing the network took; not part of `seconds`.
    var preparation: Double
    var seconds: Double
    /// What the processors worked in that time.
    var processorSeconds: Double
  }

  private let run: Provenance
  private let network: any Network
  private let inputs: PreparedInputs
  private let shape: [Int]

  /// More than these are run again and again; the engine takes the same time for any of them.
  private static let inputBytes = 1 << 30

  init(_ run: Provenance, image: any ImageSource, package: ModelPackage, givesLogits: Bool) throws {
    self.run = run
    var package = package
    // The values of a regression are the network's, so that nothing of it is left out.
    if !givesLogits { package.metadata.kind = .regression }
    network = try Segmentation(of: image, with: package).network(OpenVINO.load())
    let channels = (network.inputs.first?.shape.last ?? nil) ?? package.metadata.channelCount
    let mapping = try InputMapping(
      of: image.description, at: image.path, names: run.image.channels, for: package.metadata, wanted: channels)
    let (size, tiles) = (image.description.scenes[0].size, run.tiles)
    guard let x = AxisGrid(length: size.width, tile: tiles.size[0], halo: tiles.halo[0], stride: tiles.stride[0]),
      let y = AxisGrid(length: size.height, tile: tiles.size[1], halo: tiles.halo[1], stride: tiles.stride[1]),
      x.count * y.count == tiles.count
    else { throw ValidationFailure("the run was not one over the whole image") }
    shape = [1, y.tile, x.tile, channels]
    inputs = try PreparedInputs(
      of: image, grid: PlaneGrid(x: x, y: y), mapping: mapping,
      count: min(x.count * y.count, max(run.engine.streams, Self.inputBytes / shape.reduce(4, *))))
  }

  func measure(tiles: Int) async throws -> Report {
    let (network, shape, run, inputs) = (network, shape, run, inputs)
    let streams = (0..<run.engine.streams).map { EngineStream(name: "stream-\($0)") }
    let preparing = Stopwatch()
    let compiled = try await streams[0].perform {
      try network.compile(inputShape: shape, threads: run.engine.threads, streams: run.engine.streams)
    }
    for stream in streams { try await stream.prepare(compiled) }
    let (preparation, running) = (preparing.seconds, Stopwatch())
    let next = Counter()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for stream in streams {
        group.addTask { try await stream.run(inputs, tiles: tiles, next: next) }
      }
      try await group.waitForAll()
    }
    return Report(
      tiles: tiles, preparation: preparation, seconds: running.seconds, processorSeconds: running.processorSeconds)
  }
}

/// Counts up, for many threads.
private final class Counter: Sendable {
  private let value = Atomic(0)
  func next() -> Int { value.add(1, ordering: .relaxed).oldValue }
}

/// One request of the engine, on a thread of its own.
private actor EngineStream {
  private nonisolated let thread: OwnThread
  nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }
  private var request: (any InferenceRequest)?
  private let output = PixelBuffer(width: 0, height: 0, type: .float32)

  init(name: String) { thread = OwnThread(name: name) }

  func perform<Result: Sendable>(_ work: @Sendable () throws -> Result) rethrows -> Result { try work() }

  func prepare(_ compiled: any CompiledNetwork) throws {
    request = try compiled.makeRequest()
    output.reshape(width: compiled.outputShape.reduce(1, *), height: 1, samples: 1, type: .float32)
  }

  func run(_ inputs: PreparedInputs, tiles: Int, next: Counter) throws {
    while case let tile = next.next(), tile < tiles {
      try request?.run(input: inputs[tile].bytes, output: output.bytes)
    }
  }
}

/// The network's input for tiles of an image, spread evenly over it.
private struct PreparedInputs: Sendable {
  private let buffers: [PixelBuffer]

  init(of image: any ImageSource, grid: PlaneGrid, mapping: InputMapping, count: Int) throws {
    let all = grid.x.count * grid.y.count
    let size = image.description.scenes[0].size
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    buffers = try (0..<count).map { index in
      let tile = index * all / count
      let columns = ReflectedAxis(origin: grid.x.origin(tile % grid.x.count), count: grid.x.tile, length: size.width)
      let rows = ReflectedAxis(origin: grid.y.origin(tile / grid.x.count), count: grid.y.tile, length: size.height)
      let buffer = PixelBuffer(width: grid.x.tile * mapping.channels, height: grid.y.tile, type: .float32)
      guard let start = buffer.values(as: Float.self).baseAddress else { return buffer }
      var channel = 0
      for source in mapping.sources {
        try image.read(Region(x: columns.pixels, y: rows.pixels), of: PlaneIndex(channel: source.channel), into: pixels)
        for mix in source.mixes {
          TensorChannel(values: start, channel: channel, channels: mapping.channels)
            .fill(from: pixels, mix: mix, columns: columns, rows: rows, dividedBy: source.divisor)
          channel += 1
        }
      }
      return buffer
    }
  }

  subscript(tile: Int) -> PixelBuffer { buffers[tile % buffers.count] }
}
