// SPDX-License-Identifier: Apache-2.0
private import Foundation
private import KachelBytes
public import KachelPixels

/// Writes the pictures of scenes as PNG files, which appear together when all of them are complete.
///
/// Of several scenes, `-scene` and the scene's index is put before `.png`; of a channel by itself, `-` and its name.
public struct OverviewFiles: Sendable {
  /// The files of one scene.
  public struct Drawn: Sendable {
    /// Position in ``ImageDescription/scenes``.
    public let scene: Int
    public let path: String
    public let size: Size
    /// The plane that was read, and at which resolution; see ``channels`` for which channels.
    public let plane: PlaneIndex
    public let channels: [ChannelView]
    /// The files of the channels, in their order; empty where they were not wanted.
    public let channelPaths: [String]
  }

  private struct Files: Sendable {
    let scene: Int
    let picture: PendingOutput
    let channels: [PendingOutput]
  }

  private let overview: Overview
  private let files: [Files]

  /// - Parameters:
  ///   - path: ends in `.png`.
  ///   - scenes: positions in ``ImageDescription/scenes``.
  ///   - perChannel: whether every channel gets a picture of its own, too.
  ///   - overwrite: whether files that exist are replaced.
  /// - Throws: `cannotWrite` where a file exists or cannot be created.
  public init(
    _ overview: Overview, scenes: [Int], path: String, perChannel: Bool = false, overwrite: Bool = false
  ) throws(ImageError) {
    guard path.lowercased().hasSuffix(".png") else {
      throw ImageError(.cannotWrite, file: path, "an overview is a PNG file; give it a name that ends in .png")
    }
    let stem = String(path.dropLast(4)), end = String(path.suffix(4))
    let image = overview.image
    let names = perChannel ? Self.names(overview.channels.map { ($0, image.description.channels[$0].name) }) : []
    self.overview = overview
    func output(_ name: String) throws(ImageError) -> PendingOutput {
      try Self.check(name, image: image.files)
      return try ImageError.wrapping { () throws(BytesError) in try PendingOutput(path: name, overwrite: overwrite) }
    }
    var files: [Files] = []
    for scene in scenes {
      let start = stem + (scenes.count > 1 ? "-scene\(image.description.scenes[scene].index)" : "")
      var channels: [PendingOutput] = []
      for name in names { channels.append(try output("\(start)-\(name)\(end)")) }
      files.append(Files(scene: scene, picture: try output(start + end), channels: channels))
    }
    self.files = files
  }

  /// A file may replace another picture, never a folder or the image.
  private static func check(_ path: String, image: [String]) throws(ImageError) {
    func standard(_ path: String) -> String { URL(filePath: path).resolvingSymlinksInPath().standardizedFileURL.path }
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
      throw ImageError(.cannotWrite, file: path, "is a folder; name a file for the picture")
    }
    if image.contains(where: { (standard(path) + "/").hasPrefix(standard($0) + "/") }) {
      throw ImageError(.cannotWrite, file: path, "is the image, or lies in it; name another file for the picture")
    }
  }

  /// Names of channels as parts of file names, all different.
  static func names(_ channels: [(index: Int, name: String)]) -> [String] {
    var used: Set<String> = []
    return channels.map { index, name in
      var safe = String(name.map { $0.isLetter || $0.isNumber || "+-_.".contains($0) ? $0 : "_" }.prefix(40))
      if safe.isEmpty { safe = "channel\(index)" }
      // Some file systems do not tell upper from lower case.
      while !used.insert(safe.lowercased()).inserted { safe += "-\(index)" }
      return safe
    }
  }

  /// Draws and writes all pictures.
  ///
  /// - Parameter progress: gets the blocks that are done, of how many.
  /// - Throws: ``ImageError``; `CancellationError` soon after the task was cancelled.
  public func write(progress: (Int, Int) -> Void = { _, _ in }) async throws -> [Drawn] {
    let total = files.reduce(0) { $0 + overview.blockCount(of: $1.scene) }
    var done = 0
    var drawn: [Drawn] = []
    for file in files {
      var channels = file.channels[...]
      let picture = try await overview.draw(file.scene) { _, pixels in
        if let output = channels.popFirst() { try Self.write(pixels, to: output) }
      } progress: {
        done += 1
        progress(done, total)
      }
      try Self.write(picture.pixels, to: file.picture)
      drawn.append(
        Drawn(
          scene: file.scene, path: file.picture.path, size: picture.pixels.size, plane: picture.plane,
          channels: picture.channels, channelPaths: file.channels.map(\.path)))
    }
    let outputs = files.flatMap { [$0.picture] + $0.channels }
    try ImageError.wrapping { () throws(BytesError) in try PendingOutput.commit(outputs) }
    return drawn
  }

  private static func write(_ pixels: PixelBuffer, to output: PendingOutput) throws(ImageError) {
    let writer = try PNGWriter(
      path: output.temporaryPath, size: pixels.size, layout: pixels.samples == 1 ? .gray : .rgb, pixelType: .uint8,
      overwrite: false)
    try writer.write(rows: pixels)
    try writer.finish()
  }
}
