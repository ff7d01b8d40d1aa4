// SPDX-License-Identifier: Apache-2.0
public import KachelImages
public import KachelPixels
private import Synchronization

/// An image whose pixels are calculated, of any size, that remembers what was read.
public final class VirtualImage: ImageSource {
  public let path = "virtual"
  public let description: ImageDescription
  public let cacheBytes = 0
  /// A sample of a pixel; an integer that the channel's type holds.
  private let value: @Sendable (PlaneIndex, _ x: Int, _ y: Int, _ sample: Int) -> Int
  /// The regions of a plane that hold pixels.
  private let covered: @Sendable (PlaneIndex) -> [Region]
  private let read = Mutex<[Region]>([])

  /// - Parameter covered: all of a level if `nil`.
  public init(
    _ description: ImageDescription, covered: (@Sendable (PlaneIndex) -> [Region])? = nil,
    value: @escaping @Sendable (PlaneIndex, _ x: Int, _ y: Int, _ sample: Int) -> Int
  ) {
    self.description = description
    self.value = value
    let scenes = description.scenes
    self.covered = covered ?? { [Region(scenes[$0.scene].levels[$0.level].size)] }
  }

  /// What was read since the last time.
  public func takeReads() -> [Region] {
    read.withLock { reads in
      defer { reads = [] }
      return reads
    }
  }

  public func isCovered(_ plane: PlaneIndex, _ x: Int, _ y: Int) -> Bool {
    covered(plane).contains { $0.contains(Region(x: x, y: y, width: 1, height: 1)) }
  }

  public func sample(_ plane: PlaneIndex, _ x: Int, _ y: Int, _ sample: Int = 0) -> Int { value(plane, x, y, sample) }

  private struct Fill: SampleOperation {
    let pixels: PixelBuffer
    let region: Region
    let value: (Int, Int, Int) -> Int?

    func run<S: Sample>(_: S.Type) {
      for y in 0..<region.height {
        for x in 0..<region.width {
          for sample in 0..<pixels.samples {
            let index = (y * region.width + x) * pixels.samples + sample
            let number = value(region.x + x, region.y + y, sample) ?? 0
            switch S.pixelType {
            case .float32: pixels.values(as: Float.self)[index] = Float(number)
            case .float64: pixels.values(as: Double.self)[index] = Double(number)
            default:
              withUnsafeBytes(of: number.littleEndian) { bytes in
                let size = MemoryLayout<S>.size
                for byte in 0..<size { pixels.bytes[index * size + byte] = bytes[byte] }
              }
            }
          }
        }
      }
    }
  }

  public func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws {
    let channel = description.channels[plane.channel]
    read.withLock { $0.append(region) }
    pixels.reshape(
      width: region.width, height: region.height, samples: channel.layout.samples, type: channel.pixelType)
    pixels.type.apply(
      Fill(pixels: pixels, region: region) { x, y, sample in
        self.isCovered(plane, x, y) ? self.value(plane, x, y, sample) : nil
      })
  }

  public func hasPixels(in region: Region, of plane: PlaneIndex) -> Bool {
    covered(plane).contains { $0.intersects(region) }
  }

  public func coveredRegions(in region: Region, of plane: PlaneIndex) -> [Region] {
    covered(plane).map { $0.intersection(region) }.filter { !$0.isEmpty }
  }
}
