// SPDX-License-Identifier: Apache-2.0
import KachelPixels

/// A part of a pixel buffer that numbers are written into.
struct StridedTarget {
  let pixels: PixelBuffer
  let part: Region

  private func row(_ y: Int) -> UnsafeMutableRawBufferPointer {
    let size = pixels.bytesPerPixel
    let start = (part.y + y) * pixels.bytesPerRow + part.x * size
    return UnsafeMutableRawBufferPointer(rebasing: pixels.bytes[start..<start + part.width * size])
  }

  /// - Parameter value: one number in memory's form.
  func fill(_ value: [UInt8]) {
    if value.allSatisfy({ $0 == value[0] }) {
      for y in 0..<part.height { row(y).initializeMemory(as: UInt8.self, repeating: value[0]) }
      return
    }
    value.withUnsafeBytes { value in
      for y in 0..<part.height {
        let row = row(y)
        for x in 0..<part.width {
          UnsafeMutableRawBufferPointer(rebasing: row[x * value.count..<(x + 1) * value.count]).copyMemory(from: value)
        }
      }
    }
  }

  /// - Parameters:
  ///   - first: which number of the source goes to the part's corner; strides count numbers too.
  func copy(_ source: [UInt8], from first: Int, rowStride: Int, columnStride: Int) {
    source.withUnsafeBytes { source in
      let size = pixels.bytesPerPixel
      for y in 0..<part.height {
        let start = (first + y * rowStride) * size
        if columnStride == 1 {
          row(y).copyMemory(from: UnsafeRawBufferPointer(rebasing: source[start..<start + part.width * size]))
          continue
        }
        switch size {
        case 1: gather(UInt8.self, source, start, columnStride, row(y))
        case 2: gather(UInt16.self, source, start, columnStride, row(y))
        case 4: gather(UInt32.self, source, start, columnStride, row(y))
        default: gather(UInt64.self, source, start, columnStride, row(y))
        }
      }
    }
  }

  private func gather<T: BitwiseCopyable>(
    _: T.Type, _ source: UnsafeRawBufferPointer, _ start: Int, _ stride: Int, _ row: UnsafeMutableRawBufferPointer
  ) {
    let size = MemoryLayout<T>.size
    for x in 0..<part.width {
      let value = source.loadUnaligned(fromByteOffset: start + x * stride * size, as: T.self)
      row.storeBytes(of: value, toByteOffset: x * size, as: T.self)
    }
  }
}
