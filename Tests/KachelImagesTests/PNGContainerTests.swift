// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelPixels
import KachelTesting
import Testing

@testable import KachelImages

@Suite struct PNGContainerTests {
  private static func image(_ size: Size, _ type: PixelType, _ layout: SampleLayout) -> OutputImage {
    OutputImage(
      name: "a", content: .intensities, scenes: [.init(size: size)],
      channels: [.init(name: "a", pixelType: type, layout: layout)], pixelSize: .init(x: 0.5, y: 0.25))
  }

  /// Regions of any size in any order, with room for little; rows of several strips.
  @Test(arguments: [PixelType.uint8, .uint16], [SampleLayout.gray, .grayAlpha, .bgr, .rgba])
  func readsBack(type: PixelType, layout: SampleLayout) throws {
    let folder = try ScratchFolder()
    let size = Size(width: 1501, height: 2003)
    let whole = PixelBuffer(width: size.width, height: size.height, samples: layout.samples, type: type)
    for index in whole.bytes.indices { whole.bytes[index] = UInt8(truncatingIfNeeded: index &* 2_654_435_761 >> 13) }
    let output = try PendingOutput(path: folder.file("a.png"), overwrite: false)
    let writer = try ImageWriter(Self.image(size, type, layout), to: output, as: .png, cacheBytes: 1 << 20)
    var regions: [Region] = []
    for y in stride(from: 0, to: size.height, by: 700) {
      for x in stride(from: 0, to: size.width, by: 600) {
        regions.append(Region(x: x, y: y, width: 600, height: 700).intersection(Region(size)))
      }
    }
    let part = PixelBuffer(width: 0, height: 0, type: type)
    for region in regions.reversed() {
      part.reshape(width: region.width, height: region.height, samples: layout.samples, type: type)
      part.copy(region, of: whole, toX: 0, y: 0)
      try writer.write(part, at: region, of: PlaneIndex())
    }
    try writer.finish(scene: 0, attributes: ["note": "two words"])
    try writer.finish()
    try output.commit()
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["a.png"])
    let back = PixelBuffer(width: 0, height: 0, type: .uint8), expected = PixelBuffer(width: 0, height: 0, type: .uint8)
    try Image(at: folder.file("a.png")).read(Region(size), of: PlaneIndex(), into: back)
    if layout == .bgr { expected.fill(swappingRedAndBlueOf: whole) }
    #expect(back.isSame(as: layout == .bgr ? expected : whole))
    let bytes = try Data(contentsOf: URL(filePath: folder.file("a.png")))
    #expect(bytes.range(of: Data("iTXtnote\0\0\0\0\0\"two words\"".utf8)) != nil)
    // 2 000 000 and 4 000 000 pixels per metre.
    #expect(bytes.range(of: Data("pHYs".utf8) + [0, 0x1E, 0x84, 0x80, 0, 0x3D, 0x09, 0, 1]) != nil)
  }

  @Test func whatPNGCannotHoldIsRefused() throws {
    let folder = try ScratchFolder()
    func refusal(_ change: (inout OutputImage) -> Void) -> String? {
      var image = Self.image(Size(width: 3, height: 3), .uint8, .gray)
      change(&image)
      do {
        let output = try PendingOutput(path: folder.file("a.png"), overwrite: false)
        _ = try ImageWriter(image, to: output, as: .png)
        return nil
      } catch { return "\(error)" }
    }
    #expect(refusal { _ in } == nil)
    for (change, words) in [
      ({ $0.depths.count = 2 }, "not 2 z planes"), ({ $0.times.count = 3 }, "not 3 time points"),
      ({ $0.channels.append($0.channels[0]) }, "not 2 channels"), ({ $0.scenes.append($0.scenes[0]) }, "not 2 scenes"),
      ({ $0.channels[0].pixelType = .float32 }, "PNG holds uint8 and uint16, not float32"),
      ({ $0.scenes[0].size.width = 1 << 31 }, "PNG cannot hold"),
    ] as [((inout OutputImage) -> Void, String)] {
      #expect(refusal(change)?.contains(words) == true)
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }
}
