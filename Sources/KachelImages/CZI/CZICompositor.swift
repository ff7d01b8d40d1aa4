// SPDX-License-Identifier: Apache-2.0
package import KachelBytes
package import KachelPixels

/// Puts regions of planes together from sub-blocks, in the file's own pixel coordinates.
package final class CZICompositor: Sendable {
  package let directory: CZIDirectory
  package let decoder: CZIDecoder
  package let cache: BlockCache
  private let order: CZIPaintOrder

  /// - Parameter cacheBytes: how many bytes of decoded sub-blocks are kept.
  package init(_ source: ByteSource, directory: CZIDirectory, cacheBytes: Int) {
    self.directory = directory
    decoder = CZIDecoder(source)
    cache = BlockCache(limit: cacheBytes)
    order = CZIPaintOrder(directory.subBlocks)
  }

  /// Opens the low level of a CZI file, whatever its sub-blocks hold.
  package convenience init(at path: String, cacheBytes: Int = 64 << 20) throws(ImageError) {
    let source = try ImageError.wrapping { () throws(BytesError) in try ByteSource(path: path) }
    let header = try CZIHeader(source)
    self.init(source, directory: try CZIDirectory(source, at: header.directoryPosition), cacheBytes: cacheBytes)
  }

  package func isCovered(_ region: Region, plane: Int, scene: Int32?) -> Bool {
    order.isCovered(region, plane: plane, scene: scene, of: directory.subBlocks)
  }

  /// The parts of `region` that sub-blocks of layer 0 cover.
  package func coveredRegions(in region: Region, plane: Int, scene: Int32?) -> [Region] {
    order.subBlocks(in: region, plane: plane, scene: scene, of: directory.subBlocks).map {
      directory.subBlocks[Int($0)].region.intersection(region)
    }
  }

  /// Paints the sub-blocks of layer 0 of a plane into `pixels`, later ones over earlier ones.
  ///
  /// - Parameters:
  ///   - region: in the file's own coordinates, not empty; each side at most 2^31.
  ///   - plane: the plane's number in the directory.
  ///   - scene: paints only sub-blocks of that scene and those without scene; `nil` paints all.
  ///   - type: the plane's pixel type.
  ///   - background: the bytes of one pixel that no sub-block covers; `nil` for zeros.
  /// - Throws: where a sub-block is damaged, is not read, or has another pixel type.
  package func compose(
    _ region: Region, plane: Int, scene: Int32?, type: CZIPixelType, background: [UInt8]? = nil,
    into pixels: PixelBuffer
  ) throws(ImageError) {
    pixels.reshape(width: region.width, height: region.height, samples: type.layout.samples, type: type.sample)
    pixels.fill(byte: 0)
    if let background, background.count == pixels.bytesPerPixel {
      let bytes = pixels.bytes
      for index in bytes.indices { bytes[index] = background[index % background.count] }
    }
    for index in order.subBlocks(in: region, plane: plane, scene: scene, of: directory.subBlocks) {
      let block = directory.subBlocks[Int(index)]
      guard block.pixelType == type.rawValue else {
        throw ImageError(
          .unsupported, file: decoder.source.path, offset: Int(clamping: block.position),
          "a sub-block of \(CZIPixelType.name(of: block.pixelType)) among others of "
            + CZIPixelType.name(of: type.rawValue))
      }
      try paint(block, index: index, at: region, into: pixels)
    }
  }

  private func paint(
    _ block: CZISubBlock, index: Int32, at region: Region, into pixels: PixelBuffer
  ) throws(ImageError) {
    let part = block.region.intersection(region)
    guard !part.isEmpty else { return }
    let bytesPerPixel = pixels.bytesPerPixel
    let target = UnsafeMutableRawBufferPointer(
      rebasing: pixels.bytes[
        ((part.y - region.y) * pixels.bytesPerRow + (part.x - region.x) * bytesPerPixel)...])
    let isUncompressed = block.compression == CZICompression.uncompressed.rawValue
    if isUncompressed, block.byteCount.map({ $0 > min(cache.limit, CZIDecoder.mostBytes) }) ?? true {
      return try readRows(of: block, part, into: target, stride: pixels.bytesPerRow, bytesPerPixel: bytesPerPixel)
    }
    let bytes = try cache.block(index) { () throws(ImageError) in try decoder.decode(block) }
    bytes.withUnsafeBytes { source in
      let rowBytes = part.width * bytesPerPixel
      for row in 0..<part.height {
        let start = ((part.y - block.region.y + row) * block.region.width + part.x - block.region.x) * bytesPerPixel
        let line = UnsafeRawBufferPointer(rebasing: source[start..<start + rowBytes])
        let place = row * pixels.bytesPerRow
        UnsafeMutableRawBufferPointer(rebasing: target[place..<place + rowBytes]).copyMemory(from: line)
      }
    }
  }

  /// Reads only the wanted rows of an uncompressed sub-block that is too large to keep.
  private func readRows(
    of block: CZISubBlock, _ part: Region, into target: UnsafeMutableRawBufferPointer, stride: Int, bytesPerPixel: Int
  ) throws(ImageError) {
    let payload = try decoder.payload(of: block)
    let rowBytes = part.width * bytesPerPixel
    for row in 0..<part.height {
      let line = UnsafeMutableRawBufferPointer(rebasing: target[row * stride..<row * stride + rowBytes])
      // A position beyond what an Int holds is also beyond the payload.
      let pixel = (part.y - block.region.y + row) * block.region.width + part.x - block.region.x
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
