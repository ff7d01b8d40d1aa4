// SPDX-License-Identifier: Apache-2.0

extension PixelBuffer {
  /// Puts partly transparent pixels before a background and stores them as red, green and blue.
  ///
  /// - Parameters:
  ///   - source: rows of 32-bit numbers: alpha in the highest byte, then red, green and blue, multiplied by alpha.
  ///   - stride: numbers from row to row.
  ///   - region: where they go, inside this buffer of three 8-bit samples.
  package func put(
    premultiplied source: UnsafeBufferPointer<UInt32>, stride: Int, over background: RGB, into region: Region
  ) {
    precondition(samples == 3 && type == .uint8 && Region(size).contains(region), "\(region) is not in \(size)")
    guard !region.isEmpty, let pixels = source.baseAddress, let target = bytes.baseAddress else { return }
    precondition(
      stride >= region.width && source.count >= (region.height - 1) * stride + region.width, "too few pixels")
    for row in 0..<region.height {
      let line = pixels + row * stride
      var output = (target + (region.y + row) * bytesPerRow + region.x * 3).assumingMemoryBound(to: UInt8.self)
      for x in 0..<region.width {
        let pixel = line[x]
        let rest = 255 - pixel >> 24
        output[0] = Self.mix(pixel >> 16 & 255, background.red, rest)
        output[1] = Self.mix(pixel >> 8 & 255, background.green, rest)
        output[2] = Self.mix(pixel & 255, background.blue, rest)
        output += 3
      }
    }
  }

  /// - Parameter rest: the background's part, of 255.
  private static func mix(_ color: UInt32, _ background: UInt8, _ rest: UInt32) -> UInt8 {
    UInt8(truncatingIfNeeded: min(255, color + (UInt32(background) * rest + 127) / 255))
  }
}
