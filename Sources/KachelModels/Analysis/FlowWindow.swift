// SPDX-License-Identifier: Apache-2.0

/// Steps that read a neighbourhood: convolutions, poolings, and their transpositions.
extension FlowAnalysis {
  /// The largest number that is taken from a graph; beyond it nothing real lies, and sums could overflow.
  private static let largest = 1 << 30

  mutating func window(_ axes: [Axis], _ window: Step.Window, _ inputs: [Value?]) throws(Failure) -> Value {
    var axes = axes
    let dimensions = window.strides.count
    guard axes.count >= window.first + dimensions else {
      if axes.contains(where: \.isSpatial) { throw .notPlain }
      return .image(axes)
    }
    var weights: [Int]?
    if window.hasWeights, inputs.count > 1, case .known(let known)? = inputs[1] { weights = known.shape }
    let before = density(axes)
    for place in axes.indices where axes[place].isSpatial {
      let dimension = place - window.first
      guard dimension >= 0, dimension < dimensions else { throw .notPlain }
      axes[place] = try slide(axes[place], window, dimension, place, weights, axes.count, inputs)
    }
    if window.hasWeights, axes.contains(where: \.isSpatial) {
      // Every element of the smaller side takes part once with each weight.
      let elements = window.isTransposed ? before : density(axes)
      count(weights.flatMap(Self.count).map { Double($0) * elements })
    }
    // The channels are the axis besides the batch and the window.
    let place = window.first == 2 ? 1 : axes.count - 1
    switch window.channels {
    case .kept: break
    case .unknown: axes[place].size = nil
    case .weights(let axis): axes[place].size = weights.flatMap { $0.indices.contains(axis) ? $0[axis] : nil }
    }
    return .image(axes)
  }

  private mutating func slide(
    _ axis: Axis, _ window: Step.Window, _ dimension: Int, _ place: Int, _ weights: [Int]?, _ count: Int,
    _ inputs: [Value?]
  ) throws(Failure) -> Axis {
    func number(_ list: [Int]?, _ index: Int) -> Int? {
      guard let list, list.indices.contains(index), list[index].magnitude <= Self.largest else { return nil }
      return list[index]
    }
    let stride = window.strides[dimension]
    let kernel =
      window.kernel == nil ? number(weights, window.weightsFirst + dimension) : number(window.kernel, dimension)
    guard axis.block == 1 || (stride == 1 && !window.isTransposed) else { throw .notPlain }
    var result = axis
    result.pitch = try rounded(window.isTransposed ? axis.pitch / Double(stride) : axis.pitch * Double(stride))
    (result.reach, result.extent) = (nil, nil)
    guard let kernel, kernel >= 1, let dilation = number(window.dilations, dimension), dilation >= 1 else {
      return result
    }
    let span = (kernel - 1) * dilation + 1
    var before: Int?
    if window.isTransposed {
      let target = target(window, dimension, place, count, inputs)
      (before, result.extent) = transposedSize(axis, window, dimension, span: span, target: target)
    } else {
      (before, result.extent) = size(axis, window, dimension, span: span)
    }
    guard let before, before.magnitude <= Self.largest, span <= Self.largest, let reach = axis.reach else {
      return result
    }
    result.reach =
      window.isTransposed
      ? reach.transposedWindow(
        kernel: kernel, stride: stride, dilation: dilation, before: before, pitch: axis.pitch, afford: { afford($0) })
      : reach.window(
        kernel: kernel, stride: stride, dilation: dilation * axis.block, before: before * axis.block,
        pitch: axis.pitch, afford: { afford($0) })
    return result
  }

  /// How many elements are added in front, and how many come out.
  private func size(
    _ axis: Axis, _ window: Step.Window, _ dimension: Int, span: Int
  ) -> (before: Int?, extent: Extent?) {
    let stride = window.strides[dimension]
    switch window.padding {
    case .fixed(let before, let after):
      guard before.indices.contains(dimension), after.indices.contains(dimension),
        max(before[dimension].magnitude, after[dimension].magnitude) <= Self.largest
      else { return (nil, nil) }
      let extent = axis.extent.map {
        ($0 + (before[dimension] + after[dimension] - span)).divided(by: stride, window.roundsUp ? .up : .down) + 1
      }
      return (before[dimension], extent)
    case .same(let isOddAfter):
      var rest = 0
      if stride > 1 {
        guard let extent = axis.extent else { return (nil, nil) }
        rest = Int(exactly: extent.remainder(of: Double(stride))) ?? 0
      }
      let total = max(0, span - (rest == 0 ? stride : rest))
      return (isOddAfter ? total / 2 : total - total / 2, axis.extent?.divided(by: stride, .up))
    }
  }

  /// How many elements are cut off in front, and how many come out.
  private func transposedSize(
    _ axis: Axis, _ window: Step.Window, _ dimension: Int, span: Int, target: Extent?
  ) -> (before: Int?, extent: Extent?) {
    let stride = window.strides[dimension]
    let more = window.outputPadding.indices.contains(dimension) ? window.outputPadding[dimension] : 0
    guard more.magnitude <= Self.largest else { return (nil, nil) }
    let full = axis.extent.map { $0 * Double(stride) + (span - stride + more) }
    if case .fixed(let before, let after) = window.padding, window.outputSizes == nil || window.isCutAsGiven {
      guard before.indices.contains(dimension), after.indices.contains(dimension),
        max(before[dimension].magnitude, after[dimension].magnitude) <= Self.largest
      else { return (nil, nil) }
      return (before[dimension], target ?? full.map { $0 + -(before[dimension] + after[dimension]) })
    }
    var isOddAfter = false
    if case .same(let own) = window.padding { isOddAfter = own }
    var total = span - stride + more
    if window.outputSizes != nil {
      guard let target, let full, let rest = (full - target).integer, rest.magnitude <= Self.largest else {
        return (nil, target)
      }
      total = rest
    }
    total = max(0, total)
    return (isOddAfter ? total / 2 : total - total / 2, target ?? axis.extent.map { $0 * Double(stride) })
  }

  /// The size that a transposed window is told to give.
  private func target(
    _ window: Step.Window, _ dimension: Int, _ place: Int, _ count: Int, _ inputs: [Value?]
  ) -> Extent? {
    guard let sizes = extents(window.outputSizes, inputs) else { return nil }
    if sizes.count == count { return sizes[place] }
    return sizes.count == window.strides.count ? sizes[dimension] : nil
  }

  mutating func pixelShuffle(_ axes: [Axis], block: Int, first: Int, isToDepth: Bool) throws(Failure) -> Value {
    var axes = axes
    guard axes.count >= first + 2 else { throw .notPlain }
    for place in axes.indices where axes[place].isSpatial {
      guard place >= first, place < first + 2, axes[place].block == 1 else { throw .notPlain }
      let axis = axes[place]
      axes[place].pitch = try rounded(isToDepth ? axis.pitch * Double(block) : axis.pitch / Double(block))
      axes[place].extent = isToDepth ? axis.extent?.divided(by: block, .down) : axis.extent.map { $0 * Double(block) }
      axes[place].reach =
        isToDepth
        ? axis.reach?.window(
          kernel: block, stride: block, dilation: 1, before: 0, pitch: axis.pitch, afford: { afford($0) })
        : axis.reach?.transposedWindow(
          kernel: block, stride: block, dilation: 1, before: 0, pitch: axis.pitch, afford: { afford($0) })
    }
    for place in axes.indices.dropFirst() where !axes[place].isSpatial { axes[place].size = nil }
    return .image(axes)
  }

  /// A convolution with holes, as TensorFlow writes it: on the image taken apart. The axes stay as they are in the whole
  /// image; a window in between takes steps of a block.
  func blocks(_ axes: [Axis], isInverse: Bool, _ inputs: [Value?]) throws(Failure) -> Value {
    var axes = axes
    guard let block = integers(.input(1), inputs), block.allSatisfy({ $0 >= 1 && $0 <= Self.largest }),
      axes.count > block.count
    else { throw .notPlain }
    let amounts = extents(.input(2), inputs)
    for place in axes.indices where axes[place].isSpatial {
      guard place >= 1, place <= block.count, axes[place].block == (isInverse ? block[place - 1] : 1) else {
        throw .notPlain
      }
      let size = block[place - 1]
      axes[place].block = isInverse ? 1 : size
      let given = amounts.flatMap { $0.count == 2 * block.count ? $0 : nil }
      let (before, after) = (given?[2 * place - 2] ?? nil, given?[2 * place - 1] ?? nil)
      guard let start = before?.integer, start.magnitude <= Self.largest else {
        (axes[place].reach, axes[place].extent) = (nil, nil)
        continue
      }
      let axis = axes[place]
      axes[place].reach = axis.reach?.cut(start: isInverse ? start : -start, pitch: axis.pitch)
      axes[place].extent = axis.extent.flatMap { extent in
        after.map {
          isInverse ? extent * Double(size) - $0 + -start : (extent + $0 + start).divided(by: size, .up)
        }
      }
    }
    return .image(axes)
  }

  /// The fraction that a distance is meant to be: factors are stored as 32-bit numbers, so a third is none.
  func rounded(_ pitch: Double) throws(Failure) -> Double {
    guard let fraction = Self.fraction(pitch) else { throw .notPlain }
    return Double(fraction.numerator) / Double(fraction.denominator)
  }
}
