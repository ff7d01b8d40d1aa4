// SPDX-License-Identifier: Apache-2.0
private import Foundation
public import KachelPixels

/// Whether two buffers have the same shape, type and bytes.
public func areEqual(_ a: PixelBuffer, _ b: PixelBuffer) -> Bool {
  guard a.size == b.size, a.samples == b.samples, a.type == b.type else { return false }
  guard a.byteCount > 0, let left = a.bytes.baseAddress, let right = b.bytes.baseAddress else { return true }
  return withExtendedLifetime((a, b)) { memcmp(left, right, a.byteCount) == 0 }
}
