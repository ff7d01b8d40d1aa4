// SPDX-License-Identifier: Apache-2.0
private import KachelEngines
private import KachelImages
private import KachelBytes

/// Why a run ended before its end, where what it did until then is kept: the same run with
/// ``SegmentationOutputs/resume`` goes on from there.
public struct UnfinishedRun: Error, Sendable, CustomStringConvertible {
  /// What ended the run, as a full disk, a server that does not answer, or a `CancellationError`.
  public let cause: any Error
  /// How many tiles are kept, and how many there are.
  public let tiles: Int
  public let total: Int
  /// The file that keeps them.
  public let journal: String
  /// Whether it still has its name; it has not where the folder vanished, as that of a network share.
  public let isJournalThere: Bool

  /// Whether the run ended because its task was cancelled.
  public var isCancellation: Bool { cause is CancellationError }

  public var description: String {
    let kept =
      isJournalThere
      ? "\(tiles) of \(total) tiles are kept in \(journal): the same command with --resume goes on from there"
      : """
      \(tiles) of \(total) tiles were kept in \(journal), which is gone: when it is back, as with the folder that it lay \
      in, the same command with --resume goes on from there; if it is lost, the run has to start from the beginning
      """
    return isCancellation ? kept : "\(cause). \(kept)"
  }

  /// Whether the cause says nothing against the image, so that the same run may succeed later as it is.
  public var mayPass: Bool {
    switch cause {
    case is CancellationError: true
    // `notAnImage` is what a file is that cannot be read any more.
    case let error as ImageError: [.unreachable, .cannotWrite, .notAnImage].contains(error.kind)
    case let error as BytesError: [.cannotRead, .cannotWrite].contains(error.kind)
    case let error as EngineError: error.kind == .failed
    default: false
    }
  }
}
