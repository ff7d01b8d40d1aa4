// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

/// What thumbnail to draw.
struct ThumbnailOptions: ParsableArguments {
  @Option(
    name: .customLong("thumbnail"),
    help: ArgumentHelp(
      "Draw every scene in the channels' colours, contrast-stretched, as a PNG; of several, as out-scene0.png and so on.",
      valueName: "out.png"))
  var path: String?
  @Option(help: ArgumentHelp("The longest side of a picture in pixels, at most 4096.", valueName: "pixels"))
  var thumbnailSize = 1024
  @Flag(help: "Also draw every channel by itself, in gray, as out-NAME.png.") var perChannel = false
  @Option(help: "Scenes by index, as 1 or 0-2,5.", transform: readSelection) var scene: Selection?
  @Option(help: "A channel by name or index, once for each to draw (default: those that were shown last).")
  var channel: [String] = []
  @Option(help: "The time point, counted from 0 (default: the first).") var time: Int?
  @Option(help: "The z plane, counted from 0 (default: the middle one).") var z: Int?
  @Option(help: "The position along another dimension, as H=0.", transform: readPosition)
  var dimension: [PlaneOptions.Position] = []
  @Flag(help: "Replace pictures that exist.") var overwrite = false
  @Flag(name: .shortAndLong, help: "Print no progress.") var quiet = false

  func validate() throws {
    guard let path else {
      let isPlain =
        thumbnailSize == 1024 && !perChannel && scene == nil && channel.isEmpty && time == nil && z == nil
        && dimension.isEmpty && !overwrite && !quiet
      guard isPlain else { throw ValidationError("the options of a thumbnail need --thumbnail out.png") }
      return
    }
    guard path.lowercased().hasSuffix(".png") else {
      throw ValidationError("--thumbnail writes PNG; \(path) should end in .png")
    }
    guard Overview.sides.contains(thumbnailSize) else {
      throw ValidationError(
        "a thumbnail's longest side is 1 to \(Overview.sides.upperBound) pixels, not \(thumbnailSize)")
    }
    for (name, position) in [("--time", time), ("--z", z)] {
      if let position, position < 0 { throw ValidationError("\(name) is counted from 0, not \(position)") }
    }
    try PlaneOptions.checkEachOnce(dimension)
  }

  /// Draws what is wanted.
  func draw(_ image: Image) async throws -> [OverviewFiles.Drawn] {
    guard let path else { return [] }
    var choice = PlaneChoice()
    choice.scenes = scene
    (choice.times, choice.depths) = (Selection([(time ?? 0)...(time ?? 0)]), Selection([(z ?? 0)...(z ?? 0)]))
    for dimension in image.description.furtherDimensions { choice.further[dimension.name] = 0 }
    for position in dimension { choice.further[position.name] = position.index }
    let selection = try PlaneSelection(of: image.description, at: image.path, choice)
    let channels = try channel.isEmpty ? nil : image.description.channels(named: channel, at: image.path)
    let overview = try Overview(
      of: image, channels: channels, time: time, depth: z, further: choice.further, longestSide: thumbnailSize)
    let files = try OverviewFiles(
      overview, scenes: selection.scenes, path: path, perChannel: perChannel, overwrite: overwrite)
    let line = quiet ? nil : ProgressLine()
    defer { line?.close() }
    return try await Interruption.stopping { try await files.write { line?.show($0, of: $1, "blocks") } }
  }
}
