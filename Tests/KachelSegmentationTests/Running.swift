// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages
import KachelModels
import KachelPixels
import KachelSegmentation
import KachelTesting

/// What a run stored, read back.
struct StoredPlanes {
  let shape: [Int]
  /// The planes one after the other in C order, as numbers.
  let values: [Float]

  init(_ folder: String, level: Int = 0) throws {
    let array = try ZarrArray(folder: "\(folder)/\(level)")
    shape = array.shape
    var values: [Float] = []
    let pixels = PixelBuffer(width: 0, height: 0, type: array.type)
    for plane in 0..<array.planes {
      try array.read(Region(array.size), of: plane, into: pixels)
      switch array.type {
      case .uint8: values += pixels.values(as: UInt8.self).map(Float.init)
      case .uint16: values += pixels.values(as: UInt16.self).map(Float.init)
      case .float32: values += pixels.values(as: Float.self)
      default: throw ImageError(.unsupported, file: folder, "no run stores \(array.type)")
      }
    }
    self.values = values
  }
}

/// Runs a model and reads the result back.
func segment(
  _ image: any ImageSource, _ package: ModelPackage, _ change: (inout SegmentationOptions) -> Void = { _ in }
) async throws -> StoredPlanes {
  let folder = try ScratchFolder()
  var options = SegmentationOptions()
  change(&options)
  let output = folder.file("out.ome.zarr")
  _ = try await Segmentation(of: image, with: package, options: options).write(to: SegmentationOutputs(result: output))
  return try StoredPlanes(output)
}

/// The example image and its two packages.
enum Example {
  static func image() throws -> Image { try Image(at: SharedData.path("example/nuclei-mosaic.czi")) }
  static func package(_ name: String) throws -> ModelPackage {
    try ModelPackage(at: SharedData.path("example/\(name)"))
  }
}
