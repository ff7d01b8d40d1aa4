// SPDX-License-Identifier: Apache-2.0
public import KachelPixels

/// Writes a Zarr version 2 array of two-dimensional planes, chunk by chunk, in bounded memory.
///
/// Regions may come in any order and need not match the chunks. A chunk is compressed and written when the last of its
/// pixels has come; a limit holds for the memory of those that still wait, beyond which the one that has waited longest
/// goes to its file and is read again when needed. Chunks of zeros are not written (zero is the fill value).
/// Not for several threads at once.
public final class ZarrArrayWriter {
  public static let chunkSide = 1024

  public let folder: String
  /// Sizes of all dimensions; the last two are height and width.
  public let shape: [Int]
  public let type: PixelType
  public var size: Size { Size(width: shape[shape.count - 1], height: shape[shape.count - 2]) }
  /// The shape of a chunk in a plane.
  let chunk: Size

  private let cacheBytes: Int
  private var waiting: [ChunkKey: WaitingChunk] = [:]
  private var clock = 0
  private var onDisk: [Int: Set<ChunkIndex>] = [:]
  private var madeFolders: Set<String> = []
  private var spare: [PixelBuffer] = []

  struct ChunkIndex: Hashable, Comparable {
    var row: Int
    var column: Int
    static func < (a: Self, b: Self) -> Bool { (a.row, a.column) < (b.row, b.column) }
  }

  private struct ChunkKey: Hashable {
    var plane: Int
    var index: ChunkIndex
  }

  private struct WaitingChunk {
    var pixels: PixelBuffer
    /// Pixels that have not come yet.
    var missing: Int
    var lastUse: Int
  }

  /// Pixels that a chunk on disk still lacks, for chunks that left memory early.
  private var missingOnDisk: [ChunkKey: Int] = [:]

  /// - Parameters:
  ///   - folder: created; what it already holds is neither read nor removed.
  ///   - shape: at least two sizes.
  ///   - cacheBytes: the memory for chunks that wait for pixels.
  public init(folder: String, shape: [Int], type: PixelType, cacheBytes: Int = 128 << 20) throws(ImageError) {
    self.folder = folder
    self.shape = shape
    self.type = type
    self.cacheBytes = cacheBytes
    chunk = Size(
      width: min(Self.chunkSide, shape[shape.count - 1]), height: min(Self.chunkSide, shape[shape.count - 2]))
    let chunks = [Int](repeating: 1, count: shape.count - 2) + [chunk.height, chunk.width]
    try OutputFolder.create(folder)
    try OutputFolder.write(json: ZarrArrayMetadata(shape: shape, chunks: chunks, type: type), to: folder + "/.zarray")
  }

  /// Stores pixels of a plane.
  ///
  /// - Parameters:
  ///   - pixels: of the array's type, one sample a pixel.
  ///   - region: where they go; of the buffer's size and inside the plane. No pixel may come twice.
  ///   - plane: the position along all dimensions but the last two, as one number in C order.
  public func write(_ pixels: PixelBuffer, at region: Region, of plane: Int) throws(ImageError) {
    precondition(pixels.size == region.size && Region(size).contains(region) && pixels.type == type)
    for index in chunkIndices(of: region) {
      let place = self.region(of: index)
      let part = place.intersection(region)
      try change(ChunkKey(plane: plane, index: index), by: part.area) { chunk in
        chunk.copy(
          part.offsetBy(x: -region.x, y: -region.y), of: pixels, toX: part.x - place.x, y: part.y - place.y)
      }
    }
  }

  /// Writes all chunks that still wait.
  public func finish() throws(ImageError) {
    for (key, chunk) in waiting.sorted(by: { ($0.key.plane, $0.key.index) < ($1.key.plane, $1.key.index) }) {
      try store(chunk.pixels, key)
    }
    waiting = [:]
    missingOnDisk = [:]
    spare = []
  }

  /// Reads back a region of a finished plane.
  ///
  /// - Parameter region: inside the plane; `pixels` is reshaped to its size.
  public func read(_ region: Region, of plane: Int, into pixels: PixelBuffer) throws(ImageError) {
    pixels.reshape(width: region.width, height: region.height, samples: 1, type: type)
    pixels.fill(byte: 0)
    let chunkPixels = PixelBuffer(width: chunk.width, height: chunk.height, type: type)
    for index in chunkIndices(of: region) where onDisk[plane]?.contains(index) == true {
      try load(ChunkKey(plane: plane, index: index), into: chunkPixels)
      let place = self.region(of: index)
      let part = place.intersection(region)
      pixels.copy(
        part.offsetBy(x: -place.x, y: -place.y), of: chunkPixels, toX: part.x - region.x, y: part.y - region.y)
    }
  }

  /// The regions of the chunks of a plane that hold anything but 0, in reading order.
  func storedRegions(of plane: Int) -> [Region] { (onDisk[plane] ?? []).sorted().map(region) }

  /// The planes that hold anything but 0.
  var storedPlanes: [Int] { onDisk.keys.sorted() }

  /// A chunk's part of the plane.
  private func region(of index: ChunkIndex) -> Region {
    Region(x: index.column * chunk.width, y: index.row * chunk.height, width: chunk.width, height: chunk.height)
      .intersection(Region(size))
  }

  private func chunkIndices(of region: Region) -> [ChunkIndex] {
    guard !region.isEmpty else { return [] }
    var indices: [ChunkIndex] = []
    for row in region.y / chunk.height...(region.maxY - 1) / chunk.height {
      for column in region.x / chunk.width...(region.maxX - 1) / chunk.width {
        indices.append(ChunkIndex(row: row, column: column))
      }
    }
    return indices
  }

  private func change(_ key: ChunkKey, by area: Int, _ body: (PixelBuffer) -> Void) throws(ImageError) {
    var entry: WaitingChunk
    if let known = waiting.removeValue(forKey: key) { entry = known } else { entry = try newChunk(key) }
    body(entry.pixels)
    entry.missing -= area
    if entry.missing <= 0 {
      try store(entry.pixels, key)
      spare.append(entry.pixels)
      return
    }
    clock += 1
    entry.lastUse = clock
    waiting[key] = entry
    if waiting.count * entry.pixels.byteCount > cacheBytes, waiting.count > 1,
      let oldest = waiting.min(by: { $0.value.lastUse < $1.value.lastUse })
    {
      waiting[oldest.key] = nil
      try store(oldest.value.pixels, oldest.key)
      missingOnDisk[oldest.key] = oldest.value.missing
      spare.append(oldest.value.pixels)
    }
  }

  private func newChunk(_ key: ChunkKey) throws(ImageError) -> WaitingChunk {
    let pixels = spare.popLast() ?? PixelBuffer(width: chunk.width, height: chunk.height, type: type)
    if onDisk[key.plane]?.contains(key.index) == true {
      try load(key, into: pixels)
    } else {
      pixels.fill(byte: 0)
    }
    return WaitingChunk(
      pixels: pixels, missing: missingOnDisk.removeValue(forKey: key) ?? region(of: key.index).area, lastUse: clock)
  }

  private func path(_ key: ChunkKey) -> ZarrChunkPath {
    ZarrChunkPath(folder: folder, shape: shape, plane: key.plane, row: key.index.row, column: key.index.column)
  }

  private func store(_ pixels: PixelBuffer, _ key: ChunkKey) throws(ImageError) {
    let isStored = onDisk[key.plane]?.contains(key.index) == true
    guard isStored || !pixels.isZero else { return }
    let path = path(key)
    if madeFolders.insert(path.folder).inserted { try OutputFolder.create(path.folder) }
    try ZarrChunk.write(pixels, to: path.file)
    onDisk[key.plane, default: []].insert(key.index)
  }

  private func load(_ key: ChunkKey, into pixels: PixelBuffer) throws(ImageError) {
    pixels.reshape(width: chunk.width, height: chunk.height, samples: 1, type: type)
    try ZarrChunk.read(path(key).file, into: pixels)
  }
}
