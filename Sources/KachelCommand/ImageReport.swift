// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel

/// What `kachel inspect` says of an image.
struct ImageReport: Encodable {
  struct Level: Encodable {
    var width: Int
    var height: Int
    var downsampling: Double
  }
  struct Point: Encodable {
    var x: Double
    var y: Double
  }
  struct Scene: Encodable {
    var index: Int
    var name: String?
    var x: Int
    var y: Int
    var width: Int
    var height: Int
    var levels: [Level]
    var centerMicrometers: Point?
    var well: String?
  }
  struct Display: Encodable {
    /// In pixel values.
    var low: Double
    var high: Double
    var gamma: Double
  }
  struct Channel: Encodable {
    var name: String
    var color: String?
    var pixelType: String
    var layout: String
    var validBits: Int?
    var display: Display?
    var isShown: Bool
  }
  struct Micrometers: Encodable {
    var x: Double?
    var y: Double?
    var z: Double?
  }
  struct TimeStamps: Encodable {
    var count: Int
    var first: Double
    var last: Double
  }
  struct Attachment: Encodable {
    var name: String
    var type: String
    var bytes: Int
  }
  struct Label: Encodable {
    var value: Int
    var name: String
    var color: String
  }

  /// Tells programs that read the JSON what the file is; see ``ModelReport/type``.
  var type = "image"
  var file: String
  var format: String
  /// Of a file; not of a folder.
  var bytes: Int?
  var storage: String?
  var scenes: [Scene]
  var channels: [Channel]
  var depth: Int
  var times: Int
  var timeStampsSeconds: TimeStamps?
  var furtherDimensions: [String: Int]
  var pixelSizeMicrometers: Micrometers
  var compressions: [String]
  var labels: [Label]?
  var attachments: [Attachment]
  var notes: [String]
  var thumbnails: [ThumbnailReport]?

  init(_ image: Image, drawn: [OverviewFiles.Drawn]) {
    let description = image.description
    file = image.path
    format = description.format
    let attributes = try? FileManager.default.attributesOfItem(atPath: image.path)
    bytes = attributes?[.type] as? FileAttributeType == .typeRegular ? (attributes?[.size] as? NSNumber)?.intValue : nil
    storage = description.storage
    scenes = description.scenes.map { scene in
      Scene(
        index: scene.index, name: scene.name, x: scene.box.x, y: scene.box.y, width: scene.box.width,
        height: scene.box.height,
        levels: scene.levels.map { Level(width: $0.size.width, height: $0.size.height, downsampling: $0.downsampling) },
        centerMicrometers: scene.center.map { Point(x: $0.x, y: $0.y) }, well: scene.well)
    }
    channels = description.channels.map { channel in
      Channel(
        name: channel.name, color: channel.color?.hex, pixelType: channel.pixelType.rawValue,
        layout: channel.layout.rawValue, validBits: channel.validBits,
        display: channel.displayRange.map {
          Display(low: $0.lowerBound, high: $0.upperBound, gamma: channel.display?.gamma ?? 1)
        }, isShown: channel.isShown)
    }
    depth = description.depth
    times = description.times
    if let first = description.timeStamps.first, let last = description.timeStamps.last {
      timeStampsSeconds = TimeStamps(count: description.timeStamps.count, first: first, last: last)
    }
    furtherDimensions = Dictionary(
      description.furtherDimensions.map { ($0.name, $0.count) }, uniquingKeysWith: { first, _ in first })
    let size = description.physicalSize
    pixelSizeMicrometers = Micrometers(x: size.x, y: size.y, z: size.z)
    compressions = description.compressions
    labels = description.labels?.map { Label(value: $0.value, name: $0.name, color: $0.color.hex) }
    attachments = description.attachments.map { Attachment(name: $0.name, type: $0.type, bytes: $0.byteCount) }
    notes = description.notes
    if description.scenes.contains(where: { $0.levels.count == 1 && $0.size.area > Self.largeArea }) {
      notes.append("no smaller resolutions; an overview reads all pixels")
    }
    thumbnails = drawn.isEmpty ? nil : drawn.map { ThumbnailReport($0, of: description) }
  }

  /// So many pixels are read in no time.
  private static let largeArea = 8192 * 8192
  /// How many of a kind the text names.
  private static let shown = 20

  var text: String {
    var sheet = FactSheet()
    func add(_ name: String, _ lines: [String]) {
      guard !lines.isEmpty else { return }
      let more = lines.count > Self.shown ? ["... \(lines.count - Self.shown) more"] : []
      sheet.add(lines.count == 1 ? name : name + "s", (lines.prefix(Self.shown) + more).joined(separator: "\n"))
    }
    sheet.add("image", file)
    sheet.add("format", ([format] + compressions).joined(separator: ", "))
    sheet.add("file", bytes.map(Self.size))
    sheet.add("storage", storage)
    add("scene", scenes.map(Self.text))
    sheet.add("resolutions", resolutions)
    add("channel", channels.enumerated().map { Self.text($1, index: $0) })
    sheet.add("z planes", "\(depth)")
    sheet.add("time points", "\(times)" + (timeStampsSeconds.map(Self.text) ?? ""))
    for (name, count) in furtherDimensions.sorted(by: { $0.key < $1.key }) {
      sheet.add("dimension \(name)", "\(count)")
    }
    let sizes = [("x", pixelSizeMicrometers.x), ("y", pixelSizeMicrometers.y), ("z", pixelSizeMicrometers.z)]
      .compactMap { name, value in value.map { String(format: "%@ %.4g", name, $0) } }
    sheet.add("pixel size", sizes.isEmpty ? "unknown" : sizes.joined(separator: ", ") + " µm")
    add("label", (labels ?? []).map { "\($0.value)\($0.name.isEmpty ? "" : " \"\($0.name)\"") #\($0.color)" })
    add("attachment", attachments.map { "\($0.name) (\($0.type)), \(Self.size($0.bytes))" })
    add("note", notes)
    add("thumbnail", (thumbnails ?? []).map(\.text))
    return sheet.text
  }

  private static func text(_ scene: Scene) -> String {
    var parts = ["\(scene.width) x \(scene.height) at \(scene.x),\(scene.y)"]
    if let well = scene.well { parts.append("well \(well)") }
    if let center = scene.centerMicrometers {
      parts.append(String(format: "middle at %.9g,%.9g µm on the stage", center.x, center.y))
    }
    return "\(scene.index)\(scene.name.map { " \"\($0)\"" } ?? ""): \(parts.joined(separator: ", "))"
  }

  private var resolutions: String {
    func text(_ levels: [Level]) -> String {
      guard levels.count > 1 else { return "the full one only" }
      return levels.dropFirst().map { level in
        let name = String(format: "1/%.4g", level.downsampling)
        return scenes.count == 1 ? "\(name) (\(level.width) x \(level.height))" : name
      }.joined(separator: ", ")
    }
    let all = scenes.map { text($0.levels) }
    var different: [String] = []
    for text in all where !different.contains(text) && different.count < 5 { different.append(text) }
    guard different.count > 1 else { return different.first ?? "" }
    return different.map { text in
      let count = all.count { $0 == text }
      return "\(text) (\(count) scene\(count == 1 ? "" : "s"))"
    }.joined(separator: "\n")
  }

  private static func text(_ channel: Channel, index: Int) -> String {
    var parts = ["\(channel.layout)", channel.pixelType]
    if let bits = channel.validBits { parts.append("\(bits) bits valid") }
    if let color = channel.color { parts.append("#\(color)") }
    if let display = channel.display {
      parts.append(
        "shown from \(Self.value(display.low)) to \(Self.value(display.high))"
          + (display.gamma == 1 ? "" : String(format: " with gamma %.3g", display.gamma)))
    }
    if !channel.isShown { parts.append("hidden") }
    return "\(index) \"\(channel.name)\": \(parts.joined(separator: ", "))"
  }

  /// What is left of a 0 by calculation is 0.
  static func value(_ number: Double) -> String { String(format: "%.6g", abs(number) < 1e-9 ? 0 : number) }

  private static func text(_ stamps: TimeStamps) -> String {
    stamps.count == 1
      ? String(format: ", at %.6g s", stamps.first) : String(format: ", from %.6g to %.6g s", stamps.first, stamps.last)
  }

  private static func size(_ bytes: Int) -> String {
    var (value, unit) = (Double(bytes), "bytes")
    for next in ["kB", "MB", "GB", "TB"] where value >= 1000 { (value, unit) = (value / 1000, next) }
    return unit == "bytes" ? "\(bytes) bytes" : String(format: "%.3g %@ (%d bytes)", value, unit, bytes)
  }
}
