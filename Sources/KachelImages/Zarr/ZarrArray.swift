// SPDX-License-Identifier: Apache-2.0
public import KachelPixels
private import Synchronization

/// An array of numbers of any number of dimensions, in chunks (Zarr version 2 or 3), of which any region is read by
/// many threads at once. Only the chunks that a region touches are read and decoded.
public final class ZarrArray: Sendable {
  /// Where the array lies.
  public let path: String
  /// Sizes of all dimensions.
  public var shape: [Int] { layout.shape }
  public var type: PixelType { layout.element.type }
  /// The last two dimensions.
  public var size: Size { Size(width: shape[shape.count - 1], height: shape[shape.count - 2]) }
  /// How many planes of the last two dimensions.
  public let planes: Int
  /// The shape of what is decoded at once.
  public var chunkShape: [Int] { layout.chunk.shape }
  /// The shape of a shard, where chunks lie in shards.
  package var shardShape: [Int]? { layout.shards.map { zip(chunkShape, $0.chunks).map { $0 * $1 } } }
  /// Whether numbers that are not stored are 0.
  var isFilledWithZeros: Bool { layout.fill.allSatisfy { $0 == 0 } }
  /// The dimensions' names, where the array has them.
  var dimensionNames: [String]? { layout.dimensionNames }
  /// The compressions of the chunks, by name.
  var compressions: [String] { layout.chunk.codecs.compactMap(\.compression) }

  private let store: any ZarrStore
  private let key: String
  private let layout: ZarrLayout
  private let grid: [Int]
  private let cache: ZarrChunkCache
  /// The first of the array's numbers in the cache: chunks first, then the indices of shards.
  private let firstInCache: Int

  /// Opens an array in a local folder.
  ///
  /// - Parameter cacheBytes: how many bytes of decoded chunks are kept.
  public convenience init(folder: String, cacheBytes: Int = 64 << 20) throws(ImageError) {
    let store = LocalZarrStore(folder: folder)
    guard case .array(let layout, _) = try ZarrHierarchy(store).node("") else {
      throw ImageError(.notAnImage, file: folder, "is no Zarr array: it has no .zarray, and no zarr.json of one")
    }
    try self.init(store, key: "", layout, cache: ZarrChunkCache(limit: cacheBytes))
  }

  init(_ store: any ZarrStore, key: String, _ layout: ZarrLayout, cache: ZarrChunkCache) throws(ImageError) {
    path = store.file(key)
    self.store = store
    self.key = key
    self.layout = layout
    self.cache = cache
    grid = layout.grid
    guard layout.shape.count >= 2 else {
      throw ImageError(.unsupported, file: path, "an array of one dimension is no image")
    }
    guard let planes = Self.product(layout.shape.dropLast(2)), let chunks = Self.product(grid),
      let first = cache.reserve(chunks, layout.shards == nil ? 0 : chunks)
    else {
      throw ImageError(.unsupported, file: path, "an array of the shape \(layout.shape) has too many planes or chunks")
    }
    self.planes = planes
    firstInCache = first
  }

  private static func product(_ counts: some Sequence<Int>) -> Int? {
    var product = 1
    for count in counts {
      let (value, overflow) = product.multipliedReportingOverflow(by: count)
      guard !overflow else { return nil }
      product = value
    }
    return product
  }

  /// Reads a region of a plane of the last two dimensions into `pixels`, which is reshaped.
  ///
  /// - Parameters:
  ///   - region: inside the plane.
  ///   - plane: the position along all dimensions but the last two, as one number in C order.
  public func read(_ region: Region, of plane: Int, into pixels: PixelBuffer) throws(ImageError) {
    guard (0..<planes).contains(plane) else {
      throw ImageError(.outOfRange, file: path, "there is no plane \(plane) of \(planes)")
    }
    var position = [Int](repeating: 0, count: shape.count)
    var rest = plane
    for axis in shape.indices.dropLast(2).reversed() {
      position[axis] = rest % shape[axis]
      rest /= shape[axis]
    }
    guard Region(size).contains(region), !region.isEmpty else {
      throw ImageError(.outOfRange, file: path, "plane \(plane) has no region \(region)")
    }
    try region.checkReadable(bytesPerPixel: type.size, file: path)
    pixels.reshape(width: region.width, height: region.height, samples: 1, type: type)
    try read(region, at: position, rows: shape.count - 2, columns: shape.count - 1, into: pixels, for: region)
  }

  /// Reads a rectangle of any two dimensions into a part of a buffer.
  ///
  /// - Parameters:
  ///   - region: inside the array.
  ///   - position: inside the array along the other dimensions.
  ///   - place: where the buffer lies; holds `region`.
  func read(
    _ region: Region, at position: [Int], rows: Int, columns: Int, into pixels: PixelBuffer, for place: Region
  ) throws(ImageError) {
    let (height, width) = (chunkShape[rows], chunkShape[columns])
    let strides = layout.chunk.strides
    var index = zip(position, chunkShape).map { $0 / $1 }
    // Where in every chunk the plane begins.
    var start = 0
    for axis in shape.indices where axis != rows && axis != columns {
      start += position[axis] % chunkShape[axis] * strides[axis]
    }
    let plane = Region(x: 0, y: 0, width: shape[columns], height: shape[rows])
    for row in region.y / height...(region.maxY - 1) / height {
      for column in region.x / width...(region.maxX - 1) / width {
        (index[rows], index[columns]) = (row, column)
        let box = Region(x: column * width, y: row * height, width: width, height: height)
        let part = box.intersection(region)
        let target = StridedTarget(pixels: pixels, part: part.offsetBy(x: -place.x, y: -place.y))
        let isKept = cache.blocks.keepsBlock(inside: part == box.intersection(plane), of: region.area * type.size)
        let bytes = try chunk(index, isKept: isKept)
        if bytes.isEmpty {
          target.fill(layout.fill)
        } else {
          target.copy(
            bytes, from: start + (part.y - box.y) * strides[rows] + (part.x - box.x) * strides[columns],
            rowStride: strides[rows], columnStride: strides[columns])
        }
      }
    }
  }

  /// The numbers of a chunk; empty where it is not stored.
  private func chunk(_ index: [Int], isKept: Bool) throws(ImageError) -> [UInt8] {
    var number = firstInCache
    var step = 1
    for axis in grid.indices.reversed() {
      number += index[axis] * step
      step *= grid[axis]
    }
    guard let shards = layout.shards else {
      return try cache.blocks.block(number, isKept: isKept) { () throws(ImageError) in
        let key = ZarrKey.join(self.key, layout.keys.key(index))
        guard let bytes = try store.read(key, .all, limit: layout.chunk.encodedLimit(layout.element)) else { return [] }
        return try decode(bytes, key, offset: nil)
      }
    }
    let key = ZarrKey.join(key, layout.keys.key(zip(index, shards.chunks).map { $0 / $1 }))
    // Read before the chunk's own turn: two turns at once could wait for each other.
    guard let place = try place(of: index, in: shards, key: key) else { return [] }
    return try cache.blocks.block(number, isKept: isKept) { () throws(ImageError) in
      let part = ZarrBytePart.range(offset: place.offset, count: place.count)
      guard let bytes = try store.read(key, part, limit: layout.chunk.encodedLimit(layout.element)) else { return [] }
      return try decode(bytes, key, offset: place.offset)
    }
  }

  private func decode(_ bytes: [UInt8], _ key: String, offset: Int?) throws(ImageError) -> [UInt8] {
    do throws(ZarrCodec.Failure) {
      return try layout.chunk.decode(bytes, layout.element)
    } catch {
      throw ImageError(.damaged, file: store.file(key), offset: offset, error.reason)
    }
  }

  /// Where a chunk lies in its shard; `nil` where it, or the whole shard, is not stored.
  private func place(
    of index: [Int], in shards: ZarrShardLayout, key: String
  ) throws(ImageError) -> (offset: Int, count: Int)? {
    var (number, entry) = (0, 0)
    for (axis, count) in shards.chunks.enumerated() {
      // Shards are numbered like chunks; there are no more of them.
      number = number * ((grid[axis] + count - 1) / count) + index[axis] / count
      entry = entry * count + index[axis] % count
    }
    let table = try cache.blocks.block(firstInCache + grid.reduce(1, *) + number) { () throws(ImageError) in
      try shardIndex(shards, key)
    }
    guard !table.isEmpty else { return nil }
    let (offset, count) = table.withUnsafeBytes { raw in
      func value(_ place: Int) -> UInt64 {
        let value = raw.loadUnaligned(fromByteOffset: entry * 16 + place, as: UInt64.self)
        return shards.isIndexSwapped ? value.byteSwapped : value
      }
      return (value(0), value(8))
    }
    if offset == .max && count == .max { return nil }
    guard let offset = Int(exactly: offset), let count = Int(exactly: count) else {
      throw ImageError(.damaged, file: store.file(key), "the shard's index names a place that no file has")
    }
    return (offset, count)
  }

  private func shardIndex(_ shards: ZarrShardLayout, _ key: String) throws(ImageError) -> [UInt8] {
    let size = shards.indexSize
    let part = shards.isIndexAtStart ? ZarrBytePart.range(offset: 0, count: size) : .last(size)
    guard let bytes = try store.read(key, part, limit: size) else { return [] }
    guard shards.isIndexChecked else { return bytes }
    do throws(ZarrCodec.Failure) {
      return try ZarrCodec.crc32c.decode(bytes, limit: size)
    } catch {
      throw ImageError(.damaged, file: store.file(key), "the shard's index is damaged: \(error.reason)")
    }
  }
}

/// Decoded chunks of several arrays within one limit of bytes.
final class ZarrChunkCache: Sendable {
  let blocks: BlockCache
  private let next = Mutex(0)

  init(limit: Int) { blocks = BlockCache(limit: limit) }

  /// The first of as many numbers as both counts together that no other array has; `nil` where they run out.
  func reserve(_ count: Int, _ more: Int) -> Int? {
    next.withLock { next in
      let first = next
      guard count <= 1 << 61, more <= 1 << 61, next <= 1 << 61 else { return nil }
      next += count + more
      return first
    }
  }
}
