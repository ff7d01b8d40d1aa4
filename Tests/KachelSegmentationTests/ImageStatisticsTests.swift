// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// What is measured of an image, against sums over all of its pixels.
@Suite struct ImageStatisticsTests {
  private let metadata: ModelMetadata

  init() throws { metadata = try Example.package("nuclei.czmodel").metadata }

  private func measure(
    _ image: any ImageSource, _ planes: [PlaneIndex] = [PlaneIndex()], threads: Int = 2, isGray: Bool = true,
    memory: MemoryLimit = .gigabytes(1)
  ) async throws -> ImageStatistics.Result {
    var metadata = metadata
    metadata.colorHandling = isGray ? .convertToMonochrome : nil
    let wanted = isGray ? 1 : 3
    let mapping = try InputMapping(of: image.description, at: "a", names: nil, for: metadata, wanted: wanted)
    return try await ImageStatistics(image: image, mapping: mapping, threads: threads, limit: memory)
      .measure(planes) { _ in }
  }

  private func expected(_ values: [Double]) -> ChannelMoments {
    let mean = values.reduce(0, +) / Double(values.count)
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
    return ChannelMoments(count: values.count, mean: mean, variance: variance)
  }

  private func expect(_ found: [ChannelMoments], _ expected: [ChannelMoments], _ at: SourceLocation = #_sourceLocation)
  {
    #expect(found.map(\.count) == expected.map(\.count), sourceLocation: at)
    for (found, expected) in zip(found, expected) {
      #expect(abs(found.mean - expected.mean) <= 1e-12 * abs(expected.mean), sourceLocation: at)
      #expect(abs(found.variance - expected.variance) <= 1e-9 * expected.variance, sourceLocation: at)
    }
  }

  /// Sub-blocks that overlap, and a gap: each pixel that there is counts once.
  @Test func aMosaicCountsItsPixels() async throws {
    let size = Size(width: 2300, height: 1500)
    let covered = [
      Region(x: 0, y: 0, width: 1200, height: 700), Region(x: 1100, y: 600, width: 1200, height: 700),
      Region(x: 1000, y: 650, width: 300, height: 100),
    ]
    var bytes = [UInt8](repeating: 0, count: size.area), values: [Double] = []
    for y in 0..<size.height {
      for x in 0..<size.width where covered.contains(where: { $0.contains(Region(x: x, y: y, width: 1, height: 1)) }) {
        bytes[y * size.width + x] = UInt8(truncatingIfNeeded: 40 + (x * 7 + y * 13) % 190)
        values.append(Double(bytes[y * size.width + x]))
      }
    }
    let image = ArrayImage(bytes, size: size, type: .uint8, covered: covered)
    let found = try await measure(image)
    expect(found.ofEach[0], [expected(values)])
    for threads in [1, 5] {
      let other = try await measure(image, threads: threads)
      #expect(other.ofEach == found.ofEach)
    }
    let empty = try await measure(
      ArrayImage([UInt8](repeating: 0, count: size.area), size: size, type: .uint8, covered: []))
    #expect(empty.ofEach == [[]] && empty.ofAll.isEmpty)
  }

  /// Colours of each kind, gray made of them, and numbers that are no integers of 16 bits.
  @Test func everyKindOfPixel() async throws {
    let size = Size(width: 1100, height: 1050)
    var random = SeededRandom(seed: 5)
    let colors = (0..<size.area * 3).map { _ in UInt16.random(in: 60000...65535, using: &random) }
    let image = ArrayImage(colors.withUnsafeBytes { Array($0) }, size: size, type: .uint16, layout: .rgb)
    func channel(_ place: Int) -> [Double] { (0..<size.area).map { Double(colors[$0 * 3 + place]) } }
    // Networks get blue, green, red.
    expect(try await measure(image, isGray: false).ofEach[0], [2, 1, 0].map { expected(channel($0)) })
    let gray = (0..<size.area).map { pixel -> Double in
      let (red, green, blue) = (Float(colors[pixel * 3]), Float(colors[pixel * 3 + 1]), Float(colors[pixel * 3 + 2]))
      return Double(0.299 * red + 0.587 * green + 0.114 * blue)
    }
    let found = try await measure(image)
    expect(found.ofEach[0], [expected(gray)])
    #expect(try await measure(image, threads: 1, memory: .megabytes(64)).ofEach == found.ofEach)

    let floats = (0..<size.area).map { _ in Float.random(in: -3...1000, using: &random) }
    let other = ArrayImage(floats.withUnsafeBytes { Array($0) }, size: size, type: .float32)
    expect(try await measure(other).ofEach[0], [expected(floats.map(Double.init))])
    let wide = floats.map { UInt32(max(0, $0) * 4_000_000) }
    let third = ArrayImage(wide.withUnsafeBytes { Array($0) }, size: size, type: .uint32)
    expect(try await measure(third).ofEach[0], [expected(wide.map { Double(Float($0)) })])
  }

  @Test func planesTogether() async throws {
    let size = Size(width: 90, height: 70)
    var random = SeededRandom(seed: 11)
    let values = (0..<3 * size.area).map { UInt8.random(in: 0...UInt8(80 + 80 * ($0 / size.area / 2)), using: &random) }
    let image = ArrayImage(values, size: size, times: 3, type: .uint8)
    let planes = (0..<3).map { PlaneIndex(time: $0) }
    let found = try await measure(image, planes)
    expect(found.ofAll, [expected(values.map(Double.init))])
    for (time, moments) in found.ofEach.enumerated() {
      expect(moments, [expected(values[time * size.area..<(time + 1) * size.area].map(Double.init))])
    }
  }

  /// Against drawing them, over many small cases.
  @Test func regionsAreMadeDisjoint() {
    var random = SeededRandom(seed: 1)
    for count in [0, 1, 2, 3, 6] {
      for _ in 0..<200 {
        let regions = (0..<count).map { _ in
          Region(
            x: Int.random(in: 0..<8, using: &random), y: Int.random(in: 0..<8, using: &random),
            width: Int.random(in: 0..<6, using: &random), height: Int.random(in: 0..<6, using: &random))
        }
        func pixels(_ regions: [Region]) -> [Int] {
          regions.flatMap { region in
            (region.y..<region.maxY).flatMap { y in (region.x..<region.maxX).map { y * 100 + $0 } }
          }
        }
        #expect(pixels(Region.disjoint(regions)).sorted() == Set(pixels(regions)).sorted())
      }
    }
  }
}
