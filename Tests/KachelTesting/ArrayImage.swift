// SPDX-License-Identifier: Apache-2.0
public import KachelImages
public import KachelPixels

/// An image in memory: one channel, planes along time.
public struct ArrayImage: ImageSource {
  public let path: String
  public let description: ImageDescription
  public let cacheBytes = 0
  private let samples: [UInt8]
  private let covered: [Region]

  /// - Parameters:
  ///   - bytes: `times * height * width * samples` values in the machine's byte order.
  ///   - covered: the regions that hold pixels; all by default. What lies outside must be 0 in `bytes`.
  public init(
    _ bytes: [UInt8], size: Size, times: Int = 1, type: PixelType, layout: SampleLayout = .gray,
    covered: [Region]? = nil, name: String = "array"
  ) {
    precondition(bytes.count == times * size.area * layout.samples * type.size)
    path = name
    samples = bytes
    self.covered = covered ?? [Region(size)]
    description = ImageDescription(
      format: "array", scenes: [.init(index: 0, box: Region(size))],
      channels: [.init(name: "only", pixelType: type, layout: layout)], times: times, axes: times > 1 ? ["t"] : [],
      physicalSize: .init(x: 0.5, y: 0.25))
  }

  public func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws {
    let channel = description.channels[0], size = description.scenes[0].size
    pixels.reshape(
      width: region.width, height: region.height, samples: channel.layout.samples, type: channel.pixelType)
    pixels.fill(byte: 0)
    let inside = region.intersection(Region(size)), pixel = pixels.bytesPerPixel
    for y in inside.y..<inside.maxY {
      let start = ((plane.time * size.height + y) * size.width + inside.x) * pixel
      let target = (y - region.y) * pixels.bytesPerRow + (inside.x - region.x) * pixel
      for byte in 0..<inside.width * pixel { pixels.bytes[target + byte] = samples[start + byte] }
    }
  }

  public func hasPixels(in region: Region, of plane: PlaneIndex) -> Bool { covered.contains { $0.intersects(region) } }

  public func coveredRegions(in region: Region, of plane: PlaneIndex) -> [Region] {
    covered.map { $0.intersection(region) }.filter { !$0.isEmpty }
  }
}
