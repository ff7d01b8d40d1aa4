// SPDX-License-Identifier: Apache-2.0
import KachelBytes

/// What `multiscales` says of one image: its dimensions and where its resolutions lie (OME-Zarr 0.1 to 0.5).
struct OMEZarrMultiscale: Sendable {
  struct Dataset: Sendable {
    var path: String
    /// The distance of neighbours along every dimension.
    var scale: [Double]?
    /// Where the first pixel lies.
    var translation: [Double]?
  }

  var name: String?
  /// As in `0.4`.
  var version: String
  var axes: OMEZarrDimensions
  /// The full resolution first.
  var datasets: [Dataset]

  /// - Parameters:
  ///   - group: the attributes that hold `multiscales`.
  ///   - document: named in errors.
  init(_ group: JSONValue, _ document: ZarrDocument) throws(ImageError) {
    guard let json = group["multiscales"]?.array?.first, json.object != nil else {
      throw document.damaged("multiscales holds no image")
    }
    let version = try Self.version(json["version"] ?? group["version"], document)
    let axes = try Self.axes(json["axes"], version: version, document)
    self.axes = axes
    self.version = "0.\(version)"
    name = json["name"]?.string.flatMap { $0.isEmpty ? nil : $0 }
    guard let datasets = json["datasets"]?.array, !datasets.isEmpty else {
      throw document.damaged("multiscales has no datasets")
    }
    guard datasets.count <= 64 else { throw document.damaged("multiscales has \(datasets.count) datasets") }
    let common = try Self.common(json["coordinateTransformations"], axes.count, document)
    self.datasets = []
    for dataset in datasets {
      guard let path = dataset["path"]?.string else { throw document.damaged("a dataset has no path") }
      let transformations = dataset["coordinateTransformations"]
      var scale = try Self.scale(transformations, version: version, axes.count, document)
      if let common { scale = scale.map { zip($0, common).map { $0 * $1 } } }
      let translation = transformations?.array?.lazy.compactMap { $0["translation"]?.doubles }.first
      self.datasets.append(Dataset(path: path, scale: scale, translation: translation))
    }
  }

  /// The scale that holds for all datasets; others' transformations, such as SpatialData's, lead to coordinate systems of
  /// the user's own.
  private static func common(
    _ json: JSONValue?, _ count: Int, _ document: ZarrDocument
  ) throws(ImageError) -> [Double]? {
    guard let json else { return nil }
    guard let transformations = json.array, transformations.allSatisfy({ $0["type"]?.string != nil }) else {
      throw document.damaged("the coordinateTransformations of multiscales are no list of typed ones")
    }
    guard let scale = transformations.first(where: { $0["type"]?.string == "scale" }) else { return nil }
    guard let numbers = scale["scale"]?.doubles, numbers.count == count else {
      throw document.damaged("the scale of multiscales is no list of \(count) numbers")
    }
    return numbers
  }

  /// The minor version number; 4 where the metadata do not say.
  private static func version(_ json: JSONValue?, _ document: ZarrDocument) throws(ImageError) -> Int {
    guard let json else { return 4 }
    // SpatialData adds a word of its own, as in 0.4-dev-spatialdata.
    guard let version = json.string,
      let minor = ["0.1", "0.2", "0.3", "0.4", "0.5"].firstIndex(where: version.hasPrefix),
      !(version.dropFirst(3).first?.isNumber ?? false)
    else {
      throw document.unsupported("OME-Zarr of the version \(ZarrLayout.text(json)) is not read; 0.1 to 0.5 are")
    }
    return minor + 1
  }

  private static func axes(
    _ json: JSONValue?, version: Int, _ document: ZarrDocument
  ) throws(ImageError) -> OMEZarrDimensions {
    guard let json else {
      // The first two versions had always these five.
      guard version < 3 else { throw document.damaged("multiscales has no axes") }
      return OMEZarrDimensions(plain: 5)
    }
    guard let values = json.array, (2...5).contains(values.count) else {
      throw document.damaged("an image has 2 to 5 axes, but multiscales says otherwise")
    }
    var axes: [OMEZarrDimensions.Axis] = []
    for value in values {
      // Version 0.3 gave names only.
      guard let name = value.string ?? value["name"]?.string, !name.isEmpty, name.utf8.count <= 256 else {
        throw document.damaged("an axis has no name")
      }
      if let type = value["type"], type.string == nil { throw document.damaged("the type of an axis is no text") }
      axes.append(.init(name: name, type: value["type"]?.string, unit: value["unit"]?.string))
    }
    guard Set(axes.map(\.name)).count == axes.count else { throw document.damaged("two axes have the same name") }
    guard let dimensions = OMEZarrDimensions(axes) else {
      throw document.damaged(
        "the axes \(axes.map(\.name)) are not y and x and at most one each of t, c and z or another")
    }
    return dimensions
  }

  private static func scale(
    _ json: JSONValue?, version: Int, _ count: Int, _ document: ZarrDocument
  ) throws(ImageError) -> [Double]? {
    guard version >= 4 else { return nil }
    guard let transformations = json?.array else {
      throw document.damaged("a dataset has no coordinateTransformations")
    }
    for transformation in transformations {
      guard let type = transformation["type"]?.string, ["scale", "translation", "identity"].contains(type) else {
        throw document.damaged(
          "a coordinate transformation of a dataset is of the type \(ZarrLayout.text(transformation["type"]))")
      }
    }
    let scales = transformations.filter { $0["type"]?.string == "scale" }
    guard scales.count == 1, let scale = scales[0]["scale"]?.doubles else {
      throw document.damaged("a dataset has \(scales.count) scales with numbers instead of one")
    }
    guard scale.count == count else {
      throw document.damaged("a scale has \(scale.count) numbers for \(count) axes")
    }
    return scale
  }
}
