// SPDX-License-Identifier: Apache-2.0

/// Means of the pixels of a large picture over some cells of a small one, of any ratio between the two. Pixels come in
/// any order, each at most once; those that do not come, and those that are no number, do not count.
public struct CellMeans: Sendable {
  public let columns: CellAxis
  public let rows: CellAxis
  /// Which cells.
  public let cells: Region
  public let samples: Int
  private var sums: [Double]
  private var weights: [Double]

  public init(columns: CellAxis, rows: CellAxis, cells: Region, samples: Int) {
    self.columns = columns
    self.rows = rows
    self.cells = cells
    self.samples = samples
    sums = [Double](repeating: 0, count: cells.area * samples)
    weights = [Double](repeating: 0, count: cells.area)
  }

  /// The pixels that the cells cover, be it by a part.
  public var region: Region {
    Region(x: columns.pixels(of: cells.x..<cells.maxX), y: rows.pixels(of: cells.y..<cells.maxY))
  }

  /// Adds pixels.
  ///
  /// - Parameters:
  ///   - place: where they lie in the large picture; inside it.
  ///   - order: which samples of theirs are meant, as many as the means have.
  ///   - mask: one byte for each of them, 0 for those that do not count; all do if `nil`.
  public mutating func add(_ pixels: PixelBuffer, at place: Region, order: [Int], mask: PixelBuffer? = nil) {
    precondition(pixels.size == place.size && order.count == samples && order.allSatisfy { $0 < pixels.samples })
    precondition(mask.map { $0.size == place.size && $0.bytesPerPixel == 1 } ?? true)
    let parts = columns.cells(of: place.x..<place.maxX).clamped(to: cells.x..<cells.maxX).compactMap { cell in
      columns.part(ofCell: cell, in: place.x..<place.maxX).map { (cell: cell, part: $0) }
    }
    guard !parts.isEmpty else { return }
    let (width, samples) = (cells.width, samples)
    var line = [Double](repeating: 0, count: parts.count * (samples + 1))
    for y in place.y..<place.maxY {
      let touched = rows.cells(of: y..<y + 1).clamped(to: cells.y..<cells.maxY)
      guard !touched.isEmpty else { continue }
      line.withUnsafeMutableBufferPointer { line in
        guard let start = line.baseAddress else { return }
        pixels.type.apply(
          Line(pixels: pixels, mask: mask, order: order, row: y - place.y, x: place.x, parts: parts, line: start))
      }
      for row in touched {
        guard let share = rows.part(ofCell: row, in: y..<y + 1)?.firstWeight else { continue }
        let start = (row - cells.y) * width - cells.x
        for (index, place) in parts.enumerated() {
          let cell = start + place.cell, from = index * (samples + 1)
          for sample in 0..<samples { sums[cell * samples + sample] += share * line[from + sample] }
          weights[cell] += share * line[from + samples]
        }
      }
    }
  }

  /// Adds pixels that are all 0.
  ///
  /// - Parameter place: where they lie in the large picture; inside it.
  public mutating func addZeros(at place: Region) {
    for row in rows.cells(of: place.y..<place.maxY).clamped(to: cells.y..<cells.maxY) {
      guard let height = rows.part(ofCell: row, in: place.y..<place.maxY)?.weight else { continue }
      for column in columns.cells(of: place.x..<place.maxX).clamped(to: cells.x..<cells.maxX) {
        guard let width = columns.part(ofCell: column, in: place.x..<place.maxX)?.weight else { continue }
        weights[(row - cells.y) * cells.width + column - cells.x] += width * height
      }
    }
  }

  /// Writes one sample's means; NaN where no pixel counted.
  ///
  /// - Parameter output: the small picture, rows of `width` cells.
  public func write(sample: Int, to output: inout [Float], width: Int) {
    let largest = Double(Float.greatestFiniteMagnitude)
    for row in 0..<cells.height {
      for column in 0..<cells.width {
        let cell = row * cells.width + column
        // Less is what rounding leaves of a pixel beside the cell.
        let isKnown = weights[cell] > 1e-6
        output[(cells.y + row) * width + cells.x + column] =
          isKnown ? Float(max(-largest, min(largest, sums[cell * samples + sample] / weights[cell]))) : .nan
      }
    }
  }

  /// Sums up one row of pixels cell by cell: the samples, then how many pixels counted.
  private struct Line: SampleOperation {
    let pixels: PixelBuffer
    let mask: PixelBuffer?
    let order: [Int]
    let row: Int
    /// Where the row begins in the large picture.
    let x: Int
    let parts: [(cell: Int, part: CellAxis.Part)]
    let line: UnsafeMutablePointer<Double>

    func run<S: Sample>(_: S.Type) {
      guard let start = pixels.values(as: S.self).baseAddress else { return }
      let stride = pixels.samples
      let source = UnsafePointer(start + row * pixels.width * stride)
      if mask == nil && !S.pixelType.isFloatingPoint {
        for (index, place) in parts.enumerated() {
          let part = place.part, output = line + index * (order.count + 1)
          let (first, last) = (part.first - x, part.last - x)
          for (number, sample) in order.enumerated() {
            let values = source + sample
            var sum = part.firstWeight * values[first * stride].asDouble
            if last > first {
              sum += part.lastWeight * values[last * stride].asDouble
              sum += S.sum(values + (first + 1) * stride, count: last - first - 1, stride: stride)
            }
            output[number] = sum
          }
          output[order.count] = part.weight
        }
        return
      }
      let valid = mask.map { $0.bytes.bindMemory(to: UInt8.self).baseAddress.map { $0 + row * pixels.width } } ?? nil
      for (index, place) in parts.enumerated() {
        let part = place.part, output = line + index * (order.count + 1)
        for number in 0...order.count { output[number] = 0 }
        for pixel in part.first...part.last {
          let values = source + (pixel - x) * stride
          if let valid, valid[pixel - x] == 0 { continue }
          if S.pixelType.isFloatingPoint, !order.allSatisfy({ values[$0].asDouble.isFinite }) { continue }
          let weight = part.weight(of: pixel)
          for (number, sample) in order.enumerated() { output[number] += weight * values[sample].asDouble }
          output[order.count] += weight
        }
      }
    }
  }
}
