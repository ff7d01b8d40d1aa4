// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelPixels

/// An image of an OME-Zarr as its labels must match it: the same dimensions and version, the same number of resolutions.
struct OMEZarrLabelledImage {
  let version: OMEZarrOptions.Version
  let size: Size
  /// The image's own numbers of times and z planes; 1 where it has no such dimension.
  let times: Int
  let depths: Int
  /// Of its labels, which have one channel.
  let coordinates: OMEZarrCoordinates
  /// The image's own resolutions, where halving leads to them.
  let steps: [ScenePyramid.Step]?

  /// - Parameter key: of the image's group.
  /// - Throws: `unsupported` where labels cannot be made for the image, `damaged`.
  init(_ key: String, in hierarchy: ZarrHierarchy) throws(ImageError) {
    guard case .group(let attributes, let file) = try hierarchy.node(key) else {
      throw ImageError(.unsupported, file: hierarchy.store.file(key), "is no OME-Zarr image, so that it has no labels")
    }
    let document = ZarrDocument(json: attributes["ome"] ?? attributes, file: file)
    guard let json = document.json["multiscales"]?.array?.first, let axes = json["axes"] else {
      throw Self.refusal(document, "the image is of an OME-Zarr older than 0.4")
    }
    version = try Self.version(
      json["version"] ?? document.json["version"], isVersion3: file.hasSuffix(".json"), document)
    let multiscale = try OMEZarrMultiscale(document.json, document)
    let dimensions = multiscale.axes
    let order = [dimensions.time, dimensions.channel, dimensions.z, dimensions.y, dimensions.x].compactMap(\.self)
    guard order == Array(0..<dimensions.count) else {
      throw Self.refusal(document, "the image's dimensions are not t, c, z, y, x in this order")
    }

    var layouts: [ZarrLayout] = []
    for dataset in multiscale.datasets {
      guard let path = ZarrKey.inside(key, path: dataset.path),
        case .array(let layout, _) = try hierarchy.node(path), layout.shape.count == dimensions.count
      else {
        throw Self.refusal(document, "the image's resolution \(dataset.path.prefix(80)) is missing or damaged")
      }
      layouts.append(layout)
    }
    let shape = layouts[0].shape
    let sizes = layouts.map { Size(width: $0.shape[dimensions.x], height: $0.shape[dimensions.y]) }
    size = sizes[0]
    times = dimensions.size(dimensions.time, shape)
    depths = dimensions.size(dimensions.z, shape)
    let steps = ScenePyramid.steps(through: sizes)
    self.steps = steps

    let stated = (json["datasets"]?.array ?? []).map { $0["coordinateTransformations"] ?? [] }
    let scale = stated[0].numbers("scale") ?? [], translation = stated[0].numbers("translation")
    let isPlane = (0..<dimensions.count).map { $0 == dimensions.x || $0 == dimensions.y }
    let factors =
      steps?.enumerated().filter(\.element.isHeld).map { Double(1 << $0.offset) }
      ?? sizes.indices.map { Double(1 << $0) }
    let isSame = layouts.map { layout in
      // A resolution may also have fewer planes along z; labels have all.
      steps != nil && shape.indices.allSatisfy { isPlane[$0] || layout.shape[$0] == shape[$0] }
    }
    coordinates = OMEZarrCoordinates(
      names: (axes.array ?? []).map { $0["name"]?.string ?? "" },
      leading: shape.indices.dropLast(2).map { $0 == dimensions.channel ? 1 : shape[$0] }, axes: axes,
      transformations: stated.indices.map { level in
        // As the image says where it has such a resolution, so that labels lie over it in any program.
        isSame[level]
          ? stated[level]
          : OMEZarrCoordinates.transformations(
            scale: scale, translation: translation ?? scale.map { _ in 0 }, factor: factors[level], along: isPlane)
      }, common: json["coordinateTransformations"])
  }

  private static func refusal(_ document: ZarrDocument, _ reason: String) -> ImageError {
    document.unsupported(
      "\(reason), so that no labels are written into it; name an output of its own, such as labels.ome.zarr")
  }

  private static func version(
    _ json: JSONValue?, isVersion3: Bool, _ document: ZarrDocument
  ) throws(ImageError) -> OMEZarrOptions.Version {
    let version: OMEZarrOptions.Version = isVersion3 ? .v05 : .v04
    guard json?.string ?? version.rawValue == version.rawValue else {
      throw refusal(document, "the image is of the OME-Zarr version \(ZarrLayout.text(json))")
    }
    return version
  }
}

extension JSONValue {
  /// The numbers of the first transformation of a type.
  fileprivate func numbers(_ type: String) -> [Double]? {
    array?.first { $0["type"]?.string == type }?[type]?.doubles
  }
}
