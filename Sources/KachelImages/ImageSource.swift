// SPDX-License-Identifier: Apache-2.0
public import KachelPixels

/// An image on disk of which any region of any plane can be read, by many threads at once, in bounded memory.
public protocol ImageSource: Sendable {
  /// The path it was opened with.
  var path: String { get }
  var description: ImageDescription { get }
  /// The files that hold the image: that of its path, and all others of a set of files.
  var files: [String] { get }
  /// The memory for decoded pixels that the image comes to hold while it is read, in bytes.
  var cacheBytes: Int { get }

  /// Reads `region` of a plane into `pixels`, which is reshaped to the region's size and the channel's type and samples.
  ///
  /// - Parameter region: in pixels of the plane's level from the top-left corner of the scene's bounding box; may reach
  ///   beyond the box. Pixels that the file does not hold become 0.
  func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws

  /// Whether the file holds any pixel of `region` of the plane (a sparse mosaic has areas that hold none).
  func hasPixels(in region: Region, of plane: PlaneIndex) -> Bool

  /// The rectangles of pixels that the file holds in `region` of the plane, each inside it; they may overlap.
  func coveredRegions(in region: Region, of plane: PlaneIndex) -> [Region]

  /// The content of one of ``ImageDescription/attachments``.
  func attachment(_ index: Int) throws -> [UInt8]

  /// The files that hold the full resolution of scenes, where the image is a local folder with a file for every chunk of
  /// it; `nil` where ``files`` are all.
  ///
  /// - Parameter scenes: positions in ``ImageDescription/scenes``.
  func chunkFiles(ofScenes scenes: [Int]) throws -> ChunkFiles?
}

extension ImageSource {
  /// Most formats have one file, or one folder.
  public var files: [String] { [path] }

  /// Most formats have no chunks in files of their own.
  public func chunkFiles(ofScenes scenes: [Int]) throws -> ChunkFiles? { nil }

  /// Most formats have no attachments.
  public func attachment(_ index: Int) throws -> [UInt8] {
    throw ImageError(.outOfRange, file: path, "there is no attachment \(index)")
  }
}
