// SPDX-License-Identifier: Apache-2.0

/// The darkest and the brightest spot of every block of a plane. A spot is the mean of a cell of 4 x 4 pixels, so that
/// the noise of single pixels counts little; of several samples the lowest or highest counts.
public struct BlockExtremes: Sendable {
  /// Pixels of a block's side, and of a cell's.
  public static let side = 64
  private static let cell = 4

  public let columns: Int
  public let rows: Int
  /// By block, row after row: infinity and its negative where no pixel came.
  public private(set) var lowest: [Float]
  public private(set) var highest: [Float]

  /// How many blocks a plane has.
  public static func blocks(of size: Size) -> Int {
    let (columns, rows) = grid(of: size)
    return columns * rows
  }

  /// How many of them lie side by side, and one above the other.
  public static func grid(of size: Size) -> (columns: Int, rows: Int) {
    ((size.width + side - 1) / side, (size.height + side - 1) / side)
  }

  /// - Parameter size: of the plane.
  public init(of size: Size) {
    (columns, rows) = Self.grid(of: size)
    lowest = [Float](repeating: .infinity, count: columns * rows)
    highest = [Float](repeating: -.infinity, count: columns * rows)
  }

  /// Adds pixels. Cells are cut at the region's borders.
  ///
  /// - Parameters:
  ///   - region: in `pixels`.
  ///   - samples: which of the pixels' samples count.
  ///   - x, y: where the region's top-left pixel lies in the plane.
  public mutating func add(_ pixels: PixelBuffer, region: Region, samples: Range<Int>, toX x: Int, y: Int) {
    precondition(
      Region(pixels.size).contains(region) && samples.lowerBound >= 0 && samples.upperBound <= pixels.samples)
    precondition(x >= 0 && y >= 0 && x + region.width <= columns * Self.side && y + region.height <= rows * Self.side)
    guard !region.isEmpty, !samples.isEmpty else { return }
    lowest.withUnsafeMutableBufferPointer { lowest in
      highest.withUnsafeMutableBufferPointer { highest in
        guard let lowest = lowest.baseAddress, let highest = highest.baseAddress else { return }
        for sample in samples {
          pixels.type.apply(
            Add(
              pixels: pixels, sample: sample, region: region, x: x, y: y, columns: columns, lowest: lowest,
              highest: highest))
        }
      }
    }
  }

  private struct Add: SampleOperation {
    let pixels: PixelBuffer
    let sample: Int
    let region: Region
    let x: Int
    let y: Int
    let columns: Int
    let lowest: UnsafeMutablePointer<Float>
    let highest: UnsafeMutablePointer<Float>

    func run<S: Sample>(_: S.Type) {
      guard let source = pixels.values(as: S.self).baseAddress else { return }
      let (cell, step, line) = (BlockExtremes.cell, pixels.samples, pixels.width * pixels.samples)
      var row = 0
      while row < region.height {
        let height = min(region.height - row, cell - (y + row) % cell)
        let first = source + (region.y + row) * line + region.x * step + sample
        let blocks = (y + row) / BlockExtremes.side * columns
        var column = 0
        while column < region.width {
          let width = min(region.width - column, cell - (x + column) % cell)
          var sum: Float = 0
          let start = first + column * step
          if width == cell && height == cell {
            for down in 0..<cell {
              let values = start + down * line
              sum += values[0].asFloat + values[step].asFloat + (values[2 * step].asFloat + values[3 * step].asFloat)
            }
            sum *= 1 / Float(cell * cell)
          } else {
            for down in 0..<height {
              for across in 0..<width { sum += start[down * line + across * step].asFloat }
            }
            sum /= Float(width * height)
          }
          // What is no number is neither.
          let block = blocks + (x + column) / BlockExtremes.side
          if sum < lowest[block] { lowest[block] = sum }
          if sum > highest[block] { highest[block] = sum }
          column += width
        }
        row += height
      }
    }
  }
}
