// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelPixels
import KachelTesting
import Testing

@testable import KachelImages

/// Arrays and images that the reference software (zarr-python, ome-zarr, bioformats2raw) made.
@Suite struct ZarrGoldenTests {
  struct Golden: Decodable {
    var shape: [Int]
    var dtype: String
    var sha256: String
  }

  static func goldens() throws -> [String: Golden] {
    try JSONDecoder().decode([String: Golden].self, from: SharedData.data("omezarr/ref/manifest.json"))
  }

  @Test func everyArray() throws {
    let goldens = try Self.goldens()
    #expect(goldens.count == 32)
    for (name, golden) in goldens {
      let array = try ZarrArray(folder: SharedData.path("omezarr/ref/" + name))
      #expect(array.shape == golden.shape && array.type.rawValue == golden.dtype, "\(name)")
      #expect(try Self.sha256(of: array) == golden.sha256, "\(name)")
    }
  }

  /// Of all numbers of an array.
  static func sha256(of array: ZarrArray) throws -> String {
    let pixels = PixelBuffer(width: 0, height: 0, type: array.type)
    var bytes: [UInt8] = []
    for plane in 0..<array.planes {
      try array.read(Region(array.size), of: plane, into: pixels)
      bytes += pixels.bytes
    }
    return sha256Hex(bytes)
  }

  /// Every folder of the fixtures that holds an array or a group opens as an image or is refused for a reason.
  @Test func everyFolderOpens() throws {
    let root = try SharedData.path("omezarr")
    var (opened, refused) = (0, [String]())
    for name in try FileManager.default.subpathsOfDirectory(atPath: root)
    where [".zarray", ".zgroup", "zarr.json"].contains((name as NSString).lastPathComponent) {
      let folder = root + "/" + (name as NSString).deletingLastPathComponent
      do {
        let image = try Image(at: folder)
        let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
        for (index, scene) in image.description.scenes.enumerated() {
          for (level, shape) in scene.levels.enumerated() {
            try image.read(Region(shape.size), of: PlaneIndex(scene: index, level: level), into: pixels)
            #expect(pixels.type == image.description.channels[0].pixelType && pixels.size == shape.size)
          }
        }
        opened += 1
      } catch let error as ImageError {
        refused.append(error.description)
      }
    }
    print("opened \(opened), refused \(refused)")
    #expect(refused.isEmpty)
  }

  @Test(arguments: ["04", "05"]) func theImage(version: String) throws {
    let image = try Image(at: SharedData.path("omezarr/ref/v\(version).ome.zarr"))
    let description = image.description
    #expect(description.format == "OME-Zarr" && description.scenes.count == 1 && description.scenes[0].name == "image")
    #expect(
      description.scenes[0].levels.map(\.size.width) == [160, 80, 40, 20, 10]
        && description.scenes[0].levels.map(\.downsampling) == [1, 2, 4, 8, 16])
    #expect(description.channels.count == 2 && description.depth == 3 && description.times == 1)
    #expect(description.axes == ["c", "z"])
    #expect(description.physicalSize == .init(x: 0.325, y: 0.325, z: 0.5))
    // The golden is the array in the order c, z, y, x.
    let golden = try Self.goldens()["v\(version).ome.zarr/s1"]
    var bytes: [UInt8] = []
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    for channel in 0..<2 {
      for z in 0..<3 {
        let plane = PlaneIndex(channel: channel, z: z, level: 1)
        try image.read(Region(description.scenes[0].levels[1].size), of: plane, into: pixels)
        bytes += pixels.bytes
      }
    }
    #expect(sha256Hex(bytes) == golden?.sha256)
  }

  @Test(arguments: ["04", "05"]) func theLabels(version: String) throws {
    let group = try Image(at: SharedData.path("omezarr/ref/v\(version).ome.zarr/labels"))
    #expect(group.description.scenes.map(\.name) == ["nuclei"])
    let image = try Image(at: SharedData.path("omezarr/ref/v\(version).ome.zarr/labels/nuclei"))
    #expect(image.description.channels.map(\.pixelType) == [.uint32])
    #expect(image.description.scenes[0].levels.count == group.description.scenes[0].levels.count)
  }

  @Test func bioformatsLayout() throws {
    let image = try Image(at: SharedData.path("omezarr/viv/bioformats-zarr/data.zarr"))
    #expect(image.description.scenes.count == 1 && image.description.channels.count == 3)
    #expect(image.description.scenes[0].levels.map(\.size.width) == [439, 219])
    #expect(image.description.compressions == ["blosc lz4"] && image.description.axes == ["t", "c", "z"])
  }
}
