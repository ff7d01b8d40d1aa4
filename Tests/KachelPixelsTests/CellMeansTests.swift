// SPDX-License-Identifier: Apache-2.0
import KachelPixels
import KachelTesting
import Testing

/// Means over cells of any size, compared with the sum over all pairs of pixels and cells.
@Suite struct CellMeansTests {
  private static func buffer(_ size: Size, samples: Int = 1, type: PixelType, seed: UInt64 = 1) -> PixelBuffer {
    let buffer = PixelBuffer(width: size.width, height: size.height, samples: samples, type: type)
    var random = SeededRandom(seed: seed)
    for byte in buffer.bytes.indices { buffer.bytes[byte] = .random(in: 0...255, using: &random) }
    if type.isFloatingPoint {
      for index in 0..<size.area * samples {
        let value = Double.random(in: -100...100, using: &random)
        if type == .float32 {
          buffer.values(as: Float.self)[index] = Float(value)
        } else {
          buffer.values(as: Double.self)[index] = value
        }
      }
    }
    return buffer
  }

  private struct Value: SampleOperation {
    let buffer: PixelBuffer
    let index: Int
    func run<S: Sample>(_: S.Type) -> Double { buffer.values(as: S.self)[index].asDouble }
  }

  /// How much of a pixel lies in a cell.
  private static func overlap(_ pixel: Int, _ cell: Int, _ step: Double) -> Double {
    max(0, min(Double(pixel + 1), Double(cell + 1) * step) - max(Double(pixel), Double(cell) * step))
  }

  /// The means by definition; NaN where less than nothing lies in a cell.
  private static func expected(
    _ buffer: PixelBuffer, sample: Int, cells: Size, extent: (x: Double, y: Double)? = nil,
    isValid: (Int, Int) -> Bool = { _, _ in true }
  ) -> [Double] {
    let stepX = (extent?.x ?? Double(buffer.width)) / Double(cells.width)
    let stepY = (extent?.y ?? Double(buffer.height)) / Double(cells.height)
    var means: [Double] = []
    for row in 0..<cells.height {
      for column in 0..<cells.width {
        var sum = 0.0, weight = 0.0
        for y in 0..<buffer.height {
          let down = overlap(y, row, stepY)
          guard down > 0 else { continue }
          for x in 0..<buffer.width where isValid(x, y) {
            let share = down * overlap(x, column, stepX)
            guard share > 0 else { continue }
            let index = (y * buffer.width + x) * buffer.samples + sample
            sum += share * buffer.type.apply(Value(buffer: buffer, index: index))
            weight += share
          }
        }
        means.append(weight > 1e-6 ? sum / weight : .nan)
      }
    }
    return means
  }

  private static func agrees(_ found: [Float], _ expected: [Double], tolerance: Double) -> Bool {
    zip(found, expected).allSatisfy { found, expected in
      found.isNaN || expected.isNaN
        ? found.isNaN && expected.isNaN : abs(Double(found) - expected) <= tolerance * max(1, abs(expected))
    }
  }

  /// The means of a whole picture, added in parts and cell block by cell block.
  private static func means(
    _ buffer: PixelBuffer, order: [Int], cells: Size, extent: (x: Double, y: Double)? = nil, part: Size,
    block: Size, mask: PixelBuffer? = nil
  ) -> [[Float]] {
    let columns = CellAxis(pixels: buffer.width, cells: cells.width, extent: extent?.x)
    let rows = CellAxis(pixels: buffer.height, cells: cells.height, extent: extent?.y)
    var planes = [[Float]](repeating: [Float](repeating: 7, count: cells.area), count: order.count)
    for top in stride(from: 0, to: cells.height, by: block.height) {
      for left in stride(from: 0, to: cells.width, by: block.width) {
        let place = Region(x: left, y: top, width: block.width, height: block.height).intersection(Region(cells))
        var means = CellMeans(columns: columns, rows: rows, cells: place, samples: order.count)
        let region = means.region
        for y in stride(from: region.y, to: region.maxY, by: part.height) {
          for x in stride(from: region.x, to: region.maxX, by: part.width) {
            let some = Region(x: x, y: y, width: part.width, height: part.height).intersection(region)
            func cut(_ source: PixelBuffer) -> PixelBuffer {
              let pixels = PixelBuffer(
                width: some.width, height: some.height, samples: source.samples, type: source.type)
              pixels.copy(some, of: source, toX: 0, y: 0)
              return pixels
            }
            means.add(cut(buffer), at: some, order: order, mask: mask.map(cut))
          }
        }
        for sample in order.indices { means.write(sample: sample, to: &planes[sample], width: cells.width) }
      }
    }
    return planes
  }

  @Test func everySizeIntoEveryNumberOfCells() {
    for pixels in 1...40 {
      let buffer = Self.buffer(Size(width: pixels, height: 41 - pixels), type: .uint16, seed: UInt64(pixels))
      for cells in 1...pixels {
        let size = Size(width: cells, height: max(1, (41 - pixels) * cells / pixels))
        let found = Self.means(
          buffer, order: [0], cells: size, part: Size(width: 13, height: 7), block: Size(width: 9, height: 11))
        #expect(
          Self.agrees(found[0], Self.expected(buffer, sample: 0, cells: size), tolerance: 1e-6), "\(pixels) \(cells)")
      }
    }
  }

  @Test(arguments: PixelType.allCases) func everyTypeSampleAndMask(type: PixelType) {
    let size = Size(width: 31, height: 23)
    let buffer = Self.buffer(size, samples: 3, type: type)
    let mask = PixelBuffer(width: 31, height: 23, type: .uint8)
    for index in 0..<size.area { mask.bytes[index] = index % 31 < 12 || index % 7 == 0 ? 0 : 1 }
    let isValid = { (x: Int, y: Int) in mask.bytes[y * 31 + x] != 0 }
    for cells in [Size(width: 31, height: 23), Size(width: 10, height: 8), Size(width: 2, height: 1)] {
      for order in [[2, 1, 0], [1]] {
        let part = Size(width: 8, height: 5), block = Size(width: 6, height: 6)
        let all = Self.means(buffer, order: order, cells: cells, part: part, block: block)
        let some = Self.means(buffer, order: order, cells: cells, part: part, block: block, mask: mask)
        for (place, sample) in order.enumerated() {
          let tolerance = 1e-5
          #expect(Self.agrees(all[place], Self.expected(buffer, sample: sample, cells: cells), tolerance: tolerance))
          #expect(
            Self.agrees(
              some[place], Self.expected(buffer, sample: sample, cells: cells, isValid: isValid), tolerance: tolerance))
        }
      }
    }
  }

  @Test func whatIsNoNumberDoesNotCount() {
    for type in [PixelType.float32, .float64] {
      let buffer = Self.buffer(Size(width: 8, height: 1), type: type)
      let values: [Double] = [1, .nan, 3, .infinity, .nan, .nan, -5, -.infinity]
      for (index, value) in values.enumerated() {
        if type == .float32 {
          buffer.values(as: Float.self)[index] = Float(value)
        } else {
          buffer.values(as: Double.self)[index] = value
        }
      }
      let found = Self.means(
        buffer, order: [0], cells: Size(width: 4, height: 1), part: Size(width: 8, height: 1),
        block: Size(width: 4, height: 1))
      #expect(Self.agrees(found[0], [1, 3, .nan, -5], tolerance: 0))
    }
  }

  /// A level may be a little longer or shorter than the full resolution divided by its factor.
  @Test(arguments: [8.5, 9, 9.5, 10, 11.5]) func cellsMayCoverMoreOrLess(extent: Double) {
    let buffer = Self.buffer(Size(width: 10, height: 10), type: .uint8)
    for cells in 1...10 {
      let size = Size(width: cells, height: cells)
      let found = Self.means(
        buffer, order: [0], cells: size, extent: (extent, extent), part: size, block: Size(width: 3, height: 4))
      #expect(
        Self.agrees(
          found[0], Self.expected(buffer, sample: 0, cells: size, extent: (extent, extent)), tolerance: 1e-6))
    }
  }

  @Test func zerosNeedNotBeRead() {
    let (columns, rows) = (CellAxis(pixels: 33, cells: 10), CellAxis(pixels: 21, cells: 4))
    let cells = Region(x: 2, y: 1, width: 5, height: 3)
    var (read, told) = (
      CellMeans(columns: columns, rows: rows, cells: cells, samples: 1),
      CellMeans(columns: columns, rows: rows, cells: cells, samples: 1)
    )
    let zeros = PixelBuffer(width: 10, height: 6, type: .uint16), other = Self.buffer(zeros.size, type: .uint16)
    zeros.fill(byte: 0)
    let place = Region(x: 7, y: 9, width: 10, height: 6)
    read.add(zeros, at: place, order: [0])
    told.addZeros(at: place)
    var (first, second) = ([Float](repeating: 9, count: 40), [Float](repeating: 9, count: 40))
    for x in [7, 20] {
      if x == 20 {
        read.add(other, at: Region(x: x, y: 8, width: 10, height: 6), order: [0])
        told.add(other, at: Region(x: x, y: 8, width: 10, height: 6), order: [0])
      }
      read.write(sample: 0, to: &first, width: 10)
      told.write(sample: 0, to: &second, width: 10)
      #expect(zip(first, second).allSatisfy { $0 == $1 || $0.isNaN && $1.isNaN || abs($0 - $1) < 1e-3 * abs($0) })
      #expect(first.contains(0) && first.contains(9) && first.contains(where: \.isNaN))
    }
  }

  @Test func cellsAndTheirPixels() {
    for pixels in 1...15 {
      for cells in 1...15 {
        let axis = CellAxis(pixels: pixels, cells: cells)
        for first in 0..<cells {
          for end in first + 1...cells {
            let range = axis.pixels(of: first..<end)
            let touched = (0..<pixels).filter { pixel in
              (first..<end).contains { Self.overlap(pixel, $0, axis.step) > 1e-9 }
            }
            #expect(touched.allSatisfy(range.contains) && range.count <= touched.count + 1)
          }
        }
      }
    }
  }
}
