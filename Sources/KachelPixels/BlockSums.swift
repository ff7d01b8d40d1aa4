// SPDX-License-Identifier: Apache-2.0

/// A small picture of a large one: every cell is the mean of a block of 2^shift x 2^shift pixels, summed up as the
/// pixels come by.
public struct BlockSums {
  /// Of the large picture.
  public let size: Size
  public let shift: Int
  public let width: Int
  public let height: Int
  /// As precise that the order in which regions are added does not show.
  private var sums: [Double]

  public init(of size: Size, shift: Int) {
    self.size = size
    self.shift = shift
    width = (size.width + (1 << shift) - 1) >> shift
    height = (size.height + (1 << shift) - 1) >> shift
    sums = [Double](repeating: 0, count: width * height)
  }

  /// Adds one sample of the pixels of a region.
  ///
  /// - Parameters:
  ///   - region: in `pixels`.
  ///   - x, y: where the region's top-left pixel lies in the large picture.
  public mutating func add(_ pixels: PixelBuffer, sample: Int, region: Region, toX x: Int, y: Int) {
    precondition(Region(pixels.size).contains(region) && sample < pixels.samples)
    precondition(Region(size).contains(region.offsetBy(x: x - region.x, y: y - region.y)))
    sums.withUnsafeMutableBufferPointer { sums in
      guard let sums = sums.baseAddress else { return }
      pixels.type.apply(
        Add(sums: sums, width: width, shift: shift, pixels: pixels, sample: sample, region: region, x: x, y: y))
    }
  }

  private struct Add: SampleOperation {
    let sums: UnsafeMutablePointer<Double>
    let width: Int
    let shift: Int
    let pixels: PixelBuffer
    let sample: Int
    let region: Region
    let x: Int
    let y: Int

    func run<S: Sample>(_: S.Type) {
      guard let source = pixels.values(as: S.self).baseAddress else { return }
      let samples = pixels.samples
      for row in 0..<region.height {
        let line = source + ((region.y + row) * pixels.width + region.x) * samples + sample
        let cells = ((y + row) >> shift) * width
        var column = 0
        while column < region.width {
          let cell = (x + column) >> shift
          let end = min(region.width, ((cell + 1) << shift) - x)
          var sum: Float = 0
          for place in column..<end { sum += line[place * samples].asFloat }
          sums[cells + cell] += Double(sum)
          column = end
        }
      }
    }
  }

  /// The mean of the pixels of a cell; blocks at the right and bottom edges have fewer.
  public func mean(column: Int, row: Int) -> Float {
    let across = min(size.width, (column + 1) << shift) - column << shift
    let down = min(size.height, (row + 1) << shift) - row << shift
    return Float(sums[row * width + column] / Double(across * down))
  }

  /// The values below and above which the given share of the cells lies, cells of exactly 0 left out; equal where there
  /// is nothing to see.
  public func range(cutting share: Double) -> ClosedRange<Float> {
    let means = (0..<width * height).lazy.map { mean(column: $0 % width, row: $0 / width) }
    return Tone.range(of: means, cutting: share)
  }
}
