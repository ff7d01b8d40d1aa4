// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelPixels

/// What `omero` says of a channel.
struct OMEZarrChannel: Sendable {
  var name: String?
  var color: RGB?
  /// Whether the channel is shown.
  var isActive: Bool
  /// The values that are shown as black and as the channel's colour.
  private var window: (start: Double, end: Double)?

  init(_ json: JSONValue) {
    let label = json["label"]
    name = label?.string ?? label?.int.map(String.init)
    color = json["color"]?.string.flatMap { RGB(hex: $0) }
    isActive = json["active"] != .bool(false)
    if let start = json["window"]?["start"]?.double, let end = json["window"]?["end"]?.double { window = (start, end) }
  }

  func display(of type: PixelType) -> ImageDescription.Display? {
    window.flatMap { .init($0.start, $0.end, of: type) }
  }
}

extension LabelDescription {
  /// The labels that `image-label` names or colours.
  static func list(_ json: JSONValue) -> [LabelDescription] {
    var labels: [Int: LabelDescription] = [:]
    func each(_ member: String, _ body: (Int, JSONValue) -> Void) {
      for entry in (json[member]?.array ?? []).prefix(1 << 20) {
        if let value = entry["label-value"]?.int { body(value, entry) }
      }
    }
    each("colors") { value, entry in
      guard let rgba = entry["rgba"]?.ints, rgba.count >= 3, rgba.allSatisfy({ 0...255 ~= $0 }) else { return }
      // What is transparent shows black.
      let parts = rgba.prefix(3).map { UInt8($0 * (rgba.count > 3 ? rgba[3] : 255) / 255) }
      labels[value] = .init(value: value, name: "", color: RGB(red: parts[0], green: parts[1], blue: parts[2]))
    }
    each("properties") { value, entry in
      guard let name = entry["name"]?.string else { return }
      labels[value, default: .init(value: value, name: "", color: LabelColors().color(of: value))].name = name
    }
    return labels.values.sorted { $0.value < $1.value }
  }
}
