// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import KachelSegmentation

@Suite struct AxisGridTests {
  /// The contract of facts about exact tiling, over all small cases.
  @Test(arguments: [1, 2, 3, 8], [0, 1, 2, 5, 8])
  func coresCoverTheAxisOnceAndSeeTheirHalo(stride: Int, halo: Int) throws {
    var accepted = 0
    for tile in 1...40 {
      for length in 1...100 {
        guard let grid = AxisGrid(length: length, tile: tile, halo: halo, stride: stride) else {
          // Refused only where there is truly no room.
          let rounded = AxisGrid.roundUp(halo, to: stride)
          #expect(length > tile && (tile - 2 * rounded) / stride * stride <= 0)
          continue
        }
        accepted += 1
        var next = 0
        for index in 0..<grid.count {
          let core = grid.core(index), origin = grid.origin(index)
          #expect(core.lowerBound == next && core.upperBound > core.lowerBound)
          next = core.upperBound
          #expect(origin % stride == 0 && origin >= 0 && origin + tile <= grid.extended)
          #expect(core.lowerBound == 0 ? origin == 0 : core.lowerBound - origin >= halo)
          #expect(core.upperBound == length || origin + tile - core.upperBound >= halo)
          for pixel in core { #expect(grid.indices(deciding: pixel..<pixel + 1) == index..<index + 1) }
        }
        #expect(next == length)
        #expect(grid.indices(deciding: 0..<length) == 0..<grid.count)
        #expect(grid.origin(grid.count - 1) + tile == grid.extended)
        #expect(grid.extended >= length)
        if length > tile { #expect(grid.extended - length < stride) }
      }
    }
    #expect(accepted > 100)
  }

  @Test func aHugeAxisCostsNothing() throws {
    let grid = try #require(AxisGrid(length: 1 << 31, tile: 1024, halo: 64, stride: 8))
    #expect(grid.indices(deciding: (1 << 31) - 1..<1 << 31) == grid.count - 1..<grid.count)
  }
}
