// SPDX-License-Identifier: Apache-2.0
private import KachelPixels

/// The attributes of an OME-Zarr 0.4 image group: `multiscales`, and `image-label` or `omero`.
struct OMEZarrAttributes: Encodable {
  private struct Axis: Encodable {
    var name: String
    var type: String
    var unit: String?
  }

  private struct Transformation: Encodable {
    var type: String
    var scale: [Double]?
    var translation: [Double]?
  }

  private struct Dataset: Encodable {
    var path: String
    var coordinateTransformations: [Transformation]
  }

  private struct Multiscale: Encodable {
    var version = "0.4"
    var name: String
    var axes: [Axis]
    var datasets: [Dataset]
    /// The downsampling method.
    var type: String
    /// What the specification would like to know beyond its name.
    var metadata: [String: String]
  }

  private struct ImageLabel: Encodable {
    struct Color: Encodable {
      var value: Int
      var rgba: [Int]
      enum CodingKeys: String, CodingKey {
        case value = "label-value"
        case rgba
      }
    }
    struct Property: Encodable {
      var value: Int
      var name: String
      enum CodingKeys: String, CodingKey {
        case value = "label-value"
        case name
      }
    }
    var version = "0.4"
    var colors: [Color]
    var properties: [Property]
  }

  private struct Omero: Encodable {
    struct Window: Encodable {
      var min: Double
      var max: Double
      var start: Double
      var end: Double
    }
    struct Channel: Encodable {
      var label: String
      var color: String
      var active = true
      var window: Window
    }
    var version = "0.4"
    var channels: [Channel]
  }

  private let multiscale: Multiscale
  private let labels: ImageLabel?
  private let omero: Omero?
  private let further: [String: any Encodable & Sendable]

  init(_ image: OutputImage, scene: Int, levels: Int, further: [String: any Encodable & Sendable]) {
    self.further = further
    let axes = OMEZarrAxis.axes(of: image, scene: scene)
    let datasets = (0..<levels).map { level in
      let factor = Double(1 << level)
      var transformations = [
        Transformation(type: "scale", scale: axes.map { $0.name == "x" || $0.name == "y" ? $0.step * factor : $0.step })
      ]
      // The centre of a pixel that stands for factor x factor pixels lies (factor - 1) / 2 pixels further.
      let translation = axes.map {
        $0.name == "x" || $0.name == "y" ? $0.origin + (factor - 1) / 2 * $0.step : $0.origin
      }
      if translation.contains(where: { $0 != 0 }) {
        transformations.append(Transformation(type: "translation", translation: translation))
      }
      return Dataset(path: "\(level)", coordinateTransformations: transformations)
    }
    var downsampling = "mode"
    switch image.content {
    case .labels(let descriptions):
      labels = ImageLabel(
        colors: descriptions.map {
          .init(value: $0.value, rgba: [Int($0.color.red), Int($0.color.green), Int($0.color.blue), 255])
        },
        properties: descriptions.map { .init(value: $0.value, name: $0.name) })
      omero = nil
    case .intensities:
      downsampling = "mean"
      labels = nil
      omero = Omero(channels: image.channels.map(Self.channel))
    }
    multiscale = Multiscale(
      name: image.scenes.count > 1 ? image.scenes[scene].name ?? image.name : image.name,
      axes: axes.map {
        Axis(name: String($0.name), type: $0.name == "t" ? "time" : $0.name == "c" ? "channel" : "space", unit: $0.unit)
      },
      datasets: datasets, type: downsampling,
      metadata: ["description": "each pixel is the \(downsampling) of 2 x 2 pixels of the level before"])
  }

  private static func channel(_ channel: OutputImage.Channel) -> Omero.Channel {
    let whole = 0...(channel.pixelType.integerMaximum ?? 1)
    let shown = channel.range ?? whole
    return .init(
      label: channel.name, color: channel.color?.hex ?? "FFFFFF",
      window: .init(
        min: min(whole.lowerBound, shown.lowerBound), max: max(whole.upperBound, shown.upperBound),
        start: shown.lowerBound, end: shown.upperBound))
  }

  private struct Key: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encode([multiscale], forKey: Key(stringValue: "multiscales"))
    try container.encodeIfPresent(labels, forKey: Key(stringValue: "image-label"))
    try container.encodeIfPresent(omero, forKey: Key(stringValue: "omero"))
    for (name, value) in further { try container.encode(value, forKey: Key(stringValue: name)) }
  }
}
