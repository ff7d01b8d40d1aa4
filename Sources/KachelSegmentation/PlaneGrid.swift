// SPDX-License-Identifier: Apache-2.0
import KachelPixels

/// The tiles of a plane: the product of two axes.
public struct PlaneGrid: Sendable, Hashable {
  /// The cut of the columns and of the rows.
  public let x: AxisGrid
  public let y: AxisGrid

  public init(x: AxisGrid, y: AxisGrid) {
    self.x = x
    self.y = y
  }

  /// One tile of the grid, by its place in it.
  public struct Tile: Sendable, Hashable {
    // Small, as large planes have millions.
    let column: Int32
    let row: Int32
  }

  /// The first pixel that a tile sees, on either axis.
  func origin(of tile: Tile) -> (x: Int, y: Int) { (x.origin(Int(tile.column)), y.origin(Int(tile.row))) }

  /// What a tile sees, in the plane; it may reach beyond its right and bottom edges.
  func region(of tile: Tile) -> Region {
    let origin = origin(of: tile)
    return Region(x: origin.x, y: origin.y, width: x.tile, height: y.tile)
  }

  /// What a tile decides, in the plane.
  func core(of tile: Tile) -> Region { Region(x: x.core(Int(tile.column)), y: y.core(Int(tile.row))) }

  /// The tiles that decide any pixel of `region` and whose cores hold any pixel of the image.
  ///
  /// They come in reading order of the image's pieces, and those of one piece one after the other: so each piece is decoded
  /// about once, however wide the plane is and however little memory there is for decoded pieces.
  ///
  /// The grid is searched by halves, so that a plane that is almost empty costs little however large it is.
  ///
  /// - Parameters:
  ///   - piece: what the image decodes at once, where it has pieces.
  ///   - limit: how many there may be.
  ///   - hasPixels: whether the image holds any pixel of a region of the plane.
  /// - Returns: `nil` where there are more.
  func tiles(
    deciding region: Region, piece: Size? = nil, limit: Int, where hasPixels: (Region) -> Bool
  ) -> [Tile]? {
    var tiles: [Tile] = []
    func seen(_ columns: Range<Int>, _ rows: Range<Int>) -> Bool {
      hasPixels(
        Region(
          x: x.core(columns.lowerBound).lowerBound..<x.core(columns.upperBound - 1).upperBound,
          y: y.core(rows.lowerBound).lowerBound..<y.core(rows.upperBound - 1).upperBound))
    }
    func search(_ columns: Range<Int>, _ rows: Range<Int>) {
      guard tiles.count <= limit, !columns.isEmpty, !rows.isEmpty, seen(columns, rows) else { return }
      if rows.count > 1 {
        let middle = rows.lowerBound + rows.count / 2
        search(columns, rows.lowerBound..<middle)
        search(columns, middle..<rows.upperBound)
      } else if columns.count > 1 {
        let middle = columns.lowerBound + columns.count / 2
        search(columns.lowerBound..<middle, rows)
        search(middle..<columns.upperBound, rows)
      } else {
        tiles.append(Tile(column: Int32(columns.lowerBound), row: Int32(rows.lowerBound)))
      }
    }
    search(x.indices(deciding: region.x..<region.maxX), y.indices(deciding: region.y..<region.maxY))
    guard tiles.count <= limit else { return nil }
    let columns = Int32(clamping: Self.count(x, in: piece?.width)),
      rows = Int32(clamping: Self.count(y, in: piece?.height))
    guard columns > 1 || rows > 1, columns < x.count else { return tiles }
    return tiles.sorted { a, b in
      (a.row / rows, a.column / columns, a.row, a.column) < (b.row / rows, b.column / columns, b.row, b.column)
    }
  }

  /// How many tiles' steps a piece is long, about.
  private static func count(_ axis: AxisGrid, in piece: Int?) -> Int {
    max(1, ((piece ?? 0) + axis.step / 2) / axis.step)
  }
}
