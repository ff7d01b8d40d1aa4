// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelPixels

/// The dimensions of an image that is being written, and where its resolutions lie in space; in the words of
/// `multiscales`.
struct OMEZarrCoordinates {
  /// The dimensions' names, in their order.
  var names: [String]
  /// The sizes of all dimensions but y and x.
  var leading: [Int]
  var axes: JSONValue
  /// The `coordinateTransformations` of every resolution.
  var transformations: [JSONValue]
  /// Those that hold for all resolutions.
  var common: JSONValue?
}

extension OMEZarrCoordinates {
  /// The dimensions that a scene has, in the order t, c, z, y, x.
  ///
  /// - Parameter levels: how many resolutions it has; as many as are needed by default.
  init(of image: OutputImage, scene: Int, levels: Int?) {
    let axes = OMEZarrAxis.axes(of: image, scene: scene)
    names = axes.map { String($0.name) }
    leading = axes.dropLast(2).map(\.count)
    self.axes = .array(axes.map(\.json))
    let levels = ScenePyramid.sizes(of: image.scenes[scene].size, count: levels).count
    let isPlane = axes.map { $0.name == "y" || $0.name == "x" }
    transformations = (0..<levels).map { level in
      Self.transformations(
        scale: axes.map(\.step), translation: axes.map(\.origin), factor: Double(1 << level), along: isPlane)
    }
  }

  /// Where a resolution lies whose pixels stand for `factor` x `factor` pixels of full resolution.
  ///
  /// - Parameters:
  ///   - scale, translation: of full resolution.
  ///   - isPlane: which dimensions are y and x.
  static func transformations(
    scale: [Double], translation: [Double], factor: Double, along isPlane: [Bool]
  ) -> JSONValue {
    let scales = zip(scale, isPlane).map { $1 ? $0 * factor : $0 }
    // The centre of a pixel that stands for factor x factor pixels lies (factor - 1) / 2 pixels further.
    let translations = scale.indices.map { axis in
      isPlane[axis] ? translation[axis] + (factor - 1) / 2 * scale[axis] : translation[axis]
    }
    var transformations: [JSONValue] = [["type": "scale", "scale": JSONValue(scales)]]
    if translations.contains(where: { $0 != 0 }) {
      transformations.append(["type": "translation", "translation": JSONValue(translations)])
    }
    return .array(transformations)
  }
}

/// One dimension of an image that is being written.
private struct OMEZarrAxis {
  /// `t`, `c`, `z`, `y` or `x`.
  var name: Character
  var count: Int
  /// The distance of neighbours at full resolution in `unit`, or 1.
  var step = 1.0
  /// Where the first element lies in `unit`.
  var origin = 0.0
  /// A unit of the specification's list, as in `micrometer`; `nil` where it is unknown.
  var unit: String?

  var json: JSONValue {
    var members: [String: JSONValue] = [
      "name": .string(String(name)), "type": name == "t" ? "time" : name == "c" ? "channel" : "space",
    ]
    if let unit { members["unit"] = .string(unit) }
    return .object(members)
  }

  static func axes(of image: OutputImage, scene: Int) -> [OMEZarrAxis] {
    var axes: [OMEZarrAxis] = []
    func positions(_ name: Character, _ positions: OutputImage.Positions) {
      guard image.axes.contains(name) || positions.count > 1 else { return }
      axes.append(
        OMEZarrAxis(
          name: name, count: positions.count, step: positions.step, origin: positions.origin, unit: positions.unit))
    }
    positions("t", image.times)
    positions("c", OutputImage.Positions(count: image.channels.count))
    positions("z", image.depths)
    func space(_ name: Character, _ count: Int, _ first: Int, _ step: Double?) {
      axes.append(
        OMEZarrAxis(
          name: name, count: count, step: step ?? 1, origin: Double(first) * (step ?? 1),
          unit: step == nil ? nil : "micrometer"))
    }
    let scene = image.scenes[scene]
    space("y", scene.size.height, scene.y, image.pixelSize.y)
    space("x", scene.size.width, scene.x, image.pixelSize.x)
    return axes
  }
}
