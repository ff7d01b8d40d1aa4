// SPDX-License-Identifier: Apache-2.0
private import Foundation
import KachelBytes
import KachelPixels

/// A PNG file that is being written: one plane of 8 or 16 bits.
///
/// PNG is written from top to bottom, so the pixels wait in a spool of strips until all have come.
final class PNGContainer: ImageContainer {
  private static let stripBytes = 8 << 20

  private let image: OutputImage
  private let output: PendingOutput
  private let spool: TileSpool
  private let strip: Size

  /// - Throws: `unsupported` where a PNG cannot hold the image.
  init(_ image: OutputImage, at output: PendingOutput) throws(ImageError) {
    self.image = image
    self.output = output
    guard image.scenes.count == 1, image.planes == 1 else {
      let counts = [
        (image.scenes.count, "scenes"), (image.times.count, "time points"), (image.channels.count, "channels"),
        (image.depths.count, "z planes"),
      ].filter { $0.0 > 1 }.map { "\($0.0) \($0.1)" }
      throw ImageError(
        .unsupported, file: output.path,
        "PNG holds one plane, not \(counts.joined(separator: ", ")); choose one, or write another format")
    }
    let size = image.scenes[0].size
    _ = try PNGWriter.colorType(image.layout, image.pixelType, size, file: output.path)
    spool = try TileSpool(for: output)
    let rowBytes = size.width * image.layout.samples * image.pixelType.size
    strip = Size(width: size.width, height: max(1, min(size.height, Self.stripBytes / rowBytes)))
  }

  func levelCount(of scene: Int) -> Int? { 1 }

  func level(_ level: Int, of scene: Int, size: Size, cacheBytes: Int) -> TiledPlanes {
    TiledPlanes(
      .init(
        planes: 1, size: size, tile: strip, samples: image.layout.samples, type: image.pixelType, edge: .cropped),
      store: SpooledTiles(in: spool, codec: ZstandardTiles(file: output.path)), cacheBytes: cacheBytes)
  }

  func finish(scene: Int, _ pyramid: ScenePyramid, attributes: [String: any Encodable & Sendable]) throws {
    let planes = pyramid.levels[0]
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let texts = try attributes.sorted { $0.key < $1.key }.map { name, value in
      (keyword: name, text: String(decoding: try encoder.encode(value), as: UTF8.self))
    }
    let writer = try PNGWriter(
      output, size: planes.size, layout: image.layout, pixelType: image.pixelType, isCommitting: false, texts: texts,
      pixelSize: image.pixelSize)
    let rows = PixelBuffer(width: 0, height: 0, type: image.pixelType)
    for row in 0..<planes.grid.height {
      try Task.checkCancellation()
      try planes.read(planes.region(of: TileIndex(plane: 0, row: row, column: 0)), of: 0, into: rows)
      try writer.write(rows: rows)
    }
    try writer.finish()
  }

  func finish() {}
}
