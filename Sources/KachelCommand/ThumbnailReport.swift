// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel

/// What `kachel inspect` says of a picture that it has drawn.
struct ThumbnailReport: Encodable {
  struct Channel: Encodable {
    var index: Int
    var name: String
    var color: String
    /// The pixel values that are black and that are brightest; labels have none.
    var low: Double?
    var high: Double?
    var gamma: Double?
    var range: String
    /// The picture of the channel by itself.
    var file: String?
  }

  var file: String
  var scene: Int
  var width: Int
  var height: Int
  var time: Int
  var z: Int
  /// The resolution that was read.
  var downsampling: Double
  var channels: [Channel]

  init(_ drawn: OverviewFiles.Drawn, of image: ImageDescription) {
    file = drawn.path
    let found = image.scenes[drawn.scene]
    scene = found.index
    (width, height, time, z) = (drawn.size.width, drawn.size.height, drawn.plane.time, drawn.plane.z)
    downsampling = found.levels[drawn.plane.level].downsampling
    channels = drawn.channels.enumerated().map { number, view in
      let isRange = view.source != .labels
      return Channel(
        index: view.index, name: image.channels[view.index].name, color: view.color.hex,
        low: isRange ? Double(view.tone.range.lowerBound) : nil,
        high: isRange ? Double(view.tone.range.upperBound) : nil,
        gamma: isRange ? Double(view.tone.gamma) : nil, range: view.source.rawValue,
        file: drawn.channelPaths.indices.contains(number) ? drawn.channelPaths[number] : nil)
    }
  }

  var text: String {
    let head = "\(file): \(width) x \(height), scene \(scene), time \(time), z \(z)"
    return
      ([head]
      + channels.map { channel in
        let range = "\(ImageReport.value(channel.low ?? 0)) to \(ImageReport.value(channel.high ?? 0))"
        let words =
          switch ChannelView.Source(rawValue: channel.range) {
          case .display: "\(range), as it was shown last"
          case .stretched: "\(range), stretched"
          case .stored: "as stored"
          case .labels, nil: "labels in their colours"
          }
        return "  \"\(channel.name)\" \(words)\(channel.file.map { ", by itself: \($0)" } ?? "")"
      }).joined(separator: "\n")
  }
}
