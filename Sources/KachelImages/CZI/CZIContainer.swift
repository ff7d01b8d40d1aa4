// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelPixels

/// A CZI that is being written.
///
/// Tiles wait, encoded, in a spool; the file is written at the end from its start, scene by scene, so that its bytes
/// depend on the pixels and not on the order in which they came. Tiles of zeros are left out, but for two corners of
/// every plane: these make every plane exist and every scene as large as it is.
final class CZIContainer: ImageContainer {
  private static let tile = Size(width: 1024, height: 1024)
  /// Resolutions that are narrower are left out. A pixel of a pyramid stands for 2^n x 2^n whole pixels, and those at
  /// the right and the bottom that are too few for one have none, which must be a small part of the image.
  private static let narrowest = 32

  private let image: OutputImage
  private let output: PendingOutput
  private let pixelType: CZIPixelType
  private let boxes: [Region]
  private let spool: TileSpool
  private let codec: CZITileCodec
  /// The tiles of every scene and resolution.
  private var tiles: [[SpooledTiles]]
  private var finished: [Int: (pyramid: ScenePyramid, attributes: [String: String])] = [:]
  /// Encoded tiles of zeros.
  private var zeros: [Size: [UInt8]] = [:]

  init(_ image: OutputImage, output: PendingOutput) throws(ImageError) {
    self.image = image
    self.output = output
    pixelType = try Self.pixelType(of: image, in: output.path)
    boxes = try CZIScenePlaces.places(of: image.scenes, in: output.path)
    spool = try TileSpool(for: output)
    codec = CZITileCodec(file: output.path)
    tiles = image.scenes.map { _ in [] }
  }

  /// The types that libCZI reads.
  private static func pixelType(of image: OutputImage, in file: String) throws(ImageError) -> CZIPixelType {
    switch (image.layout, image.pixelType) {
    case (.gray, .uint8): return .gray8
    case (.gray, .uint16): return .gray16
    case (.gray, .float32): return .gray32Float
    case (.bgr, .uint8): return .bgr24
    case (.bgr, .uint16): return .bgr48
    case (.gray, let type):
      if case .labels = image.content {
        throw ImageError(
          .unsupported, file: file, "a CZI holds labels of 8 or 16 bits, up to 65535, not \(type); \(remedy)")
      }
      throw ImageError(
        .unsupported, file: file,
        "a CZI holds gray values of the types uint8, uint16 and float32, not \(type); \(remedy)")
    case (.grayAlpha, _), (.bgra, _), (.rgba, _):
      throw ImageError(.unsupported, file: file, "a CZI holds no transparency (alpha); \(remedy)")
    case (.bgr, let type), (.rgb, let type):
      throw ImageError(.unsupported, file: file, "a CZI holds colours of 8 or 16 bits, not \(type); \(remedy)")
    }
  }

  private static let remedy = "write an OME-Zarr or OME-TIFF"

  func levelCount(of scene: Int) -> Int? {
    let size = image.scenes[scene].size
    return 1
      + (1..<ScenePyramid.sizes(of: size, count: nil).count).prefix {
        min(size.width, size.height) >> $0 >= Self.narrowest
      }.count
  }

  func level(_ level: Int, of scene: Int, size: Size, cacheBytes: Int) throws(ImageError) -> TiledPlanes {
    let store = SpooledTiles(in: spool, codec: codec)
    tiles[scene].append(store)
    return TiledPlanes(
      .init(
        planes: image.planes, size: size, tile: Self.tile, samples: image.layout.samples, type: image.pixelType,
        edge: .cropped), store: store, cacheBytes: cacheBytes)
  }

  func finish(scene: Int, _ pyramid: ScenePyramid, attributes: [String: any Encodable & Sendable]) throws {
    finished[scene] = (pyramid, try attributes.mapValues { try CZIMetadataWriter.json(of: $0) })
  }

  func finish() throws {
    let file = try CZIFileWriter(output)
    var mosaicTiles = 0
    for scene in image.scenes.indices { mosaicTiles = max(mosaicTiles, try write(scene: scene, to: file)) }
    let metadata = CZIMetadataWriter(
      image: image, pixelType: pixelType, boxes: boxes, levels: tiles.map(\.count), tiles: mosaicTiles,
      attributes: image.scenes.indices.map { finished[$0]?.attributes ?? [:] })
    try file.finish(metadata: try metadata.document())
  }

  /// Writes the planes of a scene in C order of time, channel and z: the full resolution, then the smaller ones.
  ///
  /// - Returns: the number of its mosaic tiles.
  private func write(scene: Int, to file: CZIFileWriter) throws -> Int {
    guard let levels = finished[scene]?.pyramid.levels.prefix(tiles[scene].count) else {
      throw ImageError(.cannotWrite, file: output.path, "scene \(image.scenes[scene].index) was not finished")
    }
    let full = levels[0]
    // A tile's number is the same in all planes.
    let numbers = numbers(of: full)
    for plane in 0..<image.planes {
      var written = mosaicTiles(of: plane, full)
      for (level, pixels) in levels.enumerated() {
        if level > 0 {
          // All above that is written, so that a plane's resolutions cover the same.
          let above = levels[level - 1]
          written = Set(
            written.flatMap { pixels.tiles(of: plane, in: ScenePyramid.halved(above.region(of: $0))) }
          ).sorted()
        }
        for index in written {
          try Task.checkCancellation()
          let number = level == 0 ? numbers[index.inFirstPlane] : nil
          try write(index, of: scene, level: level, pixels, number: number, to: file)
        }
      }
    }
    return numbers.count
  }

  /// Numbers the tiles that any plane has at full resolution, in reading order.
  private func numbers(of full: TiledPlanes) -> [TileIndex: Int] {
    var mosaic: Set<TileIndex> = []
    for plane in 0..<image.planes {
      for tile in mosaicTiles(of: plane, full) { mosaic.insert(tile.inFirstPlane) }
    }
    return Dictionary(uniqueKeysWithValues: mosaic.sorted().enumerated().map { ($1, $0) })
  }

  /// The tiles of a plane at full resolution that are written, in reading order.
  private func mosaicTiles(of plane: Int, _ full: TiledPlanes) -> [TileIndex] {
    let grid = full.grid
    let corners = [
      TileIndex(plane: plane, row: 0, column: 0),
      TileIndex(plane: plane, row: grid.height - 1, column: grid.width - 1),
    ]
    return Set(full.storedTiles(of: plane) + corners).sorted()
  }

  private func write(
    _ index: TileIndex, of scene: Int, level: Int, _ pixels: TiledPlanes, number: Int?, to file: CZIFileWriter
  ) throws(ImageError) {
    let place = pixels.region(of: index), size = image.scenes[scene].size
    let whole = place.intersection(Region(x: 0, y: 0, width: size.width >> level, height: size.height >> level))
    guard !whole.isEmpty else { return }
    let payload: [UInt8]
    if !pixels.isStored(index) {
      payload = zeroTile(whole.size)
    } else if whole == place, let encoded = try tiles[scene][level].encoded(index) {
      payload = encoded
    } else {
      let cropped = PixelBuffer(width: 0, height: 0, type: image.pixelType)
      try pixels.read(whole, of: index.plane, into: cropped)
      payload = codec.encode(cropped)
    }
    let region = Region(
      x: whole.x << level, y: whole.y << level, width: whole.width << level, height: whole.height << level)
    try file.write(
      .init(
        pixelType: pixelType, region: region.offsetBy(x: boxes[scene].x, y: boxes[scene].y), stored: whole.size,
        positions: positions(of: index.plane, scene: scene, number: number)), payload)
  }

  private func zeroTile(_ size: Size) -> [UInt8] {
    if let known = zeros[size] { return known }
    let pixels = PixelBuffer(
      width: size.width, height: size.height, samples: image.layout.samples, type: image.pixelType)
    pixels.fill(byte: 0)
    let payload = codec.encode(pixels)
    zeros[size] = payload
    return payload
  }

  /// In the order in which ZEN has them. Scenes are numbered from 0, as ZEN numbers those of a part of an image.
  private func positions(of plane: Int, scene: Int, number: Int?) -> [(name: Character, position: Int)] {
    let depths = image.depths.count, channels = image.channels.count
    var positions: [(name: Character, position: Int)] = []
    if image.axes.contains("z") || depths > 1 { positions.append(("Z", plane % depths)) }
    positions.append(("C", plane / depths % channels))
    if image.axes.contains("t") || image.times.count > 1 { positions.append(("T", plane / depths / channels)) }
    positions.append(("S", scene))
    if let number { positions.append(("M", number)) }
    return positions
  }
}

extension TileIndex {
  fileprivate var inFirstPlane: TileIndex { TileIndex(plane: 0, row: row, column: column) }
}
