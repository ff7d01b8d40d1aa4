// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages
import KachelPixels
import KachelTesting
import Testing

@Suite struct CZIAttachmentTests {
  func image(_ fixture: CZIFixture) throws -> Image {
    let folder = try ScratchFolder()
    return try Image(at: folder.write(fixture.bytes, to: "test.czi"))
  }

  static func times(_ seconds: [Double], count: Int32? = nil) -> [UInt8] {
    func bytes(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    // The size is wrong in some real files.
    return bytes(Int32(12)) + bytes(count ?? Int32(seconds.count)) + seconds.flatMap { bytes($0.bitPattern) }
  }

  static let small: CZIFixture = {
    var fixture = CZIFixture.mosaic([Region(x: 0, y: 0, width: 4, height: 4)]) { _, _, _ in 1 }
    fixture.attachments = [
      .init("CZTIMS", "TimeStamps", times([0.5, 2.25])), .init("JPG", "Thumbnail", [0xFF, 0xD8, 1, 2, 3]),
      .init("CZEVL", "EventList", []),
    ]
    return fixture
  }()

  @Test func realFiles() throws {
    let image = try Image(at: SharedData.path("czi/real/1_tileregion.czi"))
    let description = image.description
    #expect(
      description.attachments == [
        .init(name: "EventList", type: "CZEVL", byteCount: 48),
        .init(name: "TimeStamps", type: "CZTIMS", byteCount: 16),
        .init(name: "Thumbnail", type: "JPG", byteCount: 4040),
      ])
    #expect(description.timeStamps.count == 1 && abs(description.timeStamps[0] - 0.3574) < 0.001)
    let thumbnail = try image.attachment(#require(description.thumbnail))
    #expect(thumbnail.count == 4040 && thumbnail.starts(with: [0xFF, 0xD8, 0xFF]))
    let cells = try Image(at: SharedData.path("czi/real/CellDivision_T3_Z5_CH2.czi")).description
    #expect(cells.timeStamps.count == 3 && cells.timeStamps.sorted() == cells.timeStamps && cells.thumbnail == 2)
    let plain = try Image(at: SharedData.path("czi/real/10x10.czi"))
    #expect(plain.description.attachments.isEmpty && plain.description.thumbnail == nil)
    #expect(throws: ImageError.self) { try plain.attachment(0) }
  }

  @Test func contents() throws {
    let image = try image(Self.small)
    #expect(image.description.attachments.map(\.name) == ["TimeStamps", "Thumbnail", "EventList"])
    #expect(image.description.timeStamps == [0.5, 2.25])
    #expect(image.description.thumbnail == 1)
    #expect(try image.attachment(1) == [0xFF, 0xD8, 1, 2, 3])
    #expect(try image.attachment(2).isEmpty)
    for index in [-1, 3] {
      #expect(try #require(throws: ImageError.self) { try image.attachment(index) }.kind == .outOfRange)
    }
  }

  @Test func damagedOnesAreLeftOut() throws {
    var fixture = Self.small
    fixture.attachments[1].declaredSize = 1 << 50
    #expect(try image(fixture).description.attachments.map(\.name) == ["TimeStamps", "EventList"])
    fixture.attachments[1].declaredSize = -1
    #expect(try image(fixture).description.thumbnail == nil)
    for times in [Self.times([1], count: 2), Self.times([1], count: -1), Self.times([.nan]), [1, 2, 3]] {
      fixture.attachments[0].content = times
      #expect(try image(fixture).description.timeStamps.isEmpty)
    }
  }

  /// The pixels stay readable whatever is wrong with the attachments.
  @Test func everyNumberBecomesExtreme() throws {
    let folder = try ScratchFolder()
    let bytes = Self.small.bytes
    let list = try #require(bytes.firstRange(of: Array("ZISRAWATTDIR".utf8))).lowerBound
    let first = try #require(bytes.firstRange(of: Array("ZISRAWATTACH".utf8))).lowerBound
    for start in [first, list, list + 256] {
      for place in start..<min(bytes.count - 4, start + 64) {
        for value: UInt32 in [0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0] {
          var changed = bytes
          for byte in 0..<4 { changed[place + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte)) }
          let image = try Image(at: folder.write(changed, to: "test.czi"))
          for index in image.description.attachments.indices { _ = try image.attachment(index) }
          let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
          try image.read(Region(x: 0, y: 0, width: 2, height: 1), of: .init(), into: pixels)
          #expect(Array(pixels.bytes) == [1, 1])
        }
      }
    }
  }
}
