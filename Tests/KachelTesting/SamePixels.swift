// SPDX-License-Identifier: Apache-2.0
private import Foundation
public import KachelPixels

extension PixelBuffer {
  /// Whether another buffer has the same size, samples, type and bytes; `elementsEqual` is slow without optimisation.
  public func isSame(as other: PixelBuffer) -> Bool {
    size == other.size && samples == other.samples && type == other.type
      && (byteCount == 0 || memcmp(bytes.baseAddress!, other.bytes.baseAddress!, byteCount) == 0)
  }
}
