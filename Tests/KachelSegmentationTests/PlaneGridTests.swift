// SPDX-License-Identifier: Apache-2.0
import KachelPixels
import Testing

@testable import KachelSegmentation

/// The order in which a plane's tiles are run.
@Suite struct PlaneGridTests {
  private func tiles(_ piece: Size?, region: Region? = nil) throws -> [PlaneGrid.Tile] {
    let x = try #require(AxisGrid(length: 5000, tile: 256, halo: 8, stride: 8))
    let y = try #require(AxisGrid(length: 3000, tile: 256, halo: 8, stride: 8))
    let region = region ?? Region(x: 0, y: 0, width: 5000, height: 3000)
    return try #require(
      PlaneGrid(x: x, y: y).tiles(deciding: region, piece: piece, limit: 1000) { $0.x < 4600 || $0.y > 500 })
  }

  @Test func tilesOfAPieceFollowEachOther() throws {
    let plain = try tiles(nil), grouped = try tiles(Size(width: 1000, height: 1000))
    #expect(plain.count > 200 && Set(plain) == Set(grouped) && plain != grouped)
    // 240 pixels from tile to tile: four to a piece.
    let pieces = grouped.map { [$0.row / 4, $0.column / 4] }
    let changes = zip(pieces, pieces.dropFirst()).count { $0 != $1 }
    #expect(changes == Set(pieces).count - 1)
    #expect(grouped.map { $0.row / 4 } == grouped.map { $0.row / 4 }.sorted())
    #expect(try tiles(Size(width: 1000, height: 1000), region: Region(x: 700, y: 0, width: 9, height: 9)).count <= 2)
  }

  /// Strips, planes in one piece, and pieces smaller than tiles are read from top to bottom.
  @Test(arguments: [
    Size(width: 5000, height: 10), Size(width: 5000, height: 3000), Size(width: 128, height: 128),
    Size(width: 300, height: 300),
  ]) func otherwiseTheyComeInReadingOrder(piece: Size) throws {
    #expect(try tiles(piece) == tiles(nil))
    let rows = try tiles(nil).map(\.row)
    #expect(rows == rows.sorted())
  }
}
