// SPDX-License-Identifier: Apache-2.0
private import CTIFF
private import KachelBytes
import KachelPixels
private import Synchronization

/// Reads regions of pages from strips and tiles, which are called blocks.
///
/// Blocks that are compressed are decoded by libtiff and kept in a cache; of others only the wanted rows are read.
final class TIFFDecoder: Sendable {
  /// A page of one of the files of an image.
  struct Page: Sendable {
    let file: TIFFFile
    /// Which of the image's files.
    let number: Int
    let directory: TIFFDirectory
    /// Bytes from the start of the page's pixels to those that are meant, where pages follow without directories.
    let skip: Int
  }

  private struct PageKey: Hashable {
    let number: Int
    let offset: UInt64
  }

  /// Numbers for the blocks in the cache: every page that was read has a range of them.
  private struct Keys {
    var starts: [PageKey: Int32] = [:]
    var next: Int32 = 0
  }

  let cacheBytes: Int
  private let cache: Mutex<BlockCache>
  private let keys = Mutex(Keys())

  init(cacheBytes: Int) {
    self.cacheBytes = max(0, cacheBytes)
    cache = Mutex(BlockCache(limit: cacheBytes))
  }

  /// Reads `part` of a channel of a page into `target`, whose first byte is the part's first pixel.
  ///
  /// - Parameters:
  ///   - part: inside the page, not empty.
  ///   - channel: which of the page's channels.
  ///   - stride: bytes from row to row of the target.
  func read(
    _ part: Region, channel: Int, of page: Page, _ sampling: TIFFSampling, into target: UnsafeMutableRawPointer,
    stride: Int
  ) throws(ImageError) {
    guard let grid = TIFFGrid(page.directory) else { throw damaged(page, "the blocks fit no image") }
    let colors = sampling.treatment == .palette ? try palette(of: page) : []
    let size = sampling.pixelType.size
    let firstSample = channel * sampling.storedSamples
    let cache = cache.withLock(\.self)
    // For the blocks that are not kept, one after the other.
    let scratch = PixelBuffer(width: 0, height: 0, type: .uint8)
    let place = { (x: Int, y: Int) in target + (y - part.y) * stride + (x - part.x) * sampling.layout.samples * size }
    for row in part.y / grid.blockHeight...(part.maxY - 1) / grid.blockHeight {
      for column in part.x / grid.blockWidth...(part.maxX - 1) / grid.blockWidth {
        let block = row * grid.across + column
        let region = grid.region(of: block)
        let wanted = region.intersection(part)
        let isKept = cache.keepsBlock(
          inside: wanted == region.intersection(Region(page.directory.size)), of: part.height * stride)
        // A chunky block has all samples; planes of samples have a block each.
        for sample in page.directory.isPlanar
          ? firstSample..<firstSample + sampling.storedSamples : firstSample..<firstSample + 1
        {
          let number = page.directory.isPlanar ? sample * grid.perPlane + block : block
          let copy = SampleCopy(
            from: page.directory.isPlanar ? 0 : sample, of: grid.samples,
            count: page.directory.isPlanar ? 1 : sampling.storedSamples,
            to: page.directory.isPlanar ? sample - firstSample : 0, of: sampling.layout.samples, size: size,
            colors: colors)
          try rows(of: wanted, block: number, at: region, grid, page, sampling, isKept ? nil : scratch) { y, bytes in
            copy.run(from: bytes, to: place(wanted.x, y), pixels: wanted.width)
          }
        }
      }
    }
    guard sampling.treatment == .inverted else { return }
    for y in 0..<part.height {
      let line = target + y * stride
      for index in 0..<part.width * size {
        line.storeBytes(of: ~line.load(fromByteOffset: index, as: UInt8.self), toByteOffset: index, as: UInt8.self)
      }
    }
  }

  /// Hands out the wanted part of a block row by row, from its first wanted pixel on.
  ///
  /// - Parameter scratch: memory for a block that is not kept; `nil` to keep it.
  private func rows(
    of wanted: Region, block: Int, at region: Region, _ grid: TIFFGrid, _ page: Page, _ sampling: TIFFSampling,
    _ scratch: PixelBuffer?, _ use: (_ y: Int, _ bytes: UnsafeRawPointer) -> Void
  ) throws(ImageError) {
    let directory = page.directory
    let bytesPerPixel = grid.samples * max(1, directory.bits / 8)
    guard let table = directory.offsets else { throw damaged(page, "the page has no pixels") }
    let isRaw = directory.compression == 1 && directory.bits >= 8 && directory.fillOrder == 1
    let offset = try page.file.reader.integer(table, at: block)
    if offset == 0 || !isRaw {
      guard let counts = directory.byteCounts else { throw damaged(page, "the sizes of the blocks are missing") }
      // Sparse files leave out blocks; the target has zeros.
      let count = try page.file.reader.integer(counts, at: block)
      if count == 0 { return }
      try checkBounds(of: block, at: region, stored: count, offset: offset, grid, page)
    }
    if isRaw { return try rawRows(of: wanted, at: region, offset, grid, page, use) }
    let height = directory.isTiled ? grid.blockHeight : min(grid.blockHeight, directory.height - region.y)
    let rowBytes = (grid.blockWidth * grid.samples * directory.bits + 7) / 8
    let scales = sampling.treatment != .palette
    func decode(into bytes: UnsafeMutableRawBufferPointer) throws(ImageError) {
      try page.file.handles.withHandle(page: directory.offset) { handle throws(ImageError) in
        try handle.decode(block: block, of: directory, into: bytes)
      }
    }
    func hand(_ bytes: UnsafeRawBufferPointer) {
      guard let start = bytes.baseAddress else { return }
      for y in wanted.y..<wanted.maxY {
        use(y, start + ((y - region.y) * grid.blockWidth + wanted.x - region.x) * bytesPerPixel)
      }
    }
    if let scratch, directory.bits >= 8 {
      scratch.reshape(width: rowBytes, height: height, samples: 1, type: .uint8)
      try decode(into: scratch.bytes)
      return hand(UnsafeRawBufferPointer(scratch.bytes))
    }
    let (cache, key) = place(of: block, page, grid)
    let bytes = try cache.block(key) { () throws(ImageError) in
      let bytes = try [UInt8](count: rowBytes * height, filledBy: decode(into:))
      return directory.bits < 8
        ? unpack(bytes, width: grid.blockWidth, rowBytes: rowBytes, bits: directory.bits, scales: scales) : bytes
    }
    bytes.withUnsafeBytes(hand)
  }

  /// Refuses blocks that would need too much memory, before any is allocated.
  private func checkBounds(
    of block: Int, at region: Region, stored: UInt64, offset: UInt64, _ grid: TIFFGrid, _ page: Page
  ) throws(ImageError) {
    let directory = page.directory
    let row = grid.blockWidth * grid.samples * max(8, directory.bits) / 8
    let height = directory.isTiled ? grid.blockHeight : min(grid.blockHeight, directory.height - region.y)
    guard row <= TIFFHandle.mostBytes / height else {
      throw ImageError(
        .unsupported, file: page.file.path, offset: Int(clamping: directory.offset),
        "TIFF with blocks of \(grid.blockWidth) x \(height) pixels, more than 1 GB each; save it in tiles")
    }
    let total = UInt64(page.file.source.count)
    guard offset <= total, stored <= total - offset else {
      throw damaged(page, "block \(block) ends behind the file's end; the file is incomplete")
    }
    guard let most = TIFFCompression(rawValue: directory.compression)?.mostExpansion, directory.bits > 0 else {
      return
    }
    // What is packed into bytes has fewer of them.
    guard UInt64(row * height) / UInt64(max(1, 8 / directory.bits)) / most <= stored + 64 else {
      throw damaged(page, "block \(block) has \(stored) bytes, too few for its pixels")
    }
  }

  /// Reads rows of a block that is not compressed, several at once where they follow each other in the file.
  private func rawRows(
    of wanted: Region, at region: Region, _ offset: UInt64, _ grid: TIFFGrid, _ page: Page,
    _ use: (_ y: Int, _ bytes: UnsafeRawPointer) -> Void
  ) throws(ImageError) {
    let bytesPerPixel = grid.samples * page.directory.bits / 8
    let rowBytes = wanted.width * bytesPerPixel
    let atOnce = wanted.width == grid.blockWidth ? max(1, min(wanted.height, 1 << 18 / rowBytes)) : 1
    let swaps = page.file.isBigEndian == (UInt16(1).littleEndian == 1)
    var (scratch, failure) = ([UInt8](repeating: 0, count: rowBytes * atOnce), ImageError?.none)
    scratch.withUnsafeMutableBytes { scratch in
      guard let start = scratch.baseAddress else { return }
      for top in stride(from: wanted.y, to: wanted.maxY, by: atOnce) {
        let count = min(atOnce, wanted.maxY - top)
        let pixel = (top - region.y) * grid.blockWidth + wanted.x - region.x
        let bytes = pixel.multipliedReportingOverflow(by: bytesPerPixel)
        let first = bytes.partialValue.addingReportingOverflow(page.skip)
        let position = first.partialValue.addingReportingOverflow(Int(clamping: offset))
        guard !bytes.overflow, !first.overflow, !position.overflow else {
          failure = damaged(page, "its pixels stand behind the file's end")
          return
        }
        do throws(BytesError) {
          try page.file.source.read(at: position.partialValue, into: .init(start: start, count: count * rowBytes))
        } catch {
          failure = ImageError(error)
          return
        }
        if swaps { swap(start, count * rowBytes, sampleBits: page.directory.bits) }
        for row in 0..<count { use(top + row, start + row * rowBytes) }
      }
    }
    if let failure { throw failure }
  }

  private func swap(_ bytes: UnsafeMutableRawPointer, _ count: Int, sampleBits: Int) {
    switch sampleBits {
    case 16: TIFFSwabArrayOfShort(bytes.assumingMemoryBound(to: UInt16.self), tmsize_t(count / 2))
    case 32: TIFFSwabArrayOfLong(bytes.assumingMemoryBound(to: UInt32.self), tmsize_t(count / 4))
    case 64: TIFFSwabArrayOfLong8(bytes.assumingMemoryBound(to: UInt64.self), tmsize_t(count / 8))
    default: break
    }
  }

  /// A byte per sample of 1, 2 or 4 bits; white becomes 255 unless samples are indices.
  private func unpack(_ packed: [UInt8], width: Int, rowBytes: Int, bits: Int, scales: Bool) -> [UInt8] {
    let rows = packed.count / rowBytes
    let largest = UInt8(1 << bits - 1)
    let factor = scales ? 255 / largest : 1
    return [UInt8](unsafeUninitializedCapacity: rows * width) { output, initialized in
      packed.withUnsafeBufferPointer { packed in
        for y in 0..<rows {
          for x in 0..<width {
            let bit = x * bits
            let value = packed[y * rowBytes + bit / 8] >> UInt8(8 - bits - bit % 8) & largest
            output[y * width + x] = value * factor
          }
        }
      }
      initialized = rows * width
    }
  }

  /// Red, green and blue of every index, 8 bits each.
  private func palette(of page: Page) throws(ImageError) -> [UInt8] {
    let count = 1 << page.directory.bits
    guard let map = page.directory.colorMap, map.count >= 3 * count else {
      throw damaged(page, "the palette is missing")
    }
    let values = try page.file.reader.integers(map, most: 3 << 16)
    // The format has 16 bits; some writers put 8 into them.
    let shift = values.contains { $0 > 255 } ? 8 : 0
    return (0..<count).flatMap { index in
      (0..<3).map { UInt8(truncatingIfNeeded: values[$0 * count + index] >> UInt64(shift)) }
    }
  }

  /// The cache and the block's number in it. Numbers may run out after 2^31 blocks; then a new cache begins.
  private func place(of block: Int, _ page: Page, _ grid: TIFFGrid) -> (BlockCache, Int32) {
    keys.withLock { keys in
      let key = PageKey(number: page.number, offset: page.directory.offset)
      if let start = keys.starts[key] { return (cache.withLock { $0 }, start + Int32(block)) }
      // A grid has fewer than 2^29 blocks.
      if keys.next > Int32.max - Int32(grid.count) || keys.starts.count > 1 << 18 {
        keys = Keys()
        cache.withLock { $0 = BlockCache(limit: cacheBytes) }
      }
      let start = keys.next
      keys.starts[key] = start
      keys.next += Int32(grid.count)
      return (cache.withLock { $0 }, start + Int32(block))
    }
  }

  private func damaged(_ page: Page, _ what: String) -> ImageError {
    ImageError(.damaged, file: page.file.path, offset: Int(clamping: page.directory.offset), "TIFF: \(what)")
  }
}

/// Copies some samples of every pixel of a row.
private struct SampleCopy {
  let from: Int, sourceSamples: Int, count: Int, to: Int, targetSamples: Int, size: Int
  /// Not empty where samples are indices of colours.
  let colors: [UInt8]

  init(from: Int, of sourceSamples: Int, count: Int, to: Int, of targetSamples: Int, size: Int, colors: [UInt8]) {
    (self.from, self.sourceSamples, self.count) = (from, sourceSamples, count)
    (self.to, self.targetSamples, self.size, self.colors) = (to, targetSamples, size, colors)
  }

  func run(from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, pixels: Int) {
    if !colors.isEmpty {
      colors.withUnsafeBufferPointer { colors in
        for pixel in 0..<pixels {
          let index = Int(source.load(fromByteOffset: pixel, as: UInt8.self))
          for sample in 0..<3 {
            target.storeBytes(of: colors[3 * index + sample], toByteOffset: 3 * pixel + sample, as: UInt8.self)
          }
        }
      }
    } else if sourceSamples == targetSamples, count == sourceSamples {
      target.copyMemory(from: source, byteCount: pixels * count * size)
    } else {
      switch size {
      case 1: gather(UInt8.self, source, target, pixels)
      case 2: gather(UInt16.self, source, target, pixels)
      case 4: gather(UInt32.self, source, target, pixels)
      default: gather(UInt64.self, source, target, pixels)
      }
    }
  }

  private func gather<T: BitwiseCopyable>(
    _: T.Type, _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, _ pixels: Int
  ) {
    for pixel in 0..<pixels {
      for sample in 0..<count {
        let value = source.loadUnaligned(fromByteOffset: (pixel * sourceSamples + from + sample) * size, as: T.self)
        target.storeBytes(of: value, toByteOffset: (pixel * targetSamples + to + sample) * size, as: T.self)
      }
    }
  }
}
