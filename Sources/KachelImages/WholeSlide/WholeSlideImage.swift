// SPDX-License-Identifier: Apache-2.0
package import KachelBytes
package import KachelPixels
private import Synchronization

/// A whole slide, read by OpenSlide: red, green and blue with 8 bits, one plane, with levels.
///
/// The image is all of OpenSlide's level 0. Where a slide has no pixels inside it, it is of the slide's background colour,
/// or else white, as viewers show it. Where OpenSlide knows that pixels lie in parts only, as in the scanned areas of a
/// Leica slide, those count as covered.
///
/// Full resolution is what the file holds, bit for bit. OpenSlide is asked for places in pixels of level 0, so that a
/// pixel of a smaller level has no exact place where the level's size is not the full one's over a whole number (2221 of
/// 4443): then OpenSlide interpolates. Such levels are therefore read in squares on a fixed grid, whose pixels are at most
/// half a pixel of level 0 beside their place, and are the same in every region that holds them.
package final class WholeSlideImage: ImageSource {
  private struct Level: Sendable {
    /// Which level of OpenSlide's.
    let number: Int32
    let size: Size
    /// For how many pixels of level 0 one stands, by OpenSlide's count.
    let downsample: Double

    /// Whether each of its pixels is at a whole number of pixels of level 0.
    var isExact: Bool { downsample == downsample.rounded() }
    func place(_ position: Int) -> Int { Int((Double(position) * downsample).rounded()) }
  }

  /// The sides of the squares in which a region is read, which bounds the memory for OpenSlide's pixels.
  private static let side = 1024

  package let path: String
  package let description: ImageDescription
  /// OpenSlide keeps as much of a slide, whatever is asked for.
  package var cacheBytes: Int { 32 << 20 }
  private let library: OpenSlideLibrary
  private let levels: [Level]
  private let background: RGB
  /// The parts of level 0 that hold pixels.
  private let areas: [Region]
  /// `nil` after a failure, until the next read.
  private let handle: Mutex<OpenSlideHandle?>

  /// - Parameter library: how OpenSlide was found, or why not.
  package init(
    _ source: ByteSource, _ format: SlideFormat, _ library: Result<OpenSlideLibrary, OpenSlideLibrary.Missing>
  ) throws(ImageError) {
    path = source.path
    do throws(OpenSlideLibrary.Missing) {
      self.library = try library.get()
    } catch {
      throw ImageError(
        .missingLibrary, file: path, "is \(format.kind), which is read by OpenSlide. \(error.reason)")
    }
    // OpenSlide is written in C and believes much of what a file says.
    let tiff = format.isPlainTIFF ? try TIFFFile(source) : nil
    let handle = try Self.open(path, format, self.library)
    let isOld = self.library.version.hasPrefix("3.")
    levels = try Self.levels(of: handle, path: path) { size in
      isOld && tiff?.pages.contains { $0.size == size && $0.isBeyondOpenSlide3 } == true
    }
    let full = levels[0].size
    background =
      handle.property("openslide.background-color").flatMap(RGB.init(hex:)) ?? RGB(red: 255, green: 255, blue: 255)
    areas = Self.areas(of: handle, in: Region(full))
    let sizes = Set(levels.map(\.size))
    let compressions = tiff?.pages.filter { sizes.contains($0.size) }.map { TIFFCompression.name(of: $0.compression) }
    description = ImageDescription(
      format: format.rawValue,
      scenes: [
        .init(
          index: 0, box: Region(full),
          levels: levels.map { .init(size: $0.size, reducedFrom: full) })
      ],
      channels: [.init(name: "RGB", pixelType: .uint8, layout: .rgb)],
      physicalSize: .init(
        x: handle.number("openslide.mpp-x").flatMap { $0 > 0 ? $0 : nil },
        y: handle.number("openslide.mpp-y").flatMap { $0 > 0 ? $0 : nil }),
      compressions: Set(compressions ?? []).sorted())
    self.handle = Mutex(handle)
  }

  private static func open(
    _ path: String, _ format: SlideFormat, _ library: OpenSlideLibrary
  ) throws(ImageError) -> OpenSlideHandle {
    let handle: OpenSlideHandle?
    do throws(OpenSlideHandle.Failure) {
      handle = try OpenSlideHandle(path, library)
    } catch {
      throw ImageError(.damaged, file: path, "OpenSlide \(library.version) cannot open the slide: \(error.reason)")
    }
    guard let handle, handle.property("openslide.vendor") == format.vendor else {
      throw ImageError(
        .unsupported, file: path,
        "is \(format.kind), but OpenSlide \(library.version) does not recognise it; \(format.remedy)")
    }
    return handle
  }

  /// OpenSlide's levels, each smaller than the one before.
  ///
  /// - Parameter isUnreadable: whether OpenSlide cannot read a level of that size, though it says nothing.
  private static func levels(
    of handle: OpenSlideHandle, path: String, isUnreadable: (Size) -> Bool
  ) throws(ImageError) -> [Level] {
    var levels: [Level] = []
    for number in 0..<Int32(min(max(0, handle.levelCount), 64)) {
      let (width, height, downsample) = handle.level(number)
      guard 1...Int64(Int32.max) ~= width, 1...Int64(Int32.max) ~= height,
        1...Double(Int32.max) ~= downsample
      else {
        throw ImageError(.damaged, file: path, "level \(number) of the slide has \(width) x \(height) pixels")
      }
      let size = Size(width: Int(width), height: Int(height))
      if let last = levels.last?.size {
        guard size != last, size.width <= last.width, size.height <= last.height else { continue }
      }
      if isUnreadable(size) { continue }
      levels.append(.init(number: number, size: size, downsample: downsample))
    }
    guard levels.first?.number == 0 else {
      throw ImageError(.unsupported, file: path, "the slide holds no image that this version of OpenSlide reads")
    }
    return levels
  }

  /// The parts of level 0 outside of which there is nothing; all of it where OpenSlide does not say.
  private static func areas(of handle: OpenSlideHandle, in full: Region) -> [Region] {
    func region(_ name: String) -> Region? {
      let numbers = ["x", "y", "width", "height"].compactMap { handle.property("\(name)\($0)").flatMap { Int($0) } }
      guard numbers.count == 4 else { return nil }
      let region = Region(x: numbers[0], y: numbers[1], width: numbers[2], height: numbers[3])
      return region.isBounded ? region.intersection(full) : full
    }
    var areas: [Region] = []
    while areas.count < 4096, let area = region("openslide.region[\(areas.count)].") { areas.append(area) }
    if areas.isEmpty, let bounds = region("openslide.bounds-") { areas = [bounds] }
    areas.removeAll(where: \.isEmpty)
    return areas.isEmpty ? [full] : areas
  }

  // MARK: Reading

  private func level(of plane: PlaneIndex) -> Level? {
    guard levels.indices.contains(plane.level), plane == PlaneIndex(level: plane.level) else { return nil }
    return levels[plane.level]
  }

  package func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws {
    guard let level = level(of: plane) else {
      throw ImageError(
        .outOfRange, file: path,
        "there is no plane at \(plane), level \(plane.level); a slide has one plane, here with \(levels.count) levels")
    }
    try region.checkReadable(bytesPerPixel: 3, file: path)
    pixels.reshape(width: region.width, height: region.height, samples: 3, type: .uint8)
    pixels.fill(byte: 0)
    let part = region.intersection(Region(level.size))
    guard !part.isEmpty else { return }
    let side = Self.side
    let scratch = UnsafeMutableBufferPointer<UInt32>.allocate(
      capacity: min(side, part.maxX) * min(side, part.maxY))
    defer { scratch.deallocate() }
    for y in stride(from: part.y / side * side, to: part.maxY, by: side) {
      for x in stride(from: part.x / side * side, to: part.maxX, by: side) {
        let square = Region(x: x, y: y, width: side, height: side)
        let wanted = square.intersection(part)
        // Whatever part of a square is wanted, it is read from the same corner where the place of that decides.
        let read = level.isExact ? wanted : Region(x: x..<wanted.maxX, y: y..<wanted.maxY)
        try fill(scratch, with: read, of: level)
        let skipped = (wanted.y - read.y) * read.width + wanted.x - read.x
        pixels.put(
          premultiplied: UnsafeBufferPointer(rebasing: scratch[skipped..<read.area]), stride: read.width,
          over: background, into: wanted.offsetBy(x: -region.x, y: -region.y))
      }
    }
  }

  /// After the first failure anywhere in a slide, nothing more can be read with its handle. So a read that fails is made
  /// again with a new one, which no other thread has.
  private func fill(
    _ pixels: UnsafeMutableBufferPointer<UInt32>, with region: Region, of level: Level
  ) throws(ImageError) {
    let place = (x: level.place(region.x), y: level.place(region.y))
    let known = handle.withLock { $0 }
    do throws(OpenSlideHandle.Failure) {
      if let known {
        try known.read(x: place.x, y: place.y, level: level.number, size: region.size, into: pixels)
        return
      }
    } catch {
      handle.withLock { if $0 === known { $0 = nil } }
    }
    do throws(OpenSlideHandle.Failure) {
      guard let new = try OpenSlideHandle(path, library) else {
        throw OpenSlideHandle.Failure(reason: "the file has changed")
      }
      try new.read(x: place.x, y: place.y, level: level.number, size: region.size, into: pixels)
      handle.withLock { $0 = new }
    } catch {
      throw ImageError(
        .damaged, file: path,
        "OpenSlide cannot read the region \(region) (x, y, width, height) of level \(level.number): \(error.reason)")
    }
  }

  package func hasPixels(in region: Region, of plane: PlaneIndex) -> Bool {
    !coveredRegions(in: region, of: plane).isEmpty
  }

  package func coveredRegions(in region: Region, of plane: PlaneIndex) -> [Region] {
    guard let level = level(of: plane), region.isBounded else { return [] }
    func scaled(_ range: Range<Int>) -> Range<Int> {
      let (start, end) = (Double(range.lowerBound) / level.downsample, Double(range.upperBound) / level.downsample)
      return Int(start.rounded(.down))..<Int(end.rounded(.up))
    }
    return areas.map { area in
      Region(x: scaled(area.x..<area.maxX), y: scaled(area.y..<area.maxY))
        .intersection(Region(level.size)).intersection(region)
    }.filter { !$0.isEmpty }
  }
}

extension TIFFDirectory {
  /// Whether OpenSlide 3 with libtiff 4.5 gives nonsense for the page, without an error: where it leaves the
  /// decoding to libtiff, it takes all of a tile for granted when the page is smaller.
  fileprivate var isBeyondOpenSlide3: Bool {
    let isDecodedByOpenSlide = compression == 7 || compression == 33003 || compression == 33005
    return !isDecodedByOpenSlide && (width < tileWidth ?? 0 || height < tileHeight ?? 0)
  }
}
