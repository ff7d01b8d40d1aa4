// SPDX-License-Identifier: Apache-2.0
import KachelPixels
private import Synchronization

/// The one plane of a file that can be read from its start only: the first read decodes all of it and keeps it.
final class WholeImage: Sendable {
  let size: Size
  let layout: SampleLayout
  let type: PixelType
  private let path: String
  /// What the file is called in errors, as in `PNG`.
  private let format: String
  private let decode: @Sendable () throws(ImageError) -> [UInt8]
  private let decoded = Mutex<[UInt8]?>(nil)

  /// - Parameter decode: gives tight rows of interleaved samples, as many bytes as the size says.
  init(
    path: String, format: String, size: Size, layout: SampleLayout, type: PixelType,
    decode: @escaping @Sendable () throws(ImageError) -> [UInt8]
  ) {
    self.path = path
    self.format = format
    self.size = size
    self.layout = layout
    self.type = type
    self.decode = decode
  }

  var cacheBytes: Int { size.area * layout.samples * type.size }

  func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws(ImageError) {
    guard plane == PlaneIndex() else {
      throw ImageError(.outOfRange, file: path, "there is no plane at \(plane); a \(format) file has one plane")
    }
    try region.checkReadable(bytesPerPixel: layout.samples * type.size, file: path)
    let image = try pixelsOfAll()
    pixels.reshape(width: region.width, height: region.height, samples: layout.samples, type: type)
    pixels.fill(byte: 0)
    let part = region.intersection(Region(size))
    guard !part.isEmpty else { return }
    let (target, bytesPerPixel) = (pixels.bytes, pixels.bytesPerPixel)
    image.withUnsafeBytes { source in
      let rowBytes = part.width * bytesPerPixel
      for y in part.y..<part.maxY {
        let start = (y * size.width + part.x) * bytesPerPixel
        let place = (y - region.y) * pixels.bytesPerRow + (part.x - region.x) * bytesPerPixel
        UnsafeMutableRawBufferPointer(rebasing: target[place..<place + rowBytes])
          .copyMemory(from: .init(rebasing: source[start..<start + rowBytes]))
      }
    }
  }

  func hasPixels(in region: Region, of plane: PlaneIndex) -> Bool {
    plane == PlaneIndex() && region.isBounded && region.intersects(Region(size))
  }

  func coveredRegions(in region: Region, of plane: PlaneIndex) -> [Region] {
    hasPixels(in: region, of: plane) ? [region.intersection(Region(size))] : []
  }

  private func pixelsOfAll() throws(ImageError) -> [UInt8] {
    var failure: ImageError?
    let bytes = decoded.withLock { kept -> [UInt8] in
      if let kept { return kept }
      do throws(ImageError) {
        let bytes = try decode()
        kept = bytes
        return bytes
      } catch {
        failure = error
        return []
      }
    }
    if let failure { throw failure }
    return bytes
  }
}
