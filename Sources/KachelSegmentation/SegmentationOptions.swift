// SPDX-License-Identifier: Apache-2.0
private import Foundation
public import KachelEngines

/// What to segment and how. The defaults are the whole image, with everything that the image has.
public struct SegmentationOptions: Sendable {
  public var planes = PlaneChoice()
  /// The image's channels that the model gets, in this order, by name or by index.
  public var channels: [String]?
  /// Where tiles lie.
  public var tiling = Tiling.aligned
  /// The side of a tile, where the network lets the user choose.
  public var tileSide: Int?
  /// What a tile sees around the pixels that it decides.
  public var halo = HaloChoice.automatic
  /// Whose mean and deviation a network's input is standardised with, where the network does that. `nil`: the image's, or
  /// the tile's where tiles are cut as ZEN cuts them or the network does not let the image's be taken.
  public var statistics: StatisticsScope?
  /// What the result must promise at least; anything by default.
  public var requirement: Certificate.Requirement?
  /// The memory that the run may take, in bytes.
  public var memory: MemoryLimit = .halfOfFree
  /// Which engine runs the network, where, and how precisely.
  public var engine = EngineChoice()
  /// The engine's threads; all processors by default.
  public var threads: Int?
  /// Pixels whose winning class has a lower probability get the label 0.
  public var minimumConfidence: Float?

  /// What shows nothing and is not given to the network; its result is 0. Everything is given to it if `nil`.
  public var background: BackgroundChoice?

  public init() {}

  /// How many bytes of decoded blocks an image should keep so that the run stays within its memory.
  public var imageCacheBytes: Int { min(64 << 20, memory.bytes / 16) }
}

/// How much memory a run may take.
public struct MemoryLimit: Sendable, Hashable, CustomStringConvertible {
  public let bytes: Int

  public init(bytes: Int) { self.bytes = bytes }

  public static func megabytes(_ count: Int) -> MemoryLimit { MemoryLimit(bytes: count << 20) }
  public static func gigabytes(_ count: Int) -> MemoryLimit { MemoryLimit(bytes: count << 30) }

  /// Half of what the machine has free now.
  public static var halfOfFree: MemoryLimit { MemoryLimit(bytes: MachineMemory.free / 2) }

  /// Reads `2G`, `512M` or `1.5G` (binary multiples; a `B` or `iB` may follow).
  public init?(_ text: String) {
    guard let match = text.uppercased().wholeMatch(of: /([0-9]+(?:\.[0-9]+)?)\s*([KMGT])(?:I?B)?/),
      let number = Double(match.1), let power = ["K": 10, "M": 20, "G": 30, "T": 40][String(match.2)]
    else { return nil }
    let bytes = number * Double(1 << power)
    guard bytes >= 1, bytes < Double(1 << 60) else { return nil }
    self.bytes = Int(bytes)
  }

  public var description: String {
    bytes >= 1 << 30
      ? String(format: "%.1f GB", Double(bytes) / Double(1 << 30)) : "\(bytes >> 20) MB"
  }
}
