// SPDX-License-Identifier: Apache-2.0

/// The byte order that CZI calls HiLo packing: the low bytes of all 16-bit samples, then all their high bytes.
public enum HiLo {
  /// Puts 16-bit little-endian samples together.
  ///
  /// - Parameters:
  ///   - packed: the low bytes, then the high bytes.
  ///   - output: as many bytes, an even number.
  public static func unpack(_ packed: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) {
    precondition(packed.count == output.count && packed.count.isMultiple(of: 2))
    let count = packed.count / 2
    guard count > 0, let low = packed.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
    let high = low + count
    let samples = output.baseAddress!
    for index in 0..<count {
      let sample = UInt16(low[index]) | UInt16(high[index]) << 8
      samples.storeBytes(of: sample.littleEndian, toByteOffset: 2 * index, as: UInt16.self)
    }
  }

  /// Takes 16-bit little-endian samples apart, the inverse of ``unpack(_:into:)``.
  public static func pack(_ samples: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) {
    precondition(samples.count == output.count && samples.count.isMultiple(of: 2))
    let count = samples.count / 2
    guard count > 0, let source = samples.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
    let low = output.baseAddress!.assumingMemoryBound(to: UInt8.self)
    let high = low + count
    for index in 0..<count {
      low[index] = source[2 * index]
      high[index] = source[2 * index + 1]
    }
  }
}
