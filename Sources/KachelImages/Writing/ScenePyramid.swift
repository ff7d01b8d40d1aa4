// SPDX-License-Identifier: Apache-2.0
import KachelPixels

/// The pixels of a scene that is being written, at all resolutions: each half as wide and high as the one before.
final class ScenePyramid {
  /// The pyramid ends with the first level that is no longer than this.
  static let smallestSide = 512

  /// The full resolution first; complete after ``finish()``.
  private(set) var levels: [TiledPlanes]
  let sizes: [Size]
  private let isLabels: Bool
  private let makeLevel: (Int, Size) throws(ImageError) -> TiledPlanes

  /// - Parameters:
  ///   - isLabels: whether pixels are labels, which are downsampled by their mode and never averaged.
  ///   - makeLevel: makes the tiles of a level of that number and size.
  init(
    sizes: [Size], isLabels: Bool, makeLevel: @escaping (Int, Size) throws(ImageError) -> TiledPlanes
  ) throws(ImageError) {
    self.sizes = sizes
    self.isLabels = isLabels
    self.makeLevel = makeLevel
    levels = [try makeLevel(0, sizes[0])]
  }

  /// One resolution.
  struct Step: Hashable {
    var size: Size
    /// Whether the file holds it; if not, it only leads to smaller ones or is read back.
    var isHeld: Bool
  }

  /// The resolutions that lead to all of the given sizes, which the file holds, each half of the one before: rounded up
  /// as elsewhere here, or down as other programs do.
  ///
  /// - Parameter sizes: the full resolution first.
  /// - Returns: `nil` where halving does not lead there.
  static func steps(through sizes: [Size]) -> [Step]? {
    var steps: [Step] = []
    for size in sizes {
      guard let start = steps.last?.size else {
        steps.append(Step(size: size, isHeld: true))
        continue
      }
      guard size.width > 0, size.height > 0 else { return nil }
      let halvings = (1...31).first { shift in
        [false, true].contains { side(start.width, shift, isUp: $0) == size.width }
          && [false, true].contains { side(start.height, shift, isUp: $0) == size.height }
      }
      guard let halvings else { return nil }
      let isWidthUp = side(start.width, halvings, isUp: true) == size.width
      let isHeightUp = side(start.height, halvings, isUp: true) == size.height
      for shift in 1...halvings {
        let half = Size(
          width: side(start.width, shift, isUp: isWidthUp), height: side(start.height, shift, isUp: isHeightUp))
        steps.append(Step(size: half, isHeld: shift == halvings))
      }
    }
    return steps
  }

  /// A side after so many halvings.
  private static func side(_ side: Int, _ halvings: Int, isUp: Bool) -> Int {
    (side + (isUp ? 1 << halvings - 1 : 0)) >> halvings
  }

  /// The sizes of the levels of an image; so many as are wanted, or until the last is small.
  static func sizes(of size: Size, count: Int?) -> [Size] {
    var sizes = [size]
    while let last = sizes.last, count.map({ sizes.count < $0 }) ?? (max(last.width, last.height) > smallestSide) {
      sizes.append(Size(width: (last.width + 1) / 2, height: (last.height + 1) / 2))
    }
    return sizes
  }

  /// Completes the full resolution and makes the smaller ones, tile by tile.
  ///
  /// - Throws: ``ImageError``; `CancellationError` soon after the task was cancelled.
  func finish() throws {
    try levels[0].finish()
    for index in sizes.indices.dropFirst() {
      let next = try makeLevel(index, sizes[index])
      try halve(levels[index - 1], into: next)
      try next.finish()
      levels.append(next)
    }
  }

  /// The pixels of the next level that stand for any of a region.
  static func halved(_ region: Region) -> Region {
    Region(x: region.x / 2..<(region.maxX + 1) / 2, y: region.y / 2..<(region.maxY + 1) / 2)
  }

  private func halve(_ level: TiledPlanes, into next: TiledPlanes) throws {
    let source = PixelBuffer(width: 0, height: 0, type: level.shape.type)
    let target = PixelBuffer(width: 0, height: 0, type: level.shape.type)
    for plane in level.storedPlanes {
      // The tiles of the next level above which this level holds anything, each once.
      var done: Set<TileIndex> = []
      for stored in level.storedTiles(of: plane) {
        let below = Self.halved(level.region(of: stored)).intersection(Region(next.size))
        for tile in next.tiles(of: plane, in: below) where done.insert(tile).inserted {
          try Task.checkCancellation()
          let region = next.region(of: tile)
          let above = Region(x: region.x * 2, y: region.y * 2, width: region.width * 2, height: region.height * 2)
          try level.read(above.intersection(Region(level.size)), of: plane, into: source)
          if isLabels { Downsample.mode(source, into: target) } else { Downsample.mean(source, into: target) }
          try next.write(target, at: region, of: plane)
        }
      }
    }
  }
}
