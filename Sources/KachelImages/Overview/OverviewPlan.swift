// SPDX-License-Identifier: Apache-2.0
private import Foundation
import KachelPixels

/// What is read for the picture of a scene, and how it is cut into blocks.
struct OverviewPlan: Sendable {
  /// How many reads go on at the same time, and the bytes that each has at most: memory is the same on all machines.
  private static let readers = max(1, min(4, ProcessInfo.processInfo.activeProcessorCount))
  private static let bytesPerRead = (32 << 20) / readers
  /// Cells of a block at most: a small picture has several blocks, so that there is work for all.
  private static let mostCells = 1 << 17

  let image: any ImageSource
  /// The plane of the first channel, at the resolution that is read.
  let plane: PlaneIndex
  /// The picture's size.
  let size: Size
  private let columns: CellAxis
  private let rows: CellAxis
  private let level: ImageDescription.Level

  init(_ overview: Overview, scene: Int) {
    image = overview.image
    let found = image.description.scenes[scene]
    size = Self.size(of: found.size, longestSide: overview.longestSide)
    let (wide, high) = (size.width, size.height)
    // The picture's shorter side was rounded up, a level's may have been rounded down.
    let (lowest, least) = (high < wide ? high - 1 : high, wide < high ? wide - 1 : wide)
    let number = found.levels.lastIndex { $0.size.width >= least && $0.size.height >= lowest } ?? 0
    level = found.levels[number]
    columns = Self.axis(level.size.width, of: found.size.width, level.downsampling, cells: wide)
    rows = Self.axis(level.size.height, of: found.size.height, level.downsampling, cells: high)
    plane = Self.plane(overview, scene: scene, level: number)
  }

  /// The size of a picture whose longest side is at most so long; sides are rounded up.
  static func size(of scene: Size, longestSide: Int) -> Size {
    let longest = max(scene.width, scene.height)
    guard longest > longestSide else { return scene }
    func side(_ length: Int) -> Int { (length * longestSide + longest - 1) / longest }
    return Size(width: side(scene.width), height: side(scene.height))
  }

  /// - Parameters:
  ///   - pixels: of the level.
  ///   - full: pixels of full resolution.
  private static func axis(_ pixels: Int, of full: Int, _ downsampling: Double, cells: Int) -> CellAxis {
    // A level may end within a pixel of its own, or a little too early, as an incomplete pyramid does.
    let extent = Double(full) / downsampling
    let fits = abs(extent - Double(pixels)) <= max(1, 0.06 * Double(pixels))
    return CellAxis(pixels: pixels, cells: cells, extent: fits ? extent : nil)
  }

  /// The plane to draw. Where it is not chosen, scenes of fewer planes than others, and planes of an acquisition that was
  /// broken off, have no pixels; then the nearest that has some is taken.
  private static func plane(_ overview: Overview, scene: Int, level: Int) -> PlaneIndex {
    let image = overview.image, description = image.description
    let middle = description.depth / 2
    let depths =
      overview.depth.map { [$0] } ?? (0..<description.depth).sorted { abs($0 - middle) < abs($1 - middle) }
    let times = overview.time.map { [$0] } ?? Array(0..<description.times)
    var plane = PlaneIndex(scene: scene, further: overview.further, level: level)
    (plane.time, plane.z) = (times[0], depths[0])
    let whole = Region(description.scenes[scene].levels[level].size)
    for time in times {
      for depth in depths {
        var candidate = plane
        (candidate.time, candidate.z) = (time, depth)
        let holdsPixels = overview.channels.contains { channel in
          candidate.channel = channel
          return image.hasPixels(in: whole, of: candidate)
        }
        if holdsPixels {
          candidate.channel = plane.channel
          return candidate
        }
      }
    }
    return plane
  }

  private func plane(of channel: Int) -> PlaneIndex {
    var plane = plane
    plane.channel = channel
    return plane
  }

  /// The most pixels of a channel that are read at once: about a square, but no narrower than what the file decodes at
  /// once, as a strip of a TIFF would have to be decoded for every part of it.
  private func readSize(of channel: Int) -> Size {
    let described = image.description.channels[channel]
    let pixels = Self.bytesPerRead / (described.layout.samples * described.pixelType.size)
    let side = Int(Double(pixels).squareRoot())
    let width = min(pixels, max(side, min(level.tile?.width ?? 0, level.size.width)))
    return Size(width: width, height: pixels / width)
  }

  /// The blocks of cells over which a channel has pixels.
  func blocks(of channel: Int) -> [Region] {
    let read = readSize(of: channel)
    func cells(_ axis: CellAxis, _ pixels: Int) -> Int {
      pixels >= axis.pixels ? axis.cells : max(1, min(axis.cells, Int(Double(pixels - 2) / axis.step)))
    }
    let width = cells(columns, read.width)
    let height = max(1, min(cells(rows, read.height), Self.mostCells / width))
    var blocks: [Region] = []
    for y in stride(from: 0, to: size.height, by: height) {
      for x in stride(from: 0, to: size.width, by: width) {
        let block = Region(x: x, y: y, width: width, height: height).intersection(Region(size))
        let means = CellMeans(columns: columns, rows: rows, cells: block, samples: 0)
        if image.hasPixels(in: means.region, of: plane(of: channel)) { blocks.append(block) }
      }
    }
    return blocks
  }

  /// The means of a channel's samples over the picture's pixels: one for a gray channel, red, green and blue else; NaN
  /// where there are no pixels.
  func means(of channel: Int, progress: () -> Void) async throws -> [[Float]] {
    let reader = OverviewReader(
      image, plane: plane(of: channel), columns: columns, rows: rows, most: readSize(of: channel))
    var planes = [[Float]](repeating: [Float](repeating: .nan, count: size.area), count: reader.samples)
    try await withThrowingTaskGroup(of: (CellMeans, OverviewReader.Buffers).self) { group in
      var free = (0..<Self.readers).map { _ in OverviewReader.Buffers() }
      func take() async throws {
        guard let (means, buffers) = try await group.next() else { return }
        for sample in planes.indices { means.write(sample: sample, to: &planes[sample], width: size.width) }
        free.append(buffers)
        progress()
      }
      for block in blocks(of: channel) {
        if free.isEmpty { try await take() }
        try Task.checkCancellation()
        let buffers = free.removeLast()
        group.addTask { (try reader.means(of: block, buffers), buffers) }
      }
      while free.count < Self.readers { try await take() }
    }
    return planes
  }
}
