// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

struct WriteImage: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write labels that are in memory into an OME-Zarr, again and again.",
    discussion: """
      The labels are those of a picture, repeated side by side. Prints JSON: what every repetition took, from making the \
      folder to the last file. One before them is not measured.
      """)

  @Argument(help: "A gray picture of 16 bits with a label for every object.") var picture: String
  @Argument(help: "The folder for the OME-Zarrs, one for every repetition.") var output: String
  @Option(help: "The labels' width and height.") var side = 8192
  @Option(help: "uint16 for the picture's labels, uint8 for 2 where it has any and 1 elsewhere.") var type = "uint16"
  @Option(help: "The width and height of the regions that are written.") var region = 1024
  @Option(help: "The version of OME-Zarr.") var zarr = "0.4"
  @Option(help: "The side of shards.") var shard: Int?
  @Option(help: "How many resolutions are written.") var levels: Int?
  @Option(help: "How often it is measured.") var times = 1

  struct Report: Encodable {
    var seconds: [Double] = []
    /// What the processors worked meanwhile.
    var processorSeconds: [Double] = []
  }

  func run() throws {
    guard let version = OMEZarrOptions.Version(rawValue: zarr) else {
      throw ValidationError("OME-Zarr \(zarr) is not written")
    }
    let labels = try makeLabels()
    let options = OMEZarrOptions(version: version, shardSide: shard, levels: levels)
    try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
    var report = Report()
    for time in 0...times {
      // Each into a folder of its own: file systems take long to give the places of deleted files to new ones.
      let pending = try PendingOutput(path: "\(output)/\(time).ome.zarr", overwrite: false)
      let image = OutputImage(
        name: "labels", content: .labels([]), scenes: [.init(size: labels.size)],
        channels: [.init(name: "labels", pixelType: labels.type)])
      let part = PixelBuffer(width: 0, height: 0, type: labels.type)
      let stopwatch = Stopwatch()
      let writer = try ImageWriter(image, to: pending, as: .omeZarr(options))
      for y in stride(from: 0, to: side, by: region) {
        for x in stride(from: 0, to: side, by: region) {
          let place = Region(x: x, y: y, width: min(region, side - x), height: min(region, side - y))
          part.reshape(width: place.width, height: place.height, samples: 1, type: labels.type)
          part.copy(place, of: labels, toX: 0, y: 0)
          try writer.write(part, at: place, of: PlaneIndex())
        }
      }
      try writer.finish(scene: 0)
      try writer.finish()
      let (seconds, processorSeconds) = (stopwatch.seconds, stopwatch.processorSeconds)
      try pending.commit()
      guard time > 0 else { continue }
      report.seconds.append(seconds)
      report.processorSeconds.append(processorSeconds)
    }
    try printJSON(report)
  }

  private func makeLabels() throws -> PixelBuffer {
    let image = try Image(at: picture)
    let size = image.description.scenes[0].size
    let tile = PixelBuffer(width: 0, height: 0, type: .uint16)
    try image.read(Region(size), of: PlaneIndex(), into: tile)
    guard tile.type == .uint16, tile.samples == 1, let type = PixelType(rawValue: type),
      [.uint8, .uint16].contains(type)
    else { throw ValidationError("the picture must be gray with 16 bits, and the labels uint8 or uint16") }
    if type == .uint8 {
      let classes = tile.values(as: UInt16.self).map { $0 > 0 ? 2 as UInt8 : 1 }
      tile.reshape(width: size.width, height: size.height, samples: 1, type: .uint8)
      tile.bytes.copyBytes(from: classes)
    }
    let labels = PixelBuffer(width: side, height: side, type: type)
    for y in stride(from: 0, to: side, by: size.height) {
      for x in stride(from: 0, to: side, by: size.width) {
        let part = Region(x: 0, y: 0, width: min(size.width, side - x), height: min(size.height, side - y))
        labels.copy(part, of: tile, toX: x, y: y)
      }
    }
    return labels
  }
}
