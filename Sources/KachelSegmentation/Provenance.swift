// SPDX-License-Identifier: Apache-2.0
public import KachelEngines
private import KachelImages
private import KachelModels
private import KachelPixels

/// Where a result comes from; stored in the attributes of every output under the key `kachel`.
public struct Provenance: Codable, Sendable, Hashable {
  public struct Model: Codable, Sendable, Hashable {
    public var file: String
    public var name: String
    public var id: String
    public var format: String
    public var sha256: String
  }

  public struct Input: Codable, Sendable, Hashable {
    public var file: String
    public var format: String
    public var scene: Int
    public var channels: [String]
    public var times: [Int]
    public var depths: [Int]
    public var further: [String: Int]
    /// x, y, width, height in pixels from the scene's top-left corner.
    public var region: [Int]
  }

  /// All in pixels, x before y.
  public struct Tiles: Codable, Sendable, Hashable {
    public var plan: String
    /// Where tiles lie.
    public var tiling: Tiling
    /// How many tiles were run, in all planes of the scene.
    public var count: Int
    public var size: [Int]
    public var halo: [Int]
    public var stride: [Int]
    /// How an image side that is no multiple of the stride, or shorter than the tile, is extended.
    public var edgeExtension: String
    /// Operations of the network that see the whole tile, and how many; where there are any, the result depends on the
    /// tile's size.
    public var globalOperations: [String: Int]

    enum CodingKeys: String, CodingKey {
      case plan, tiling, count, size, halo, stride
      case edgeExtension = "extension"
      case globalOperations
    }
  }

  /// The mean and deviation with which the network's input was standardised.
  public struct InputStatistics: Codable, Sendable, Hashable {
    public struct Plane: Codable, Sendable, Hashable {
      /// `nil` where all planes have the same.
      public var time: Int?
      public var z: Int?
      /// In values of the image: of all channels together, or of each where the network takes each channel's own.
      public var mean: [Double]
      public var deviation: [Double]
    }

    public var scope: StatisticsScope
    public var planes: [Plane]
  }

  public struct EngineVersion: Codable, Sendable, Hashable {
    public var name: String
    public var version: String
    /// As `cpu` or `cuda:0`.
    public var device: String
    public var precision: Precision
    /// For how many requests at a time the threads were split; the result depends on neither.
    public var streams: Int
    public var threads: Int
  }

  public var version: String
  public var model: Model
  public var image: Input
  public var certificate: Certificate
  public var tiles: Tiles
  public var engine: EngineVersion
  /// `nil` where the network uses none, or takes them of every tile.
  public var statistics: InputStatistics?
  public var minimumConfidence: Float?
  /// How colours were turned into what the network takes, where they were.
  public var colorConversion: String?
  public var warnings: [String]
  /// The command that made the result, where it was made by one.
  public var command: [String]?
}

/// The version of Kachel.
public let kachelVersion = "0.1.0"
