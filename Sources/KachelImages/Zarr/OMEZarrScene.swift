// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelPixels

/// One image of an OME-Zarr with its resolutions.
struct OMEZarrScene: Sendable {
  var name: String?
  var dimensions: OMEZarrDimensions
  /// The full resolution first, each smaller than the one before.
  private(set) var levels: [Level] = []
  /// What `omero` says of the channels.
  var channels: [OMEZarrChannel] = []
  /// The labels that have a name or a colour, of a label image.
  var labels: [LabelDescription]?
  /// As in `0.4`; `nil` for an array without description.
  private(set) var version: String?
  /// How many resolutions the metadata name.
  private(set) var namedLevels = 1
  /// Whether lengths along x and y are known but for their unit.
  private(set) var lacksUnits = false
  /// Where the first pixel of the full resolution lies, along every dimension.
  private(set) var translation: [Double] = []
  /// Whether this is an array without description.
  private(set) var isArray = false
  /// The scale of the full resolution; empty where it has none.
  private var firstScale: [Double] = []
  private(set) var physicalSize = ImageDescription.PhysicalSize()

  struct Level: Sendable {
    var array: ZarrArray
    var size: Size
    var downsampling: Double
  }

  var shape: [Int] { levels[0].array.shape }
  var type: PixelType { levels[0].array.type }

  /// An array without description.
  init(_ array: ZarrArray, attributes: JSONValue, file: String) throws(ImageError) {
    guard (2...5).contains(array.shape.count) else {
      throw ImageError(
        .unsupported, file: file, "an array of \(array.shape.count) dimensions is no image; those of 2 to 5 are read")
    }
    // The second is where xarray keeps names in version 2.
    let names = array.dimensionNames ?? attributes["_ARRAY_DIMENSIONS"]?.strings ?? []
    var dimensions: OMEZarrDimensions?
    if names.count == array.shape.count, Set(names).count == names.count, Set(names).isSuperset(of: ["y", "x"]) {
      dimensions = OMEZarrDimensions(names.map { .init(name: $0) })
    }
    self.dimensions = dimensions ?? OMEZarrDimensions(plain: array.shape.count)
    isArray = true
    _ = append(array, scale: nil)
  }

  /// The image of a group.
  init(
    _ group: JSONValue, key: String, file: String, in hierarchy: ZarrHierarchy, cache: ZarrChunkCache
  ) throws(ImageError) {
    let document = ZarrDocument(json: group, file: file)
    let multiscale = try OMEZarrMultiscale(group, document)
    name = multiscale.name ?? group["omero"]?["name"]?.string
    dimensions = multiscale.axes
    version = multiscale.version
    namedLevels = multiscale.datasets.count
    labels = group["image-label"].map(LabelDescription.list)
    channels = (group["omero"]?["channels"]?.array ?? []).prefix(4096).map(OMEZarrChannel.init)
    for (index, dataset) in multiscale.datasets.enumerated() {
      guard let path = ZarrKey.inside(key, path: dataset.path) else {
        throw document.damaged("the dataset's path \(dataset.path.prefix(80)) leads out of the image's folder")
      }
      guard let layout = try hierarchy.array(path) else {
        // A copy without the smaller resolutions is still an image.
        if index > 0 { continue }
        throw document.damaged("the dataset \(dataset.path.prefix(80)) is missing, or no array")
      }
      let array = try ZarrArray(hierarchy.store, key: path, layout, cache: cache)
      guard array.shape.count == dimensions.count else {
        throw document.damaged(
          "the dataset \(dataset.path.prefix(80)) has \(array.shape.count) dimensions for \(dimensions.count) axes")
      }
      guard append(array, scale: dataset.scale) else { continue }
      if levels.count == 1, let scale = dataset.scale {
        func length(_ axis: Int?) -> Double? {
          guard let axis, scale[axis].isFinite, scale[axis] > 0 else { return nil }
          return dimensions.micrometers(of: axis).map { $0 * scale[axis] }
        }
        physicalSize = .init(x: length(dimensions.x), y: length(dimensions.y), z: length(dimensions.z))
        lacksUnits = [dimensions.x, dimensions.y].contains { dimensions.units[$0] == nil && scale[$0] != 1 }
        firstScale = scale
        translation = dataset.translation ?? []
      }
    }
  }

  /// Adds a resolution, unless it is none of the first one's: no smaller, or of another number of channels or times.
  private mutating func append(_ array: ZarrArray, scale: [Double]?) -> Bool {
    let shape = array.shape
    let size = Size(width: shape[dimensions.x], height: shape[dimensions.y])
    guard let last = levels.last, let first = levels.first else {
      levels = [Level(array: array, size: size, downsampling: 1)]
      return true
    }
    guard size != last.size, size.width <= last.size.width, size.height <= last.size.height, array.type == type,
      shape.indices.allSatisfy({ axis in
        axis == dimensions.x || axis == dimensions.y
          || (axis == dimensions.z ? shape[axis] <= self.shape[axis] : shape[axis] == self.shape[axis])
      })
    else { return false }
    // The longer side's ratio has the smaller error of rounding; the stated one is right where it fits.
    var ratio = max(
      Double(first.size.width) / Double(size.width), Double(first.size.height) / Double(size.height))
    if let scale, !firstScale.isEmpty {
      let stated = scale[dimensions.x] / firstScale[dimensions.x]
      if stated.isFinite, stated > ratio * 0.5, stated < ratio * 2 { ratio = stated }
    }
    levels.append(Level(array: array, size: size, downsampling: ratio))
    return true
  }
}
