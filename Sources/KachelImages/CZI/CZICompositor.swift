// SPDX-License-Identifier: Apache-2.0
package import KachelBytes
package import KachelPixels

/// Puts regions of planes together from sub-blocks, at full resolution or from the file's pyramid.
package final class CZICompositor: Sendable {
  package let directory: CZIDirectory
  package let decoder: CZIDecoder
  package let cache: BlockCache
  /// By how much sub-blocks of the file are reduced, ascending; the first is 1.
  package let factors: [Int32]
  let orders: [Int32: CZIPaintOrder]

  /// - Parameter cacheBytes: how many bytes of decoded sub-blocks are kept.
  package init(_ source: ByteSource, directory: CZIDirectory, cacheBytes: Int) {
    self.directory = directory
    decoder = CZIDecoder(source)
    cache = BlockCache(limit: cacheBytes)
    let subBlocks = directory.subBlocks
    factors = Set(subBlocks.lazy.map(\.factor)).union([1]).subtracting([0]).sorted()
    orders = Dictionary(uniqueKeysWithValues: factors.map { ($0, CZIPaintOrder(subBlocks, factor: $0)) })
  }

  /// Opens the low level of a CZI file, whatever its sub-blocks hold.
  package convenience init(at path: String, cacheBytes: Int = 64 << 20) throws(ImageError) {
    let source = try ImageError.wrapping { () throws(BytesError) in try ByteSource(path: path) }
    let header = try CZIHeader(source)
    self.init(source, directory: try CZIDirectory(source, at: header.directoryPosition), cacheBytes: cacheBytes)
  }

  /// The sub-blocks that touch a region of a grid, first painted first.
  private func subBlocks(in region: Region, plane: Int, scene: Int32?, grid: CZIGrid) -> [Int32] {
    guard let order = orders[Int32(clamping: grid.factor)] else { return [] }
    return order.subBlocks(in: grid.fileRegion(region), plane: plane, scene: scene, of: directory.subBlocks)
  }

  package func isCovered(_ region: Region, plane: Int, scene: Int32?, grid: CZIGrid = .file) -> Bool {
    if grid.factor > 1 { return !coveredRegions(in: region, plane: plane, scene: scene, grid: grid).isEmpty }
    return orders[1]?.isCovered(grid.fileRegion(region), plane: plane, scene: scene, of: directory.subBlocks) ?? false
  }

  /// The parts of `region` that sub-blocks cover.
  package func coveredRegions(in region: Region, plane: Int, scene: Int32?, grid: CZIGrid = .file) -> [Region] {
    subBlocks(in: region, plane: plane, scene: scene, grid: grid).map {
      grid.place(of: directory.subBlocks[Int($0)]).intersection(region)
    }.filter { !$0.isEmpty }
  }

  /// Paints the sub-blocks of a plane into `pixels`, later ones over earlier ones.
  ///
  /// - Parameters:
  ///   - region: in the grid, not empty; each side at most 2^31.
  ///   - plane: the plane's number in the directory.
  ///   - scene: paints only sub-blocks of that scene and those without scene; `nil` paints all.
  ///   - type: the plane's pixel type.
  ///   - background: the bytes of one pixel that no sub-block covers; `nil` for zeros.
  ///   - usesMasks: leaves out pixels that are marked as not valid. Those of full resolution are not, as they are the
  ///     image itself: libCZI paints them as well.
  /// - Throws: where a sub-block is damaged, is not read, or has another pixel type.
  package func compose(
    _ region: Region, plane: Int, scene: Int32?, type: CZIPixelType, background: [UInt8]? = nil,
    grid: CZIGrid = .file, usesMasks: Bool? = nil, into pixels: PixelBuffer
  ) throws(ImageError) {
    pixels.reshape(width: region.width, height: region.height, samples: type.layout.samples, type: type.sample)
    pixels.fill(byte: 0)
    if let background, background.count == pixels.bytesPerPixel {
      let bytes = pixels.bytes
      for index in bytes.indices { bytes[index] = background[index % background.count] }
    }
    let found = subBlocks(in: region, plane: plane, scene: scene, grid: grid)
    try checkAmount(found)
    for index in found {
      let block = directory.subBlocks[Int(index)]
      guard block.pixelType == type.rawValue else {
        throw ImageError(
          .unsupported, file: decoder.source.path, offset: Int(clamping: block.position),
          "a sub-block of \(CZIPixelType.name(of: block.pixelType)) among others of "
            + CZIPixelType.name(of: type.rawValue))
      }
      let place = grid.place(of: block)
      guard place.intersects(region) else { continue }
      let mask = usesMasks ?? (grid.factor > 1) ? try mask(of: block, index: index) : nil
      try paint(block, index: index, place: place, mask: mask, at: region, into: pixels)
    }
  }

  /// Refuses sub-blocks that cannot all be in the file: a damaged directory may name the same bytes over and over.
  private func checkAmount(_ indices: [Int32]) throws(ImageError) {
    // What is wrong with a single one is told when it is decoded.
    guard indices.count > 1, let first = indices.first else { return }
    var bytes = 0
    for index in indices {
      let block = directory.subBlocks[Int(index)]
      guard block.compression != CZICompression.uncompressed.rawValue, let count = block.byteCount,
        count <= CZIDecoder.mostBytes
      else { continue }
      bytes += count
    }
    guard bytes / CZIDecoder.mostExpansion <= decoder.source.count else {
      throw ImageError(
        .damaged, file: decoder.source.path, offset: Int(clamping: directory.subBlocks[Int(first)].position),
        "the sub-blocks of one place come to \(bytes) bytes of pixels, more than the file can hold")
    }
  }

  /// The mask of valid pixels of a sub-block, kept in the cache beside its pixels.
  private func mask(of block: CZISubBlock, index: Int32) throws(ImageError) -> CZIMask? {
    let bits = try cache.block(~index) { () throws(ImageError) in try decoder.mask(of: block)?.bits ?? [] }
    return bits.isEmpty
      ? nil : CZIMask(bits: bits, width: Int(block.storedWidth), height: Int(block.storedHeight))
  }

  private func paint(
    _ block: CZISubBlock, index: Int32, place: Region, mask: CZIMask?, at region: Region, into pixels: PixelBuffer
  ) throws(ImageError) {
    let part = place.intersection(region)
    let bytesPerPixel = pixels.bytesPerPixel
    let target = UnsafeMutableRawBufferPointer(
      rebasing: pixels.bytes[
        ((part.y - region.y) * pixels.bytesPerRow + (part.x - region.x) * bytesPerPixel)...])
    let isUncompressed = block.compression == CZICompression.uncompressed.rawValue
    if isUncompressed, mask == nil, block.byteCount.map({ $0 > min(cache.limit, CZIDecoder.mostBytes) }) ?? true {
      return try readRows(
        of: block, place: place, part, into: target, stride: pixels.bytesPerRow, bytesPerPixel: bytesPerPixel)
    }
    let isKept = cache.keepsBlock(inside: part == place, of: pixels.byteCount)
    let bytes = try cache.block(index, isKept: isKept) { () throws(ImageError) in try decoder.decode(block) }
    bytes.withUnsafeBytes { source in
      for row in 0..<part.height {
        let y = part.y - place.y + row
        func copy(_ columns: Range<Int>) {
          let start = (y * place.width + columns.lowerBound) * bytesPerPixel
          let from = row * pixels.bytesPerRow + (columns.lowerBound - (part.x - place.x)) * bytesPerPixel
          let count = columns.count * bytesPerPixel
          UnsafeMutableRawBufferPointer(rebasing: target[from..<from + count])
            .copyMemory(from: .init(rebasing: source[start..<start + count]))
        }
        let columns = part.x - place.x..<part.maxX - place.x
        if let mask { mask.runs(x: columns, y: y, copy) } else { copy(columns) }
      }
    }
  }

  /// Reads only the wanted rows of an uncompressed sub-block that is too large to keep.
  private func readRows(
    of block: CZISubBlock, place: Region, _ part: Region, into target: UnsafeMutableRawBufferPointer, stride: Int,
    bytesPerPixel: Int
  ) throws(ImageError) {
    let payload = try decoder.payload(of: block)
    let rowBytes = part.width * bytesPerPixel
    for row in 0..<part.height {
      let line = UnsafeMutableRawBufferPointer(rebasing: target[row * stride..<row * stride + rowBytes])
      // A position beyond what an Int holds is also beyond the payload.
      let pixel = (part.y - place.y + row) * place.width + part.x - place.x
      let start = pixel.multipliedReportingOverflow(by: bytesPerPixel)
      let present = start.overflow ? 0 : max(0, min(rowBytes, payload.count - start.partialValue))
      if present < rowBytes { line[present...].initializeMemory(as: UInt8.self, repeating: 0) }
      guard present > 0 else { continue }
      try ImageError.wrapping { () throws(BytesError) in
        try decoder.source.read(
          at: payload.lowerBound + start.partialValue, into: .init(rebasing: line[0..<present]))
      }
    }
  }
}
