// SPDX-License-Identifier: Apache-2.0

/// The LZW compression of TIFF 6.0, section 13: codes of 9 to 12 bits, most significant bit first.
package enum LZW {
  private static let clear = 256
  private static let end = 257
  private static let mostCodes = 4096

  /// Decompresses into `output`.
  ///
  /// - Returns: how many bytes came out before the data or `output` ended, or `nil` where a code is not possible.
  package static func decompress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int? {
    // Every code beyond 257 stands for bytes that were put out before: where, and how many.
    var starts = [Int](repeating: 0, count: mostCodes)
    var lengths = [Int](repeating: 0, count: mostCodes)
    var next = end + 1, width = 9
    var previous: (start: Int, length: Int)?
    var bits: UInt32 = 0
    var available = 0, position = 0, written = 0

    while written < output.count {
      while available < width, position < input.count {
        bits = bits << 8 | UInt32(input[position])
        position += 1
        available += 8
      }
      guard available >= width else { break }
      available -= width
      let code = Int(bits >> UInt32(available)) & (1 << width - 1)
      if code == end { break }
      if code == clear {
        (next, width, previous) = (end + 1, 9, nil)
        continue
      }

      let start = written
      if code < clear {
        output[written] = UInt8(code)
        written += 1
      } else {
        guard let before = previous, code <= next else { return nil }
        // The code about to be defined is the previous string and its own first byte, which follow each other.
        let source = code < next ? starts[code] : before.start
        let length = min(code < next ? lengths[code] : before.length + 1, output.count - written)
        // Byte by byte, as source and target overlap in that case.
        for index in 0..<length { output[written + index] = output[source + index] }
        written += length
      }
      // A new code is the previous string and the first byte of this one, as they stand in the output.
      if let previous, next < mostCodes {
        starts[next] = previous.start
        lengths[next] = previous.length + 1
        next += 1
      }
      previous = (start, written - start)
      // The encoder widens its codes one code early.
      width = next >= 2047 ? 12 : next >= 1023 ? 11 : next >= 511 ? 10 : 9
    }
    return written
  }
}
