// SPDX-License-Identifier: Apache-2.0

/// What happens in a run.
public enum SegmentationProgress: Sendable {
  /// The tiles are chosen; one line that says how.
  case planned(String)
  /// What the user should know before the run takes its time; ``SegmentationResult/warnings`` has it too.
  case warning(String)
  /// The image is read to measure it, in blocks, before tiles are run.
  case measuring(Tiles)
  case tile(Tiles)
  /// All tiles of a scene are decided; smaller resolutions and the preview are being made.
  case finishing(scene: Int)

  public struct Tiles: Sendable {
    public var done: Int
    public var total: Int
    /// Pixels decided so far.
    public var pixels: Int
  }
}

/// What a run made.
public struct SegmentationResult: Sendable {
  /// The outputs' paths, the result first.
  public let outputs: [String]
  /// How many tiles were run.
  public let tiles: Int
  /// What the user should know.
  public let warnings: [String]
  /// Of the first scene.
  public let provenance: Provenance
}
