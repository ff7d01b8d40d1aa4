// SPDX-License-Identifier: Apache-2.0

/// How the pixels of a large picture fall into the cells of a small one, along one axis: cell `i` covers
/// `i * step ..< (i + 1) * step` of the pixels, those at its ends by a part.
public struct CellAxis: Sendable, Hashable {
  public let pixels: Int
  public let cells: Int
  /// How many pixels a cell covers.
  public let step: Double

  /// - Parameters:
  ///   - pixels: how many there are.
  ///   - cells: at least 1.
  ///   - extent: how many pixels all cells together cover, where not as many as there are: a smaller resolution may end
  ///     within a pixel, or before the picture does.
  public init(pixels: Int, cells: Int, extent: Double? = nil) {
    self.pixels = pixels
    self.cells = cells
    step = (extent ?? Double(pixels)) / Double(cells)
  }

  /// The pixels that cells cover, be it by a part.
  public func pixels(of cells: Range<Int>) -> Range<Int> {
    let first = min(pixels, Int(Double(cells.lowerBound) * step))
    return first..<max(first, min(pixels, Int((Double(cells.upperBound) * step).rounded(.up))))
  }

  /// The cells that cover pixels, be it by a part.
  func cells(of pixels: Range<Int>) -> Range<Int> {
    let first = max(0, min(cells, Int(Double(pixels.lowerBound) / step)))
    return first..<max(first, min(cells, Int((Double(pixels.upperBound) / step).rounded(.up))))
  }

  /// What part of a cell's pixels lies in a range, by place; `nil` where none does.
  func part(ofCell cell: Int, in range: Range<Int>) -> Part? {
    let start = max(Double(cell) * step, Double(range.lowerBound))
    let end = min(Double(cell + 1) * step, Double(range.upperBound))
    guard end > start else { return nil }
    let first = Int(start), last = max(first, Int(end.rounded(.up)) - 1)
    return first == last
      ? Part(first: first, last: last, firstWeight: end - start, lastWeight: 0)
      : Part(first: first, last: last, firstWeight: Double(first + 1) - start, lastWeight: end - Double(last))
  }

  /// Some pixels of a cell; all but the first and the last count fully.
  struct Part {
    var first: Int
    var last: Int
    var firstWeight: Double
    /// 0 where the last pixel is the first.
    var lastWeight: Double

    /// How many pixels these are.
    var weight: Double { firstWeight + lastWeight + Double(max(0, last - first - 1)) }

    func weight(of pixel: Int) -> Double { pixel == first ? firstWeight : pixel == last ? lastWeight : 1 }
  }
}
