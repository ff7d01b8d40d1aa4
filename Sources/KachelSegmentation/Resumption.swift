// SPDX-License-Identifier: Apache-2.0
private import Foundation
private import KachelBytes
import KachelImages
private import KachelModels
import KachelPixels

/// How a run begins: anew, with what an unfinished one has decided, or not at all where it is complete.
struct Resumption: Sendable {
  /// The result, where the run is complete already.
  private(set) var result: SegmentationResult?
  /// What is written and may be replaced, and the command that is stored.
  private(set) var outputs: SegmentationOutputs
  /// What the unfinished run began with, where this one goes on with it.
  let begun: RunJournal.Header?
  /// What the user is told of it.
  private(set) var note: String?
  private let journal: RunJournal?
  /// `nil` where there is no journal, so that there is nothing to compare.
  private let identity: RunIdentity?

  /// Checks that an unfinished or complete run is the one that is wanted, where it is to go on.
  ///
  /// - Parameter paths: of the outputs.
  /// - Throws: ``SegmentationError`` where it is another one, with the difference.
  init(
    _ segmentation: Segmentation, _ wanted: SegmentationOutputs, _ paths: [String], _ journal: RunJournal?
  ) throws {
    (outputs, self.journal) = (wanted, journal)
    let files = try journal.map { _ in try ImageFiles(of: segmentation.image, segmentation.selection) }
    identity = files.map { RunIdentity(of: segmentation, wanted, $0) }
    begun = wanted.resume ? journal?.header : nil
    if let begun, let identity {
      try Self.check(begun.identity.differences(from: identity), of: wanted.result)
      outputs.command = begun.command
      outputs.overwrite = outputs.overwrite || journal?.mayReplace == true
      note = "goes on with a run of which \(journal?.tiles ?? 0) tiles are kept"
    } else if wanted.resume, let files {
      if journal?.isUnknown == true {
        throw SegmentationError(
          .mismatch, file: wanted.result,
          "its unfinished run is of another version of Kachel; start anew without --resume")
      }
      result = try Self.complete(segmentation, wanted, paths, files)
      note = "there is no unfinished run of \(wanted.result); it starts from the beginning"
    } else if let tiles = journal?.tiles, tiles > 0 {
      note = "starts anew; an unfinished run of \(wanted.result) with \(tiles) tiles could have gone on with --resume"
    }
    journal?.clearOutputs()
  }

  /// The result of a run that is complete.
  ///
  /// - Returns: `nil` where there are no outputs, or not all, or others that may be replaced.
  private static func complete(
    _ segmentation: Segmentation, _ wanted: SegmentationOutputs, _ paths: [String], _ files: ImageFiles
  ) throws -> SegmentationResult? {
    guard paths.allSatisfy(FileManager.default.fileExists) else { return nil }
    let stored = try? StoredAttribute.read("kachel", of: paths[0])
    guard let provenance = stored.flatMap({ try? JSONDecoder().decode(Provenance.self, from: Data($0)) }) else {
      if wanted.overwrite { return nil }
      throw BytesError(
        .cannotWrite, file: paths[0],
        "exists and does not say how it was made, so that it is not known whether it is complete; name another output or "
          + "pass --overwrite")
    }
    let complete = CompleteRun(provenance: provenance, path: paths[0])
    let differences = complete.differences(from: segmentation, wanted, files)
    if !differences.isEmpty && wanted.overwrite { return nil }
    try check(differences, of: paths[0], otherwise: "name another output, or pass --overwrite")
    return SegmentationResult(outputs: paths, tiles: 0, warnings: provenance.warnings, provenance: provenance)
  }

  /// Puts the run into the journal; from now on its tiles are kept there.
  ///
  /// - Throws: ``SegmentationError`` where the unfinished run was another one, ``BytesError``.
  func begin(_ run: PreparedRun, _ pending: PendingOutputs) throws {
    guard let journal, var identity else { return }
    try identity.add(run.provenance(0, nil))
    if let begun {
      try Self.check(begun.identity.differences(from: identity), of: outputs.result)
    }
    let header = RunJournal.Header(
      identity: identity, plan: run.record, measured: MeasuredRecord(of: run), warnings: run.warnings,
      command: outputs.command,
      overwrites: outputs.overwrite)
    try journal.begin(header, resuming: begun != nil, names: pending.temporaryPaths, total: run.tiles)
  }

  private static func check(
    _ differences: [String], of output: String, otherwise: String = "start anew without --resume"
  ) throws {
    guard !differences.isEmpty else { return }
    let more = differences.count > 4 ? ", and \(differences.count - 4) more" : ""
    throw SegmentationError(
      .mismatch, file: output,
      "is of another run: \(differences.prefix(4).joined(separator: ", "))\(more); "
        + "give what it began with, or \(otherwise)")
  }
}
