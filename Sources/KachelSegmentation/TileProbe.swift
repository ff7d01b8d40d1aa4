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

  /// Runs the network on zeros: on two small tiles, whose difference tells what a pixel costs, or on the only tile that
  /// it takes.
  ///
  /// - Parameter fixed: the height and width that the network fixes.
  /// - Throws: `memory` where not even the buffers of that tile fit.
  static func measure(
    _ network: any Network, fixed: (height: Int?, width: Int?), stride: Size, channels: Int, threads: Int,
    limit: MemoryLimit, file: String
  ) throws -> TileProbe {
    try turn.withLock { _ in
      let before = ProcessMemory.resident ?? 0
      func size(_ side: Int) -> Size {
        Size(
          width: fixed.width ?? AxisGrid.roundUp(side, to: stride.width),
          height: fixed.height ?? AxisGrid.roundUp(side, to: stride.height))
      }
      let sizes = fixed.width != nil && fixed.height != nil ? [size(0)] : [size(256), size(640)]
      // Small tiles are tried whatever is allowed: the least that would do is then known.
      let room = max(limit.bytes, Self.leastRoom)
      guard sizes.allSatisfy({ $0.area <= room / (4 * channels) }) else {
        throw SegmentationError(
          .memory, file: file, "a tile of \(sizes[0]) pixels does not fit into \(limit); pass --memory with more")
      }
      var peaks: [Int] = []
      var outputChannels = 0
      for size in sizes {
        let (peak, shape) = try peak(network, [1, size.height, size.width, channels], threads)
        peaks.append(peak)
        outputChannels = shape.last ?? 0
      }
      // The larger tile alone bounds what a pixel costs: the difference may be lost in what the allocator kept.
      let whole = Double(max(0, peaks[peaks.count - 1] - before)) / Double(sizes[sizes.count - 1].area)
      guard sizes.count == 2, sizes[1].area > sizes[0].area else {
        return TileProbe(fixedBytes: before, bytesPerPixel: whole, outputChannels: outputChannels)
      }
      let slope = Double(peaks[1] - peaks[0]) / Double(sizes[1].area - sizes[0].area)
      let perPixel = coarse(max(slope, whole / 4))
      return TileProbe(
        fixedBytes: max(before, peaks[0] - Int(perPixel * Double(sizes[0].area))), bytesPerPixel: perPixel,
        outputChannels: outputChannels)
    }
  }

  /// Rounded up to a power of 1.25, so that small differences from run to run give the same tiles.
  private static func coarse(_ value: Double) -> Double {
    var step = 1.0
    while step < value { step *= 1.25 }
    return step
  }

  /// The most memory that the process held while the network ran, less the buffers, and the output's shape.
  private static func peak(_ network: any Network, _ shape: [Int], _ threads: Int) throws -> (Int, [Int]) {
    let compiled = try network.compile(inputShape: shape, threads: threads, streams: 1)
    let slot = try TileSlot(sources: 0, network: compiled)
    slot.input.initializeMemory(as: UInt8.self, repeating: 0)
    ProcessMemory.resetPeak()
    try slot.request.run(input: slot.input, output: slot.scores)
    return ((ProcessMemory.peak ?? 0) - slot.input.count - slot.scores.count, compiled.outputShape)
  }
}
