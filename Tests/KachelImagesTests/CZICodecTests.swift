// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// JPEG-XR, JPEG and LZW beyond what the golden files hold: other sizes, wrong headers and damaged data.
@Suite struct CZICodecTests {
  /// A sub-block of a reference file: its encoded and its decoded pixels.
  struct Sample {
    var pixelType: Int32
    var compression: Int32
    var width: Int
    var height: Int
    var payload: [UInt8]
    var pixels: [UInt8]

    init(_ file: String, _ index: Int) throws {
      let compositor = try CZICompositor(at: SharedData.path("czi/synthetic/\(file).czi"))
      let block = compositor.directory.subBlocks[index]
      let range = try compositor.decoder.payload(of: block)
      (pixelType, compression) = (block.pixelType, block.compression)
      (width, height) = (Int(block.storedWidth), Int(block.storedHeight))
      payload = try compositor.decoder.source.read(at: range.lowerBound, count: range.count)
      pixels = try compositor.decoder.decode(block)
    }
  }

  static let samples: [(String, Int)] = [
    ("raw_jpegxr_types", 0), ("raw_jpegxr_types", 1), ("raw_jpegxr_types", 2), ("raw_jpegxr_types", 3),
    ("raw_jpegxr_gray32float", 0), ("raw_jpeg_gray8_bgr24", 0), ("raw_jpeg_gray8_bgr24", 1),
    ("raw_lzw_gray8_gray16", 0), ("raw_lzw_gray8_gray16", 1),
  ]

  func decode(_ sample: Sample, width: Int? = nil, height: Int? = nil) throws -> [UInt8] {
    var block = CZIFixture.SubBlock(
      Region(x: 0, y: 0, width: width ?? sample.width, height: height ?? sample.height), pixelType: sample.pixelType,
      pixels: [])
    block.compression = sample.compression
    block.payload = sample.payload
    let folder = try ScratchFolder()
    let compositor = try CZICompositor(at: folder.write(CZIFixture([block]).bytes, to: "test.czi"))
    return try compositor.decoder.decode(compositor.directory.subBlocks[0])
  }

  func reason(_ sample: Sample, width: Int? = nil) throws -> String {
    let error = try #require(throws: ImageError.self) { try decode(sample, width: width) }
    #expect(error.kind == .damaged && error.offset != nil)
    return error.reason
  }

  @Test(arguments: 0..<7) func otherSizesAreCutOrFilled(_ index: Int) throws {
    let sample = try Sample(Self.samples[index].0, Self.samples[index].1)
    let bytesPerPixel = sample.pixels.count / sample.width / sample.height
    for (width, height) in [(40, 70), (90, 30), (90, 70), (33, 29), (sample.width, 30), (sample.width, 70)] {
      let found = try decode(sample, width: width, height: height)
      var expected = [UInt8](repeating: 0, count: width * height * bytesPerPixel)
      for y in 0..<min(height, sample.height) {
        let count = min(width, sample.width) * bytesPerPixel
        let from = y * sample.width * bytesPerPixel, to = y * width * bytesPerPixel
        expected.replaceSubrange(to..<to + count, with: sample.pixels[from..<from + count])
      }
      #expect(found == expected, "\(width) x \(height)")
    }
  }

  @Test(arguments: 0..<4) func sizesFarFromTheSubBlocksAreRefused(_ index: Int) throws {
    let sample = try Sample(Self.samples[index].0, Self.samples[index].1)
    #expect(try reason(sample, width: (sample.width - 65) / 2).contains("pixels in a sub-block of"))
  }

  /// What the headers say is compared before the decoder sees the data.
  @Test func wrongHeadersOfJPEGXR() throws {
    let right = try Sample("raw_jpegxr_types", 1)
    let image = try #require(right.payload.firstRange(of: Array("WMPHOTO".utf8))).lowerBound
    func field(_ tag: UInt16) throws -> Int {
      try #require(right.payload.firstRange(of: [UInt8(tag & 255), UInt8(tag >> 8)])).lowerBound
    }
    let wrong: [(String, (inout [UInt8]) throws -> Void)] = [
      ("pixel format", { $0[23] = 0x08 }),
      (
        "cut off",
        {
          $0[4] = 0xFF; $0[5] = 0xFF
        }
      ),
      ("another size", { $0[try field(0xBC80) + 8] += 1 }),
      ("another size", { $0[image + 13] += 1 }),
      ("another type", { $0[image + 11] = 1 }),
      ("alpha", { $0[image + 10] |= 1 }),
      ("turned", { $0[image + 9] |= 8 }),
      ("version", { $0[image + 8] = 0x21 }),
      ("begin", { $0[image] = 0 }),
      ("does not begin", { $0[3] = 2 }),
      ("cut off", { $0.removeLast($0.count - 40) }),
      ("wrong", { $0[try field(0xBC80) + 4] = 2 }),
    ]
    for (words, change) in wrong {
      var sample = right
      try change(&sample.payload)
      let found = try reason(sample)
      #expect(found.contains("JPEG-XR") && found.contains(words), "\(words): \(found)")
    }
  }

  @Test func pixelsThatAreOnlySaidToBeCompressed() throws {
    var sample = try Sample("raw_jpegxr_types", 3)
    sample.payload = sample.pixels
    #expect(try decode(sample) == sample.pixels)
    sample.payload.removeLast()
    #expect(try reason(sample).contains("does not begin as JPEG-XR"))
  }

  @Test func largePayloadsAreRefused() throws {
    for (file, index) in Self.samples {
      var sample = try Sample(file, index)
      sample.payload += Array(repeating: 0, count: 2 * sample.pixels.count + 65536)
      #expect(try reason(sample).contains("bytes of compressed data"))
    }
  }

  /// Damaged data give pixels or an error, whatever the libraries do with them.
  @Test(arguments: samples.indices) func randomBytesChanged(_ index: Int) throws {
    let right = try Sample(Self.samples[index].0, Self.samples[index].1)
    var random = SeededRandom(seed: UInt64(index))
    var refused = 0
    for _ in 0..<120 {
      var sample = right
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let end = Bool.random(using: &random) ? sample.payload.count : min(300, sample.payload.count)
        sample.payload[Int.random(in: 0..<end, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if Int.random(in: 0..<8, using: &random) == 0 {
        sample.payload.removeLast(Int.random(in: 0..<sample.payload.count, using: &random))
      }
      do {
        #expect(try decode(sample).count == right.pixels.count)
      } catch is ImageError {
        refused += 1
      }
    }
    #expect(refused > 0)
  }

  @Test func lzwByHand() throws {
    /// Codes of 9 bits, most significant bit first.
    func codes(_ values: [Int]) -> [UInt8] {
      var bits = values.flatMap { value in (0..<9).reversed().map { value >> $0 & 1 } }
      bits += Array(repeating: 0, count: (8 - bits.count % 8) % 8)
      return stride(from: 0, to: bits.count, by: 8).map { start in
        bits[start..<start + 8].reduce(0) { $0 << 1 | UInt8($1) }
      }
    }
    func decode(_ values: [Int], _ count: Int) -> [UInt8]? {
      var output = [UInt8](repeating: 99, count: count)
      let written = codes(values).withUnsafeBytes { input in
        output.withUnsafeMutableBytes { LZW.decompress(input, into: $0) }
      }
      return written.map { Array(output[..<$0]) }
    }
    // 258 is defined by the code that uses it.
    #expect(decode([256, 7, 258, 259, 257], 6) == [7, 7, 7, 7, 7, 7])
    #expect(decode([256, 1, 2, 258, 256, 3, 257], 9) == [1, 2, 1, 2, 3])
    #expect(decode([256, 1, 2, 258], 3) == [1, 2, 1])
    #expect(decode([1, 2, 258, 257], 4) == [1, 2, 1, 2])
    #expect(decode([256, 258], 4) == nil)
    #expect(decode([256, 1, 259], 4) == nil)
    #expect(decode([], 4) == [])
  }
}
