// SPDX-License-Identifier: Apache-2.0
private import Foundation
public import KachelImages
public import KachelPixels
private import Synchronization

/// Reads tiles of an image's first plane by many threads at once, some tiles of which are damaged.
///
/// - Parameters:
///   - tiles: what is read, each several times in an order of its own.
///   - damaged: which of the tiles cannot be read.
///   - whole: the same image without damage.
/// - Returns: what is wrong: a tile that cannot be read, has other pixels or could be read in spite of its damage.
public func problems(
  reading tiles: [Region], damaged: Set<Int>, of image: Image, like whole: Image
) throws -> [String] {
  let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
  let expected = try tiles.map { tile in
    try whole.read(tile, of: PlaneIndex(), into: pixels)
    return Array(pixels.bytes)
  }
  let problems = Mutex<Set<String>>([])
  DispatchQueue.concurrentPerform(iterations: 8) { worker in
    var random = SeededRandom(seed: UInt64(worker))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    for index in (0..<3).flatMap({ _ in tiles.indices.shuffled(using: &random) }) {
      var problem: String?
      do {
        try image.read(tiles[index], of: PlaneIndex(), into: pixels)
        if damaged.contains(index) {
          problem = "could be read"
        } else if Array(pixels.bytes) != expected[index] {
          problem = "has other pixels"
        }
      } catch {
        if !damaged.contains(index) || (error as? ImageError)?.kind != .damaged { problem = "\(error)" }
      }
      if let problem { problems.withLock { _ = $0.insert("tile \(index) at \(tiles[index]): \(problem)") } }
    }
  }
  return problems.withLock { $0.sorted() }
}
