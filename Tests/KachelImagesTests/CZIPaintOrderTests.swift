// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// Compares the search with one that looks at every sub-block.
@Suite struct CZIPaintOrderTests {
  func fixture(_ count: Int, seed: Int, using random: inout SeededRandom) -> CZIFixture {
    var blocks: [CZIFixture.SubBlock] = []
    for _ in 0..<count {
      let region = Region(
        x: Int.random(in: -500...500, using: &random), y: Int.random(in: -500...500, using: &random),
        width: Int.random(in: 1...60, using: &random),
        height: Int.random(in: 1...60, using: &random))
      var block = CZIFixture.SubBlock(region, ["Z": Int32(Int.random(in: 0...2, using: &random))], pixels: [])
      if Int.random(in: 0...3, using: &random) > 0 {
        block.dimensions.append(.init("M", Int32(Int.random(in: -2...9, using: &random))))
      }
      if seed > 0, Int.random(in: 0...9, using: &random) > 0 {
        block.dimensions.append(.init("S", Int32(Int.random(in: 0...seed, using: &random))))
      }
      blocks.append(block)
    }
    return CZIFixture(blocks)
  }

  @Test(arguments: [(1, 0), (31, 0), (33, 1), (700, 0), (700, 5), (4500, 0)])
  func sameAsSearchingAll(_ count: Int, _ scenes: Int) throws {
    let folder = try ScratchFolder()
    var random = SeededRandom(seed: UInt64(count * 10 + scenes))
    let path = try folder.write(fixture(count, seed: scenes, using: &random).bytes, to: "test.czi")
    let directory = try CZICompositor(at: path).directory
    let order = CZIPaintOrder(directory.subBlocks)
    for _ in 0..<200 {
      let region = Region(
        x: Int.random(in: -600...600, using: &random), y: Int.random(in: -600...600, using: &random),
        width: Int.random(in: 0...200, using: &random),
        height: Int.random(in: 0...200, using: &random))
      let plane = Int.random(in: 0...2, using: &random)
      for scene in [nil, 0, 3] as [Int32?] {
        let expected = directory.subBlocks.indices.filter {
          let block = directory.subBlocks[$0]
          return block.plane == plane && block.region.intersects(region)
            && (scene == nil || block.scene == scene || block.scene == CZISubBlock.missing)
        }.sorted {
          let (left, right) = (directory.subBlocks[$0], directory.subBlocks[$1])
          return (left.scene, left.tile, Int32($0)) < (right.scene, right.tile, Int32($1))
        }
        let found = order.subBlocks(in: region, plane: plane, scene: scene, of: directory.subBlocks)
        #expect(found.map(Int.init) == expected)
        #expect(
          order.isCovered(region, plane: plane, scene: scene, of: directory.subBlocks) == !expected.isEmpty)
      }
    }
  }

  @Test func aHundredThousandTiles() throws {
    let blocks = (0..<100_000).map { (index: Int) -> CZISubBlock in
      var block = CZISubBlock(position: 0, pixelType: 0, compression: 0)
      (block.x, block.y) = (Int32(index % 400 * 90), Int32(index / 400 * 90))
      (block.width, block.height, block.storedWidth, block.storedHeight) = (100, 100, 100, 100)
      (block.plane, block.scene, block.tile) = (0, 0, Int32(index))
      return block
    }
    let order = CZIPaintOrder(blocks)
    let found = order.subBlocks(
      in: Region(x: 9005, y: 9005, width: 80, height: 80), plane: 0, scene: nil, of: blocks)
    #expect(found == [39699, 39700, 40099, 40100])
    let clock = ContinuousClock()
    let time = clock.measure {
      for index in 0..<100 {
        let region = Region(x: index * 300, y: index * 200, width: 512, height: 512)
        #expect(!order.subBlocks(in: region, plane: 0, scene: 0, of: blocks).isEmpty)
      }
    }
    // Looking at all tiles takes 100 times as long; the bound leaves room for slow machines without optimisation.
    #expect(time < .seconds(2))
  }
}
