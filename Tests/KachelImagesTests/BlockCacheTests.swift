// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelTesting
import Synchronization
import Testing

@Suite struct BlockCacheTests {
  func block(_ size: Int) -> [UInt8] { Array(repeating: UInt8(size % 256), count: size) }

  @Test func theLeastRecentlyUsedGoesFirst() throws {
    let cache = BlockCache(limit: 30)
    var decoded: [Int32] = []
    func use(_ key: Int32) throws {
      _ = try cache.block(key) { () throws(ImageError) in
        decoded.append(key)
        return block(10)
      }
    }
    for key: Int32 in [1, 2, 3, 1, 4, 1, 3, 2] { try use(key) }
    #expect(decoded == [1, 2, 3, 4, 2])
    #expect(cache.byteCount == 30)
  }

  @Test func neverMoreThanTheLimit() throws {
    let cache = BlockCache(limit: 1000)
    var random = SeededRandom(seed: 1)
    for _ in 0..<5000 {
      let key = Int32(Int.random(in: 0...99, using: &random))
      // A key has always the same size; some are larger than the cache.
      let size = Int(key) * 12
      #expect(try cache.block(key) { () throws(ImageError) in block(size) } == block(size))
      #expect(cache.byteCount <= 1000)
    }
    #expect(cache.byteCount > 0)
  }

  @Test(arguments: [0, -1]) func withoutRoom(_ limit: Int) throws {
    let cache = BlockCache(limit: limit)
    #expect(try cache.block(1) { () throws(ImageError) in block(7) } == block(7))
    #expect(cache.byteCount == 0)
  }

  @Test func failuresAreNotKept() throws {
    let cache = BlockCache(limit: 100)
    #expect(throws: ImageError.self) {
      try cache.block(1) { () throws(ImageError) in throw ImageError(.damaged, file: "x", "broken") }
    }
    #expect(try cache.block(1) { () throws(ImageError) in block(3) } == block(3))
  }

  @Test func blocksOfLargeRegionsAreNotKept() throws {
    let cache = BlockCache(limit: 100)
    #expect(cache.keepsBlock(inside: true, of: 12) && cache.keepsBlock(inside: false, of: 1000))
    #expect(!cache.keepsBlock(inside: true, of: 13))
    #expect(try cache.block(1, isKept: false) { () throws(ImageError) in block(3) } == block(3))
    #expect(cache.byteCount == 0)
    #expect(try cache.block(1) { () throws(ImageError) in block(4) } == block(4))
    // What is there is taken in any case.
    #expect(try cache.block(1, isKept: false) { () throws(ImageError) in block(5) } == block(4))
  }

  @Test func threadsThatWantTheSameBlockDecodeItOnce() async throws {
    let cache = BlockCache(limit: 1 << 20)
    let decoded = Counter()
    await withTaskGroup(of: Void.self) { group in
      for index in 0..<64 {
        group.addTask {
          _ = try? cache.block(Int32(index % 4)) { () throws(ImageError) in
            decoded.value.withLock { $0 += 1 }
            return Array(repeating: 1, count: 10_000)
          }
        }
      }
    }
    #expect(decoded.value.withLock { $0 } == 4)
  }
}

private final class Counter: Sendable { let value = Mutex(0) }
