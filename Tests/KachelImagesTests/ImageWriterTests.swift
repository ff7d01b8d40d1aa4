// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelPixels
import KachelTesting
import Testing

@testable import KachelImages

/// What holds for an image written in any format.
@Suite struct ImageWriterTests {
  /// Formats that keep colours as planes give them back as channels, red first.
  @Test(arguments: [SampleLayout.rgb, .bgr, .bgra, .rgba, .grayAlpha])
  func colorsBecomeChannels(layout: SampleLayout) throws {
    let folder = try ScratchFolder()
    let output = try PendingOutput(path: folder.file("a.zarr"), overwrite: false)
    let size = Size(width: 30, height: 20)
    let image = OutputImage(
      name: "colors", content: .intensities, scenes: [.init(size: size)],
      channels: [
        .init(name: "first", pixelType: .uint16, layout: layout),
        .init(name: "second", pixelType: .uint16, layout: layout),
      ],
      depths: .init(count: 2))
    let writer = try ImageWriter(image, to: output, as: .omeZarr())
    let pixels = PixelBuffer(width: size.width, height: size.height, samples: layout.samples, type: .uint16)
    func value(_ channel: Int, _ z: Int, _ pixel: Int, _ color: Int) -> Int {
      channel * 9000 + z * 5000 + pixel * 5 + color
    }
    for channel in 0..<2 {
      for z in 0..<2 {
        for pixel in 0..<size.area {
          for color in 0..<layout.samples {
            pixels.values(as: UInt16.self)[pixel * layout.samples + layout.colorOrder[color]] =
              UInt16(value(channel, z, pixel, color))
          }
        }
        try writer.write(pixels, at: Region(size), of: PlaneIndex(channel: channel, z: z))
      }
    }
    try writer.finish(scene: 0)
    try writer.finish()
    try output.commit()
    let back = try Image(at: folder.file("a.zarr"))
    #expect(back.description.channels.count == 2 * layout.samples && back.description.depth == 2)
    #expect(
      back.description.channels.map(\.name).prefix(2)
        == (layout == .grayAlpha ? ["first", "first Alpha"] : ["first Red", "first Green"]))
    let plane = PixelBuffer(width: 0, height: 0, type: .uint8)
    for channel in 0..<2 * layout.samples {
      for z in 0..<2 {
        try back.read(Region(size), of: PlaneIndex(channel: channel, z: z), into: plane)
        let (first, color) = (channel / layout.samples, channel % layout.samples)
        #expect((0..<size.area).allSatisfy { plane.integer(at: $0) == value(first, z, $0, color) })
      }
    }
  }

  @Test func channelsOfDifferentTypesAreRefused() throws {
    let folder = try ScratchFolder()
    let output = try PendingOutput(path: folder.file("a.zarr"), overwrite: false)
    let image = OutputImage(
      name: "mixed", content: .intensities, scenes: [.init(size: Size(width: 3, height: 3))],
      channels: [.init(name: "a", pixelType: .uint8), .init(name: "b", pixelType: .uint16)])
    #expect {
      _ = try ImageWriter(image, to: output, as: .omeZarr())
    } throws: { error in
      (error as? ImageError)?.kind == .unsupported && "\(error)".contains("choose channels of one type")
    }
  }

  /// Resolutions that the file does not hold can be read back all the same.
  @Test func smallImagesHaveReadableLevels() throws {
    let folder = try ScratchFolder()
    let output = try PendingOutput(path: folder.file("a.zarr"), overwrite: false)
    let size = Size(width: 37, height: 21)
    let image = OutputImage(
      name: "labels", content: .labels([]), scenes: [.init(size: size)], channels: [.init(name: "a", pixelType: .uint8)]
    )
    let writer = try ImageWriter(image, to: output, as: .omeZarr(), readableLevels: 3)
    let pixels = PixelBuffer(width: size.width, height: size.height, type: .uint8)
    for index in 0..<size.area { pixels.bytes[index] = UInt8(index % 5) }
    try writer.write(pixels, at: Region(size), of: PlaneIndex())
    try writer.finish(scene: 0)
    #expect(writer.levels(of: 0) == [size, Size(width: 19, height: 11), Size(width: 10, height: 6)])
    let read = PixelBuffer(width: 0, height: 0, type: .uint8)
    var above = pixels
    for (level, size) in writer.levels(of: 0).enumerated().dropFirst() {
      let below = PixelBuffer(width: 0, height: 0, type: .uint8)
      Downsample.mode(above, into: below)
      above = below
      try writer.read(Region(size), of: PlaneIndex(level: level), into: read)
      #expect(read.bytes.elementsEqual(below.bytes))
    }
    try writer.finish()
    try output.commit()
    #expect(try Image(at: folder.file("a.zarr")).description.scenes[0].levels.count == 1)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["a.zarr"])
  }
}
