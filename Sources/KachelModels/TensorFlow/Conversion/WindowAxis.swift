// SPDX-License-Identifier: Apache-2.0

/// A sliding window along one axis of an image.
struct WindowAxis {
  enum Padding {
    /// As much that the output has the input's size divided by the stride, rounded up; what cannot be halved comes last.
    case same
    case explicit(Int, Int)
  }

  /// The padding at the start and the end; `nil` where it depends on a size that is not known.
  let pads: (begin: Int, end: Int)?
  /// The size of the output; `nil` where the formula is too long.
  let output: Dimension?

  /// `nil` where the window does not fit.
  init?(size: Dimension, kernel: Int, stride: Int, dilation: Int, padding: Padding) {
    guard size.number ?? 1 > 0, size.number ?? 1 < 1 << 40 else { return nil }
    let reach = (kernel - 1) * dilation + 1
    switch padding {
    case .same:
      output = size.dividedRoundingUp(by: stride)
      if stride == 1 {
        pads = ((reach - 1) / 2, reach - 1 - (reach - 1) / 2)
      } else if reach == 1 {
        pads = (0, 0)
      } else if let count = size.number {
        let total = max(0, ((count + stride - 1) / stride - 1) * stride + reach - count)
        pads = (total / 2, total - total / 2)
      } else {
        pads = nil
      }
    case .explicit(let begin, let end):
      pads = (begin, end)
      guard let room = size + Dimension(begin + end - reach), room.number ?? 0 >= 0 else { return nil }
      output = (room / stride).flatMap { $0 + Dimension(1) }
    }
  }

  static func attributes(_ axes: [Self]) -> [ONNX_AttributeProto?] {
    let pads = axes.compactMap(\.pads)
    guard pads.count == axes.count else { return [.init("auto_pad", "SAME_UPPER")] }
    let numbers = pads.map(\.begin) + pads.map(\.end)
    return [numbers.contains { $0 != 0 } ? .init("pads", numbers) : nil]
  }

  /// The paddings of a transposed convolution that gives its input's size times the stride, and `beyondStride` pixels
  /// more; `nil` where no convolution with that padding goes from there to the input's size.
  static func transposedPadding(
    beyondStride: Int, kernel: Int, stride: Int, padding: Padding
  ) -> (begin: Int, end: Int, added: Int)? {
    // The output has (size - 1) * stride + kernel - begin - end + added pixels.
    let total = kernel - stride - beyondStride
    switch padding {
    case .same:
      guard -stride < beyondStride, beyondStride <= 0 else { return nil }
      return total >= 0 ? (total / 2, total - total / 2, 0) : (0, 0, -total)
    case .explicit(let begin, let end):
      let added = begin + end - total
      return (0..<stride).contains(added) ? (begin, end, added) : nil
    }
  }
}
