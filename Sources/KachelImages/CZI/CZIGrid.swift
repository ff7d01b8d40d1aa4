// SPDX-License-Identifier: Apache-2.0
package import KachelPixels

/// The pixels of one resolution of a scene: which of the file's pixels each of them stands for.
package struct CZIGrid: Sendable, Hashable {
  /// Where pixel 0, 0 begins, in the file's own pixel coordinates.
  package var x: Int
  package var y: Int
  /// For how many pixels of full resolution a pixel stands on either axis.
  package var factor: Int

  package init(x: Int, y: Int, factor: Int) { (self.x, self.y, self.factor) = (x, y, factor) }

  /// The file's own coordinates at full resolution.
  package static let file = CZIGrid(x: 0, y: 0, factor: 1)

  /// Where a sub-block of this resolution stands. Tiles of a pyramid need not begin at a multiple of the factor.
  package func place(of block: CZISubBlock) -> Region {
    func rounded(_ distance: Int) -> Int {
      let shifted = distance + factor / 2
      return shifted >= 0 ? shifted / factor : -((factor - 1 - shifted) / factor)
    }
    return Region(
      x: rounded(Int(block.x) - x), y: rounded(Int(block.y) - y), width: Int(block.storedWidth),
      height: Int(block.storedHeight))
  }

  /// The file's pixels at full resolution in which the sub-blocks lie that may touch a region of the grid.
  package func fileRegion(_ region: Region) -> Region {
    // The place of a pyramid's tile is rounded, and its size is not always a multiple of the factor.
    let margin = factor == 1 || region.isEmpty ? 0 : 2
    return Region(
      x: x + (region.x - margin) * factor, y: y + (region.y - margin) * factor,
      width: (region.width + 2 * margin) * factor, height: (region.height + 2 * margin) * factor)
  }

  /// By how much a sub-block is reduced: a power of 2 or of 3, 1 at full resolution, 0 where it is neither.
  ///
  /// - Parameters:
  ///   - size: what the sub-block covers at full resolution.
  ///   - stored: how many pixels it has.
  package static func factor(size: Size, stored: Size) -> Int32 {
    if size == stored { return 1 }
    guard stored.width > 0, stored.height > 0 else { return 0 }
    /// The tolerances of libCZI up to 1024, continued.
    func isNear(_ size: Int, _ stored: Int, _ factor: Int) -> Bool {
      let tolerance = factor <= 16 ? 0.05 * Double(factor) : max(1, Double(factor) / 100)
      return abs(Double(size) / Double(stored) - Double(factor)) <= tolerance
    }
    /// Few pixels miss the tolerance by rounding alone.
    func isRounded(_ size: Int, _ stored: Int, _ factor: Int) -> Bool {
      isNear(size, stored, factor) || stored == max(1, size / factor) || stored == (size + factor - 1) / factor
    }
    let isWide = size.width >= size.height
    let (long, short) = isWide ? (size.width, size.height) : (size.height, size.width)
    let (longStored, shortStored) = isWide ? (stored.width, stored.height) : (stored.height, stored.width)
    for factor in factors where isNear(long, longStored, factor) && isRounded(short, shortStored, factor) {
      return Int32(factor)
    }
    for factor in factors where isRounded(long, longStored, factor) && isRounded(short, shortStored, factor) {
      return Int32(factor)
    }
    return 0
  }

  /// Ascending.
  private static let factors =
    ((1...16).map { 1 << $0 } + [3, 9, 27, 81, 243, 729, 2187, 6561, 19683]).sorted()
}

extension CZICompositor {
  /// The resolutions of a scene that the file holds, the full one first, each smaller than the one before.
  ///
  /// A resolution counts where it holds all but a small part of what every plane of the scene has at full resolution:
  /// a pyramid of a file that was not completely written would show holes.
  ///
  /// - Parameter excluded: factors that are left out.
  package func levels(of scene: Int32, box: Region, excluding excluded: Set<Int32>) -> [(grid: CZIGrid, size: Size)] {
    var levels = [(grid: CZIGrid(x: box.x, y: box.y, factor: 1), size: box.size)]
    for factor in factors.dropFirst() where !excluded.contains(factor) {
      let grid = CZIGrid(x: box.x, y: box.y, factor: Int(factor))
      guard let extent = extent(of: grid, scene: scene, box: box), isComplete(factor, scene: scene, box: box) else {
        continue
      }
      let last = levels[levels.count - 1].size
      guard extent.width <= last.width, extent.height <= last.height, extent != last else { continue }
      levels.append((grid, extent))
    }
    return levels
  }

  /// How far the sub-blocks of a resolution reach, at most as far as the box.
  private func extent(of grid: CZIGrid, scene: Int32, box: Region) -> Size? {
    guard let order = orders[Int32(grid.factor)] else { return nil }
    var reach: Size?
    for index in order.members(of: scene).joined() {
      let place = grid.place(of: directory.subBlocks[Int(index)])
      guard place.maxX > 0, place.maxY > 0 else { continue }
      reach = Size(width: max(reach?.width ?? 0, place.maxX), height: max(reach?.height ?? 0, place.maxY))
    }
    return reach.map {
      Size(
        width: min($0.width, (box.width + grid.factor - 1) / grid.factor),
        height: min($0.height, (box.height + grid.factor - 1) / grid.factor))
    }
  }

  private func isComplete(_ factor: Int32, scene: Int32, box: Region) -> Bool {
    guard let full = orders[1], let reduced = orders[factor] else { return false }
    return full.planes(of: scene).allSatisfy { plane in
      let wanted = full.coverage(of: box, plane: plane, scene: scene, of: directory.subBlocks)
      let found = reduced.coverage(of: box, plane: plane, scene: scene, of: directory.subBlocks)
      var cells = 0, missing = 0
      for (wanted, found) in zip(wanted, found) {
        cells += wanted.nonzeroBitCount
        missing += (wanted & ~found).nonzeroBitCount
      }
      // A plane that is too sparse for the cells counts where the resolution holds any of it.
      return cells > 0
        ? missing * 20 <= cells : reduced.isCovered(box, plane: plane, scene: scene, of: directory.subBlocks)
    }
  }
}
