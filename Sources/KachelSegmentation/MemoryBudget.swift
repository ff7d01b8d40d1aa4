// SPDX-License-Identifier: Apache-2.0

/// What a run's parts take, in bytes, and with it how large tiles may be.
struct MemoryBudget {
  var limit: Int
  /// What the process holds before any tile, its caches and buffers of fixed size included.
  let fixed: Int
  /// What the engine takes for one request running, per pixel of a tile.
  let enginePerPixel: Double
  /// What a tile on its way takes besides, per pixel: its pixels, input, scores and result.
  let slotPerPixel: Int

  /// Tiles on their way at the same time for every request that the engine runs: one in the engine, one being read or
  /// decided, one waiting, so that the engine never waits.
  static let slotsPerStream = 3

  /// What is not given to tiles, for what no formula sees: fragmentation, the allocator's reserves.
  private static let reserve = 0.9

  func perPixel(streams: Int) -> Double {
    Double(streams) * (enginePerPixel + Double(Self.slotsPerStream * slotPerPixel))
  }

  /// The most pixels that a tile may have.
  func tilePixels(streams: Int) -> Int {
    let available = Double(limit - fixed) * Self.reserve
    return max(0, Int(available / perPixel(streams: streams)))
  }

  /// The least memory with which tiles of so many pixels run.
  func needed(tilePixels: Int, streams: Int) -> Int {
    fixed + Int(Double(tilePixels) * perPixel(streams: streams) / Self.reserve)
  }
}
