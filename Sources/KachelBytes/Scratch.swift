// SPDX-License-Identifier: Apache-2.0
private import Synchronization

/// Memory for what is needed for a moment only, such as a block of pixels before it is decoded.
///
/// It is kept for the next one that needs as much: to get new pages from the system for every block takes about as long
/// as to decode it.
package enum Scratch {
  /// Kept while nobody uses it.
  private static let spare = Mutex<[Piece]>([])
  /// Pieces that are kept, and the largest of them in bytes: about two for every thread that reads.
  private static let mostPieces = 16
  private static let largest = 8 << 20

  /// `@unchecked Sendable`: a piece has one user at a time.
  private struct Piece: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer
  }

  /// Calls `body` with so many bytes, which hold anything.
  package static func withBytes<Result, Failure: Error>(
    _ count: Int, _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // Blocks of one image differ a little.
    let rounded = (count + count / 8 + 1 + 65535) & ~65535
    let piece = takeSpare(count) ?? Piece(bytes: .allocate(byteCount: rounded, alignment: 64))
    defer { giveBack(piece) }
    return try body(UnsafeMutableRawBufferPointer(rebasing: piece.bytes[..<count]))
  }

  /// The smallest piece that is large enough.
  private static func takeSpare(_ count: Int) -> Piece? {
    spare.withLock { pieces in
      let fitting = pieces.indices.filter { pieces[$0].bytes.count >= count }
      return fitting.min { pieces[$0].bytes.count < pieces[$1].bytes.count }.map { pieces.remove(at: $0) }
    }
  }

  private static func giveBack(_ piece: Piece) {
    // The newest stays: what is needed now is like what was needed last.
    let dropped: Piece? = spare.withLock { pieces in
      guard piece.bytes.count <= largest else { return piece }
      pieces.append(piece)
      return pieces.count > mostPieces ? pieces.removeFirst() : nil
    }
    dropped?.bytes.deallocate()
  }
}
