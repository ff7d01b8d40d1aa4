// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel

/// What `kachel inspect` says of an image.
struct ImageReport: Encodable {
  struct Scene: Encodable {
    var index: Int
    var name: String?
    var x: Int
    var y: Int
    var width: Int
    var height: Int
  }
  struct Channel: Encodable {
    var name: String
    var color: String?
    var pixelType: String
    var layout: String
  }
  struct Micrometers: Encodable {
    var x: Double?
    var y: Double?
    var z: Double?
  }

  /// Tells programs that read the JSON what the file is; see ``ModelReport/type``.
  var type = "image"
  var file: String
  var format: String
  var scenes: [Scene]
  var channels: [Channel]
  var depth: Int
  var times: Int
  var furtherDimensions: [String: Int]
  var pixelSizeMicrometers: Micrometers
  var compressions: [String]

  init(_ image: Image) {
    let description = image.description
    file = image.path
    format = description.format
    scenes = description.scenes.map {
      Scene(index: $0.index, name: $0.name, x: $0.box.x, y: $0.box.y, width: $0.box.width, height: $0.box.height)
    }
    channels = description.channels.map {
      Channel(name: $0.name, color: $0.color?.hex, pixelType: $0.pixelType.rawValue, layout: $0.layout.rawValue)
    }
    depth = description.depth
    times = description.times
    furtherDimensions = Dictionary(
      description.furtherDimensions.map { ($0.name, $0.count) }, uniquingKeysWith: { first, _ in first })
    let size = description.physicalSize
    pixelSizeMicrometers = Micrometers(x: size.x, y: size.y, z: size.z)
    compressions = description.compressions
  }

  var text: String {
    var sheet = FactSheet()
    sheet.add("image", file)
    sheet.add("format", format + (compressions.isEmpty ? "" : ", \(compressions.joined(separator: ", "))"))
    let shown = scenes.prefix(20).map { scene in
      "\(scene.index)\(scene.name.map { " \"\($0)\"" } ?? ""): \(scene.width) x \(scene.height) at \(scene.x),\(scene.y)"
    }
    let more = scenes.count > 20 ? "\n... \(scenes.count - 20) more" : ""
    sheet.add(scenes.count == 1 ? "scene" : "scenes", shown.joined(separator: "\n") + more)
    sheet.add(
      channels.count == 1 ? "channel" : "channels",
      channels.enumerated().map { index, channel in
        "\(index) \"\(channel.name)\": \(channel.layout), \(channel.pixelType)\(channel.color.map { ", #\($0)" } ?? "")"
      }.joined(separator: "\n"))
    sheet.add("z planes", "\(depth)")
    sheet.add("time points", "\(times)")
    for (name, count) in furtherDimensions.sorted(by: { $0.key < $1.key }) {
      sheet.add("dimension \(name)", "\(count)")
    }
    let sizes = [("x", pixelSizeMicrometers.x), ("y", pixelSizeMicrometers.y), ("z", pixelSizeMicrometers.z)]
      .compactMap { name, value in value.map { String(format: "%@ %.4g", name, $0) } }
    sheet.add("pixel size", sizes.isEmpty ? "unknown" : sizes.joined(separator: ", ") + " µm")
    return sheet.text
  }
}
