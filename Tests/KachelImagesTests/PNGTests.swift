// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages
import KachelPixels
import KachelTesting
import Testing

@Suite struct PNGTests {
  func readAll(_ path: String) throws -> (ImageDescription, [UInt8]) {
    let image = try Image(at: path)
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(Region(image.description.scenes[0].size), of: .init(), into: pixels)
    return (image.description, Array(pixels.bytes))
  }

  func buffer(_ width: Int, _ height: Int, _ layout: SampleLayout, _ type: PixelType, seed: Int = 0) -> PixelBuffer {
    let buffer = PixelBuffer(width: width, height: height, samples: layout.samples, type: type)
    var random = SeededRandom(seed: UInt64(seed))
    for index in buffer.bytes.indices { buffer.bytes[index] = UInt8(truncatingIfNeeded: random.next()) }
    return buffer
  }

  static let kinds: [(SampleLayout, PixelType)] = [SampleLayout.gray, .grayAlpha, .rgb, .rgba].flatMap {
    [($0, .uint8), ($0, .uint16)]
  }

  @Test(arguments: kinds) func writtenIsRead(_ layout: SampleLayout, _ type: PixelType) throws {
    let folder = try ScratchFolder()
    for (width, height) in [(1, 1), (13, 9), (300, 70)] {
      let path = folder.file("\(width).png")
      let pixels = buffer(width, height, layout, type)
      let writer = try PNGWriter(path: path, size: pixels.size, layout: layout, pixelType: type, overwrite: false)
      // In pieces of 1, 2, 4 ... rows.
      var row = 0, rows = 1
      while row < height {
        let piece = PixelBuffer(width: width, height: min(rows, height - row), samples: layout.samples, type: type)
        piece.bytes.copyBytes(from: pixels.bytes[row * pixels.bytesPerRow..<(row + piece.height) * pixels.bytesPerRow])
        try writer.write(rows: piece)
        row += piece.height
        rows *= 2
      }
      #expect(!FileManager.default.fileExists(atPath: path))
      try writer.finish()
      let (description, bytes) = try readAll(path)
      #expect(bytes == Array(pixels.bytes))
      #expect(description.format == "PNG" && description.scenes[0].box == Region(pixels.size))
      #expect(description.channels.map(\.layout) == [layout] && description.channels[0].pixelType == type)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).allSatisfy { $0.hasSuffix(".png") })
    }
  }

  struct Golden: Decodable {
    var shape: [Int]
    var dtype: String
    var sha256: String
  }

  @Test(arguments: ["gray1", "gray8", "gray16", "rgb8", "rgb16", "rgba8", "palette"]) func goldens(_ name: String)
    throws
  {
    let goldens = try JSONDecoder().decode(
      [String: Golden].self, from: SharedData.data("ometiff/png_jpeg/manifest.json"))
    let golden = try #require(goldens[name + ".png"])
    let path = try SharedData.path("ometiff/png_jpeg/\(name).png")
    var (description, bytes) = try readAll(path)
    #expect([description.scenes[0].size.height, description.scenes[0].size.width] == Array(golden.shape.prefix(2)))
    #expect(description.channels[0].pixelType == (golden.dtype == "uint16" ? .uint16 : .uint8))
    switch name {
    case "gray1":
      // Black is 0 and white is 255.
      #expect(Set(bytes) == [0, 255])
    case "palette":
      // The golden has the indices, the image their colours.
      #expect(description.channels[0].layout == .rgb)
      let file = try Data(contentsOf: URL(filePath: path))
      let start = try #require(file.firstRange(of: Data("PLTE".utf8))).upperBound
      var indices: [[UInt8]: UInt8] = [:]
      for index in 0...255 where file.count >= start + 3 * index + 3 {
        let color = Array(file[start + 3 * index..<start + 3 * index + 3])
        if indices[color] == nil { indices[color] = UInt8(index) }
      }
      bytes = try stride(from: 0, to: bytes.count, by: 3).map { try #require(indices[Array(bytes[$0..<$0 + 3])]) }
    default: break
    }
    #expect(sha256Hex(bytes) == golden.sha256)
  }

  @Test func regionsReachBeyondTheImage() throws {
    let path = try SharedData.path("ometiff/png_jpeg/gray8.png")
    let (_, whole) = try readAll(path)
    let image = try Image(at: path)
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(Region(x: -1, y: 60, width: 3, height: 2), of: .init(), into: pixels)
    #expect(Array(pixels.bytes) == [0, whole[60 * 77], whole[60 * 77 + 1], 0, 0, 0])
    #expect(image.hasPixels(in: Region(x: 76, y: 60, width: 9, height: 9), of: .init()))
    #expect(!image.hasPixels(in: Region(x: 77, y: 0, width: 9, height: 9), of: .init()))
    #expect(throws: ImageError.self) { try image.read(Region(pixels.size), of: .init(z: 1), into: pixels) }
  }

  @Test(arguments: ["gray16", "palette", "rgb8", "gray1"]) func cutAnywhere(_ name: String) throws {
    let folder = try ScratchFolder()
    let bytes = try Array(SharedData.data("ometiff/png_jpeg/\(name).png"))
    // The last 4 bytes are the checksum of a chunk without content.
    for length in stride(from: 0, to: bytes.count - 4, by: max(1, bytes.count / 150)) {
      let path = try folder.write(bytes[..<length], to: "cut.png")
      #expect(throws: ImageError.self, "\(length) of \(bytes.count)") { try readAll(path) }
    }
  }

  /// A file that says it is huge must cost no memory.
  @Test(arguments: [(0xFFFF, 0xFFFF, ImageError.Kind.unsupported), (30_000, 30_000, .damaged)])
  func hugeSizes(_ width: Int, _ height: Int, _ kind: ImageError.Kind) throws {
    let folder = try ScratchFolder()
    var bytes = try Array(SharedData.data("ometiff/png_jpeg/gray8.png"))
    for (place, value) in [(16, width), (20, height)] {
      for byte in 0..<4 { bytes[place + byte] = UInt8(truncatingIfNeeded: value >> (24 - 8 * byte)) }
    }
    let checksum = crc(Array(bytes[12..<29]))
    for byte in 0..<4 { bytes[29 + byte] = UInt8(truncatingIfNeeded: checksum >> (24 - 8 * UInt32(byte))) }
    let path = try folder.write(bytes, to: "huge.png")
    #expect(try #require(throws: ImageError.self) { try Image(at: path) }.kind == kind)
  }

  func crc(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(~0) { crc, byte in
      (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
    }
  }

  @Test func whatPNGCannotHold() throws {
    let folder = try ScratchFolder()
    func kind(_ size: Size, _ layout: SampleLayout, _ type: PixelType) -> ImageError.Kind? {
      do {
        _ = try PNGWriter(path: folder.file("x.png"), size: size, layout: layout, pixelType: type, overwrite: false)
        return nil
      } catch { return error.kind }
    }
    let size = Size(width: 2, height: 2)
    #expect(kind(size, .bgr, .uint8) == .unsupported)
    #expect(kind(size, .gray, .float32) == .unsupported)
    #expect(kind(Size(width: 0, height: 2), .gray, .uint8) == .unsupported)
    #expect(kind(Size(width: 2, height: 1 << 31), .gray, .uint8) == .unsupported)
    #expect(kind(size, .gray, .uint8) == nil)
    let error = #expect(throws: ImageError.self) {
      try PNGWriter(
        path: folder.file("none/x.png"), size: size, layout: .gray, pixelType: .uint8, overwrite: false)
    }
    #expect(error?.kind == .cannotWrite && error?.reason.contains("does not exist") == true)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }

  @Test func incompleteWritersLeaveNothing() throws {
    let folder = try ScratchFolder()
    let rows = buffer(4, 2, .gray, .uint8)
    do {
      let writer = try PNGWriter(
        path: folder.file("x.png"), size: Size(width: 4, height: 3), layout: .gray, pixelType: .uint8, overwrite: false)
      try writer.write(rows: rows)
      #expect(throws: ImageError.self) { try writer.finish() }
      #expect(throws: ImageError.self) { try writer.write(rows: rows) }
      #expect(throws: ImageError.self) { try writer.write(rows: buffer(5, 1, .gray, .uint8)) }
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }

  @Test func existingFilesAreReplacedOnlyWhenAsked() throws {
    let folder = try ScratchFolder()
    let path = try folder.write([1], to: "x.png")
    let size = Size(width: 4, height: 2)
    let error = #expect(throws: ImageError.self) {
      try PNGWriter(path: path, size: size, layout: .gray, pixelType: .uint8, overwrite: false)
    }
    #expect(error?.kind == .cannotWrite)
    let writer = try PNGWriter(path: path, size: size, layout: .gray, pixelType: .uint8, overwrite: true)
    try writer.write(rows: buffer(4, 2, .gray, .uint8))
    #expect(try Data(contentsOf: URL(filePath: path)) == Data([1]))
    try writer.finish()
    #expect(try readAll(path).0.scenes[0].size == size)
  }
}
