// SPDX-License-Identifier: Apache-2.0
import KachelEngines
import KachelPixels
private import Synchronization

/// What a network costs in memory, found out by running it.
struct TileProbe {
  /// What the process holds besides tiles: itself, the engine, the network's weights.
  let fixedBytes: Int
  /// What the engine takes for each request that runs, per pixel of a tile.
  let bytesPerPixel: Double
  let outputChannels: Int

  /// The memory that a tile which is tried may take at least, in bytes.
  private static let leastRoom = 64 << 20

  /// One probe at a time: it watches the memory of the whole process.
  private static let turn = Mutex(())

  /// Runs the network on zeros: on a small tile, and on a larger one where memory allows, whose difference tells what a
  /// pixel costs; or on the only tile that it takes.
  ///
  /// - Parameter fixed: the height and width that the network fixes.
  /// - Throws: `memory` where not even the buffers of that tile fit.
  static func measure(
    _ network: any Network, fixed: (height: Int?, width: Int?), stride: Size, channels: Int, threads: Int,
    limit: MemoryLimit, file: String
  ) throws -> TileProbe {
    func size(_ side: Int) -> Size {
      Size(
        width: fixed.width ?? AxisGrid.roundUp(side, to: stride.width),
        height: fixed.height ?? AxisGrid.roundUp(side, to: stride.height))
    }
    let (small, large) = (size(256), size(640))
    // A small tile is tried whatever is allowed: the least that would do is then known.
    guard small.area <= max(limit.bytes, leastRoom) / (4 * channels) else {
      throw SegmentationError(
        .memory, file: file, "a tile of \(small) pixels does not fit into \(limit); pass --memory with more")
    }
    return try turn.withLock { _ in
      let first = try trial(network, [1, small.height, small.width, channels], threads)
      let perPixel = Double(first.peak - first.compiled) / Double(small.area)
      guard large.area > small.area else {
        return TileProbe(fixedBytes: first.compiled, bytesPerPixel: perPixel, outputChannels: first.outputChannels)
      }
      let more = perPixel * Double(large.area - small.area) * 1.25
      var slope = perPixel
      if first.peak + Int(more) + 4 * (channels + first.outputChannels) * large.area <= limit.bytes {
        do {
          let second = try trial(network, [1, large.height, large.width, channels], threads)
          slope = max(perPixel / 2, Double(second.peak - first.peak) / Double(large.area - small.area))
        } catch let error as EngineError where error.isOutOfMemory {
          // Tiles become smaller in the run.
        }
      }
      slope = coarse(slope)
      return TileProbe(
        fixedBytes: max(first.compiled, first.peak - Int(slope * Double(small.area))), bytesPerPixel: slope,
        outputChannels: first.outputChannels)
    }
  }

  /// Rounded up to a power of 1.25, so that small differences from run to run give the same tiles.
  private static func coarse(_ value: Double) -> Double {
    var step = 1.0
    while step < value { step *= 1.25 }
    return step
  }

  /// What the process holds with the network prepared for a tile, and at most while it runs, less the buffers.
  private static func trial(
    _ network: any Network, _ shape: [Int], _ threads: Int
  ) throws -> (compiled: Int, peak: Int, outputChannels: Int) {
    let network = try network.compile(inputShape: shape, threads: threads, streams: 1)
    let compiled = ProcessMemory.resident ?? 0
    let slot = try TileSlot(sources: 0, network: network)
    slot.input.initializeMemory(as: UInt8.self, repeating: 0)
    ProcessMemory.resetPeak()
    try slot.request.run(input: slot.input, output: slot.output)
    let peak = (ProcessMemory.peak ?? 0) - slot.input.count - slot.output.count
    return (compiled, max(compiled, peak), network.outputShape.last ?? 0)
  }
}
