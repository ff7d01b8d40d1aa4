// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
public import KachelPixels

/// Writes one image or label image as an OME-Zarr 0.4 group (NGFF specification): a Zarr version 2 array per
/// resolution, each half as wide and high as the one before, and the metadata that viewers read.
///
/// Fill ``fullResolution``, then call ``finish(attributes:)``. Not for several threads at once.
public final class OMEZarrWriter {
  /// What the pixels are, which decides how they are downsampled and described.
  public enum Content: Sendable {
    /// Labels: downsampled by mode, described by `image-label`.
    case labels([LabelDescription])
    /// Intensities: downsampled by mean; one name and the range to show per channel.
    case intensities([IntensityDescription])
  }

  public let folder: String
  public let name: String
  public let content: Content
  public let axes: [OMEZarrAxis]
  /// Levels of the pyramid, the full resolution first; complete after ``finish(attributes:)``.
  public private(set) var levels: [ZarrArrayWriter]
  public var fullResolution: ZarrArrayWriter { levels[0] }
  private let cacheBytes: Int

  /// The pyramid ends with the first level that is no longer than this.
  public static let smallestSide = 512

  /// - Parameters:
  ///   - folder: created; what it already holds is neither read nor removed.
  ///   - axes: in the order t, c, z, y, x; y and x are the last two.
  ///   - cacheBytes: see ``ZarrArrayWriter``.
  public init(
    folder: String, name: String, content: Content, axes: [OMEZarrAxis], type: PixelType, cacheBytes: Int = 128 << 20
  ) throws(ImageError) {
    self.folder = folder
    self.name = name
    self.content = content
    self.axes = axes
    self.cacheBytes = cacheBytes
    try OMEZarrGroup.create(folder)
    levels = [
      try ZarrArrayWriter(folder: folder + "/0", shape: axes.map(\.count), type: type, cacheBytes: cacheBytes)
    ]
  }

  /// Writes what still waits, the smaller resolutions and the metadata.
  ///
  /// - Parameter attributes: further attributes of the group, by name.
  /// - Throws: ``ImageError``; `CancellationError` soon after the task was cancelled.
  public func finish(attributes: [String: any Encodable & Sendable]) throws {
    try fullResolution.finish()
    while let last = levels.last, max(last.size.width, last.size.height) > Self.smallestSide {
      levels.append(try halve(last))
    }
    try OMEZarrGroup.write(OMEZarrAttributes(self, further: attributes), to: folder)
  }

  private func halve(_ level: ZarrArrayWriter) throws -> ZarrArrayWriter {
    var shape = level.shape
    for axis in shape.count - 2..<shape.count { shape[axis] = (shape[axis] + 1) / 2 }
    let next = try ZarrArrayWriter(
      folder: folder + "/\(levels.count)", shape: shape, type: level.type, cacheBytes: cacheBytes)
    let source = PixelBuffer(width: 0, height: 0, type: level.type)
    let target = PixelBuffer(width: 0, height: 0, type: level.type)
    let side = ZarrArrayWriter.chunkSide
    for plane in level.storedPlanes {
      // The chunks of the next level above which this level holds anything, each once.
      var done: Set<Region> = []
      for stored in level.storedRegions(of: plane) {
        let chunk = Region(
          x: stored.x / 2 / side * side, y: stored.y / 2 / side * side, width: side, height: side
        ).intersection(Region(next.size))
        guard done.insert(chunk).inserted else { continue }
        try Task.checkCancellation()
        let above = Region(x: chunk.x * 2, y: chunk.y * 2, width: chunk.width * 2, height: chunk.height * 2)
        try level.read(above.intersection(Region(level.size)), of: plane, into: source)
        switch content {
        case .labels: Downsample.mode(source, into: target)
        case .intensities: Downsample.mean(source, into: target)
        }
        try next.write(target, at: chunk, of: plane)
      }
    }
    try next.finish()
    return next
  }
}

/// One dimension of an OME-Zarr image.
public struct OMEZarrAxis: Sendable, Hashable {
  /// `t`, `c`, `z`, `y` or `x`.
  public var name: Character
  public var count: Int
  /// The distance of neighbours at full resolution in `unit`, or 1.
  public var step: Double
  /// Where the first element lies in `unit`.
  public var origin: Double
  /// A unit of the specification's list, as in `micrometer`; `nil` where it is unknown.
  public var unit: String?

  public init(name: Character, count: Int, step: Double = 1, origin: Double = 0, unit: String? = nil) {
    self.name = name
    self.count = count
    self.step = step
    self.origin = origin
    self.unit = unit
  }
}

/// What a label value means.
public struct LabelDescription: Sendable, Hashable {
  public var value: Int
  public var name: String
  public var color: RGB

  public init(value: Int, name: String, color: RGB) {
    self.value = value
    self.name = name
    self.color = color
  }
}

/// One channel of intensities and the range of values to show.
public struct IntensityDescription: Sendable, Hashable {
  public var name: String
  public var range: ClosedRange<Double>

  public init(name: String, range: ClosedRange<Double>) {
    self.name = name
    self.range = range
  }
}

/// Groups of Zarr version 2.
public enum OMEZarrGroup {
  /// Creates a folder with an empty group.
  public static func create(_ folder: String) throws(ImageError) {
    try OutputFolder.create(folder)
    try OutputFolder.write(json: ["zarr_format": 2], to: folder + "/.zgroup")
  }

  /// Writes a group's attributes.
  public static func write(_ attributes: some Encodable, to folder: String) throws(ImageError) {
    try OutputFolder.write(json: attributes, to: folder + "/.zattrs")
  }
}
