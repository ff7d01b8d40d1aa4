// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// Overviews, compared with the means of all pixels by definition.
@Suite struct OverviewTests {
  typealias Description = ImageDescription

  static func image(
    _ size: Size, channels: [Description.Channel] = [.init(name: "a", pixelType: .uint16, layout: .gray)],
    levels: [Description.Level] = [], labels: [LabelDescription]? = nil, depth: Int = 1, times: Int = 1,
    covered: (@Sendable (PlaneIndex) -> [Region])? = nil,
    value: @escaping @Sendable (PlaneIndex, Int, Int, Int) -> Int = {
      ($1 * 7 + $2 * 13 + $3 * 50 + $0.channel * 11) % 200
    }
  ) -> VirtualImage {
    var description = Description(
      format: "virtual", scenes: [.init(index: 0, box: Region(size), levels: levels)], channels: channels, depth: depth,
      times: times)
    description.labels = labels
    return VirtualImage(description, covered: covered, value: value)
  }

  /// The mean of a sample over every cell by definition; `nil` where no pixel is.
  static func means(_ image: VirtualImage, _ plane: PlaneIndex, sample: Int, cells: Size) -> [Double?] {
    let size = image.description.scenes[plane.scene].levels[plane.level].size
    let (across, down) = (Double(size.width) / Double(cells.width), Double(size.height) / Double(cells.height))
    func overlap(_ pixel: Int, _ cell: Int, _ step: Double) -> Double {
      min(Double(pixel + 1), Double(cell + 1) * step) - max(Double(pixel), Double(cell) * step)
    }
    var sums = [Double](repeating: 0, count: cells.area), weights = sums
    for y in 0..<size.height {
      for x in 0..<size.width where image.isCovered(plane, x, y) {
        let value = Double(image.sample(plane, x, y, sample))
        for row in Int(Double(y) / down)...Int(Double(y + 1) / down) where row < cells.height {
          for column in Int(Double(x) / across)...Int(Double(x + 1) / across) where column < cells.width {
            let weight = max(0, overlap(x, column, across)) * max(0, overlap(y, row, down))
            sums[row * cells.width + column] += weight * value
            weights[row * cells.width + column] += weight
          }
        }
      }
    }
    return zip(sums, weights).map { $1 > 1e-6 ? $0 / $1 : nil }
  }

  /// Whether bytes are values of 0 to 255, with what rounding may do.
  static func agrees(_ found: [UInt8], _ expected: [Double]) -> Bool {
    found.count == expected.count && zip(found, expected).allSatisfy { abs(Double($0) - $1) <= 0.502 }
  }

  static let display = Description.Display(low: 20 / 65535, high: 150 / 65535, gamma: 1)

  static func shown(_ mean: Double?, gamma: Double = 1) -> Double {
    mean.map { 255 * pow(max(0, min(1, ($0 - 20) / 130)), gamma) } ?? 0
  }

  // MARK: Sizes

  @Test func everySizeAtEveryLongestSide() async throws {
    let channel = Description.Channel(name: "a", pixelType: .uint16, layout: .gray, display: Self.display)
    for width in 1...40 {
      let size = Size(width: width, height: 1 + width * 17 % 40)
      let image = Self.image(size, channels: [channel])
      for side in stride(from: 1, through: 40, by: 3) {
        let picture = try await Overview(of: image, longestSide: side).draw(0)
        let longest = max(size.width, size.height)
        let expected =
          longest <= side
          ? size
          : Size(
            width: Int((Double(size.width * side) / Double(longest)).rounded(.up)),
            height: Int((Double(size.height * side) / Double(longest)).rounded(.up)))
        #expect(picture.pixels.size == expected, "\(size) \(side)")
        let means = Self.means(image, PlaneIndex(), sample: 0, cells: expected)
        #expect(
          Self.agrees(Array(picture.pixels.bytes), means.flatMap { [Double](repeating: Self.shown($0), count: 3) }),
          "\(size) \(side)")
      }
    }
  }

  @Test(arguments: PixelType.allCases) func everyType(type: PixelType) async throws {
    let size = Size(width: 61, height: 33)
    for layout in [SampleLayout.gray, .grayAlpha, .rgb, .rgba, .bgr, .bgra] {
      let channel = Description.Channel(name: "a", pixelType: type, layout: layout)
      let image = Self.image(size, channels: [channel], value: { ($1 * 3 + $2 * 5 + $3 * 20) % 120 })
      let picture = try await Overview(of: image, longestSide: 20).draw(0)
      let view = picture.channels[0], cells = picture.pixels.size
      let isStored = type == .uint8 && layout.samples > 2
      #expect(view.source == (isStored ? .stored : .stretched) && view.color == RGB(red: 255, green: 255, blue: 255))
      let (low, high) = (Double(view.tone.range.lowerBound), Double(view.tone.range.upperBound))
      #expect(isStored ? (low, high) == (0, 255) : low >= 0 && high <= 120 && high - low > 10)
      let order = layout.samples < 3 ? [0, 0, 0] : layout == .bgr || layout == .bgra ? [2, 1, 0] : [0, 1, 2]
      let planes = order.map { Self.means(image, PlaneIndex(), sample: $0, cells: cells) }
      let expected = (0..<cells.area).flatMap { cell in
        planes.map { max(0, min(1, (($0[cell] ?? 0) - low) / (high - low))) * 255 }
      }
      #expect(Self.agrees(Array(picture.pixels.bytes), expected), "\(layout)")
    }
  }

  // MARK: Channels

  @Test func channelsAddUpInTheirColors() async throws {
    let colors = [RGB(red: 0, green: 128, blue: 255), RGB(red: 255, green: 255, blue: 0), nil]
    let channels = colors.enumerated().map { index, color in
      Description.Channel(
        name: "c\(index)", color: color, pixelType: .uint16, layout: .gray,
        display: .init(low: 20 / 65535, high: 150 / 65535, gamma: index == 1 ? 0.5 : 1), isShown: index != 2)
    }
    let image = Self.image(Size(width: 50, height: 40), channels: channels)
    func expected(_ indices: [Int], _ cells: Size) -> [Double] {
      let planes = indices.map { Self.means(image, PlaneIndex(channel: $0), sample: 0, cells: cells) }
      // A channel without colour is white alone, and has one of its own among others.
      let white = RGB(red: 255, green: 255, blue: 255), blue = RGB(red: 0, green: 0, blue: 255)
      return (0..<cells.area).flatMap { cell in
        var light = [0.0, 0, 0]
        for (plane, index) in zip(planes, indices) {
          let color = colors[index] ?? (indices.count == 1 ? white : blue)
          for (sample, part) in [color.red, color.green, color.blue].enumerated() {
            light[sample] += Self.shown(plane[cell], gamma: index == 1 ? 0.5 : 1) * Double(part) / 255
          }
        }
        return light.map { min(255, $0) }
      }
    }
    // Those that were shown last by default.
    for (chosen, drawn) in [(nil, [0, 1]), ([2], [2]), ([1], [1]), ([2, 0], [2, 0])] as [([Int]?, [Int])] {
      var alone: [[UInt8]] = []
      let picture = try await Overview(of: image, channels: chosen, longestSide: 16).draw(0) { view, pixels in
        #expect(pixels.samples == 1 && view.index == drawn[alone.count])
        alone.append(Array(pixels.bytes))
      }
      #expect(picture.channels.map(\.index) == drawn && picture.channels.allSatisfy { $0.source == .display })
      #expect(Self.agrees(Array(picture.pixels.bytes), expected(drawn, picture.pixels.size)), "\(drawn)")
      for (pixels, index) in zip(alone, drawn) {
        let means = Self.means(image, PlaneIndex(channel: index), sample: 0, cells: picture.pixels.size)
        #expect(Self.agrees(pixels, means.map { Self.shown($0, gamma: index == 1 ? 0.5 : 1) }))
      }
    }
  }

  @Test func displaySettingsThatNobodyHasSetAreNotUsed() async throws {
    func source(_ type: PixelType, bits: Int?, _ display: Description.Display?) async throws -> ChannelView.Source {
      let channel = Description.Channel(name: "a", pixelType: type, layout: .gray, validBits: bits, display: display)
      return try await Overview(of: Self.image(Size(width: 9, height: 9), channels: [channel])).draw(0).channels[0]
        .source
    }
    #expect(try await source(.uint16, bits: nil, .init()) == .stretched)
    #expect(try await source(.uint16, bits: 14, .init(high: 0.25)) == .stretched)
    #expect(try await source(.uint16, bits: 14, .init(high: 16383 / 65535)) == .stretched)
    #expect(try await source(.uint16, bits: 14, .init(high: 0.2)) == .display)
    #expect(try await source(.uint16, bits: nil, .init(high: 0.25)) == .display)
    #expect(try await source(.uint16, bits: nil, .init(gamma: 0.5)) == .display)
    #expect(try await source(.uint16, bits: nil, .init(low: 0.01)) == .display)
    // 8 bits can be seen in their whole range.
    #expect(try await source(.uint8, bits: nil, .init()) == .display)
    #expect(try await source(.uint8, bits: nil, nil) == .stretched)
  }

  @Test func displayRangesAreValues() {
    func range(_ type: PixelType, _ low: Double, _ high: Double) -> ClosedRange<Double>? {
      Description.Channel(name: "a", pixelType: type, layout: .gray, display: .init(low: low, high: high)).displayRange
    }
    #expect(range(.uint8, 0, 1) == 0...255 && range(.uint16, 0.2, 0.4) == 13107...26214)
    #expect(range(.int8, 0, 1) == -128...127 && range(.int16, 0, 0.5) == -32768 ... -0.5)
    #expect(range(.float32, -3, 2.5) == -3...2.5 && range(.uint8, 1, 0) == nil)
    #expect(Description.Channel(name: "a", pixelType: .uint8, layout: .gray).displayRange == nil)
  }

  // MARK: Planes

  @Test func theFirstTimeAndTheMiddlePlaneThatHoldPixels() async throws {
    let image = Self.image(
      Size(width: 4, height: 4), depth: 7, times: 4,
      covered: { $0.time >= 1 && $0.z < 2 ? [Region(x: 0, y: 0, width: 4, height: 4)] : [] },
      value: { plane, _, _, _ in 100 * plane.time + plane.z })
    #expect(try await Overview(of: image).draw(0).plane == PlaneIndex(z: 1, time: 1))
    let chosen = try await Overview(of: image, time: 3, depth: 0).draw(0)
    #expect(chosen.plane == PlaneIndex(z: 0, time: 3) && chosen.channels[0].tone.range == 0...300)
    // What is asked for is drawn, even where there is nothing.
    let empty = try await Overview(of: image, depth: 6).draw(0)
    #expect(empty.plane.z == 6 && empty.pixels.isZero)
    #expect(throws: ImageError.self) { try Overview(of: image, time: 4) }
    #expect(throws: ImageError.self) { try Overview(of: image, depth: 7) }
    #expect(throws: ImageError.self) { try Overview(of: image, depth: -1) }
    #expect(throws: ImageError.self) { try Overview(of: image, channels: [1]) }
    #expect(throws: ImageError.self) { try Overview(of: image, further: ["H": 0]) }
  }

  // MARK: Gaps

  /// Tiles that are smaller than a pixel of the picture are seen all the same, and gaps are black.
  @Test func gapsAreBlackAndDoNotDarken() async throws {
    let tiles = [
      Region(x: 0, y: 0, width: 30, height: 20), Region(x: 25, y: 10, width: 30, height: 25),
      Region(x: 90, y: 50, width: 1, height: 1), Region(x: 60, y: 0, width: 7, height: 60),
    ]
    let channel = Description.Channel(name: "a", pixelType: .uint16, layout: .gray, display: Self.display)
    let image = Self.image(
      Size(width: 100, height: 60), channels: [channel], covered: { _ in tiles },
      value: { 80 + ($1 * 7 + $2 * 13 + $3 + $0.z) % 50 })
    for side in [100, 50, 33, 16, 7, 1] {
      let picture = try await Overview(of: image, longestSide: side).draw(0)
      let means = Self.means(image, PlaneIndex(), sample: 0, cells: picture.pixels.size)
      let gray = stride(from: 0, to: picture.pixels.byteCount, by: 3).map { picture.pixels.bytes[$0] }
      #expect(Self.agrees(gray, means.map { Self.shown($0) }), "\(side)")
      #expect(side < 30 || means.contains(nil))
    }
  }

  /// A box of 2^31 pixels a side with three tiles: nothing else is read, and never much at once.
  @Test func onlyWhatHoldsPixelsIsRead() async throws {
    let far = 1 << 31
    let tiles = [
      Region(x: 0, y: 0, width: 300, height: 200), Region(x: far / 3, y: far / 2, width: 200, height: 300),
      Region(x: far - 100, y: far - 100, width: 100, height: 100),
    ]
    let image = Self.image(Size(width: far, height: far), covered: { _ in tiles }, value: { _, _, _, _ in 500 })
    let overview = try Overview(of: image, longestSide: 64)
    var done = 0
    let picture = try await overview.draw(0, progress: { done += 1 })
    #expect(done == overview.blockCount(of: 0) && done == 3)
    let lit = (0..<64 * 64).filter { picture.pixels.bytes[3 * $0] > 0 }
    #expect(lit == [0, 32 * 64 + 21, 64 * 64 - 1])
    let reads = image.takeReads()
    #expect(reads.allSatisfy { read in tiles.contains { $0.contains(read) } })
    #expect(reads.reduce(0) { $0 + $1.area } == tiles.reduce(0) { $0 + $1.area })
  }

  // MARK: Resolutions

  @Test func theSmallestResolutionThatIsLargeEnoughIsRead() async throws {
    let full = Size(width: 203, height: 102)
    let levels = [1, 2, 4, 8].map { factor in
      Description.Level(
        size: Size(width: (203 + factor - 1) / factor, height: (102 + factor - 1) / factor),
        downsampling: Double(factor))
    }
    let image = Self.image(full, levels: levels, value: { plane, x, y, _ in 1000 + (x + y) << plane.level })
    let (single, flat) = (image, Self.image(full, value: { _, x, y, _ in 1000 + x + y }))
    for (side, level) in [(203, 0), (120, 0), (102, 1), (101, 1), (52, 1), (51, 2), (27, 2), (26, 3), (9, 3)] {
      let picture = try await Overview(of: single, longestSide: side).draw(0)
      #expect(picture.plane.level == level, "\(side)")
      #expect(single.takeReads().reduce(0) { $0 + $1.area } < 2 * levels[level].size.area)
      // The values are linear, so that levels show the same picture but for the shift of half a pixel.
      let other = try await Overview(of: flat, longestSide: side).draw(0)
      #expect(zip(picture.pixels.bytes, other.pixels.bytes).allSatisfy { abs(Int($0) - Int($1)) <= 3 })
    }
  }

  /// Files with levels give the picture that their full resolution gives, nearly.
  @Test(arguments: [
    ("czi/synthetic/raw_pyramid_2scenes_gray8.czi", 24.0), ("czi/real/1_tileregion.czi", 6),
    ("ometiff/syn/pyramid_subifd_c3_u8_jpeg.ome.tif", 16),
    ("ometiff/syn/pyramid_subifd_c3_u16_zstd_bigtiff.ome.tif", 16),
  ]) func levelsOfRealFiles(file: String, tolerance: Double) async throws {
    let image = try Image(at: SharedData.path(file))
    for scene in image.description.scenes.indices {
      let smallest = try #require(image.description.scenes[scene].levels.last)
      let side = max(smallest.size.width, smallest.size.height)
      let picture = try await Overview(of: image, longestSide: side).draw(scene)
      #expect(picture.plane.level > 0)
      let flat = try await Overview(of: FlatImage(image), longestSide: side).draw(scene)
      #expect(flat.plane.level == 0 && flat.pixels.size == picture.pixels.size)
      var difference = 0
      for (first, second) in zip(picture.pixels.bytes, flat.pixels.bytes) {
        difference += abs(Int(first) - Int(second))
      }
      #expect(Double(difference) / Double(picture.pixels.byteCount) < tolerance)
    }
  }

  /// An image without its smaller resolutions.
  struct FlatImage: ImageSource {
    let image: Image
    let description: ImageDescription
    var path: String { image.path }
    var cacheBytes: Int { image.cacheBytes }

    init(_ image: Image) {
      self.image = image
      var description = image.description
      for index in description.scenes.indices {
        description.scenes[index].levels.removeLast(description.scenes[index].levels.count - 1)
      }
      self.description = description
    }

    func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws {
      try image.read(region, of: plane, into: pixels)
    }
    func hasPixels(in region: Region, of plane: PlaneIndex) -> Bool { image.hasPixels(in: region, of: plane) }
    func coveredRegions(in region: Region, of plane: PlaneIndex) -> [Region] {
      image.coveredRegions(in: region, of: plane)
    }
  }

  /// Strips as wide as the image are read in rows, not in columns that each decode all strips.
  @Test func stripsAreReadRowByRow() async throws {
    let size = Size(width: 200_000, height: 300)
    let tile = Region(x: 100, y: 0, width: 40, height: 300)
    let strips = Self.image(
      size, levels: [.init(size: size, downsampling: 1, tile: Size(width: 200_000, height: 4))],
      covered: { _ in [tile] })
    #expect(try Overview(of: strips, longestSide: 1000).blockCount(of: 0) < 12)
    let whole = Self.image(size, covered: { _ in [Region(size)] })
    #expect(try Overview(of: whole, longestSide: 1000).blockCount(of: 0) > 60)
    let (first, second) = (
      try await Overview(of: strips, longestSide: 1000).draw(0),
      try await Overview(of: Self.image(size, covered: { _ in [tile] }), longestSide: 1000).draw(0)
    )
    #expect(Array(first.pixels.bytes) == Array(second.pixels.bytes) && !first.pixels.isZero)
  }

  // MARK: Labels

  @Test func labelsAreDrawnInTheirColors() async throws {
    let known = [LabelDescription(value: 2, name: "nucleus", color: RGB(red: 10, green: 200, blue: 30))]
    let channel = Description.Channel(name: "Labels", pixelType: .uint32, layout: .gray)
    let image = Self.image(
      Size(width: 60, height: 30), channels: [channel], labels: known, value: { ($1 / 10 + $2 / 10 + $3) % 4 })
    let colors = LabelColors([2: known[0].color])
    let picture = try await Overview(of: image, longestSide: 60).draw(0) { _, pixels in #expect(pixels.samples == 3) }
    #expect(picture.channels[0].source == .labels)
    for y in 0..<30 {
      for x in 0..<60 {
        let color = colors.color(of: image.sample(PlaneIndex(), x, y)), place = 3 * (60 * y + x)
        #expect(Array(picture.pixels.bytes[place..<place + 3]) == [color.red, color.green, color.blue])
      }
    }
    // Of a smaller picture, pixels are means of colours, not colours of means.
    let small = try await Overview(of: image, longestSide: 2).draw(0)
    let sums = (0..<900).reduce(into: [0, 0, 0]) { sums, index in
      let color = colors.color(of: image.sample(PlaneIndex(), index % 30, index / 30))
      for (sample, part) in [color.red, color.green, color.blue].enumerated() { sums[sample] += Int(part) }
    }
    #expect(Self.agrees(Array(small.pixels.bytes[0..<3]), sums.map { Double($0) / 900 }))
  }

  // MARK: Faults

  @Test func errorsAndCancellationComeThrough() async throws {
    struct Broken: ImageSource {
      let path = "broken"
      let cacheBytes = 0
      let description = Description(
        format: "x", scenes: [.init(index: 0, box: Region(x: 0, y: 0, width: 50, height: 50))],
        channels: [.init(name: "a", pixelType: .uint8, layout: .gray)])
      func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws {
        throw ImageError(.damaged, file: path, "is broken")
      }
      func hasPixels(in region: Region, of plane: PlaneIndex) -> Bool { true }
      func coveredRegions(in region: Region, of plane: PlaneIndex) -> [Region] { [region] }
    }
    await #expect(throws: ImageError.self) { try await Overview(of: Broken()).draw(0) }
    let image = Self.image(
      Size(width: 3000, height: 3000), covered: { _ in [Region(x: 0, y: 0, width: 3000, height: 9)] })
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      _ = try await Overview(of: image).draw(0)
    }
    await #expect(throws: CancellationError.self) { try await task.value }
  }
}
