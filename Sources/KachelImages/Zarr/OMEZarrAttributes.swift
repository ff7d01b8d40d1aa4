// SPDX-License-Identifier: Apache-2.0
import KachelBytes
private import KachelPixels

/// One image of an OME-Zarr that is being written.
struct OMEZarrGroup {
  /// Where it is written.
  var folder: String
  var name: String
  var coordinates: OMEZarrCoordinates
  /// Its resolutions, where their sizes are given.
  var steps: [ScenePyramid.Step]?
  /// The path from the group to the image that the labels belong to.
  var source: String?

  var levels: Int { coordinates.transformations.count }

  /// What the group says of itself: `multiscales`, and `image-label` or `omero`.
  ///
  /// - Parameter further: other attributes, by name.
  func attributes(
    of image: OutputImage, version: OMEZarrOptions.Version, further: [String: any Encodable & Sendable]
  ) throws -> JSONValue {
    let downsampling: String
    var attributes: [String: JSONValue] = [:]
    switch image.content {
    case .labels(let descriptions):
      downsampling = "mode"
      attributes["image-label"] = .object(labels(descriptions))
    case .intensities:
      downsampling = "mean"
      attributes["omero"] = ["channels": .array(image.channels.map(Self.channel))]
    }
    attributes["multiscales"] = [.object(multiscale(downsampling))]
    var all = try further.mapValues { try JSONValue(encoding: $0) }
    switch version {
    case .v04:
      for (name, value) in attributes { all[name] = value.stating(version) }
    case .v05:
      all["ome"] = JSONValue.object(attributes).stating(version)
    }
    return .object(all)
  }

  private func multiscale(_ downsampling: String) -> [String: JSONValue] {
    var multiscale: [String: JSONValue] = [
      "name": .string(name), "axes": coordinates.axes,
      "datasets": .array(
        coordinates.transformations.enumerated().map { level, transformations in
          ["path": .string("\(level)"), "coordinateTransformations": transformations]
        }),
      // The downsampling method, and what the specification would like to know beyond its name.
      "type": .string(downsampling),
      "metadata": ["description": .string("2 x 2 pixels become their \(downsampling), once for every halving")],
    ]
    multiscale["coordinateTransformations"] = coordinates.common
    return multiscale
  }

  private func labels(_ descriptions: [LabelDescription]) -> [String: JSONValue] {
    var labels: [String: JSONValue] = [:]
    // Empty lists are not allowed.
    if !descriptions.isEmpty {
      labels["colors"] = .array(
        descriptions.map {
          let rgba = [Int($0.color.red), Int($0.color.green), Int($0.color.blue), 255]
          return ["label-value": .integer($0.value), "rgba": JSONValue(rgba)]
        })
      labels["properties"] = .array(
        descriptions.map { ["label-value": .integer($0.value), "name": .string($0.name)] })
    }
    if let source { labels["source"] = ["image": .string(source)] }
    return labels
  }

  private static func channel(_ channel: OutputImage.Channel) -> JSONValue {
    let whole = 0...(channel.pixelType.integerMaximum ?? 1)
    let shown = channel.range ?? whole
    return [
      "label": .string(channel.name), "color": .string(channel.color?.hex ?? "FFFFFF"), "active": .bool(true),
      "window": [
        "min": .number(min(whole.lowerBound, shown.lowerBound)),
        "max": .number(max(whole.upperBound, shown.upperBound)), "start": .number(shown.lowerBound),
        "end": .number(shown.upperBound),
      ],
    ]
  }
}

extension JSONValue {
  /// The object, or the objects of an array, with a member that tells the version.
  fileprivate func stating(_ version: OMEZarrOptions.Version) -> JSONValue {
    switch self {
    case .object(var members):
      members["version"] = .string(version.rawValue)
      return .object(members)
    case .array(let values): return .array(values.map { $0.stating(version) })
    default: return self
    }
  }
}

extension OutputFolder {
  /// Writes the metadata of a group into its folder, which is made.
  ///
  /// - Parameter attributes: as 0.4 has them, or as 0.5 has them with `ome` in them.
  static func writeGroup(
    _ folder: String, _ version: OMEZarrOptions.Version, attributes: JSONValue
  ) throws(ImageError) {
    switch version {
    case .v04:
      try write(["zarr_format": 2], to: folder + "/.zgroup")
      try write(attributes, to: folder + "/.zattrs")
    case .v05:
      try write(["zarr_format": 3, "node_type": "group", "attributes": attributes], to: folder + "/zarr.json")
    }
  }
}
