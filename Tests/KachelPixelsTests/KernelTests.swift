// SPDX-License-Identifier: Apache-2.0
import KachelPixels
import Testing

/// The kernels against the same thing written slowly and plainly.
@Suite struct KernelTests {
  private static func noise(_ count: Int, below limit: Int) -> [Int] {
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % limit
    }
  }

  private static func buffer(_ size: Size, samples: Int = 1, type: PixelType, below limit: Int) -> PixelBuffer {
    let buffer = PixelBuffer(width: size.width, height: size.height, samples: samples, type: type)
    for (index, value) in noise(size.area * samples, below: limit).enumerated() {
      switch type {
      case .uint8, .int8: buffer.bytes[index] = UInt8(value)
      case .uint16, .int16: buffer.values(as: UInt16.self)[index] = UInt16(value)
      case .uint32, .int32: buffer.values(as: Int32.self)[index] = Int32(value) - 20
      case .uint64, .int64: buffer.values(as: Int64.self)[index] = Int64(value) - 20
      case .float32: buffer.values(as: Float.self)[index] = Float(value) / 7
      case .float64: buffer.values(as: Double.self)[index] = Double(value) / 7
      }
    }
    return buffer
  }

  private static func value(_ buffer: PixelBuffer, _ x: Int, _ y: Int, _ sample: Int = 0) -> Float {
    let index = (y * buffer.width + x) * buffer.samples + sample
    return switch buffer.type {
    case .uint8: Float(buffer.values(as: UInt8.self)[index])
    case .uint16: Float(buffer.values(as: UInt16.self)[index])
    case .uint32: Float(buffer.values(as: UInt32.self)[index])
    case .uint64: Float(buffer.values(as: UInt64.self)[index])
    case .int8: Float(buffer.values(as: Int8.self)[index])
    case .int16: Float(buffer.values(as: Int16.self)[index])
    case .int32: Float(buffer.values(as: Int32.self)[index])
    case .int64: Float(buffer.values(as: Int64.self)[index])
    case .float32: buffer.values(as: Float.self)[index]
    case .float64: Float(buffer.values(as: Double.self)[index])
    }
  }

  private static func luminance(_ pixels: PixelBuffer, _ x: Int, _ y: Int) -> Float {
    let (blue, green, red) = (value(pixels, x, y, 0), value(pixels, x, y, 1), value(pixels, x, y, 2))
    let weighted: Float = 0.299 * red + 0.587 * green
    return weighted + 0.114 * blue
  }

  @Test func reflectionRepeatsNoEdge() {
    let axis = ReflectedAxis(origin: 2, count: 12, length: 5)
    #expect((0..<12).map(axis.pixel) == [2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4, 3])
    #expect(axis.inside == 3)
    #expect(axis.pixels == 0..<5)
    let single = ReflectedAxis(origin: 0, count: 4, length: 1)
    #expect((0..<4).map(single.pixel) == [0, 0, 0, 0])
    #expect(single.pixels == 0..<1)
  }

  @Test func theNeededPixelsAreThoseThatStandSomewhere() {
    for length in 1...9 {
      for origin in 0..<length {
        for count in 1...25 {
          let axis = ReflectedAxis(origin: origin, count: count, length: length)
          let needed = (0..<count).map(axis.pixel)
          #expect(axis.pixels.contains(needed.min() ?? -1) && axis.pixels.contains(needed.max() ?? -1))
          #expect(axis.pixels.lowerBound == needed.min())
        }
      }
    }
  }

  @Test(arguments: PixelType.allCases, [SampleMix.sample(1), .luminance(red: 2, green: 1, blue: 0)])
  func tensorsAreFilledPixelByPixel(type: PixelType, mix: SampleMix) {
    let plane = Size(width: 21, height: 9)
    let pixels = Self.buffer(plane, samples: 3, type: type, below: 250)
    let columns = ReflectedAxis(origin: 4, count: 40, length: 21), rows = ReflectedAxis(origin: 0, count: 12, length: 9)
    let read = Region(x: columns.pixels, y: rows.pixels)
    let raw = PixelBuffer(width: read.width, height: read.height, samples: 3, type: type)
    raw.copy(read, of: pixels, toX: 0, y: 0)
    var tensor = [Float](repeating: -1, count: 40 * 12 * 2)
    tensor.withUnsafeMutableBufferPointer {
      guard let start = $0.baseAddress else { return }
      TensorChannel(values: start, channel: 1, channels: 2).fill(
        from: raw, mix: mix, columns: columns, rows: rows, dividedBy: 255)
    }
    for y in 0..<12 {
      for x in 0..<40 {
        let (column, row) = (columns.pixel(at: x), rows.pixel(at: y))
        let expected: Float =
          switch mix {
          case .sample(let sample): Self.value(pixels, column, row, sample) / 255
          case .luminance: Self.luminance(pixels, column, row) / 255
          }
        #expect(tensor[(y * 40 + x) * 2 + 1] == expected)
        #expect(tensor[(y * 40 + x) * 2] == -1)
      }
    }
  }

  @Test(
    arguments: PixelType.allCases,
    [
      Size(width: 1, height: 1), Size(width: 7, height: 4), Size(width: 16, height: 9), Size(width: 64, height: 2),
      Size(width: 75, height: 5),
    ])
  func downsamplingTakesTheModeOrTheMean(type: PixelType, size: Size) {
    let input = Self.buffer(size, type: type, below: 4)
    let mode = PixelBuffer(width: 0, height: 0, type: type), mean = PixelBuffer(width: 0, height: 0, type: type)
    Downsample.mode(input, into: mode)
    Downsample.mean(input, into: mean)
    #expect(mode.size == Size(width: (size.width + 1) / 2, height: (size.height + 1) / 2))
    for y in 0..<mode.height {
      for x in 0..<mode.width {
        let values = [(0, 0), (1, 0), (0, 1), (1, 1)].map {
          Self.value(input, min(2 * x + $0.0, size.width - 1), min(2 * y + $0.1, size.height - 1))
        }
        let frequent = values.map { value in values.filter { $0 == value }.count }
        let best = values[frequent.firstIndex(of: frequent.max() ?? 0) ?? 0]
        #expect(Self.value(mode, x, y) == best)
        let average = (values[0] + values[1] + values[2] + values[3]) / 4
        let rounded = type.isFloatingPoint ? average : (average + 0.5).rounded(.down)
        #expect(abs(Self.value(mean, x, y) - rounded) <= (type == .float64 ? 1e-6 : 0))
      }
    }
  }

  @Test func blockSumsAreMeansOfBlocks() {
    let size = Size(width: 37, height: 22)
    let input = Self.buffer(size, samples: 2, type: .uint16, below: 60_000)
    for shift in 0...6 {
      var sums = BlockSums(of: size, shift: shift)
      // In parts that do not match the blocks.
      for part in [
        Region(x: 0, y: 0, width: 5, height: 22), Region(x: 5, y: 0, width: 32, height: 9),
        Region(x: 5, y: 9, width: 32, height: 13),
      ] {
        sums.add(input, sample: 1, region: part, toX: part.x, y: part.y)
      }
      let block = 1 << shift
      for row in 0..<sums.height {
        for column in 0..<sums.width {
          let cell = Region(x: column * block, y: row * block, width: block, height: block)
            .intersection(Region(size))
          var sum: Double = 0
          for y in cell.y..<cell.maxY { for x in cell.x..<cell.maxX { sum += Double(Self.value(input, x, y, 1)) } }
          #expect(abs(Double(sums.mean(column: column, row: row)) - sum / Double(cell.area)) < 0.01)
        }
      }
    }
  }

  @Test func theStretchedRangeLeavesOutTheRarest() {
    let input = PixelBuffer(width: 100, height: 100, type: .float32)
    for index in 0..<10_000 { input.values(as: Float.self)[index] = Float(index + 1) }
    var sums = BlockSums(of: input.size, shift: 0)
    sums.add(input, sample: 0, region: Region(input.size), toX: 0, y: 0)
    let range = sums.range(cutting: 0.01)
    #expect(abs(range.lowerBound - 100) < 5 && abs(range.upperBound - 9900) < 5)
    #expect(BlockSums(of: input.size, shift: 0).range(cutting: 0.01) == 0...0)
  }

  @Test func whatIsNotCoveredIsCleared() {
    let place = Region(x: 10, y: 20, width: 30, height: 12)
    let regions = [
      Region(x: 0, y: 22, width: 15, height: 4), Region(x: 12, y: 24, width: 10, height: 100),
      Region(x: 39, y: 0, width: 50, height: 50), Region(x: 100, y: 100, width: 5, height: 5),
    ]
    for type in PixelType.allCases {
      let buffer = PixelBuffer(width: 30, height: 12, type: type)
      buffer.fill(byte: 0x3F)
      buffer.clear(outside: regions, of: place)
      for y in 0..<12 {
        for x in 0..<30 {
          let pixel = Region(x: x + 10, y: y + 20, width: 1, height: 1)
          #expect((Self.value(buffer, x, y) != 0) == regions.contains { $0.contains(pixel) })
        }
      }
      buffer.fill(byte: 0x3F)
      buffer.clear(outside: [Region(x: 0, y: 0, width: 50, height: 50)], of: place)
      #expect(Self.value(buffer, 0, 0) != 0)
      buffer.clear(outside: [], of: place)
      #expect(buffer.isZero)
    }
  }

  @Test func oneChannelOfScoresIsTaken() {
    let scores = Self.noise(6 * 5 * 3, below: 100).map(Float.init)
    let pixels = PixelBuffer(width: 0, height: 0, type: .float32)
    scores.withUnsafeBufferPointer {
      guard let start = $0.baseAddress else { return }
      pixels.fill(channel: 2, of: 3, fromScores: start, width: 6, region: Region(x: 1, y: 2, width: 4, height: 3))
    }
    var expected: [Float] = []
    for y in 2..<5 { for x in 1..<5 { expected.append(scores[(y * 6 + x) * 3 + 2]) } }
    #expect(Array(pixels.values(as: Float.self)) == expected)
  }
}
