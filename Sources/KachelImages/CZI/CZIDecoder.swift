// SPDX-License-Identifier: Apache-2.0
package import KachelBytes
private import KachelPixels

/// Reads and decodes the pixels of single sub-blocks.
package struct CZIDecoder: Sendable {
  /// No sub-block is decoded into more memory than this, in bytes.
  package static let mostBytes = 2 << 30

  /// How many bytes a byte of compressed data can become: Zstandard has 4 bytes for 128 KiB of one repeated byte, and no
  /// other compression gets as far.
  static let mostExpansion = 32768

  package let source: ByteSource

  package init(_ source: ByteSource) { self.source = source }

  /// Where the parts of a sub-block stand in the file.
  struct Parts {
    var metadata: Range<Int>
    /// The encoded pixels. The file holds all of them.
    var pixels: Range<Int>
    /// What follows the pixels, possibly beyond the file's end.
    var attachment: Range<Int>
  }

  /// Where a sub-block's encoded pixels stand in the file. The file holds all of them.
  package func payload(of block: CZISubBlock) throws(ImageError) -> Range<Int> { try parts(of: block).pixels }

  func parts(of block: CZISubBlock) throws(ImageError) -> Parts {
    let segment = try CZISegment("ZISRAWSUBBLOCK", at: block.position, of: source)
    let (metadataSize, attachmentSize, dataSize, dimensions) = try ImageError.wrapping { () throws(BytesError) in
      var reader = ByteReader(
        try source.read(at: segment.payload, count: 48), file: source.path, offset: segment.payload)
      let metadataSize = Int(try reader.int32()), attachmentSize = Int(try reader.int32())
      let dataSize = try reader.int64()
      // Only the number of dimensions is taken from this copy of the directory entry: it moves the pixels.
      try reader.seek(to: 44)
      return (metadataSize, attachmentSize, dataSize, Int(try reader.int32()))
    }
    guard metadataSize >= 0, dataSize >= 0, 0...40 ~= dimensions else {
      throw damaged(
        segment.payload,
        "the sub-block has \(metadataSize) bytes of metadata, \(dataSize) of pixels and \(dimensions) dimensions")
    }
    let skipped = max(256, 48 + 20 * dimensions) + metadataSize
    let start = segment.payload + skipped
    guard dataSize <= Int64(segment.allocatedSize), skipped <= segment.allocatedSize - Int(dataSize) else {
      throw damaged(
        segment.payload, "the sub-block has \(dataSize) bytes of pixels in a segment of \(segment.allocatedSize) bytes")
    }
    guard start <= source.count, Int(dataSize) <= source.count - start else {
      throw damaged(
        start, "the sub-block has \(dataSize) bytes of pixels, but the file ends at \(source.count); it is incomplete")
    }
    let end = start + Int(dataSize)
    return Parts(
      metadata: start - metadataSize..<start, pixels: start..<end, attachment: end..<end + max(0, attachmentSize))
  }

  /// All pixels of a sub-block: tight rows of interleaved samples.
  package func decode(_ block: CZISubBlock) throws(ImageError) -> [UInt8] {
    let payload = try payload(of: block)
    guard let type = CZIPixelType(rawValue: block.pixelType),
      let compression = CZICompression(rawValue: block.compression)
    else {
      throw ImageError(
        .unsupported, file: source.path, offset: payload.lowerBound,
        "pixel type \(CZIPixelType.name(of: block.pixelType)) with compression "
          + "\(CZICompression.name(of: block.compression)) is not read")
    }
    guard let count = block.byteCount, count <= Self.mostBytes else {
      throw ImageError(
        .unsupported, file: source.path, offset: payload.lowerBound,
        "a sub-block of \(block.storedWidth) x \(block.storedHeight) pixels \(CZIPixelType.name(of: block.pixelType)) "
          + "needs more than 2 GiB; save the image again in ZEN with smaller tiles")
    }
    // What holds too little is not worth the memory.
    guard compression == .uncompressed || count / Self.mostExpansion <= payload.count else {
      throw damaged(payload.lowerBound, "\(payload.count) bytes of compressed data for \(count) bytes of pixels")
    }
    return switch compression {
    case .uncompressed: try uncompressed(payload, count: count)
    case .zstd0: try zstandard(payload, header: 0, isPacked: false, count: count)
    case .zstd1: try zstandard1(payload, type: type, count: count)
    case .lzw: try lzw(payload, count: count)
    case .jpeg: try jpeg(payload, of: block, type: type, count: count)
    case .jpegXR: try jpegXR(payload, of: block, type: type, count: count)
    }
  }

  private func lzw(_ payload: Range<Int>, count: Int) throws(ImageError) -> [UInt8] {
    // A code of 12 bits stands for fewer than 4096 bytes: what holds too few codes is not worth the memory.
    guard count / 4096 <= payload.count else {
      throw damaged(payload.lowerBound, "\(payload.count) bytes of LZW for \(count) bytes of pixels")
    }
    return try decoding(payload, count: count) { data, output in
      guard let written = LZW.decompress(data, into: output) else { return "LZW: a code that cannot be" }
      return written == count ? nil : "LZW: \(written) bytes instead of \(count)"
    }
  }

  private func jpeg(
    _ payload: Range<Int>, of block: CZISubBlock, type: CZIPixelType, count: Int
  ) throws(ImageError) -> [UInt8] {
    guard CZICompression.jpeg.holds(type) else {
      throw ImageError(
        .unsupported, file: source.path, offset: payload.lowerBound,
        "JPEG of \(CZIPixelType.name(of: type.rawValue)) is not read")
    }
    return try decoding(payload, count: count) { CZIJPEG.decode($0, of: block, type: type, into: $1) }
  }

  /// Some programs say JPEG-XR where they store uncompressed pixels.
  private func jpegXR(
    _ payload: Range<Int>, of block: CZISubBlock, type: CZIPixelType, count: Int
  ) throws(ImageError) -> [UInt8] {
    let start = try ImageError.wrapping { () throws(BytesError) in
      try source.read(at: payload.lowerBound, count: min(4, payload.count))
    }
    if start != JPEGXRHeader.signature, payload.count == count { return try uncompressed(payload, count: count) }
    return try decoding(payload, count: count) { CZIJPEGXR.decode($0, of: block, type: type, into: $1) }
  }

  /// Reads encoded pixels and decodes them with a function that says what is wrong.
  private func decoding(
    _ payload: Range<Int>, count: Int,
    _ decode: (UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer) -> String?
  ) throws(ImageError) -> [UInt8] {
    // None of these compressions makes pixels twice as large: a larger payload is damaged, and is not worth the memory.
    guard payload.count <= 2 * count + 65536 else {
      throw damaged(payload.lowerBound, "\(payload.count) bytes of compressed data for \(count) bytes of pixels")
    }
    return try withEncoded(payload) { (encoded) throws(ImageError) in
      try [UInt8](count: count) { (output) throws(ImageError) in
        if let problem = decode(encoded, output) { throw damaged(payload.lowerBound, problem) }
      }
    }
  }

  /// Reads encoded pixels for a moment.
  private func withEncoded(
    _ payload: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(ImageError) -> [UInt8]
  ) throws(ImageError) -> [UInt8] {
    try Scratch.withBytes(payload.count) { (encoded) throws(ImageError) in
      try ImageError.wrapping { () throws(BytesError) in try source.read(at: payload.lowerBound, into: encoded) }
      return try body(UnsafeRawBufferPointer(encoded))
    }
  }

  /// Missing bytes are 0 and surplus ones are ignored (resolution protocol of the libCZI documentation).
  private func uncompressed(_ payload: Range<Int>, count: Int) throws(ImageError) -> [UInt8] {
    let present = min(count, payload.count)
    return try [UInt8](count: count) { (output) throws(ImageError) in
      try ImageError.wrapping { () throws(BytesError) in
        try source.read(at: payload.lowerBound, into: .init(rebasing: output[0..<present]))
      }
      if present < count { output[present...].initializeMemory(as: UInt8.self, repeating: 0) }
    }
  }

  /// The header before the frame: its length, then optionally 1 and flags, of which bit 0 means HiLo packing.
  private func zstandard1(_ payload: Range<Int>, type: CZIPixelType, count: Int) throws(ImageError) -> [UInt8] {
    let start = try ImageError.wrapping { () throws(BytesError) in
      try source.read(at: payload.lowerBound, count: min(3, payload.count))
    }
    if start.first == 1 { return try zstandard(payload, header: 1, isPacked: false, count: count) }
    guard start.count == 3, start[0] == 3, start[1] == 1 else {
      throw damaged(payload.lowerBound, "the sub-block's Zstd1 header is \(start), which is not known")
    }
    let isPacked = start[2] & 1 != 0
    guard !isPacked || type.sample == .uint16 else {
      throw damaged(payload.lowerBound, "HiLo packing of pixels that are not 16-bit")
    }
    return try zstandard(payload, header: 3, isPacked: isPacked, count: count)
  }

  private func zstandard(_ payload: Range<Int>, header: Int, isPacked: Bool, count: Int) throws(ImageError) -> [UInt8] {
    // Incompressible data grow by less than 1 %: a larger payload is damaged, and is not worth the memory.
    guard payload.count - header <= count + count / 16 + 4096 else {
      throw damaged(payload.lowerBound, "\(payload.count) bytes of Zstd for \(count) bytes of pixels")
    }
    return try withEncoded(payload) { (encoded) throws(ImageError) in
      let frame = UnsafeRawBufferPointer(rebasing: encoded[header...])
      let size = Zstandard.contentSize(of: frame)
      guard size == count else {
        let found = size.map { "\($0) bytes" } ?? "an unknown size"
        throw damaged(
          payload.lowerBound, "the Zstd frame says \(found), but the sub-block has \(count) bytes of pixels")
      }
      return try [UInt8](count: count) { (output) throws(ImageError) in
        if let problem = CZIZstandard.decompress(frame, isPacked: isPacked, into: output) {
          throw damaged(payload.lowerBound, problem)
        }
      }
    }
  }

  private func damaged(_ offset: Int, _ reason: String) -> ImageError {
    ImageError(.damaged, file: source.path, offset: offset, reason)
  }
}
