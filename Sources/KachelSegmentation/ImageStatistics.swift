// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelModels
import KachelPixels

/// Measures the pixels of planes that a network gets, for the mean and deviation that it standardises them with.
///
/// A plane is measured as a whole, in blocks that lie on a grid of their own: nothing of how it is segmented changes a
/// bit of the result. Pixels that the image does not hold do not count.
struct ImageStatistics {
  let image: any ImageSource
  let mapping: InputMapping
  let threads: Int
  let limit: MemoryLimit

  /// The side of a block.
  private static let side = 1024
  /// The blocks that one plane may have.
  private static let mostBlocks = 10_000_000

  /// The sums of one channel of the network's input, in raw values.
  fileprivate enum ChannelSums: Sendable {
    case exact(ExactSums)
    case floating(FloatMoments)

    static func += (sums: inout Self, other: Self) {
      switch (sums, other) {
      case (.exact(var own), .exact(let more)):
        own += more
        sums = .exact(own)
      case (.floating(var own), .floating(let more)):
        own += more
        sums = .floating(own)
      // A channel has one type of numbers.
      case (.exact, .floating), (.floating, .exact): preconditionFailure("sums of two kinds")
      }
    }

    var moments: ChannelMoments {
      switch self {
      case .exact(let sums): ChannelMoments(count: sums.count, mean: sums.mean, variance: sums.variance)
      case .floating(let sums): ChannelMoments(count: sums.count, mean: sums.mean, variance: sums.variance)
      }
    }
  }

  /// The moments of the planes, one after the other.
  struct Result: Sendable {
    fileprivate var planes: [[ChannelSums]]

    /// Of each plane; of no channel where the image holds no pixel of it.
    var ofEach: [[ChannelMoments]] { planes.map { $0.map(\.moments) } }

    /// Of all planes together.
    var ofAll: [ChannelMoments] {
      var all: [ChannelSums] = []
      for plane in planes where !plane.isEmpty {
        if all.isEmpty { all = plane } else { for channel in all.indices { all[channel] += plane[channel] } }
      }
      return all.map(\.moments)
    }
  }

  /// - Parameter progress: told of every block that is measured.
  func measure(
    _ planes: [PlaneIndex], progress: (SegmentationProgress.Tiles) -> Void
  ) async throws -> Result {
    var blocks: [[Region]] = []
    for plane in planes { blocks.append(try self.blocks(of: plane)) }
    var done = SegmentationProgress.Tiles(done: 0, total: blocks.reduce(0) { $0 + $1.count }, pixels: 0)
    var result = Result(planes: planes.map { _ in [] })
    let lanes = makeLanes()
    for (number, plane) in planes.enumerated() {
      var sums: [[ChannelSums]] = Array(repeating: [], count: blocks[number].count)
      try await withThrowingTaskGroup(of: (Lane, Int, [ChannelSums]).self) { group in
        var free = lanes
        func take(_ measured: (lane: Lane, index: Int, sums: [ChannelSums])) {
          free.append(measured.lane)
          sums[measured.index] = measured.sums
          done.done += 1
          done.pixels += blocks[number][measured.index].area
          progress(done)
        }
        for (index, block) in blocks[number].enumerated() {
          if free.isEmpty, let measured = try await group.next() { take(measured) }
          try Task.checkCancellation()
          let lane = free.removeLast()
          group.addTask { [image, mapping] in
            (lane, index, try await lane.reader.read { try lane.sums(of: block, plane, image, mapping) })
          }
        }
        for try await measured in group { take(measured) }
      }
      // Always in this order: sums of floating-point numbers depend on it.
      for block in sums where !block.isEmpty {
        if result.planes[number].isEmpty {
          result.planes[number] = block
        } else {
          for channel in block.indices { result.planes[number][channel] += block[channel] }
        }
      }
    }
    return result
  }

  /// The blocks that hold pixels, four neighbours after each other, as what files hold in one piece is often larger.
  private func blocks(of plane: PlaneIndex) throws(SegmentationError) -> [Region] {
    let size = image.description.scenes[plane.scene].size
    guard let x = AxisGrid(length: size.width, tile: Self.side, halo: 0, stride: Self.side),
      let y = AxisGrid(length: size.height, tile: Self.side, halo: 0, stride: Self.side)
    else { return [] }
    let grid = PlaneGrid(x: x, y: y)
    let tiles = grid.tiles(deciding: Region(size), limit: Self.mostBlocks) { region in
      mapping.sources.contains { source in
        var place = plane
        place.channel = source.channel
        return image.hasPixels(in: region, of: place)
      }
    }
    guard let tiles else {
      throw SegmentationError(
        .memory, file: image.path,
        "has too many pixels to be measured; pass --statistics tile, or choose a smaller image")
    }
    return tiles.map { grid.core(of: $0) }.sorted { a, b in
      let side = Self.side
      return (a.y / side / 2, a.x / side / 2, a.y, a.x) < (b.y / side / 2, b.x / side / 2, b.y, b.x)
    }
  }

  /// As many as there are threads, as far as memory allows.
  private func makeLanes() -> [Lane] {
    let bytes =
      mapping.sources.map { source -> Int in
        let channel = image.description.channels[source.channel]
        return channel.layout.samples * channel.pixelType.size + 4
      }.max() ?? 0
    let most = max(1, limit.bytes / 8 / (Self.side * Self.side * max(1, bytes)))
    return (0..<min(threads, most, 16)).map { Lane(reader: Stage(name: "kachel-measure-\($0)")) }
  }

  /// A thread that reads blocks and adds them up, and its buffers.
  ///
  /// `@unchecked Sendable`: a lane has one block at a time.
  private final class Lane: @unchecked Sendable {
    let reader: Stage
    private let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    private let values = PixelBuffer(width: 0, height: 0, type: .float32)

    init(reader: Stage) { self.reader = reader }

    /// The sums of every channel of the network's input.
    func sums(
      of block: Region, _ plane: PlaneIndex, _ image: any ImageSource, _ mapping: InputMapping
    ) throws -> [ChannelSums] {
      var covered: [Region] = []
      for source in mapping.sources {
        var place = plane
        place.channel = source.channel
        covered += image.coveredRegions(in: block, of: place)
      }
      let parts = Region.disjoint(covered).map { $0.offsetBy(x: -block.x, y: -block.y) }
      var sums: [ChannelSums] = []
      for source in mapping.sources {
        var place = plane
        place.channel = source.channel
        try image.read(block, of: place, into: pixels)
        for mix in source.mixes { sums.append(self.sums(mix, parts)) }
      }
      return sums
    }

    private func sums(_ mix: SampleMix, _ parts: [Region]) -> ChannelSums {
      if case .sample(let sample) = mix, pixels.type.size <= 2 {
        var sums = ExactSums()
        if parts.allSatisfy({ sums.add(pixels, sample: sample, in: $0) }) { return .exact(sums) }
      }
      // The numbers that the network would get.
      values.reshape(width: pixels.width, height: pixels.height, samples: 1, type: .float32)
      var sums = FloatMoments()
      guard let floats = values.values(as: Float.self).baseAddress else { return .floating(sums) }
      TensorChannel(values: floats, channel: 0, channels: 1).fill(
        from: pixels, mix: mix, columns: ReflectedAxis(origin: 0, count: pixels.width, length: pixels.width),
        rows: ReflectedAxis(origin: 0, count: pixels.height, length: pixels.height), dividedBy: 1)
      for part in parts { sums.add(floats, width: pixels.width, in: part) }
      return .floating(sums)
    }
  }
}

extension Region {
  /// The same pixels as in regions that may overlap, each once.
  static func disjoint(_ regions: [Region]) -> [Region] {
    let regions = regions.filter { !$0.isEmpty }
    guard regions.count > 1 else { return regions }
    if let all = regions.first(where: { largest in regions.allSatisfy(largest.contains) }) { return [all] }
    var result: [Region] = []
    let edges = Set(regions.flatMap { [$0.y, $0.maxY] }).sorted()
    for (top, bottom) in zip(edges, edges.dropFirst()) {
      var open: Range<Int>?
      for region in regions.filter({ $0.y <= top && $0.maxY >= bottom }).sorted(by: { $0.x < $1.x }) {
        guard let current = open else {
          open = region.x..<region.maxX
          continue
        }
        if region.x <= current.upperBound {
          open = current.lowerBound..<max(current.upperBound, region.maxX)
        } else {
          result.append(Region(x: current, y: top..<bottom))
          open = region.x..<region.maxX
        }
      }
      if let open { result.append(Region(x: open, y: top..<bottom)) }
    }
    return result
  }
}
