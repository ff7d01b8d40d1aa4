// SPDX-License-Identifier: Apache-2.0
private import Foundation
private import KachelBytes
public import KachelImages
private import KachelPixels

/// An image whose pixels are to be copied into a file of another format, of any size, in bounded memory.
///
/// ```swift
/// let image = try Image(at: "slide.czi")
/// try await ImageConversion(of: image).write(to: "slide.ome.zarr")
/// ```
public struct ImageConversion: Sendable {
  public let image: any ImageSource
  public let selection: PlaneSelection
  /// Indices into ``ImageDescription/channels``.
  public let channels: [Int]
  private let options: ImageConversionOptions

  /// - Throws: ``SegmentationError`` where the image has not what is chosen.
  public init(
    of image: any ImageSource, options: ImageConversionOptions = ImageConversionOptions()
  ) throws(SegmentationError) {
    self.image = image
    self.options = options
    selection = try PlaneSelection(of: image.description, at: image.path, options.planes)
    channels = try image.description.channels(named: options.channels, at: image.path)
  }

  /// Copies the pixels. The output appears under its name only when it is complete.
  ///
  /// - Parameters:
  ///   - path: its extension says the format, see ``OutputFormat/init(path:)``.
  ///   - progress: called after every block of pixels.
  /// - Throws: ``SegmentationError``, ``ImageError`` (also where the format cannot hold the image), ``BytesError``,
  ///   `CancellationError`.
  public func write(
    to path: String, overwrite: Bool = false,
    progress: @escaping @Sendable (SegmentationProgress.Tiles) -> Void = { _ in }
  ) async throws {
    try NamedOutput.checkNames([path], inputs: [image.path])
    try NamedOutput.check(options.omeZarr, for: [path])
    let target = try NamedOutput(path, omeZarr: options.omeZarr, overwrite: overwrite)
    let sink = try ConversionSink(layout, target, cacheBytes: options.memory.bytes / 8)
    var grids: [BlockGrid] = []
    for (scene, region) in selection.regions.enumerated() {
      grids.append(BlockGrid(size: region.size, block: try await sink.block(of: scene)))
    }
    var done = SegmentationProgress.Tiles(
      done: 0, total: grids.reduce(0) { $0 + $1.count } * planes(of: 0).count, pixels: 0)
    let readers = (0..<2).map { Stage(name: "kachel-read-\($0)") }
    var free = readers.flatMap { reader in
      (0..<2).map { _ in Lane(reader: reader, pixels: PixelBuffer(width: 0, height: 0, type: .uint8)) }
    }
    for scene in selection.scenes.indices {
      try await withThrowingTaskGroup(of: (Lane, Int).self) { group in
        for (source, target) in planes(of: scene) {
          for index in 0..<grids[scene].count {
            let block = grids[scene][index]
            if free.isEmpty, let (lane, pixels) = try await group.next() {
              free.append(lane)
              done.done += 1
              done.pixels += pixels
              progress(done)
            }
            try Task.checkCancellation()
            let lane = free.removeFirst()
            let place = block.offsetBy(x: selection.regions[scene].x, y: selection.regions[scene].y)
            group.addTask { [image] in
              let isRead = try await lane.reader.read {
                guard image.hasPixels(in: place, of: source) else { return false }
                try image.read(place, of: source, into: lane.pixels)
                return true
              }
              if isRead { try await sink.take(lane.pixels, at: block, of: target) }
              return (lane, block.area)
            }
          }
        }
        for try await (lane, pixels) in group {
          free.append(lane)
          done.done += 1
          done.pixels += pixels
          progress(done)
        }
      }
      try await sink.finish(scene: scene)
    }
    try await sink.finish()
    try Task.checkCancellation()
    try target.pending.commit()
  }

  /// The blocks of a plane, in reading order.
  private struct BlockGrid {
    let size: Size
    let block: Size
    private var columns: Int { (size.width + block.width - 1) / block.width }
    var count: Int { columns * ((size.height + block.height - 1) / block.height) }

    subscript(index: Int) -> Region {
      Region(
        x: index % columns * block.width, y: index / columns * block.height, width: block.width, height: block.height
      ).intersection(Region(size))
    }
  }

  /// A reader and a buffer that it fills.
  private struct Lane: Sendable {
    let reader: Stage
    let pixels: PixelBuffer
  }

  /// The planes of a scene: where they are in the image, and where in the output.
  private func planes(of scene: Int) -> [(source: PlaneIndex, target: PlaneIndex)] {
    selection.times.enumerated().flatMap { time, sourceTime in
      channels.enumerated().flatMap { channel, sourceChannel in
        selection.depths.enumerated().map { z, sourceZ in
          (
            PlaneIndex(
              scene: selection.scenes[scene], channel: sourceChannel, z: sourceZ, time: sourceTime,
              further: selection.further),
            PlaneIndex(scene: scene, channel: channel, z: z, time: time)
          )
        }
      }
    }
  }

  private var layout: OutputImage {
    let description = image.description
    let interval = Self.step(
      selection.times.compactMap { time in
        description.timeStamps.indices.contains(time) ? description.timeStamps[time] : nil
      })
    return selection.output(
      of: description, name: SegmentationBatch.names(of: [image.path])[0],
      content: (description.labels ?? (options.isLabels ? [] : nil)).map { .labels($0) } ?? .intensities,
      channels: channels.map { index in
        let channel = description.channels[index], most = channel.pixelType.integerMaximum
        return .init(
          name: channel.name, color: channel.color, pixelType: channel.pixelType, layout: channel.layout,
          range: most.flatMap { most in
            channel.display.flatMap { $0.low <= $0.high ? $0.low * most...$0.high * most : nil }
          })
      }, interval: interval)
  }

  /// The one distance of neighbouring numbers, as far as measured times can have one.
  private static func step(_ values: [Double]) -> Double? {
    guard let first = values.first, let last = values.last, values.count > 1, last > first else { return nil }
    let mean = (last - first) / Double(values.count - 1)
    return zip(values, values.dropFirst()).allSatisfy { abs($1 - $0 - mean) < 0.1 * mean } ? mean : nil
  }
}

/// What to copy of an image. The defaults are all of it.
public struct ImageConversionOptions: Sendable {
  public var planes = PlaneChoice()
  /// The channels to copy, in this order, by name or by index.
  public var channels: [String]?
  /// Whether the pixels are labels, whose smaller resolutions are made without averaging; those of an image that says so
  /// of itself are in any case.
  public var isLabels = false
  /// How an OME-Zarr is stored.
  public var omeZarr = OMEZarrOptions()
  /// The memory that the conversion may take, in bytes.
  public var memory: MemoryLimit = .halfOfFree

  public init() {}
}

/// Writes the pixels of a conversion, on one thread.
private actor ConversionSink {
  private nonisolated let stage = Stage(name: "kachel-write")
  nonisolated var unownedExecutor: UnownedSerialExecutor { stage.unownedExecutor }

  private let writer: ImageWriter

  init(_ image: OutputImage, _ output: NamedOutput, cacheBytes: Int) throws(ImageError) {
    writer = try ImageWriter(image, to: output.pending, as: output.format, cacheBytes: cacheBytes)
  }

  func block(of scene: Int) throws -> Size { try writer.block(of: scene) }

  func take(_ pixels: PixelBuffer, at region: Region, of plane: PlaneIndex) throws {
    try writer.write(pixels, at: region, of: plane)
  }

  func finish(scene: Int) throws { try writer.finish(scene: scene) }
  func finish() throws { try writer.finish() }
}
