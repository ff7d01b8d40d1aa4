// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel
import KachelTesting

/// What the tests segment, and with what.
enum Inputs {
  static var slide: String { get throws { try SharedData.path("example/nuclei-mosaic.czi") } }
  static var truth: String { get throws { try SharedData.path("example/nuclei-mosaic-truth.png") } }
  /// A SavedModel for tiles of 512 x 512 pixels.
  static var czmodel: String { get throws { try SharedData.path("example/nuclei.czmodel") } }
  /// An ONNX of the same network, for tiles of any size.
  static var czann: String { get throws { try SharedData.path("example/nuclei.czann") } }
  /// A small network for one channel and tiles of 128 x 128 pixels.
  static var quick: String { get throws { try SharedData.path("models/torch/torch_unet_nuclei.czann") } }
  /// Takes three channels.
  static var color: String { get throws { try SharedData.path("models/torch/torch_from_json.czann") } }
  static var regression: String { get throws { try SharedData.path("models/sebi06/simple_regmodel.czann") } }

  /// What makes a run on the example short.
  static let small = ["--region", "300,200,200,150", "--tile-size", "256"]

  /// What makes a run on the example a few seconds long, with labels that do not compress to almost nothing.
  static let large = ["--region", "900,300,512,512", "--tile-size", "512"]

  /// A gray picture with a bright disc, in a folder for a test's files.
  static func picture(in files: ScratchFolder, width: Int = 60, height: Int = 40) throws -> String {
    let path = files.file("picture-\(width)x\(height).png")
    if FileManager.default.fileExists(atPath: path) { return path }
    let pixels = PixelBuffer(width: width, height: height, type: .uint8)
    let values = pixels.values(as: UInt8.self)
    for y in 0..<height {
      for x in 0..<width {
        let (fromX, fromY) = (x - width / 2, y - height / 2)
        values[y * width + x] = fromX * fromX + fromY * fromY < 100 ? 180 : UInt8((x * 7 + y * 3) % 20)
      }
    }
    let writer = try PNGWriter(path: path, size: pixels.size, layout: .gray, pixelType: .uint8, overwrite: false)
    try writer.write(rows: pixels)
    try writer.finish()
    return path
  }

  /// A CZI with two scenes of two channels, three time points, two z planes and a further dimension of two positions.
  static func manyDimensions(in files: ScratchFolder) throws -> String {
    var blocks: [CZIFixture.SubBlock] = []
    for scene in 0..<Int32(2) {
      let region = Region(x: Int(scene) * 200, y: 0, width: 40 + 10 * Int(scene), height: 30)
      for time in 0..<Int32(3) {
        for depth in 0..<Int32(2) {
          for channel in 0..<Int32(2) {
            for phase in 0..<Int32(2) {
              let pixels = (0..<region.area).map { UInt8(truncatingIfNeeded: $0 * 5 + Int(time) * 40) }
              blocks.append(
                CZIFixture.SubBlock(
                  region, ["S": scene, "T": time, "Z": depth, "C": channel, "H": phase], compression: .zstd1,
                  pixels: pixels))
            }
          }
        }
      }
    }
    return try files.write(CZIFixture(blocks, xml: channelNames).bytes, to: "dimensions.czi")
  }

  private static let channelNames = """
    <ImageDocument><Metadata><Information><Image><Dimensions><Channels>
    <Channel Id="Channel:0" Name="DAPI"/><Channel Id="Channel:1" Name="GFP"/>
    </Channels></Dimensions></Image></Information></Metadata></ImageDocument>
    """
}

/// The labels of the first plane of a result, or its values.
func stored(_ folder: String, level: Int = 0) throws -> (shape: [Int], type: PixelType, bytes: [UInt8]) {
  let array = try ZarrArray(folder: "\(folder)/\(level)")
  let pixels = PixelBuffer(width: 0, height: 0, type: array.type)
  try array.read(Region(array.size), of: 0, into: pixels)
  return (array.shape, array.type, Array(pixels.bytes))
}
