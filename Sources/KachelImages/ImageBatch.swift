// SPDX-License-Identifier: Apache-2.0
private import Foundation

#if canImport(Glibc)
  private import Glibc
#endif

/// The images that a user means by names of files, folders of images, and patterns such as `plate/*.czi`.
public struct ImageBatch: Sendable, Hashable {
  /// Each once; those of a folder or pattern in alphabetical order, in which numbers count as numbers.
  public let images: [String]
  /// Whether several images may be meant: there is a folder or a pattern, or more than one name.
  public let isBatch: Bool

  /// - Parameter names: a folder means the images right inside it, known by their content; a folder that is itself an
  ///   image (OME-Zarr) means that image. Addresses, as `https://…`, are never patterns.
  /// - Throws: `notAnImage` where a folder or pattern holds no image. Files that are named one by one are not looked at.
  public init(_ names: [String]) throws(ImageError) {
    var images: [String] = []
    var isBatch = names.count > 1
    for name in names {
      var isFolder: ObjCBool = false
      let exists = FileManager.default.fileExists(atPath: name, isDirectory: &isFolder)
      if exists && isFolder.boolValue && !Image.isImage(at: name) {
        isBatch = true
        let found = try Self.images(inFolder: name)
        guard !found.isEmpty else {
          throw ImageError(.notAnImage, file: name, "is a folder without images; name an image or a folder of images")
        }
        images += found
      } else if !exists && !RemoteAddress.isAddress(name) && name.contains(where: { "*?[".contains($0) }) {
        isBatch = true
        let found = Self.paths(matching: name)
        guard !found.isEmpty else { throw ImageError(.notAnImage, file: name, "no file matches this pattern") }
        images += found
      } else {
        images.append(name)
      }
    }
    var seen: Set<String> = []
    self.images = images.filter { seen.insert($0).inserted }
    self.isBatch = isBatch
  }

  private static func images(inFolder folder: String) throws(ImageError) -> [String] {
    let names: [String]
    do {
      names = try FileManager.default.contentsOfDirectory(atPath: folder)
    } catch {
      throw ImageError(.notAnImage, file: folder, "the folder cannot be read: \(error.localizedDescription)")
    }
    let prefix = folder.hasSuffix("/") ? folder : folder + "/"
    return sorted(names.filter { !$0.hasPrefix(".") }.map { prefix + $0 }).filter { Image.isImage(at: $0) }
  }

  private static func paths(matching pattern: String) -> [String] {
    var result = glob_t()
    defer { globfree(&result) }
    guard glob(pattern, 0, nil, &result) == 0, let paths = result.gl_pathv else { return [] }
    return sorted((0..<Int(result.gl_pathc)).compactMap { index in paths[index].map { String(cString: $0) } })
  }

  private static func sorted(_ paths: [String]) -> [String] {
    paths.sorted {
      let order = $0.compare($1, options: [.numeric, .caseInsensitive])
      return order == .orderedSame ? $0 < $1 : order == .orderedAscending
    }
  }
}
