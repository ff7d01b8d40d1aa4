// SPDX-License-Identifier: Apache-2.0

extension PixelBuffer {
  /// Becomes one sample of another buffer's pixels.
  public func fill(fromSample sample: Int, of source: PixelBuffer) {
    precondition((0..<source.samples).contains(sample))
    reshape(width: source.width, height: source.height, samples: 1, type: source.type)
    switch type.size {
    case 1: take(UInt8.self, sample, source)
    case 2: take(UInt16.self, sample, source)
    case 4: take(UInt32.self, sample, source)
    default: take(UInt64.self, sample, source)
    }
  }

  @inline(__always)
  private func take<Bits>(_: Bits.Type, _ sample: Int, _ source: PixelBuffer) {
    let input = source.values(as: Bits.self), output = values(as: Bits.self), samples = source.samples
    for index in output.indices { output[index] = input[index * samples + sample] }
  }

  /// Becomes another buffer's pixels with the first and the third of their three or four samples swapped.
  public func fill(swappingRedAndBlueOf source: PixelBuffer) {
    precondition(source.samples == 3 || source.samples == 4)
    reshape(width: source.width, height: source.height, samples: source.samples, type: source.type)
    switch type.size {
    case 1: swapRedAndBlue(UInt8.self, source)
    case 2: swapRedAndBlue(UInt16.self, source)
    case 4: swapRedAndBlue(UInt32.self, source)
    default: swapRedAndBlue(UInt64.self, source)
    }
  }

  @inline(__always)
  private func swapRedAndBlue<Bits>(_: Bits.Type, _ source: PixelBuffer) {
    let input = source.values(as: Bits.self), output = values(as: Bits.self), samples = source.samples
    for start in Swift.stride(from: 0, to: output.count, by: samples) {
      (output[start], output[start + 1], output[start + 2]) = (input[start + 2], input[start + 1], input[start])
      if samples == 4 { output[start + 3] = input[start + 3] }
    }
  }
}
