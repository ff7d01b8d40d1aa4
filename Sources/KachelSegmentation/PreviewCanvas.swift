// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelPixels

/// Draws what a run saw and what it decided as a small picture: the image, contrast-stretched, under the colours of
/// the classes; of a regression, what came out. The pixels are summed up while the tiles pass, so that nothing is read twice.
struct PreviewCanvas {
  /// The longest side of a preview in pixels.
  static let longestSide = 4096
  /// How strongly a class colours its pixels; its outline is drawn in the colour itself.
  private static let tint: Float = 0.25
  /// The share of the darkest and of the brightest pixels that may be cut off.
  private static let cut = 0.0035

  /// One sample of one of the buffers that are added, and the colour in which it is shown.
  private struct Layer {
    let buffer: Int
    let sample: Int
    let color: SIMD3<Float>
    var sums: BlockSums
  }

  private var layers: [Layer]
  /// Whether the samples are one colour picture, whose balance stretching each by itself would change.
  private let isColor: Bool
  let region: Region
  /// The preview's pixel stands for 2^shift x 2^shift pixels.
  let shift: Int

  static func shift(for size: Size) -> Int {
    var shift = 0
    while (max(size.width, size.height) + (1 << shift) - 1) >> shift > longestSide { shift += 1 }
    return shift
  }

  /// The bytes that a canvas takes.
  static func bytes(for size: Size, mapping: InputMapping, image: ImageDescription) -> Int {
    let shift = shift(for: size)
    return MemoryLayout<Double>.size * (size.width >> shift + 1) * (size.height >> shift + 1)
      * places(mapping, image).count
  }

  init(region: Region, mapping: InputMapping, image: ImageDescription) {
    self.region = region
    let shift = Self.shift(for: region.size)
    self.shift = shift
    let places = Self.places(mapping, image)
    isColor = places.count == 3 && places.allSatisfy { $0.buffer == places[0].buffer }
    layers = places.map {
      Layer(buffer: $0.buffer, sample: $0.sample, color: $0.color, sums: BlockSums(of: region.size, shift: shift))
    }
  }

  /// A canvas for one gray channel.
  init(grayOf region: Region) {
    self.region = region
    shift = Self.shift(for: region.size)
    isColor = false
    layers = [
      Layer(buffer: 0, sample: 0, color: SIMD3(repeating: 1), sums: BlockSums(of: region.size, shift: shift))
    ]
  }

  private typealias Place = (buffer: Int, sample: Int, color: SIMD3<Float>)

  /// A colour channel shows its colours, one gray channel is white, and of several the first three have their own.
  private static func places(_ mapping: InputMapping, _ image: ImageDescription) -> [Place] {
    let channels = mapping.sources.map { image.channels[$0.channel] }
    guard let first = channels.first else { return [] }
    switch first.layout {
    case .bgr, .bgra: return (0..<3).map { (0, 2 - $0, unit($0)) }
    case .rgb, .rgba: return (0..<3).map { (0, $0, unit($0)) }
    case .gray, .grayAlpha:
      if channels.count == 1 { return [(0, 0, SIMD3(repeating: 1))] }
      return channels.prefix(3).enumerated().map { index, channel in
        let color = channel.color.map { SIMD3(Float($0.red), Float($0.green), Float($0.blue)) / 255 }
        return (index, 0, color ?? unit(index))
      }
    }
  }

  private static func unit(_ index: Int) -> SIMD3<Float> {
    var color = SIMD3<Float>()
    color[index] = 1
    return color
  }

  /// Adds the pixels that a tile decided.
  ///
  /// - Parameters:
  ///   - buffers: one for every channel that is shown; all hold the same part of the plane.
  ///   - place: that part.
  ///   - core: the pixels to add, in the plane.
  mutating func add(_ buffers: [PixelBuffer], of place: Region, core: Region) {
    for index in layers.indices {
      layers[index].sums.add(
        buffers[layers[index].buffer], sample: layers[index].sample,
        region: core.offsetBy(x: -place.x, y: -place.y), toX: core.x - region.x, y: core.y - region.y)
    }
  }

  /// Draws into a PNG.
  ///
  /// - Parameters:
  ///   - labels: a finished scene of labels, whose first plane is drawn at the level whose pixels are the preview's.
  ///   - classes: the colour of every label that is to be seen; others, as a background, leave the image as it is.
  func draw(
    to path: String, overwrite: Bool, labels: ImageWriter, scene: Int, classes: [Int: RGB]
  ) throws {
    let size = labels.levels(of: scene)[shift], plane = PlaneIndex(scene: scene, level: shift)
    let ranges = stretch()
    let writer = try PNGWriter(
      path: path, size: size, layout: .rgb, pixelType: .uint8, overwrite: overwrite)
    let colors = classes.mapValues { SIMD3(Float($0.red), Float($0.green), Float($0.blue)) }
    let strip = 64
    let decided = PixelBuffer(width: 0, height: 0, type: labels.image.pixelType)
    let rows = PixelBuffer(width: 0, height: 0, samples: 3, type: .uint8)
    for top in stride(from: 0, to: size.height, by: strip) {
      try Task.checkCancellation()
      let height = min(strip, size.height - top)
      // One row more, to see where an outline runs.
      let seen = min(height + 1, size.height - top)
      try labels.read(Region(x: 0, y: top, width: size.width, height: seen), of: plane, into: decided)
      rows.reshape(width: size.width, height: height, samples: 3, type: .uint8)
      let output = rows.values(as: UInt8.self)
      for y in 0..<height {
        for x in 0..<size.width {
          var color = intensity(x, top + y, ranges)
          let label = decided.integer(at: y * size.width + x)
          let right = x + 1 < size.width ? decided.integer(at: y * size.width + x + 1) : label
          let below = y + 1 < seen ? decided.integer(at: (y + 1) * size.width + x) : label
          if label != right || label != below {
            if let outline = colors[label] ?? colors[right] ?? colors[below] { color = outline }
          } else if let tint = colors[label] {
            color = color * (1 - Self.tint) + tint * Self.tint
          }
          let place = (y * size.width + x) * 3
          for sample in 0..<3 { output[place + sample] = UInt8(max(0, min(255, color[sample]))) }
        }
      }
      try writer.write(rows: rows)
    }
    try writer.finish()
  }

  private func stretch() -> [ClosedRange<Float>] {
    let ranges = layers.map { $0.sums.range(cutting: Self.cut) }
    guard isColor, let low = ranges.map(\.lowerBound).min(), let high = ranges.map(\.upperBound).max() else {
      return ranges
    }
    return ranges.map { _ in low...high }
  }

  /// The image's colour, 0 to 255.
  private func intensity(_ x: Int, _ y: Int, _ ranges: [ClosedRange<Float>]) -> SIMD3<Float> {
    var color = SIMD3<Float>()
    for (layer, range) in zip(layers, ranges) {
      color += Tone(range).brightness(layer.sums.mean(column: x, row: y)) * layer.color
    }
    return color * 255
  }
}
