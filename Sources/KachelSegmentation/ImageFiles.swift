// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages

/// What shows that the files of a local image are still the same.
struct ImageFiles: Sendable {
  /// One of them.
  struct File: Sendable {
    let name: String
    let size: Int
    /// When it was changed.
    let date: Date

    var time: String { date.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true)) }

    fileprivate init?(_ path: String, name: String) {
      guard let attributes = try? FileManager.default.attributesOfItem(atPath: path),
        attributes[.type] as? FileAttributeType == .typeRegular, let size = attributes[.size] as? Int,
        let date = attributes[.modificationDate] as? Date
      else { return nil }
      (self.name, self.size, self.date) = (name, size, date)
    }
  }

  /// The image's files; of an OME-Zarr, those with its metadata.
  let files: [File]
  /// The others of an OME-Zarr that the chosen scenes are read from.
  let chunks: ChunkFiles?

  /// - Throws: ``ImageError`` where a folder of the image cannot be read, `CancellationError`.
  init(of image: any ImageSource, _ selection: PlaneSelection) throws {
    guard !RemoteAddress.isAddress(image.path) else {
      (files, chunks) = ([], nil)
      return
    }
    let metadata = ["", "0/"].flatMap { folder in
      ["zarr.json", ".zattrs", ".zgroup", ".zarray"].map { folder + $0 }
    }
    // A folder is no such file.
    files =
      image.files.compactMap { File($0, name: URL(filePath: $0).lastPathComponent) }
      + metadata.compactMap { File(image.path + "/" + $0, name: $0) }
    chunks = try image.chunkFiles(ofScenes: selection.scenes)
  }

  /// What has changed after a time, in words; `nil` if nothing.
  func change(since made: Date) -> String? {
    if let file = files.first(where: { $0.date > made }) { return "the image's file \(file.name) has changed since" }
    guard let newest = chunks?.newest, newest.date > made else { return nil }
    return "the image's chunks have changed since, the newest is \(newest.name)"
  }
}
