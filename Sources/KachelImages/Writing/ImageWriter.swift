// SPDX-License-Identifier: Apache-2.0
public import KachelBytes
public import KachelPixels

/// Writes an image or label image of any size, region by region, in bounded memory, in any ``OutputFormat``.
///
/// Write the pixels of a scene, call ``finish(scene:attributes:)``, go on with the next scene, and end with ``finish()``.
/// Not for several threads at once.
public final class ImageWriter {
  public let image: OutputImage
  private let container: any ImageContainer
  private let samples: SampleStorage
  private let cacheBytes: Int
  private let readableLevels: Int
  /// What errors call the output, and where its scratch files go.
  private let name: String
  private let temporaryPath: String
  private var pyramids: [Int: ScenePyramid] = [:]
  private let scratch: PixelBuffer
  /// Where resolutions go that the file does not hold.
  private var spool: TileSpool?

  /// - Parameters:
  ///   - output: where the image goes; it is not committed here.
  ///   - cacheBytes: the memory for tiles that wait for pixels.
  ///   - readableLevels: how many resolutions of a scene can be read back at least, whatever the file holds.
  /// - Throws: `unsupported` where the format cannot hold such an image, `cannotWrite`.
  public convenience init(
    _ image: OutputImage, to output: PendingOutput, as format: OutputFormat, cacheBytes: Int = 128 << 20,
    readableLevels: Int = 1
  ) throws(ImageError) {
    try image.check(output.path)
    let samples = format.sampleStorage
    let container = try format.container(for: try image.stored(as: samples, in: output.path), at: output)
    self.init(
      image, container, samples, name: output.path, temporaryPath: output.temporaryPath, cacheBytes: cacheBytes,
      readableLevels: readableLevels)
  }

  /// Writes labels into the image that they belong to; they are committed with it.
  ///
  /// - Throws: `unsupported` where the labels do not match the image, `cannotWrite`.
  public convenience init(
    _ image: OutputImage, into labels: OMEZarrLabels, cacheBytes: Int = 128 << 20, readableLevels: Int = 1
  ) throws(ImageError) {
    try image.check(labels.paths[0])
    let container = try OMEZarrContainer(image, into: labels)
    self.init(
      image, container, .planes, name: labels.paths[0], temporaryPath: labels.temporaryPaths[0], cacheBytes: cacheBytes,
      readableLevels: readableLevels)
  }

  private init(
    _ image: OutputImage, _ container: any ImageContainer, _ samples: SampleStorage, name: String,
    temporaryPath: String, cacheBytes: Int, readableLevels: Int
  ) {
    self.image = image
    self.container = container
    self.samples = samples
    (self.name, self.temporaryPath) = (name, temporaryPath)
    self.cacheBytes = cacheBytes
    self.readableLevels = readableLevels
    scratch = PixelBuffer(width: 0, height: 0, type: image.pixelType)
  }

  /// The sizes of a scene's resolutions that can be read back, the full one first.
  public func levels(of scene: Int) -> [Size] { steps(of: scene).map(\.size) }

  private func steps(of scene: Int) -> [ScenePyramid.Step] {
    let size = image.scenes[scene].size
    var steps =
      container.steps(of: scene)
      ?? ScenePyramid.sizes(of: size, count: container.levelCount(of: scene)).map { .init(size: $0, isHeld: true) }
    while steps.count < readableLevels, let last = steps.last?.size {
      steps.append(.init(size: Size(width: (last.width + 1) / 2, height: (last.height + 1) / 2), isHeld: false))
    }
    return steps
  }

  /// The size of the blocks in which a scene is written best: regions that are one of these, from the corner on, are
  /// never held back.
  public func block(of scene: Int) throws(ImageError) -> Size { try pyramid(scene).levels[0].shape.tile }

  /// Takes pixels of a plane.
  ///
  /// - Parameters:
  ///   - pixels: of the channel's type and layout.
  ///   - region: where they go, in pixels of the scene; of the buffer's size and inside the scene. Regions may come in any
  ///     order, no pixel twice; those that do not come are 0.
  ///   - plane: positions among those of the output.
  public func write(_ pixels: PixelBuffer, at region: Region, of plane: PlaneIndex) throws(ImageError) {
    let planes = try pyramid(plane.scene).levels[0]
    switch samples {
    case .planes where image.layout.samples > 1:
      for sample in 0..<image.layout.samples {
        scratch.fill(fromSample: image.layout.colorOrder[sample], of: pixels)
        try planes.write(scratch, at: region, of: number(of: plane, sample: sample))
      }
    case .bgr where image.layout.isRGB, .rgb where image.layout.isBGR:
      scratch.fill(swappingRedAndBlueOf: pixels)
      try planes.write(scratch, at: region, of: number(of: plane))
    default: try planes.write(pixels, at: region, of: number(of: plane))
    }
  }

  private func number(of plane: PlaneIndex, sample: Int = 0) -> Int {
    guard samples == .planes else { return image.number(of: plane) }
    let count = image.layout.samples
    return (plane.time * image.channels.count * count + plane.channel * count + sample) * image.depths.count + plane.z
  }

  /// Completes a scene: makes its smaller resolutions and writes what is known only now.
  ///
  /// - Parameter attributes: what else the file tells of the scene, by name.
  /// - Throws: ``ImageError``; `CancellationError` soon after the task was cancelled.
  public func finish(scene: Int, attributes: [String: any Encodable & Sendable] = [:]) throws {
    let pyramid = try pyramid(scene)
    try pyramid.finish()
    try container.finish(scene: scene, pyramid, attributes: attributes)
  }

  /// Reads back pixels of a finished scene of gray channels.
  ///
  /// - Parameters:
  ///   - region: inside the level of the plane; see ``levels(of:)``.
  ///   - plane: its `level` counts.
  public func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws(ImageError) {
    try pyramid(plane.scene).levels[plane.level].read(region, of: number(of: plane), into: pixels)
  }

  /// Completes the file. Its output can be committed after that.
  public func finish() throws {
    pyramids = [:]
    try container.finish()
  }

  private func pyramid(_ scene: Int) throws(ImageError) -> ScenePyramid {
    if let pyramid = pyramids[scene] { return pyramid }
    let isLabels = if case .labels = image.content { true } else { false }
    let steps = steps(of: scene)
    let pyramid = try ScenePyramid(sizes: steps.map(\.size), isLabels: isLabels) {
      [unowned self] (step: Int, size: Size) throws(ImageError) -> TiledPlanes in
      guard steps[step].isHeld else { return try scratchLevel(size: size) }
      let level = steps[..<step].count { $0.isHeld }
      return try container.level(level, of: scene, size: size, cacheBytes: cacheBytes)
    }
    pyramids[scene] = pyramid
    return pyramid
  }

  private func scratchLevel(size: Size) throws(ImageError) -> TiledPlanes {
    let spool: TileSpool
    if let known = self.spool { spool = known } else { spool = try TileSpool(for: name, at: temporaryPath) }
    self.spool = spool
    let isPlanar = samples == .planes
    return TiledPlanes(
      .init(
        planes: image.planes * (isPlanar ? image.layout.samples : 1), size: size,
        tile: Size(width: 1024, height: 1024), samples: isPlanar ? 1 : image.layout.samples, type: image.pixelType,
        edge: .cropped), store: SpooledTiles(in: spool, codec: ZstandardTiles(file: name)),
      cacheBytes: cacheBytes)
  }
}

/// How a format keeps the samples of colours.
enum SampleStorage {
  /// As channels of their own: red, green, blue.
  case planes
  /// Together, red first.
  case rgb
  /// Together, blue first.
  case bgr
}

/// A file or folder of a format while it is written.
protocol ImageContainer: AnyObject {
  /// How many resolutions of a scene the file holds; `nil` for as many as make the last one small.
  func levelCount(of scene: Int) -> Int?
  /// A scene's resolutions, where their sizes are given.
  func steps(of scene: Int) -> [ScenePyramid.Step]?
  /// Makes room for one resolution of a scene. Resolutions come in order, and scenes one after the other.
  func level(_ level: Int, of scene: Int, size: Size, cacheBytes: Int) throws(ImageError) -> TiledPlanes
  /// Writes what makes the levels of a scene an image.
  func finish(scene: Int, _ pyramid: ScenePyramid, attributes: [String: any Encodable & Sendable]) throws
  /// Completes the file.
  func finish() throws
}

extension ImageContainer {
  /// Most formats hold resolutions of any size.
  func steps(of scene: Int) -> [ScenePyramid.Step]? { nil }
}

extension OutputImage {
  /// What no format could hold.
  fileprivate func check(_ file: String) throws(ImageError) {
    guard !scenes.isEmpty, let first = channels.first else {
      throw ImageError(.unsupported, file: file, "an image without scenes or channels cannot be written")
    }
    if let other = channels.first(where: { $0.pixelType != first.pixelType || $0.layout != first.layout }) {
      throw ImageError(
        .unsupported, file: file,
        "the channels \"\(first.name)\" (\(first.layout), \(first.pixelType)) and \"\(other.name)\" (\(other.layout), "
          + "\(other.pixelType)) cannot be written into one image; choose channels of one type")
    }
    if let scene = scenes.first(where: { $0.size.width < 1 || $0.size.height < 1 }) {
      throw ImageError(.unsupported, file: file, "scene \(scene.index) has no pixels")
    }
  }

  /// The image with its samples as a format keeps them.
  fileprivate func stored(as storage: SampleStorage, in file: String) throws(ImageError) -> OutputImage {
    var image = self
    switch storage {
    case .planes where layout.samples > 1:
      let names = layout == .grayAlpha ? ["", "Alpha"] : ["Red", "Green", "Blue", "Alpha"]
      let colors = [
        RGB(red: 255, green: 0, blue: 0), RGB(red: 0, green: 255, blue: 0), RGB(red: 0, green: 0, blue: 255),
      ]
      image.channels = channels.flatMap { channel in
        (0..<layout.samples).map { sample in
          var part = channel
          part.name = [channels.count > 1 ? channel.name : "", names[sample]].filter { !$0.isEmpty }
            .joined(separator: " ")
          if part.name.isEmpty { part.name = channel.name }
          part.layout = .gray
          part.color = layout == .grayAlpha || sample > 2 ? nil : colors[sample]
          return part
        }
      }
      image.axes.insert("c")
    case .rgb:
      for index in channels.indices { image.channels[index].layout = layout.rgbOrdered }
    case .bgr:
      for index in channels.indices { image.channels[index].layout = layout.bgrOrdered }
    case .planes: break
    }
    return image
  }
}

extension SampleLayout {
  var isRGB: Bool { self == .rgb || self == .rgba }
  var isBGR: Bool { self == .bgr || self == .bgra }
  /// Where red, green, blue and alpha, or gray and alpha, stand.
  package var colorOrder: [Int] { isBGR ? [2, 1, 0, 3] : [0, 1, 2, 3] }
  fileprivate var rgbOrdered: SampleLayout { self == .bgr ? .rgb : self == .bgra ? .rgba : self }
  fileprivate var bgrOrdered: SampleLayout { self == .rgb ? .bgr : self == .rgba ? .bgra : self }
}
