// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelPixels

/// A pass over an image's planes that finds where they show something.
struct SignalPass {
  let image: any ImageSource
  let mapping: InputMapping
  let choice: BackgroundChoice

  /// Pixels are read in pieces of so many on either axis.
  private static let piece = 32 * BlockExtremes.side

  /// What the pass takes in memory, in bytes, for planes of these sizes.
  static func bytes(for planes: [Size], sources: Int, bytesPerPixel: Int) -> Int {
    let blocks = planes.map(BlockExtremes.blocks)
    return piece * piece * bytesPerPixel + (blocks.max() ?? 0) * (8 * sources + 2) + blocks.reduce(0, +)
  }

  /// - Parameters:
  ///   - plane: its channel does not count.
  ///   - region: where the map is needed. What is background by itself is looked for in the whole plane.
  /// - Throws: ``ImageError``, `CancellationError`.
  func map(_ plane: PlaneIndex, size: Size, region: Region) throws -> SignalMap {
    // A block needs those beside it.
    let near = BlockExtremes.side
    let wanted = Region(
      x: region.x - near, y: region.y - near, width: region.width + 2 * near, height: region.height + 2 * near)
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    var channels: [(extremes: BlockExtremes, isColor: Bool)] = []
    for source in mapping.sources {
      var place = plane
      place.channel = source.channel
      let layout = image.description.channels[source.channel].layout
      // Alpha shows nothing.
      let samples = layout.samples > 2 ? 0..<3 : 0..<1
      var extremes = BlockExtremes(of: size)
      for y in stride(from: 0, to: size.height, by: Self.piece) {
        for x in stride(from: 0, to: size.width, by: Self.piece) {
          let piece = Region(x: x, y: y, width: Self.piece, height: Self.piece).intersection(Region(size))
          guard choice == .automatic || piece.intersects(wanted), image.hasPixels(in: piece, of: place) else {
            continue
          }
          try Task.checkCancellation()
          try image.read(piece, of: place, into: pixels)
          for covered in image.coveredRegions(in: piece, of: place).map({ $0.intersection(piece) }) {
            extremes.add(
              pixels, region: covered.offsetBy(x: -piece.x, y: -piece.y), samples: samples, toX: covered.x,
              y: covered.y)
          }
        }
      }
      channels.append((extremes, samples.count == 3))
    }
    return SignalMap(channels, choice, region: region)
  }
}
