// SPDX-License-Identifier: Apache-2.0
private import Foundation
import KachelBytes
import KachelPixels

/// An OME-TIFF that is being written: tiles of 512 x 512 pixels, compressed with Deflate; smaller resolutions are SubIFDs.
///
/// Tiles wait in a ``TileSpool`` until all are there. Then the file is written from its start to its end, which makes it
/// the same whatever the order that the pixels came in, and a BigTIFF only where it needs to be one.
final class OMETIFFContainer: ImageContainer {
  /// A million pixels a side have as many; the tables of a plane's tiles are in memory while it is written.
  static let mostTiles = 1 << 22

  private struct Level {
    var shape: TiledPlanes.Shape
    var tiles: SpooledTiles
  }

  private let image: OutputImage
  private let file: String
  private let temporaryPath: String
  /// The size of a file above which it is a BigTIFF.
  private let classicBytes: Int
  private let codec: TIFFTileCodec
  private let spool: TileSpool
  private var levels: [[Level]]
  private var comments: [[(namespace: String, text: String)]]

  /// - Parameters:
  ///   - classicBytes: the size of a file above which it is a BigTIFF; by some names it is one anyway.
  ///   - mostText: the most bytes of OME-XML before anything is known of how the image was made.
  init(
    _ image: OutputImage, at output: PendingOutput, classicBytes: Int = Int(UInt32.max),
    mostText: Int = OMEXML.mostBytes / 2
  ) throws(ImageError) {
    self.image = image
    (file, temporaryPath) = (output.path, output.temporaryPath)
    self.classicBytes = [".btf", ".tf8"].contains { output.path.lowercased().hasSuffix($0) } ? 0 : classicBytes
    levels = image.scenes.map { _ in [] }
    comments = image.scenes.map { _ in [] }
    let isLabels = if case .labels = image.content { true } else { false }
    codec = TIFFTileCodec(image.pixelType, isLabels: isLabels, file: file)
    try Self.check(image, file: file, mostText: mostText)
    spool = try TileSpool(for: output)
  }

  private static func check(_ image: OutputImage, file: String, mostText: Int) throws(ImageError) {
    func refuse(_ reason: String) -> ImageError {
      ImageError(.unsupported, file: file, "\(reason); write an OME-Zarr instead")
    }
    guard OMEDocument.name(of: image.pixelType) != nil else {
      throw refuse("an OME-TIFF cannot hold pixels of the type \(image.pixelType)")
    }
    for size in image.scenes.map(\.size) {
      guard max(size.width, size.height) <= Int(Int32.max), shape(of: image, size: size).grid.area <= mostTiles else {
        throw refuse("a plane of \(size) pixels is too large for an OME-TIFF")
      }
    }
    let samples = image.channels.count * image.layout.samples
    guard samples <= OMEXML.mostChannels else { throw refuse("\(samples) channels are too many for an OME-TIFF") }
    let planes = image.scenes.count.multipliedReportingOverflow(by: image.planes)
    guard !planes.overflow, planes.partialValue <= TIFFFile.mostPages else {
      throw refuse(
        "\(image.scenes.count) x \(image.planes) planes are more than the \(TIFFFile.mostPages) of an OME-TIFF")
    }
    guard OMEDocument(image, comments: image.scenes.map { _ in [] }).text.utf8.count <= mostText else {
      throw refuse("its scenes, channels and labels are too many for an OME-TIFF")
    }
  }

  private static func shape(of image: OutputImage, size: Size) -> TiledPlanes.Shape {
    // A small image has a smaller tile; TIFF wants multiples of 16.
    let tile = Size(width: min(512, (size.width + 15) / 16 * 16), height: min(512, (size.height + 15) / 16 * 16))
    return .init(
      planes: image.planes, size: size, tile: tile, samples: image.layout.samples, type: image.pixelType, edge: .filled)
  }

  func levelCount(of scene: Int) -> Int? { nil }

  func level(_ level: Int, of scene: Int, size: Size, cacheBytes: Int) throws(ImageError) -> TiledPlanes {
    let shape = Self.shape(of: image, size: size)
    let tiles = SpooledTiles(in: spool, codec: codec)
    levels[scene].append(Level(shape: shape, tiles: tiles))
    return TiledPlanes(shape, store: tiles, cacheBytes: cacheBytes)
  }

  func finish(scene: Int, _ pyramid: ScenePyramid, attributes: [String: any Encodable & Sendable]) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    comments[scene] = try attributes.sorted { $0.key < $1.key }.map { name, value in
      (name, String(decoding: try encoder.encode(value), as: UTF8.self))
    }
  }

  func finish() throws {
    let text = OMEDocument(image, comments: comments).text
    guard text.utf8.count <= OMEXML.mostBytes else {
      throw ImageError(.unsupported, file: file, "its OME-XML has \(text.utf8.count) bytes; write an OME-Zarr instead")
    }
    // A tile that is not stored is written all the same: many programs do not read files with gaps.
    let empty = emptyTiles()
    let writer = try TIFFWriter(
      path: temporaryPath, calling: file, isBig: byteCount(text: text, empty: empty) > classicBytes)
    for (scene, levels) in levels.enumerated() {
      for plane in 0..<image.planes {
        for (index, level) in levels.enumerated() {
          try writer.begin(
            page(level, index, of: levels.count, text: scene == 0 && plane == 0 && index == 0 ? text : nil))
          let grid = level.shape.grid
          for tile in 0..<grid.area {
            try Task.checkCancellation()
            let place = TileIndex(plane: plane, row: tile / grid.width, column: tile % grid.width)
            try writer.write(tile: level.tiles.encoded(place) ?? empty[level.shape.tile] ?? [])
          }
          try writer.endPage()
        }
      }
    }
    try writer.close()
  }

  /// Encoded tiles of zeros, by their size in pixels.
  private func emptyTiles() -> [Size: [UInt8]] {
    var tiles: [Size: [UInt8]] = [:]
    for size in Set(levels.joined().map(\.shape.tile)) {
      let pixels = PixelBuffer(
        width: size.width, height: size.height, samples: image.layout.samples, type: image.pixelType)
      pixels.fill(byte: 0)
      tiles[size] = codec.encode(pixels)
    }
    return tiles
  }

  private func page(_ level: Level, _ index: Int, of levels: Int, text: String?) -> TIFFWriter.Page {
    let factor = Double(1 << index)
    return TIFFWriter.Page(
      size: level.shape.size, tile: level.shape.tile, type: image.pixelType, layout: image.layout,
      hasDifferences: codec.hasDifferences, pixelWidth: image.pixelSize.x.map { $0 * factor },
      pixelHeight: image.pixelSize.y.map { $0 * factor }, levels: index == 0 ? levels - 1 : 0, isReduced: index > 0,
      description: text)
  }

  /// The most bytes that the file has if it is no BigTIFF.
  private func byteCount(text: String, empty: [Size: [UInt8]]) -> Int {
    levels.joined().reduce(text.utf8.count) { bytes, level in
      let tiles = level.shape.grid.area * image.planes
      let gaps = (tiles - level.tiles.count) * (empty[level.shape.tile]?.count ?? 0)
      // Of every tile the table has its place and its size; all other tags of a page have less than 1024 bytes.
      return bytes + level.tiles.byteCount + gaps + tiles * 8 + image.planes * 1024
    }
  }
}
