// SPDX-License-Identifier: Apache-2.0

extension PixelBuffer {
  /// Copies the pixels of another buffer of the same type and samples.
  ///
  /// - Parameters:
  ///   - source: the buffer to copy from.
  ///   - region: which of its pixels; inside it.
  ///   - x, y: where the region's top-left pixel goes; the region must fit there.
  public func copy(_ region: Region, of source: PixelBuffer, toX x: Int, y: Int) {
    precondition(source.type == type && source.samples == samples, "buffers of different pixels")
    precondition(Region(source.size).contains(region), "\(region) is not in \(source.size)")
    precondition(Region(size).contains(region.offsetBy(x: x - region.x, y: y - region.y)), "does not fit")
    let count = region.width * bytesPerPixel
    guard count > 0, let from = source.bytes.baseAddress, let to = bytes.baseAddress else { return }
    for row in 0..<region.height {
      (to + (y + row) * bytesPerRow + x * bytesPerPixel).copyMemory(
        from: from + (region.y + row) * source.bytesPerRow + region.x * bytesPerPixel, byteCount: count)
    }
  }

  /// Whether every byte is 0.
  public var isZero: Bool { isFilled(with: 0) }

  /// Whether every byte has a value. Tells soon where the first bytes have another one.
  public func isFilled(with byte: UInt8) -> Bool {
    let pattern = UInt64(byte) &* 0x0101_0101_0101_0101
    for start in stride(from: 0, to: bytes.count, by: 4096) {
      let part = UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + 4096, bytes.count)])
      let words = part.count / 8
      var difference: UInt64 = 0
      for index in 0..<words { difference |= part.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self) ^ pattern }
      for index in words * 8..<part.count { difference |= UInt64(part[index] ^ byte) }
      if difference != 0 { return false }
    }
    return true
  }
}
