// SPDX-License-Identifier: Apache-2.0
import KachelPixels

/// Where the scenes of an image to be written lie in the coordinates of a CZI.
///
/// Scenes keep the places that they have in the file that they come from, so that a result lies over its image. Where
/// two would overlap, as those of formats that tell no places do, the first one stays and the others go to the right
/// of all that stay, in order, without gaps: no pixel of a CZI belongs to two scenes.
enum CZIScenePlaces {
  /// - Throws: `unsupported` where a scene lies outside of what the format's 32-bit coordinates reach.
  static func places(of scenes: [OutputImage.Scene], in file: String) throws(ImageError) -> [Region] {
    var boxes: [Region] = []
    for scene in scenes {
      let origin = Region(x: scene.originX, y: scene.originY, width: scene.size.width, height: scene.size.height)
      guard origin.isBounded, Region(x: scene.x, y: scene.y, width: 0, height: 0).isBounded else {
        throw beyond(scene, origin, file)
      }
      boxes.append(origin.offsetBy(x: scene.x, y: scene.y))
    }
    var staying: [Region] = [], moving: [Int] = []
    for (index, box) in boxes.enumerated() {
      if staying.contains(where: { $0.intersects(box) }) { moving.append(index) } else { staying.append(box) }
    }
    var right = staying.map(\.maxX).max() ?? 0
    for index in moving {
      boxes[index].x = right
      right += boxes[index].width
    }
    let coordinates = Int(Int32.min)...Int(Int32.max)
    var whole = Region(x: 0, y: 0, width: 0, height: 0)
    for (scene, box) in zip(scenes, boxes) {
      whole = whole.union(box)
      guard [box.x, box.y, box.maxX, box.maxY, whole.width, whole.height].allSatisfy(coordinates.contains) else {
        throw beyond(scene, box, file)
      }
    }
    return boxes
  }

  private static func beyond(_ scene: OutputImage.Scene, _ box: Region, _ file: String) -> ImageError {
    ImageError(
      .unsupported, file: file,
      "scene \(scene.index) lies at \(box) (x, y, width, height), and a CZI has room for 2^31 pixels a side; choose "
        + "fewer scenes or a region, or write an OME-Zarr")
  }
}
