// SPDX-License-Identifier: Apache-2.0

/// Steps that make an image larger or smaller.
extension FlowAnalysis {
  mutating func resize(_ axes: [Axis], _ resize: Step.Resize, _ inputs: [Value?]) throws(Failure) -> Value {
    var axes = axes
    let places = (resize.axes ?? Array(axes.indices)).map { $0 < 0 ? $0 + axes.count : $0 }
    guard places.allSatisfy(axes.indices.contains) else { throw .notPlain }
    let factors = resize.scales.flatMap { extents(.input($0), inputs) } ?? []
    let targets = resize.sizes.flatMap { extents(.input($0), inputs) } ?? []
    for (index, place) in places.enumerated() where axes[place].isSpatial {
      let axis = axes[place]
      var ratio: Double?
      if factors.count == places.count {
        ratio = factors[index]?.number
        axes[place].extent = ratio.flatMap { factor in
          axis.extent.map { ($0 * factor).rounded(.down) }
        }
      } else if targets.count == places.count, let target = targets[index] {
        ratio = axis.extent.flatMap { target.ratio(to: $0) }
        axes[place].extent = target
      }
      guard axis.block == 1, let ratio, let fraction = Self.fraction(ratio) else { throw .notPlain }
      // An axis that keeps its size is left alone, whatever the places of its pixels.
      if fraction == (1, 1) { continue }
      if resize.weighsUnevenly(up: fraction.numerator, down: fraction.denominator) { noteUneven() }
      axes[place].pitch = try rounded(axis.pitch * Double(fraction.denominator) / Double(fraction.numerator))
      axes[place].reach = axis.reach?.resized(
        up: fraction.numerator, down: fraction.denominator, resize, pitch: axis.pitch, afford: { afford($0) })
    }
    return .image(axes)
  }

  /// - Parameter isByAxis: whether the amounts before and after an axis stand beside each other.
  func pad(
    _ axes: [Axis], _ amounts: Numbers, _ which: Numbers?, _ isByAxis: Bool, _ inputs: [Value?]
  ) throws(Failure) -> Value {
    var axes = axes
    let places = which == nil ? Array(axes.indices) : integers(which, inputs)?.map { $0 < 0 ? $0 + axes.count : $0 }
    let list = extents(amounts, inputs)
    guard let places, places.allSatisfy(axes.indices.contains), let list, list.count == 2 * places.count else {
      for place in axes.indices where axes[place].isSpatial {
        (axes[place].reach, axes[place].extent) = (nil, nil)
      }
      return .image(axes)
    }
    for (index, place) in places.enumerated() {
      let (before, after) =
        isByAxis ? (list[2 * index], list[2 * index + 1]) : (list[index], list[index + places.count])
      guard axes[place].isSpatial else {
        if before?.number != 0 || after?.number != 0 { axes[place].size = nil }
        continue
      }
      cut(&axes[place], start: before.map { $0 * -1 }, step: 1)
      axes[place].extent = axes[place].extent.flatMap { extent in after.map { extent + $0 } }
    }
    return .image(axes)
  }

  /// Takes elements away in front, or adds some, and leaves every `step`th of the rest.
  private func cut(_ axis: inout Axis, start: Extent?, step: Int) {
    guard let start, let count = start.integer, count.magnitude <= 1 << 30, axis.block == 1 else {
      (axis.reach, axis.extent) = (nil, nil)
      return
    }
    axis.reach = axis.reach?.cut(start: count, step: step, pitch: axis.pitch)
    axis.extent = axis.extent.map { ($0 + -count).divided(by: step, .up) }
  }

  /// Leaves every `step`th of the elements from `start` to `end`; to the end of the axis where that is `nil`.
  private func slice(_ axis: inout Axis, from start: Extent?, to end: Extent?, step: Int) throws(Failure) {
    // Cut off in front by a constant number of pixels, as crops are.
    guard step >= 1, step <= 1 << 16, var start, let number = start.number else { throw .notPlain }
    if number < 0 {
      guard let extent = axis.extent else { throw .notPlain }
      start = extent + start
    }
    if let end {
      if let number = end.number, number < 0 {
        axis.extent = axis.extent.map { $0 + end }
      } else if let extent = axis.extent {
        axis.extent = end.isAtMost(extent).map { $0 ? end : extent }
      } else {
        axis.extent = (end.number ?? 0) < 2e9 ? end : nil
      }
    }
    let pitch = try rounded(axis.pitch * Double(step))
    cut(&axis, start: start, step: step)
    axis.pitch = pitch
  }

  /// The same for an end out of a list of which not all is known.
  private func slice(
    _ axis: inout Axis, from start: Extent?, to ends: [Extent?]?, _ index: Int, step: Int
  ) throws(Failure) {
    let end = ends.flatMap { $0.indices.contains(index) ? $0[index] : nil }
    try slice(&axis, from: start, to: end, step: step)
    if end == nil { axis.extent = nil }
  }

  func slice(
    _ axes: [Axis], _ starts: Numbers, _ which: Numbers?, _ steps: Numbers?, _ ends: Numbers?, _ inputs: [Value?]
  ) throws(Failure) -> Value {
    var axes = axes
    guard let starts = extents(starts, inputs) else { throw .notPlain }
    let places = which == nil ? Array(starts.indices) : integers(which, inputs)
    let steps = steps == nil ? Array(repeating: 1, count: starts.count) : integers(steps, inputs)
    guard let places, let steps, places.count == starts.count, steps.count == starts.count else { throw .notPlain }
    let ends = extents(ends, inputs)
    for (index, number) in places.enumerated() {
      let place = number < 0 ? number + axes.count : number
      guard axes.indices.contains(place) else { throw .notPlain }
      guard axes[place].isSpatial else {
        axes[place].size = nil
        continue
      }
      try slice(&axes[place], from: starts[index], to: ends, index, step: steps[index])
    }
    return .image(axes)
  }

  func stridedSlice(_ axes: [Axis], _ masks: Step.StridedSliceMasks, _ inputs: [Value?]) throws(Failure) -> Value {
    guard let steps = integers(.input(3), inputs), let starts = extents(.input(1), inputs),
      starts.count == steps.count, masks.newAxis == 0, steps.count <= axes.count + 1
    else { throw .notPlain }
    let ends = extents(.input(2), inputs)
    var result: [Axis] = []
    for (index, step) in steps.enumerated() {
      if masks.ellipsis >> index & 1 != 0 {
        let count = axes.count - (steps.count - 1)
        guard count >= 0, result.count + count <= axes.count else { throw .notPlain }
        result += axes[result.count..<result.count + count]
        continue
      }
      // Axes that vanish are counted by the ones that stay, so they are only known as the last ones.
      guard result.count < axes.count, masks.shrink >> index & 1 == 0 else { throw .notPlain }
      var axis = axes[result.count]
      if axis.isSpatial {
        let isFromStart = masks.begin >> index & 1 != 0, isToEnd = masks.end >> index & 1 != 0
        let start = isFromStart ? Extent() : starts[index]
        if isToEnd {
          try slice(&axis, from: start, to: nil, step: step)
        } else {
          try slice(&axis, from: start, to: ends, index, step: step)
        }
      } else {
        axis.size = nil
      }
      result.append(axis)
    }
    return .image(result + axes[result.count...])
  }
}
