// SPDX-License-Identifier: Apache-2.0
private import Foundation
private import KachelBytes
import KachelPixels

/// Makes the metadata document of a CZI: what ``CZIMetadata`` reads, and what ZEN and libCZI look for.
///
/// What labels mean and where results come from stand as JSON texts in the custom attributes, where libCZI keeps
/// values of other programs: `labels` is a list of values, names and colours, any other attribute a list with the
/// value of every scene.
struct CZIMetadataWriter {
  private typealias Element = XMLTree.Element

  /// Its samples as CZI keeps them.
  var image: OutputImage
  var pixelType: CZIPixelType
  /// In the file's own pixel coordinates.
  var boxes: [Region]
  /// How many resolutions every scene has.
  var levels: [Int]
  /// The most mosaic tiles of a scene.
  var tiles: Int
  /// What else the file tells of every scene, as JSON, by name.
  var attributes: [[String: String]]

  func document() throws -> String {
    let information = [
      imageElement, Element("Application", [:], [Element("Name", text: "Kachel")]),
      Element("Document", [:], [Element("Title", text: image.name)]),
    ]
    let metadata = [
      Element("Information", [:], information + (try customAttributes())), scaling, displaySetting,
    ]
    return Element("ImageDocument", [:], [Element("Metadata", [:], metadata)]).document
  }

  /// A value in JSON, the same text for equal values.
  static func json(of value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
  }

  private var pixelTypeElement: Element { Element("PixelType", text: CZIPixelType.name(of: pixelType.rawValue)) }

  private var imageElement: Element {
    let whole = boxes.reduce(Region(x: 0, y: 0, width: 0, height: 0)) { $0.union($1) }
    let sizes = [
      ("X", whole.width), ("Y", whole.height), ("C", image.channels.count), ("Z", image.depths.count),
      ("T", image.times.count), ("S", image.scenes.count), ("M", tiles),
    ]
    return Element(
      "Image", [:],
      sizes.map { Element("Size\($0.0)", text: "\($0.1)") } + [
        pixelTypeElement, Element("Dimensions", [:], dimensions),
      ])
  }

  private var dimensions: [Element] {
    let channels = image.channels.enumerated().map { index, channel in
      Element("Channel", identity(of: index), [pixelTypeElement] + color(of: channel))
    }
    let scenes = image.scenes.enumerated().map { index, scene in
      let name = scene.name.map { ["Name": $0] } ?? [:]
      return Element(
        "Scene", ["Index": "\(index)"].merging(name) { $1 }, levels[index] > 1 ? [pyramid(levels[index] - 1)] : [])
    }
    return [Element("Channels", [:], channels)] + positions("Z", image.depths, unit: "micrometer")
      + positions("T", image.times, unit: "second") + [Element("S", [:], [Element("Scenes", [:], scenes)])]
  }

  private func identity(of channel: Int) -> [String: String] {
    ["Id": "Channel:\(channel)", "Name": image.channels[channel].name]
  }

  private func color(of channel: OutputImage.Channel) -> [Element] {
    channel.color.map { [Element("Color", text: "#FF\($0.hex)")] } ?? []
  }

  private func pyramid(_ layers: Int) -> Element {
    Element(
      "PyramidInfo", [:],
      [
        Element("IsSane", text: "true"), Element("PyramidLayersCount", text: "\(layers)"),
        Element("MinificationFactor", text: "2"),
      ])
  }

  /// Where planes or time points lie, in the unit of the format.
  private func positions(_ name: String, _ positions: OutputImage.Positions, unit: String) -> [Element] {
    guard positions.unit == unit else { return [] }
    let interval = Element(
      "Interval", [:],
      [Element("Start", text: "\(positions.origin)"), Element("Increment", text: "\(positions.step)")])
    return [Element(name, [:], [Element("Positions", [:], [interval])])]
  }

  private var scaling: Element {
    let distances = [
      ("X", image.pixelSize.x), ("Y", image.pixelSize.y),
      ("Z", image.depths.unit == "micrometer" ? image.depths.step : nil),
    ]
    return Element(
      "Scaling", [:],
      [
        Element(
          "Items", [:],
          distances.compactMap { name, distance in
            guard let distance, distance.isFinite, distance > 0 else { return nil }
            return Element(
              "Distance", ["Id": name],
              [Element("Value", text: Self.metres(distance)), Element("DefaultUnitFormat", text: "µm")])
          })
      ])
  }

  /// A length in metres. The decimal point is moved in the text, the inverse of ``CZIMetadata/micrometres(_:)``.
  static func metres(_ micrometres: Double) -> String {
    let parts = "\(micrometres)".split(separator: "e")
    return "\(parts[0])E\((parts.count > 1 ? Int(parts[1]) ?? 0 : 0) - 6)"
  }

  private var displaySetting: Element {
    let channels = image.channels.enumerated().map { index, channel in
      Element("Channel", identity(of: index), range(of: channel) + [pixelTypeElement] + color(of: channel))
    }
    return Element("DisplaySetting", [:], [Element("Channels", [:], channels)])
  }

  /// The values to show as black and as white, as parts of the type's range. Labels are shown up to the largest.
  private func range(of channel: OutputImage.Channel) -> [Element] {
    var range = channel.range
    if case .labels(let labels) = image.content, range == nil, let largest = labels.map(\.value).max(), largest > 0 {
      range = 0...Double(largest)
    }
    // Nobody says what a part of the range of floating-point numbers is.
    guard let range, let maximum = channel.pixelType.integerMaximum else { return [] }
    let low = max(0, range.lowerBound / maximum), high = min(1, range.upperBound / maximum)
    return low < high ? [Element("Low", text: "\(low)"), Element("High", text: "\(high)")] : []
  }

  private struct Label: Encodable {
    var value: Int
    var name: String
    /// `#RRGGBB`.
    var color: String
  }

  private func customAttributes() throws -> [Element] {
    var values: [Element] = []
    func add(_ name: String, _ value: String) { values.append(Element(name, ["Type": "String"], text: value)) }
    if case .labels(let labels) = image.content, !labels.isEmpty {
      add("labels", try Self.json(of: labels.map { Label(value: $0.value, name: $0.name, color: "#\($0.color.hex)") }))
    }
    for name in Set(attributes.flatMap(\.keys)).sorted() {
      add(name, "[\(attributes.map { $0[name] ?? "null" }.joined(separator: ","))]")
    }
    return values.isEmpty ? [] : [Element("CustomAttributes", [:], [Element("KeyValue", [:], values)])]
  }
}
