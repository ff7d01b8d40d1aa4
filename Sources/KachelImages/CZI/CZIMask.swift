// SPDX-License-Identifier: Apache-2.0
package import KachelBytes
private import KachelPixels

/// Which pixels of a sub-block are valid: ZEN writes it to the tiles of pyramids, whose other pixels hold nothing.
package struct CZIMask: Sendable {
  package let width: Int
  package let height: Int
  /// Bytes from one row to the next.
  private let stride: Int
  /// One bit for every pixel, the most significant first; 1 is valid.
  package let bits: [UInt8]

  /// CBE3EA67-5BFC-492B-A16A-ECE378031448, as little-endian numbers.
  private static let identifier: [UInt8] = [
    0x67, 0xEA, 0xE3, 0xCB, 0xFC, 0x5B, 0x2B, 0x49, 0xA1, 0x6A, 0xEC, 0xE3, 0x78, 0x03, 0x14, 0x48,
  ]

  /// The mask in an attachment of the format CHUNKCONTAINER: identifier, size and content one after the other.
  ///
  /// - Returns: `nil` where there is none.
  package init?(chunks: [UInt8], file: String) throws(BytesError) {
    var reader = ByteReader(chunks, file: file)
    while reader.remaining >= 20 {
      let identifier = try reader.bytes(16)
      let size = Int(try reader.int32())
      guard identifier.elementsEqual(Self.identifier) else {
        try reader.skip(size)
        continue
      }
      let end = reader.position
      let (width, height) = (Int(try reader.int32()), Int(try reader.int32()))
      let (type, stride) = (try reader.int32(), Int(try reader.int32()))
      // Type 0 is one bit for every pixel; there is no other.
      guard type == 0, width > 0, height > 0, stride >= (width + 7) / 8, reader.position - end <= size else {
        throw BytesError(.damaged, file: file, "the mask of valid pixels is of \(width) x \(height), type \(type)")
      }
      bits = Array(try reader.bytes(stride * height))
      (self.width, self.height, self.stride) = (width, height, stride)
      return
    }
    return nil
  }

  /// The mask as it is kept in a cache.
  init(bits: [UInt8], width: Int, height: Int) {
    (self.bits, self.width, self.height) = (bits, width, height)
    stride = bits.count / max(1, height)
  }

  package func isValid(x: Int, y: Int) -> Bool { bits[y * stride + x / 8] & (0x80 >> UInt8(x % 8)) != 0 }

  /// Calls `body` with the runs of valid pixels of a part of a row.
  package func runs(x range: Range<Int>, y: Int, _ body: (Range<Int>) -> Void) {
    var x = range.lowerBound
    while x < range.upperBound {
      while x < range.upperBound, !isValid(x: x, y: y) { x += 1 }
      let start = x
      while x < range.upperBound, isValid(x: x, y: y) { x += 1 }
      if start < x { body(start..<x) }
    }
  }
}

extension CZIDecoder {
  /// The mask of a sub-block; `nil` where it has none, or one that is not of its size.
  package func mask(of block: CZISubBlock) throws(ImageError) -> CZIMask? {
    let parts = try parts(of: block)
    // No mask needs more than a byte for a pixel, and no description more than a megabyte.
    guard !parts.attachment.isEmpty, !parts.metadata.isEmpty, parts.metadata.count <= 1 << 20,
      parts.attachment.count <= Int(block.storedWidth) * Int(block.storedHeight) + 1_048_576
    else { return nil }
    return try ImageError.wrapping { () throws(BytesError) -> CZIMask? in
      let text = try source.read(at: parts.metadata.lowerBound, count: parts.metadata.count)
      // What is no XML says nothing of a mask.
      guard let schema = try? XMLTree(text, file: source.path).root.descendant("AttachmentSchema", "DataFormat"),
        schema.text == "CHUNKCONTAINER"
      else { return nil }
      let chunks = try source.read(at: parts.attachment.lowerBound, count: parts.attachment.count)
      guard let mask = try CZIMask(chunks: chunks, file: source.path), mask.width == Int(block.storedWidth),
        mask.height == Int(block.storedHeight)
      else { return nil }
      return mask
    }
  }
}
