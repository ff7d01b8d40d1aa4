// SPDX-License-Identifier: Apache-2.0
package import KachelPixels

/// A slide that OpenSlide has open.
///
/// `@unchecked Sendable`: OpenSlide's calls on a slide may be made by many threads, and it is closed when the last user has
/// let go of it.
package final class OpenSlideHandle: @unchecked Sendable {
  /// Why a call failed, in OpenSlide's words. After the first failure of any thread, all calls fail for good.
  package struct Failure: Error {
    package let reason: String
  }

  private let library: OpenSlideLibrary
  private let slide: OpenSlideLibrary.Slide

  /// `nil` where OpenSlide does not know what the file is.
  package init?(_ path: String, _ library: OpenSlideLibrary) throws(Failure) {
    guard let slide = library.open(path) else { return nil }
    (self.library, self.slide) = (library, slide)
    try check()
  }

  deinit { library.close(slide) }

  private func check() throws(Failure) {
    if let text = library.error(slide) { throw Failure(reason: String(cString: text)) }
  }

  var levelCount: Int { Int(library.levelCount(slide)) }

  /// Pixels of a level as the library states them, and for how many of level 0 one stands on either axis.
  func level(_ number: Int32) -> (width: Int64, height: Int64, downsample: Double) {
    var (width, height): (Int64, Int64) = (0, 0)
    library.levelDimensions(slide, number, &width, &height)
    return (width, height, library.levelDownsample(slide, number))
  }

  /// One of the properties that https://openslide.org/api/python/#standard-properties and the pages of the formats name.
  func property(_ name: String) -> String? {
    library.propertyValue(slide, name).map { String(cString: $0) }
  }

  func number(_ name: String) -> Double? {
    property(name).flatMap(Double.init).flatMap { $0.isFinite ? $0 : nil }
  }

  /// Reads a part of a level as 32-bit numbers, alpha in the highest byte, then red, green and blue that are multiplied
  /// by alpha.
  ///
  /// - Parameters:
  ///   - x, y: the corner in pixels of level 0.
  ///   - size: in pixels of the level.
  ///   - pixels: at least as many as the size says.
  package func read(
    x: Int, y: Int, level: Int32, size: Size, into pixels: UnsafeMutableBufferPointer<UInt32>
  ) throws(Failure) {
    precondition(size.width >= 0 && size.height >= 0 && size.area <= pixels.count, "\(size) pixels do not fit")
    guard let start = pixels.baseAddress else { return }
    library.readRegion(slide, start, Int64(x), Int64(y), level, Int64(size.width), Int64(size.height))
    try check()
  }
}
