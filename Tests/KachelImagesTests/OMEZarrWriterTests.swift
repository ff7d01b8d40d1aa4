// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelPixels
import KachelTesting
import Testing

@testable import KachelImages

@Suite struct OMEZarrWriterTests {
  /// A writer of gray planes into a folder, and what has its final name.
  private static func writer(
    _ path: String, _ size: Size, type: PixelType, times: Int = 1, cacheBytes: Int = 64 << 20
  ) throws -> (ImageWriter, PendingOutput) {
    let output = try PendingOutput(path: path, overwrite: false)
    let image = OutputImage(
      name: "result", content: .labels([]), scenes: [.init(size: size)], channels: [.init(name: "a", pixelType: type)],
      times: .init(count: times), axes: times > 1 ? ["t", "z"] : [])
    return (try ImageWriter(image, to: output, as: .omeZarr(), cacheBytes: cacheBytes), output)
  }

  private static func complete(_ writer: ImageWriter, _ output: PendingOutput) throws {
    try writer.finish(scene: 0)
    try writer.finish()
    try output.commit()
  }

  private static func value(_ x: Int, _ y: Int, _ plane: Int) -> UInt16 {
    // Areas of zeros as large as a chunk, so that some chunks are not stored.
    x / 1100 == 1 ? 0 : UInt16((x &* 31 &+ y &* 17 &+ plane) % 50_000)
  }

  /// Regions that match no chunk, in an order that touches every chunk again and again, with room for one chunk only.
  @Test(arguments: [0, 64 << 20])
  func regionsInAnyOrderBecomeChunks(cacheBytes: Int) throws {
    let folder = try ScratchFolder()
    let size = Size(width: 3300, height: 1300), shape = [2, 1, size.height, size.width]
    let (writer, output) = try Self.writer(
      folder.file("a"), size, type: .uint16, times: 2, cacheBytes: cacheBytes)
    var regions: [(Region, Int)] = []
    for plane in 0..<2 {
      for y in stride(from: 0, to: size.height, by: 400) {
        for x in stride(from: 0, to: size.width, by: 500) {
          regions.append((Region(x: x, y: y, width: 500, height: 400).intersection(Region(size)), plane))
        }
      }
    }
    for place in 0..<regions.count {
      let (region, plane) = regions[(place * 13) % regions.count]
      let pixels = PixelBuffer(width: region.width, height: region.height, type: .uint16)
      for y in 0..<region.height {
        for x in 0..<region.width {
          pixels.values(as: UInt16.self)[y * region.width + x] = Self.value(region.x + x, region.y + y, plane)
        }
      }
      try writer.write(pixels, at: region, of: PlaneIndex(time: plane))
    }
    try Self.complete(writer, output)
    let reader = try ZarrArray(folder: folder.file("a/0"))
    #expect(reader.shape == shape && reader.type == .uint16)
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint16)
    for plane in 0..<2 {
      let region = Region(x: 7, y: 3, width: 3201, height: 1290)
      try reader.read(region, of: plane, into: pixels)
      var wrong = 0
      for y in 0..<region.height {
        for x in 0..<region.width
        where pixels.values(as: UInt16.self)[y * region.width + x] != Self.value(region.x + x, region.y + y, plane) {
          wrong += 1
        }
      }
      #expect(wrong == 0)
    }
    #expect(FileManager.default.fileExists(atPath: folder.file("a/0/1/0/0/0")))
    #expect(throws: ImageError.self) { try reader.read(Region(x: 0, y: 0, width: 1, height: 1), of: 2, into: pixels) }
  }

  @Test func chunksOfZerosAreNotStored() throws {
    let folder = try ScratchFolder()
    let (writer, output) = try Self.writer(folder.file("a"), Size(width: 2048, height: 2048), type: .uint8)
    let pixels = PixelBuffer(width: 2048, height: 2048, type: .uint8)
    pixels.fill(byte: 0)
    pixels.bytes[2048 * 2048 - 1] = 9
    try writer.write(pixels, at: Region(pixels.size), of: PlaneIndex())
    try Self.complete(writer, output)
    let names = try FileManager.default.subpathsOfDirectory(atPath: folder.file("a/0")).sorted()
    #expect(names == [".zarray", "1", "1/1"])
  }

  @Test func aHugeArrayTakesWhatItHolds() throws {
    let folder = try ScratchFolder()
    let side = 1 << 31
    let (writer, output) = try Self.writer(folder.file("a"), Size(width: side, height: side), type: .uint8)
    let pixels = PixelBuffer(width: 3, height: 3, type: .uint8)
    pixels.fill(byte: 5)
    try writer.write(pixels, at: Region(x: side - 3, y: side - 3, width: 3, height: 3), of: PlaneIndex())
    try writer.finish(scene: 0)
    #expect(writer.levels(of: 0).count == 23)
    #expect(writer.levels(of: 0).last == Size(width: 512, height: 512))
    let last = PixelBuffer(width: 0, height: 0, type: .uint8)
    // 3 x 3 pixels at the corner stay in sight for two levels, as the mode of 2 x 2.
    let corner = Region(x: side / 2 - 2, y: side / 2 - 2, width: 2, height: 2)
    try writer.read(corner, of: PlaneIndex(level: 1), into: last)
    #expect(Array(last.bytes) == [0, 0, 0, 5] || Array(last.bytes) == [5, 5, 5, 5])
    try writer.finish()
    try output.commit()
  }

  #if os(Linux)
    @Test func aFullDiskIsTold() throws {
      #expect {
        try OutputFolder.write([UInt8](repeating: 1, count: 100_000), to: "/dev/full")
      } throws: { error in
        (error as? ImageError)?.kind == .cannotWrite
      }
    }
  #endif

  @Test(arguments: [
    "", "{", "{\"zarr_format\":3}",
    #"{"zarr_format":2,"shape":[4],"chunks":[4],"dtype":"|u1","compressor":{"id":"zstd","level":1},"fill_value":0,"order":"C","filters":null,"dimension_separator":"/"}"#,
    #"{"zarr_format":2,"shape":[4,4],"chunks":[4,4],"dtype":"<c8","compressor":{"id":"zstd","level":1},"fill_value":0,"order":"C","filters":null,"dimension_separator":"/"}"#,
    #"{"zarr_format":2,"shape":[4,4],"chunks":[0,4],"dtype":"|u1","compressor":{"id":"zstd","level":1},"fill_value":0,"order":"C","filters":null,"dimension_separator":"/"}"#,
    #"{"zarr_format":2,"shape":[2147483648,2147483648],"chunks":[2147483648,2147483648],"dtype":"<f4","compressor":{"id":"zstd","level":1},"fill_value":0,"order":"C","filters":null,"dimension_separator":"/"}"#,
    #"{"zarr_format":2,"shape":[2147483648,2147483648,2147483648,4,4],"chunks":[1,1,1,4,4],"dtype":"<f4","compressor":{"id":"zstd","level":1},"fill_value":0,"order":"C","filters":null,"dimension_separator":"/"}"#,
    #"{"zarr_format":2,"shape":[9e9,9e9],"chunks":[9e9,9e9],"dtype":"|u1","compressor":{"id":"zstd","level":1},"fill_value":0,"order":"C","filters":null,"dimension_separator":"/"}"#,
  ])
  func otherArraysAreRefused(metadata: String) throws {
    let folder = try ScratchFolder()
    _ = try folder.write(Array(metadata.utf8), to: ".zarray")
    #expect(throws: ImageError.self) { _ = try ZarrArray(folder: folder.path) }
  }

  @Test func aDamagedChunkIsTold() throws {
    let folder = try ScratchFolder()
    let (writer, output) = try Self.writer(folder.file("a"), Size(width: 8, height: 8), type: .uint8)
    let pixels = PixelBuffer(width: 8, height: 8, type: .uint8)
    pixels.fill(byte: 1)
    try writer.write(pixels, at: Region(pixels.size), of: PlaneIndex())
    try Self.complete(writer, output)
    _ = try folder.write([1, 2, 3], to: "a/0/0/0")
    let reader = try ZarrArray(folder: folder.file("a/0"))
    #expect(throws: ImageError.self) { try reader.read(Region(pixels.size), of: 0, into: pixels) }
  }
}
