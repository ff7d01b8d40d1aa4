// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelPixels

/// A region of one plane of an image, as an image of its own with all of the channels.
struct ImagePart: ImageSource {
  private let whole: any ImageSource
  private let plane: PlaneIndex
  private let region: Region
  let description: ImageDescription

  var path: String { whole.path }
  var cacheBytes: Int { whole.cacheBytes }

  /// - Parameter region: in pixels from the scene's top-left corner, inside the scene.
  init(of whole: any ImageSource, plane: PlaneIndex, region: Region) {
    (self.whole, self.plane, self.region) = (whole, plane, region)
    var description = whole.description
    let scene = description.scenes[plane.scene]
    description.scenes = [.init(index: scene.index, name: scene.name, box: Region(region.size))]
    (description.depth, description.times, description.furtherDimensions) = (1, 1, [])
    self.description = description
  }

  private func place(_ part: PlaneIndex) -> PlaneIndex {
    var place = plane
    place.channel = part.channel
    return place
  }

  func read(_ part: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws {
    try whole.read(part.offsetBy(x: region.x, y: region.y), of: place(plane), into: pixels)
  }

  func hasPixels(in part: Region, of plane: PlaneIndex) -> Bool {
    whole.hasPixels(in: part.offsetBy(x: region.x, y: region.y), of: place(plane))
  }

  func coveredRegions(in part: Region, of plane: PlaneIndex) -> [Region] {
    whole.coveredRegions(in: part.offsetBy(x: region.x, y: region.y), of: place(plane))
      .map { $0.offsetBy(x: -region.x, y: -region.y) }
  }
}
