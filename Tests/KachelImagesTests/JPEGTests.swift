// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages
import KachelPixels
import KachelTesting
import Testing

@Suite struct JPEGTests {
  struct Golden: Decodable {
    var shape: [Int]
    var sha256: String
  }

  static let names = ["gray", "rgb420", "rgb_prog"]

  @Test(arguments: names) func goldens(_ name: String) throws {
    let goldens = try JSONDecoder().decode(
      [String: Golden].self, from: SharedData.data("ometiff/png_jpeg/manifest.json"))
    let golden = try #require(goldens[name + ".jpg"])
    let image = try Image(at: SharedData.path("ometiff/png_jpeg/\(name).jpg"))
    let description = image.description
    #expect([description.scenes[0].size.height, description.scenes[0].size.width] == Array(golden.shape.prefix(2)))
    #expect(description.format == "JPEG" && description.channels[0].layout == (golden.shape.count == 2 ? .gray : .rgb))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(Region(description.scenes[0].size), of: .init(), into: pixels)
    #expect(sha256Hex(Array(pixels.bytes)) == golden.sha256)
    let whole = Array(pixels.bytes)
    try image.read(Region(x: -1, y: 60, width: 2, height: 2), of: .init(), into: pixels)
    let samples = pixels.samples
    let start = 60 * description.scenes[0].size.width * samples
    let none = [UInt8](repeating: 0, count: samples)
    #expect(Array(pixels.bytes) == none + whole[start..<start + samples] + none + none)
    #expect(throws: ImageError.self) { try image.read(Region(pixels.size), of: .init(level: 1), into: pixels) }
  }

  func readAll(_ path: String) throws {
    let image = try Image(at: path)
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(Region(image.description.scenes[0].size), of: .init(), into: pixels)
  }

  @Test(arguments: names) func cutAnywhere(_ name: String) throws {
    let folder = try ScratchFolder()
    let bytes = try Array(SharedData.data("ometiff/png_jpeg/\(name).jpg"))
    for length in stride(from: 0, to: bytes.count - 2, by: 17) {
      let path = try folder.write(bytes[..<length], to: "cut.jpg")
      #expect(throws: ImageError.self, "\(length) of \(bytes.count)") { try readAll(path) }
    }
  }
}
