// SPDX-License-Identifier: Apache-2.0

extension [UInt8] {
  /// Bytes that are nowhere but where `fill` writes them.
  ///
  /// - Parameter fill: writes all of them, or throws.
  init(
    count: Int, filledBy fill: (UnsafeMutableRawBufferPointer) throws(ImageError) -> Void
  ) throws(ImageError) {
    var failure: ImageError?
    self.init(unsafeUninitializedCapacity: count) { output, initialized in
      do throws(ImageError) {
        try fill(UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(output)[0..<count]))
        initialized = count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }
}
