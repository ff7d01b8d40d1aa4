// SPDX-License-Identifier: Apache-2.0
private import Foundation
private import KachelBytes
public import KachelPixels

/// Reads the Zarr version 2 arrays that ``ZarrArrayWriter`` writes: zstd, C order, chunks of one plane.
public struct ZarrArrayReader: Sendable {
  public let folder: String
  /// Sizes of all dimensions; the last two are height and width.
  public let shape: [Int]
  public let type: PixelType
  public var size: Size { Size(width: shape[shape.count - 1], height: shape[shape.count - 2]) }
  /// How many planes.
  public let planes: Int
  private let chunk: Size

  /// The most that a side, or a chunk in bytes, may have.
  private static let longestSide = 1 << 31
  private static let largestChunk = 256 << 20

  public init(folder: String) throws(ImageError) {
    let file = folder + "/.zarray"
    func fail(_ kind: ImageError.Kind, _ reason: String) -> ImageError { ImageError(kind, file: file, reason) }
    guard FileManager.default.fileExists(atPath: file) else {
      throw ImageError(.notAnImage, file: folder, "is no Zarr version 2 array: it has no .zarray")
    }
    let metadata: ZarrArrayMetadata
    do {
      let source = try ByteSource(path: file)
      guard source.count <= 1 << 20 else { throw fail(.damaged, "is larger than metadata can be") }
      metadata = try JSONDecoder().decode(ZarrArrayMetadata.self, from: Data(source.read(at: 0, count: source.count)))
    } catch let error as ImageError {
      throw error
    } catch let error as BytesError {
      throw fail(.damaged, error.reason)
    } catch {
      throw fail(.unsupported, "is not metadata of an array that Kachel writes")
    }
    guard metadata.zarrFormat == 2, metadata.order == "C", metadata.filters?.isEmpty ?? true,
      metadata.dimensionSeparator == "/", metadata.fillValue == 0, metadata.compressor?.id == "zstd",
      let type = metadata.pixelType
    else { throw fail(.unsupported, "only zstd arrays in C order of 8- and 16-bit integers and float32 are read") }
    let (shape, chunks) = (metadata.shape, metadata.chunks)
    guard shape.count >= 2, shape.count <= 8, chunks.count == shape.count,
      shape.allSatisfy({ (1...Self.longestSide).contains($0) }),
      zip(chunks, shape).allSatisfy({ (1...max($1, 1 << 16)).contains($0) }),
      chunks.dropLast(2).allSatisfy({ $0 == 1 }),
      chunks.suffix(2).allSatisfy({ $0 <= 1 << 16 }),
      chunks[chunks.count - 1] * chunks[chunks.count - 2] * type.size <= Self.largestChunk,
      let planes = Self.product(shape.dropLast(2))
    else { throw fail(.unsupported, "the shape \(shape) in chunks of \(chunks) is not read") }
    self.folder = folder
    self.planes = planes
    self.shape = shape
    self.type = type
    chunk = Size(width: chunks[chunks.count - 1], height: chunks[chunks.count - 2])
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

  /// Reads a region of a plane into `pixels`, which is reshaped; chunks that are not there are 0.
  ///
  /// - Parameters:
  ///   - region: inside the plane.
  ///   - plane: the position along all dimensions but the last two, as one number in C order.
  public func read(_ region: Region, of plane: Int, into pixels: PixelBuffer) throws(ImageError) {
    guard Region(size).contains(region), !region.isEmpty, (0..<planes).contains(plane) else {
      throw ImageError(.outOfRange, file: folder, "plane \(plane) has no region \(region)")
    }
    pixels.reshape(width: region.width, height: region.height, samples: 1, type: type)
    pixels.fill(byte: 0)
    let content = PixelBuffer(width: chunk.width, height: chunk.height, type: type)
    for row in region.y / chunk.height...(region.maxY - 1) / chunk.height {
      for column in region.x / chunk.width...(region.maxX - 1) / chunk.width {
        let file = ZarrChunkPath(folder: folder, shape: shape, plane: plane, row: row, column: column).file
        guard FileManager.default.fileExists(atPath: file) else { continue }
        try ZarrChunk.read(file, into: content)
        let place = Region(x: column * chunk.width, y: row * chunk.height, width: chunk.width, height: chunk.height)
        let part = place.intersection(region)
        pixels.copy(
          part.offsetBy(x: -place.x, y: -place.y), of: content, toX: part.x - region.x, y: part.y - region.y)
      }
    }
  }
}
