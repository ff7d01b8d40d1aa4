// SPDX-License-Identifier: Apache-2.0

/// What happens in a run.
public enum SegmentationProgress: Sendable {
  /// The tiles are chosen; one line that says how.
  case planned(String)
  /// What the user should know before the run takes its time; ``SegmentationResult/warnings`` has it too.
  case warning(String)
  /// The image is read to measure it, in blocks, before tiles are run.
  case measuring(Tiles)
  /// How the run goes on, in one line: that it is taken up again, or could have been, or would be quicker with more memory.
  case note(String)
  case tile(Tiles)
  /// All tiles of a scene are decided; smaller resolutions and the preview are being made.
  case finishing(scene: Int)

  public struct Tiles: Sendable {
    /// Those that an unfinished run had decided count.
    public var done: Int
    public var total: Int
    /// Pixels decided so far by this run.
    public var pixels: Int
    /// How many of ``done`` an unfinished run had decided.
    public var kept = 0
  }
}

/// What a run made.
public struct SegmentationResult: Sendable {
  /// The outputs' paths, the result first.
  public let outputs: [String]
  /// How many tiles the run has; 0 where it was complete already.
  public let tiles: Int
  /// What the user should know.
  public let warnings: [String]
  /// Of the first scene.
  public let provenance: Provenance
}
