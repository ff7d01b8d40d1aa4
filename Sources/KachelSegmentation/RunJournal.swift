// SPDX-License-Identifier: Apache-2.0
private import Foundation
import KachelBytes
import KachelImages
private import KachelModels
import KachelPixels

/// What a run has decided so far, kept beside its result while it runs, so that a run that ended early can go on.
///
/// A ``RecordFile`` whose first record is the ``Header``. Then come the tiles in the order in which they were decided, which
/// is that of the scenes; the temporary names of the outputs each time that the run was taken up; and at last a mark that
/// the outputs get their names. It lasts until they have them.
///
/// `@unchecked Sendable`: the stages of a run use it one after the other.
final class RunJournal: @unchecked Sendable {
  struct Header: Codable {
    var identity: RunIdentity
    var plan: PlanRecord
    var measured: MeasuredRecord
    /// All that the user was told of the run.
    var warnings: [String]
    /// The command that began the run; it is part of the outputs.
    var command: [String]?
    var overwrites: Bool
  }

  /// A tile's place among those of a scene.
  struct Place: Hashable {
    /// The plane's, in C order of time and z.
    var plane: Int
    var tile: PlaneGrid.Tile
  }

  private enum Kind: UInt8 {
    case header = 1
    case names, tile, committing
  }

  private static let magic = "KACHELJ1"
  /// The most bytes of a header, or of a list of names.
  private static let mostText = 64 << 20
  /// The kind, the scene, the plane, the column and the row.
  private static let tileHead = 17

  /// What an unfinished run began with; `nil` where there is none.
  private(set) var header: Header?
  /// Whether there is one of another version of Kachel.
  private(set) var isUnknown = false
  /// How many tiles are kept.
  private(set) var tiles = 0
  /// How many tiles the run has.
  private var total = 0
  private let file: RecordFile
  /// Where outputs were being written under temporary names.
  private var names: [String] = []
  private var isCommitting = false
  /// Whether this run is in the journal.
  private var isBegun = false
  /// Where the good records end, and where the next tile stands that ``nextTile(of:limit:)`` gives.
  private var end = 0
  private var next = 0
  /// Fast rather than small: the journal does not last.
  private let compressor = ZstandardCompressor(level: -5)

  /// Opens the journal of the run with such outputs, or makes an empty one.
  ///
  /// - Throws: ``BytesError``: it cannot be written, or another run has it now.
  init(of outputs: SegmentationOutputs, image: String) throws {
    file = try RecordFile(
      at: Self.path(of: outputs.result, image: image), calling: outputs.result, magic: Self.magic)
    try read()
  }

  var path: String { file.path }

  /// Hidden, beside the result; for labels in an image, in the image's folder.
  static func path(of result: String, image: String) -> String {
    let url = URL(filePath: result).standardizedFileURL
    guard OMEZarrLabels.isInside(image, path: result) else {
      return url.deletingLastPathComponent().appending(path: ".\(url.lastPathComponent).journal").path
    }
    let folder = url.deletingLastPathComponent().deletingLastPathComponent()
    return folder.appending(path: ".labels.\(url.lastPathComponent).journal").path
  }

  /// Finds the good records.
  private func read() throws(BytesError) {
    end = file.start
    next = end
    while let record = try file.record(at: end) {
      guard let kind = Kind(rawValue: try file.bytes(of: record, upTo: 1)[0]), (header == nil) == (kind == .header)
      else { break }
      isCommitting = kind == .committing
      switch kind {
      case .header:
        header = try? JSONDecoder().decode(Header.self, from: text(of: record))
        isUnknown = header == nil
        guard !isUnknown else { return }
        next = record.end
      case .names: names = (try? JSONDecoder().decode([String].self, from: text(of: record))) ?? []
      case .tile: tiles += 1
      case .committing: break
      }
      end = record.end
    }
  }

  private func text(of record: RecordFile.Record) throws(BytesError) -> Data {
    Data(try file.bytes(of: record, upTo: Self.mostText).dropFirst())
  }

  // MARK: Taking up a run

  /// Whether the unfinished run may replace what exists: the user had said so, or it is its own outputs.
  var mayReplace: Bool {
    guard let header else { return false }
    let files = FileManager.default
    // Outputs that still have their temporary names were not placed; then others' files are in their place.
    let isOwn =
      isCommitting
      && names.allSatisfy { name in
        guard let path = PendingOutput.finalPath(of: name) else { return false }
        return !files.fileExists(atPath: path) || !files.fileExists(atPath: name)
      }
    return header.overwrites || isOwn
  }

  /// Removes outputs that an unfinished run left under their temporary names.
  func clearOutputs() { names.forEach { PendingOutput.clear(leftAt: $0) } }

  /// Records a run from now on: a new one, or the unfinished one.
  ///
  /// - Parameters:
  ///   - names: the temporary names of the outputs, which do not exist yet.
  ///   - total: how many tiles the run has.
  func begin(_ header: Header, resuming: Bool, names: [String], total: Int) throws {
    if resuming {
      try file.cut(at: end)
    } else {
      try file.cut(at: 0)
      tiles = 0
      self.header = header
      try append(.header, header)
      next = .max
    }
    isBegun = true
    self.total = total
    try append(.names, names)
  }

  private func append(_ kind: Kind, _ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    try file.append([kind.rawValue] + encoder.encode(value))
  }

  // MARK: Tiles

  /// The decided pixels of a tile while they are collected.
  struct Tile {
    fileprivate var bytes: [UInt8]
  }

  func tile(at place: Place, scene: Int) -> Tile {
    var bytes = [Kind.tile.rawValue]
    for number in [Int32(scene), Int32(place.plane), place.tile.column, place.tile.row] {
      withUnsafeBytes(of: number.littleEndian) { bytes += $0 }
    }
    return Tile(bytes: bytes)
  }

  /// Adds the pixels of a tile in an output.
  func add(_ pixels: PixelBuffer, to tile: inout Tile) {
    let frame = compressor.compress(UnsafeRawBufferPointer(pixels.bytes))
    withUnsafeBytes(of: UInt32(frame.count).littleEndian) { tile.bytes += $0 }
    tile.bytes += frame
  }

  func append(_ tile: Tile) throws(BytesError) {
    try file.append(tile.bytes)
    tiles += 1
  }

  /// A tile that is kept.
  struct StoredTile {
    let place: Place
    fileprivate var rest: ArraySlice<UInt8>
  }

  /// The next tile that is kept, if it is one of that scene. The scenes must be asked for in order.
  ///
  /// - Parameter limit: the most bytes of a tile, uncompressed.
  func nextTile(of scene: Int, limit: Int) throws -> StoredTile? {
    while next < end, let record = try file.record(at: next) {
      let head = try file.bytes(of: record, upTo: Self.tileHead)
      guard head[0] == Kind.tile.rawValue else {
        next = record.end
        continue
      }
      let numbers = stride(from: 1, to: head.count, by: 4).map { start in
        Int32(truncatingIfNeeded: Int(CRC32C.stored(head[start..<min(start + 4, head.count)])))
      }
      // Zstandard never makes twice as much of what it compresses.
      guard head.count == Self.tileHead, numbers.allSatisfy({ $0 >= 0 }), numbers[0] >= scene,
        record.count <= 2 * limit + 1 << 20
      else { throw damaged(at: record.offset) }
      guard numbers[0] == scene else { return nil }
      next = record.end
      return StoredTile(
        place: Place(plane: Int(numbers[1]), tile: .init(column: numbers[2], row: numbers[3])),
        rest: try file.bytes(of: record, upTo: record.count)[Self.tileHead...])
    }
    return nil
  }

  /// Takes the next pixels of a tile that is kept, into a buffer of their shape.
  func take(_ pixels: PixelBuffer, of tile: inout StoredTile) throws {
    let count = tile.rest.count >= 4 ? Int(CRC32C.stored(tile.rest.prefix(4))) : -1
    guard count >= 0, count <= tile.rest.count - 4 else { throw damaged() }
    let frame = tile.rest.dropFirst(4).prefix(count)
    guard frame.withUnsafeBytes({ Zstandard.decompress($0, into: pixels.bytes) }) == nil else { throw damaged() }
    tile.rest = tile.rest.dropFirst(4 + count)
  }

  /// What is said of records that are whole but make no sense.
  func damaged(at offset: Int? = nil) -> SegmentationError {
    SegmentationError(
      .mismatch, file: path,
      "holds tiles\(offset.map { " (at byte \($0))" } ?? "") that the run does not have; start anew without --resume")
  }

  // MARK: The end

  /// Gives the outputs their names, and then ends the journal.
  func finish(committing commit: () throws -> Void) throws {
    let offset = file.end
    try append(.committing, [String]())
    do { try commit() } catch {
      // All outputs have given their names back.
      try? file.cut(at: offset)
      throw error
    }
    file.remove()
  }

  /// Ends the journal of a run that is complete already.
  func discard() { file.remove() }

  /// Keeps the journal or removes it when the run has ended early.
  ///
  /// - Returns: what the user is told.
  func close(after error: any Error) -> any Error {
    guard tiles > 0 else {
      file.remove()
      return error
    }
    // A run that was refused leaves the unfinished one as it is.
    guard isBegun else { return error }
    // Going on would end in the same way.
    guard !(error is SegmentationError), !(error is ModelError) else {
      file.remove()
      return error
    }
    file.sync()
    return UnfinishedRun(
      cause: error, tiles: tiles, total: total, journal: path, isJournalThere: file.hasItsName)
  }
}
