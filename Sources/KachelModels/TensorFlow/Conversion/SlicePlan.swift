// SPDX-License-Identifier: Apache-2.0

/// What a `StridedSlice` takes of each axis.
struct SlicePlan {
  struct Axis {
    /// `nil`: from the very start, or to the very end.
    var begin: Dimension?
    var end: Dimension?
    var step = 1
    /// Only the element at `begin`, without its axis.
    var isElement = false

    var isWhole: Bool { begin == nil && end == nil && step == 1 && !isElement }
  }
  enum Part: Equatable {
    case axis(Int)
    /// An axis of size 1 that the input does not have.
    case new
  }

  /// For every axis of the input.
  private(set) var axes: [Axis]
  /// The axes of the output.
  private(set) var parts: [Part] = []

  /// - Parameters:
  ///   - inputs: The sliced value, the starts, the ends, and the steps.
  ///   - shape: The shape of the sliced value.
  init?(_ operation: TensorFlowOperation, _ inputs: [SizeTensor], shape: [Dimension]) {
    self.init(operation, begins: inputs[1], ends: inputs[2], steps: inputs[3], shape: shape)
  }

  init?(
    _ operation: TensorFlowOperation, begins: SizeTensor, ends: SizeTensor, steps: SizeTensor, shape: [Dimension]
  ) {
    let count = begins.elements.count
    guard ends.elements.count == count, steps.elements.count == count, count <= 32 else { return nil }
    func mask(_ name: String, _ index: Int) -> Bool { operation.integer(name) >> index & 1 != 0 }
    let named = (0..<count).filter { !mask("new_axis_mask", $0) && !mask("ellipsis_mask", $0) }.count
    guard named <= shape.count else { return nil }
    axes = Array(repeating: Axis(), count: shape.count)
    var place = 0, hasEllipsis = false
    for index in 0..<count {
      if mask("ellipsis_mask", index) {
        guard !hasEllipsis else { return nil }
        hasEllipsis = true
        for _ in 0..<shape.count - named {
          parts.append(.axis(place))
          place += 1
        }
      } else if mask("new_axis_mask", index) {
        parts.append(.new)
      } else {
        guard place < shape.count, let step = steps.elements[index].number, step != 0 else { return nil }
        let isElement = mask("shrink_axis_mask", index)
        axes[place] = Axis(
          begin: !isElement && mask("begin_mask", index) ? nil : begins.elements[index],
          end: isElement || mask("end_mask", index) ? nil : ends.elements[index], step: step, isElement: isElement)
        if !isElement {
          if step > 0, axes[place].begin?.number == 0 { axes[place].begin = nil }
          parts.append(.axis(place))
        }
        place += 1
      }
    }
    while place < shape.count {
      parts.append(.axis(place))
      place += 1
    }
  }

  /// What is taken of an axis of a known size; `nil` where that is not known, or does not exist.
  private func places(_ axis: Axis, count: Int) -> StrideTo<Int>? {
    func place(_ size: Dimension?, _ standard: Int) -> Int? {
      guard let size else { return standard }
      return size.number.map { $0 < 0 ? $0 + count : $0 }
    }
    if axis.isElement {
      return place(axis.begin, 0).flatMap { (0..<count).contains($0) ? stride(from: $0, to: $0 + 1, by: 1) : nil }
    }
    let isForward = axis.step > 0
    guard let begin = place(axis.begin, isForward ? 0 : count - 1), let end = place(axis.end, isForward ? count : -1)
    else { return nil }
    let bounds = isForward ? 0...count : -1...max(-1, count - 1)
    func bounded(_ index: Int) -> Int { min(max(index, bounds.lowerBound), bounds.upperBound) }
    return stride(from: bounded(begin), to: bounded(end), by: axis.step)
  }

  /// The size of an axis after the slice; `nil` where it is not known.
  func size(of axis: Int, _ size: Dimension) -> Dimension? {
    let slice = axes[axis]
    if slice.isWhole { return size }
    if let count = size.number { return places(slice, count: count).map { Dimension($0.underestimatedCount) } }
    if slice.begin == nil && slice.end == nil { return size.dividedRoundingUp(by: abs(slice.step)) }
    // An end that is counted from the start may lie beyond the axis' own.
    guard slice.step == 1, slice.end == nil || (slice.end?.number ?? 0) < 0 || slice.end == size else { return nil }
    guard slice.begin == nil || (slice.begin?.number ?? -1) >= 0 else { return nil }
    let end = slice.end?.number.flatMap { size + Dimension($0) } ?? size
    return end - (slice.begin ?? Dimension(0))
  }

  func apply(to sizes: SizeTensor) -> SizeTensor? {
    var taken: [[Int]] = []
    for (axis, count) in zip(axes, sizes.shape) {
      guard let places = places(axis, count: count) else { return nil }
      taken.append(Array(places))
    }
    var indices = [0], step = sizes.elements.count
    for (axis, count) in sizes.shape.enumerated() {
      step = count == 0 ? 0 : step / count
      indices = indices.flatMap { index in taken[axis].map { index + $0 * step } }
    }
    guard indices.allSatisfy({ sizes.elements.indices.contains($0) }) else { return nil }
    let shape = parts.map { part in if case .axis(let axis) = part { taken[axis].count } else { 1 } }
    return SizeTensor(elements: indices.map { sizes.elements[$0] }, shape: shape, type: sizes.type)
  }
}
