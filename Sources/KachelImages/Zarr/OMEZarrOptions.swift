// SPDX-License-Identifier: Apache-2.0
package import KachelPixels

/// How an OME-Zarr is stored.
public struct OMEZarrOptions: Sendable, Hashable {
  /// A version of the NGFF specification.
  public enum Version: String, Sendable, Hashable, CaseIterable {
    /// In Zarr version 2: the one that most programs read.
    case v04 = "0.4"
    /// In Zarr version 3, which has shards.
    case v05 = "0.5"
  }

  /// `nil` for 0.4, or for the image's own where labels go into an image.
  public var version: Version?
  /// The width and height of a chunk in pixels, 64 to 4096.
  public var chunkSide: Int
  /// The width and height of a shard in pixels: so many chunks together are one file. A multiple of ``chunkSide`` up to
  /// 65536, and only in version 0.5; `nil` for a file for every chunk.
  public var shardSide: Int?
  /// How many resolutions the image has, 1 to 24; `nil` for as many as make the longer side of the last one at most 512
  /// pixels. Labels in an image have as many as that.
  public var levels: Int?

  public init(version: Version? = nil, chunkSide: Int = 1024, shardSide: Int? = nil, levels: Int? = nil) {
    self.version = version
    self.chunkSide = chunkSide
    self.shardSide = shardSide
    self.levels = levels
  }

  /// The size of a chunk in a plane: none is larger than the plane.
  package func chunk(in plane: Size) -> Size {
    Size(width: min(chunkSide, plane.width), height: min(chunkSide, plane.height))
  }

  /// How many chunks of a plane are a shard; `nil` without shards. A shard is no larger than the plane, and its sides stay
  /// multiples of the chunk's.
  package func chunksInShard(in plane: Size) -> Size? {
    let chunk = chunk(in: plane)
    return shardSide.map { side in
      Size(
        width: min(side / chunkSide, (plane.width + chunk.width - 1) / chunk.width),
        height: min(side / chunkSide, (plane.height + chunk.height - 1) / chunk.height))
    }
  }

  /// Why an image cannot be stored so.
  public struct Refusal: Error, CustomStringConvertible {
    public let description: String
  }

  /// Checks sizes, and whether the version has shards.
  ///
  /// - Parameter version: the one that decides where the options leave it open.
  public func check(version other: Version = .v04) throws(Refusal) {
    guard (64...4096).contains(chunkSide) else {
      throw Refusal(description: "a chunk's side is 64 to 4096 pixels, not \(chunkSide)")
    }
    if let levels, !(1...24).contains(levels) {
      throw Refusal(description: "an image has 1 to 24 resolutions, not \(levels)")
    }
    guard let shardSide else { return }
    guard (version ?? other) == .v05 else {
      throw Refusal(description: "OME-Zarr 0.4 has no shards; write version 0.5, as with --zarr 0.5")
    }
    guard (chunkSide...1 << 16).contains(shardSide), shardSide.isMultiple(of: chunkSide) else {
      throw Refusal(
        description: "a shard's side is a multiple of the chunk's \(chunkSide) pixels, up to 65536, not \(shardSide)")
    }
  }
}
