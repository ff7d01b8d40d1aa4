// SPDX-License-Identifier: Apache-2.0
private import KachelEngines
import KachelImages
import KachelPixels

/// By how much scores beside the borders of tiles are wrong, where tiles see less than the network needs. It is measured on
/// a few tiles of the image: the pixels at a tile's border are compared with those of a tile that has them in its middle.
public struct MeasuredError: Codable, Sendable, Hashable, CustomStringConvertible {
  /// The largest difference between two scores of one pixel.
  public var largestDifference: Float
  /// How many pixels were compared, and how many of them have another class; of a regression, another value.
  public var pixels: Int
  public var differing: Int

  public var description: String {
    "in a sample scores at the borders of tiles differ by up to \(largestDifference), and \(differing) of \(pixels) pixels "
      + "get another result"
  }

  /// How many tiles are looked at.
  private static let samples = 3
  /// How far from a border pixels are compared.
  private static let depth = 32

  /// - Returns: `nil` where there are no two tiles side by side.
  init?(of run: PreparedRun, image: any ImageSource) throws {
    guard let scene = run.plan.grids.indices.max(by: { run.plan.grids[$0].tiles < run.plan.grids[$1].tiles }),
      let place = run.work[scene].indices.max(by: { run.work[scene][$0].count < run.work[scene][$1].count })
    else { return nil }
    let grid = run.plan.grids[scene], plane = run.layout.selection.planes(scene: scene)[place]
    let size = image.description.scenes[run.layout.selection.scenes[scene]].size
    let tiles = run.work[scene][place].filter { Int($0.column) + 1 < grid.x.count || Int($0.row) + 1 < grid.y.count }
    guard !tiles.isEmpty else { return nil }
    let shape = [1, grid.y.tile, grid.x.tile, run.mapping.channels]
    let network = try run.network.compile(inputShape: shape, threads: run.threads, streams: 1)
    let slots = try (0..<2).map { _ in
      try TileSlot(sources: run.mapping.sources.count, network: network)
    }
    (largestDifference, pixels, differing) = (0, 0, 0)
    for sample in 0..<min(Self.samples, tiles.count) {
      try Task.checkCancellation()
      let tile = tiles[(2 * sample + 1) * tiles.count / (2 * min(Self.samples, tiles.count))]
      let own = grid.region(of: tile), core = grid.core(of: tile)
      var other = own, compared = core
      if Int(tile.column) + 1 < grid.x.count {
        other.x = Self.centered(core.maxX, grid.x)
        compared = Region(x: max(core.x, core.maxX - Self.depth)..<core.maxX, y: core.y..<core.maxY)
      } else {
        other.y = Self.centered(core.maxY, grid.y)
        compared = Region(x: core.x..<core.maxX, y: max(core.y, core.maxY - Self.depth)..<core.maxY)
      }
      for (slot, seen) in zip(slots, [own, other]) {
        try slot.read(
          seen, core: compared, of: plane, mapping: run.mapping, image: image, planeSize: size,
          maps: run.measured?.maps(scene: scene, plane: place), signal: nil)
        try slot.request.run(input: slot.input, output: slot.output)
      }
      for part in slots[0].covered { compare(slots, [own, other], part.intersection(compared), run.layout) }
    }
  }

  /// Where a tile begins that has a pixel in its middle.
  private static func centered(_ pixel: Int, _ axis: AxisGrid) -> Int {
    min(axis.extended - axis.tile, max(0, (pixel - axis.tile / 2) / axis.stride * axis.stride))
  }

  private mutating func compare(_ slots: [TileSlot], _ places: [Region], _ region: Region, _ layout: ResultLayout) {
    guard !region.isEmpty else { return }
    let channels = layout.channels
    let argMax = if case .labels(let argMax, _, _) = layout.kind { argMax } else { nil as ArgMax? }
    let scores = slots.map { $0.output.bindMemory(to: Float.self) }
    for y in region.y..<region.maxY {
      for x in region.x..<region.maxX {
        let pixel = zip(scores, places).map { scores, place in
          let start = ((y - place.y) * place.width + x - place.x) * channels
          return Array(scores[start..<start + channels])
        }
        let compared = argMax?.areLogits == true ? pixel.map(ArgMax.probabilities) : pixel
        let largest = zip(compared[0], compared[1]).reduce(0) { max($0, abs($1.0 - $1.1)) }
        // The first of the largest, as for labels.
        let classes = pixel.map { scores in scores.indices.max { scores[$0] < scores[$1] } }
        largestDifference = max(largestDifference, largest)
        pixels += 1
        differing += (argMax != nil ? classes[0] != classes[1] : largest > 0) ? 1 : 0
      }
    }
  }
}

extension PlaneGrid {
  fileprivate var tiles: Int { x.count * y.count }
}
