// SPDX-License-Identifier: Apache-2.0

/// Rows in which each sample is stored as its difference from the same sample of the pixel before it, modulo the
/// sample's range: TIFF's predictor 2 (TIFF 6.0, section 14).
public enum HorizontalDifferences {
  /// Turns samples into differences.
  ///
  /// - Parameters:
  ///   - rows: whole rows of integers in the machine's byte order.
  ///   - output: as many bytes.
  ///   - samples: interleaved samples of a pixel.
  ///   - size: bytes of a sample: 1, 2, 4 or 8.
  public static func take(
    of rows: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, bytesPerRow: Int, samples: Int,
    size: Int
  ) {
    precondition(bytesPerRow > 0 && samples > 0 && bytesPerRow.isMultiple(of: samples * size))
    precondition(output.count == rows.count)
    for start in stride(from: 0, through: rows.count - bytesPerRow, by: bytesPerRow) {
      let row = UnsafeRawBufferPointer(rebasing: rows[start..<start + bytesPerRow])
      let target = UnsafeMutableRawBufferPointer(rebasing: output[start..<start + bytesPerRow])
      switch size {
      case 1: subtract(row.bindMemory(to: UInt8.self), target.bindMemory(to: UInt8.self), samples)
      case 2: subtract(row.bindMemory(to: UInt16.self), target.bindMemory(to: UInt16.self), samples)
      case 4: subtract(row.bindMemory(to: UInt32.self), target.bindMemory(to: UInt32.self), samples)
      default: subtract(row.bindMemory(to: UInt64.self), target.bindMemory(to: UInt64.self), samples)
      }
    }
  }

  /// Turns differences into samples.
  ///
  /// - Parameters:
  ///   - rows: whole rows of integers in the machine's byte order.
  ///   - samples: interleaved samples of a pixel.
  ///   - size: bytes of a sample: 1, 2, 4 or 8.
  public static func undo(_ rows: UnsafeMutableRawBufferPointer, bytesPerRow: Int, samples: Int, size: Int) {
    precondition(bytesPerRow > 0 && samples > 0 && bytesPerRow.isMultiple(of: samples * size))
    for start in stride(from: 0, through: rows.count - bytesPerRow, by: bytesPerRow) {
      let row = UnsafeMutableRawBufferPointer(rebasing: rows[start..<start + bytesPerRow])
      switch size {
      case 1 where samples == 1: addUpBytes(row)
      case 1: addUp(row.bindMemory(to: UInt8.self), samples)
      case 2: addUp(row.bindMemory(to: UInt16.self), samples)
      case 4: addUp(row.bindMemory(to: UInt32.self), samples)
      default: addUp(row.bindMemory(to: UInt64.self), samples)
      }
    }
  }

  private static func subtract<T: FixedWidthInteger>(
    _ row: UnsafeBufferPointer<T>, _ output: UnsafeMutableBufferPointer<T>, _ samples: Int
  ) {
    for index in 0..<samples { output[index] = row[index] }
    for index in samples..<row.count { output[index] = row[index] &- row[index - samples] }
  }

  private static func addUp<T: FixedWidthInteger>(_ row: UnsafeMutableBufferPointer<T>, _ samples: Int) {
    for sample in 0..<samples {
      // In a register: to read back what was just stored takes several times as long as the addition.
      var sum: T = 0
      for index in stride(from: sample, to: row.count, by: samples) {
        sum &+= row[index]
        row[index] = sum
      }
    }
  }

  /// Eight bytes at a time. Byte by byte each sum waits for the one before, which takes as long as half of inflating.
  private static func addUpBytes(_ row: UnsafeMutableRawBufferPointer) {
    let lanes: UInt64 = 0x00FF_00FF_00FF_00FF
    let ones: UInt64 = 0x0001_0001_0001_0001
    // The sum of all bytes so far, modulo 256.
    var sum: UInt64 = 0
    let whole = row.count & ~7
    for start in stride(from: 0, to: whole, by: 8) {
      let bytes = UInt64(littleEndian: row.loadUnaligned(fromByteOffset: start, as: UInt64.self))
      let odd = (bytes >> 8) & lanes
      // Lanes of 16 bits hold the sums of pairs; the product adds up those of each lane and all before it. No lane
      // exceeds 8 * 255 + 255.
      let pairs = ((bytes & lanes) + odd) &* ones
      let sums = pairs + (sum &* ones)
      sum = (sum + (pairs >> 48)) & 0xFF
      let result = ((sums - odd) & lanes) | (sums & lanes) << 8
      row.storeBytes(of: result.littleEndian, toByteOffset: start, as: UInt64.self)
    }
    var last = UInt8(truncatingIfNeeded: sum)
    for index in whole..<row.count {
      last &+= row[index]
      row[index] = last
    }
  }
}
