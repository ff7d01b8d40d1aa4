// SPDX-License-Identifier: Apache-2.0
import KachelPixels

/// An OME-Zarr 0.4 (NGFF specification) that is being written: for every scene a group with a Zarr version 2 array per
/// resolution and the metadata that viewers read. Several scenes lie side by side in one folder, in the layout of
/// bioformats2raw.
final class OMEZarrContainer: ImageContainer {
  static let chunk = Size(width: 1024, height: 1024)

  private let image: OutputImage
  private let folder: String

  /// - Parameter folder: created; what it already holds is neither read nor removed.
  init(_ image: OutputImage, folder: String) throws(ImageError) {
    self.image = image
    self.folder = folder
    try Self.createGroup(folder)
    if image.scenes.count > 1 {
      try OutputFolder.write(json: ["bioformats2raw.layout": 3], to: folder + "/.zattrs")
    }
  }

  private static func createGroup(_ folder: String) throws(ImageError) {
    try OutputFolder.create(folder)
    try OutputFolder.write(json: ["zarr_format": 2], to: folder + "/.zgroup")
  }

  private func folder(of scene: Int) -> String { image.scenes.count > 1 ? "\(folder)/\(scene)" : folder }

  func levelCount(of scene: Int) -> Int? { nil }

  func level(_ level: Int, of scene: Int, size: Size, cacheBytes: Int) throws(ImageError) -> TiledPlanes {
    if level == 0 && image.scenes.count > 1 { try Self.createGroup(folder(of: scene)) }
    let shape = OMEZarrAxis.axes(of: image, scene: scene).dropLast(2).map(\.count) + [size.height, size.width]
    let chunk = Size(width: min(Self.chunk.width, size.width), height: min(Self.chunk.height, size.height))
    let store = try ZarrChunkFolder("\(folder(of: scene))/\(level)", shape: shape, chunk: chunk, type: image.pixelType)
    return TiledPlanes(
      .init(planes: image.planes, size: size, tile: chunk, type: image.pixelType, edge: .filled), store: store,
      cacheBytes: cacheBytes)
  }

  func finish(scene: Int, _ pyramid: ScenePyramid, attributes: [String: any Encodable & Sendable]) throws {
    let attributes = OMEZarrAttributes(image, scene: scene, levels: pyramid.sizes.count, further: attributes)
    try OutputFolder.write(json: attributes, to: folder(of: scene) + "/.zattrs")
  }

  func finish() {}
}

/// One dimension of an OME-Zarr image.
struct OMEZarrAxis: Hashable {
  /// `t`, `c`, `z`, `y` or `x`.
  var name: Character
  var count: Int
  /// The distance of neighbours at full resolution in `unit`, or 1.
  var step = 1.0
  /// Where the first element lies in `unit`.
  var origin = 0.0
  /// A unit of the specification's list, as in `micrometer`; `nil` where it is unknown.
  var unit: String?

  /// The dimensions of a scene, those that the image has, in the order t, c, z, y, x.
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
