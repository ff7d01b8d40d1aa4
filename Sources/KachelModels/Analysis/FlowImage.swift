// SPDX-License-Identifier: Apache-2.0

/// What steps do to the axes of an image.
extension FlowAnalysis {
  /// - Throws: where the image cannot be followed through the step.
  mutating func image(_ node: Flow.Node, _ inputs: [Value?]) throws(Failure) -> Value {
    switch node.step {
    case .shape(let start, let end):
      guard case .image(let axes)? = inputs.first else { return .known(Known()) }
      return .known(
        Known(shape: nil, elements: axes[range(start, end, count: axes.count)].map { self.extent(of: $0) }))
    case .elementwise: return try broadcast(inputs)
    case .concatenate(let axis, let count): return try concatenate(axis, Array(inputs.prefix(count)), all: inputs)
    case .constant(let known): return .known(known)
    case .unknown: throw .notPlain
    default: break
    }
    // The other steps have one image, the first input.
    if case .opaque? = inputs.first {
      switch node.step {
      case .global, .globalPool: note(node.operation)
      default: break
      }
      return .opaque
    }
    guard case .image(let axes)? = inputs.first else { throw .notPlain }
    for case .image(let others)? in inputs.dropFirst() where others.contains(where: \.isSpatial) { throw .notPlain }
    return try step(node, axes, inputs)
  }

  private mutating func step(_ node: Flow.Node, _ axes: [Axis], _ inputs: [Value?]) throws(Failure) -> Value {
    let isSpatial = axes.contains(where: \.isSpatial)
    switch node.step {
    case .same, .pad: return .image(axes)
    case .global:
      if isSpatial { note(node.operation) }
      return .image(axes)
    case .window(let scale, let first, let channels): return try window(axes, scale, first, channels, inputs)
    case .blocks(let isInverse):
      guard let block = integers(.input(1), inputs), block.allSatisfy({ $0 >= 1 }) else { throw .notPlain }
      return try window(axes, block.map { isInverse ? 1 / Double($0) : Double($0) }, 1, .kept, [])
    case .transpose(let numbers):
      let order = integers(numbers, inputs) ?? (numbers == nil ? axes.indices.reversed() : [])
      guard order.count == axes.count, Set(order) == Set(axes.indices) else { throw .notPlain }
      return .image(order.map { axes[$0] })
    case .reshape(let numbers): return try reshape(axes, to: extents(numbers, inputs))
    case .squeeze(let numbers): return try squeeze(axes, numbers, inputs)
    case .unsqueeze(let numbers):
      guard let added = integers(numbers, inputs) else { throw .notPlain }
      let count = axes.count + added.count
      let places = Set(added.map { $0 < 0 ? $0 + count : $0 })
      guard places.count == added.count, places.allSatisfy({ $0 >= 0 && $0 < count }) else { throw .notPlain }
      var rest = axes[...]
      return .image((0..<count).map { places.contains($0) ? Axis(size: 1) : rest.removeFirst() })
    case .slice(let starts, let which, let steps, _): return try slice(axes, starts, which, steps, inputs)
    case .stridedSlice(let masks): return try stridedSlice(axes, masks, inputs)
    case .reduce(let numbers, let keepsAxes, let isNothing):
      return try reduce(node.operation, axes, numbers, keepsAxes, isNothing, inputs)
    case .normalize(let range):
      let touched = range.lowerBound < 0 ? range.lowerBound + axes.count...range.upperBound + axes.count : range
      if axes.indices.contains(where: { touched.contains($0) && axes[$0].isSpatial }) { note(node.operation) }
      return .image(axes)
    case .resize(let scales, let sizes, let which): return try resize(axes, scales, sizes, which, inputs)
    case .globalPool:
      if isSpatial { note(node.operation) }
      return .image(axes.enumerated().map { $0.offset < 2 && !$0.element.isSpatial ? $0.element : Axis(size: 1) })
    case .gather(let axis): return try select(axes, axis: axis)
    case .split(let numbers):
      guard let axis = integers(numbers, inputs)?.first else { throw .notPlain }
      return try select(axes, axis: axis)
    case .matrixProduct:
      // Weights times the last axis, at every place on its own.
      guard axes.count >= 2, let last = axes.last, !last.isSpatial, case .known? = inputs.dropFirst().first else {
        throw .notPlain
      }
      return .image(axes.dropLast() + [Axis()])
    case .expand:
      guard !isSpatial else { throw .notPlain }
      return .image(axes)
    default: throw .notPlain
    }
  }

  /// Axes are aligned at the end. A constant that differs from place to place moves with no image.
  private func broadcast(_ inputs: [Value?]) throws(Failure) -> Value {
    var result: [Axis] = []
    for input in inputs {
      switch input {
      case .opaque?: return .opaque
      case .image(let axes)?: result = try merge(result, axes)
      case .known?, nil: break
      }
    }
    for case .known(let known)? in inputs {
      for (axis, size) in zip(result.reversed(), (known.shape ?? []).reversed()) where axis.isSpatial && size > 1 {
        throw .notPlain
      }
      // Dimensions in front, as of a batch.
      let missing = (known.shape?.count ?? 0) - result.count
      if missing > 0 { result = Array(repeating: Axis(size: 1), count: missing) + result }
    }
    return .image(result)
  }

  private func merge(_ a: [Axis], _ b: [Axis]) throws(Failure) -> [Axis] {
    let count = max(a.count, b.count)
    var result: [Axis] = []
    for place in 0..<count {
      let (first, second) = (place - (count - a.count), place - (count - b.count))
      guard first >= 0, second >= 0 else {
        result.append(first >= 0 ? a[first] : b[second])
        continue
      }
      let (left, right) = (a[first], b[second])
      switch (left.isSpatial, right.isSpatial) {
      case (true, true):
        guard left.role == right.role, left.pitch == right.pitch else { throw .notPlain }
        result.append(left)
      case (true, false): result.append(left)
      case (false, true): result.append(right)
      case (false, false): result.append(Axis(size: left.size == 1 ? right.size : left.size))
      }
    }
    return result
  }

  private func concatenate(_ axis: Numbers, _ inputs: [Value?], all: [Value?]) throws(Failure) -> Value {
    var result: [Axis]?
    for input in inputs {
      switch input {
      case .opaque?: return .opaque
      case .image(let axes)?:
        if let known = result {
          guard known.count == axes.count else { throw .notPlain }
          result = try merge(known, axes)
        } else {
          result = axes
        }
      case .known?, nil: break
      }
    }
    guard var axes = result, let number = integers(axis, all)?.first else { throw .notPlain }
    let place = number < 0 ? number + axes.count : number
    guard axes.indices.contains(place), !axes[place].isSpatial else { throw .notPlain }
    for case .known(let known)? in inputs {
      // Constant channels, as of coordinates, differ from place to place.
      guard let shape = known.shape, shape.count == axes.count,
        axes.indices.allSatisfy({ !axes[$0].isSpatial || shape[$0] == 1 })
      else { throw .notPlain }
    }
    axes[place].size = nil
    return .image(axes)
  }

  private func window(
    _ axes: [Axis], _ scale: [Double], _ first: Int, _ channels: Step.Channels, _ inputs: [Value?]
  ) throws(Failure) -> Value {
    var axes = axes
    guard axes.count >= first + scale.count else {
      if axes.contains(where: \.isSpatial) { throw .notPlain }
      return .image(axes)
    }
    for place in axes.indices {
      let isInside = place >= first && place < first + scale.count
      guard axes[place].isSpatial else { continue }
      guard isInside else { throw .notPlain }
      axes[place].pitch = try rounded(axes[place].pitch * scale[place - first])
    }
    // The channels are the axis besides the batch and the window.
    let place = first == 2 ? 1 : axes.count - 1
    switch channels {
    case .kept: break
    case .unknown: axes[place].size = nil
    case .weights(let axis):
      guard inputs.count > 1, case .known(let weights)? = inputs[1], let shape = weights.shape,
        shape.indices.contains(axis)
      else {
        axes[place].size = nil
        break
      }
      axes[place].size = shape[axis]
    }
    return .image(axes)
  }

  /// The fraction that a distance is meant to be: factors are stored as 32-bit numbers, so a third is none.
  private func rounded(_ pitch: Double) throws(Failure) -> Double {
    guard let fraction = Self.fraction(pitch) else { throw .notPlain }
    return Double(fraction.numerator) / Double(fraction.denominator)
  }

  private func squeeze(_ axes: [Axis], _ numbers: Numbers?, _ inputs: [Value?]) throws(Failure) -> Value {
    guard let removed = integers(numbers, inputs) else {
      guard numbers == nil, axes.allSatisfy({ $0.isSpatial || $0.size != nil }) else { throw .notPlain }
      return .image(axes.filter { $0.isSpatial || $0.size != 1 })
    }
    let places = Set(removed.map { $0 < 0 ? $0 + axes.count : $0 })
    guard places.allSatisfy({ axes.indices.contains($0) && !axes[$0].isSpatial }) else { throw .notPlain }
    return .image(axes.indices.filter { !places.contains($0) }.map { axes[$0] })
  }

  private func slice(
    _ axes: [Axis], _ starts: Numbers, _ which: Numbers?, _ steps: Numbers?, _ inputs: [Value?]
  ) throws(Failure) -> Value {
    var axes = axes
    guard let starts = extents(starts, inputs) else { throw .notPlain }
    let places = which == nil ? Array(starts.indices) : integers(which, inputs)
    let steps = steps == nil ? Array(repeating: 1, count: starts.count) : integers(steps, inputs)
    guard let places, let steps, places.count == starts.count, steps.count == starts.count else { throw .notPlain }
    for (index, number) in places.enumerated() {
      let place = number < 0 ? number + axes.count : number
      guard axes.indices.contains(place) else { throw .notPlain }
      guard axes[place].isSpatial else {
        axes[place].size = nil
        continue
      }
      // Cut off at the start by a constant number of pixels, as crops are.
      guard steps[index] >= 1, starts[index]?.number != nil else { throw .notPlain }
      axes[place].pitch = try rounded(axes[place].pitch * Double(steps[index]))
    }
    return .image(axes)
  }

  private func stridedSlice(
    _ axes: [Axis], _ masks: Step.StridedSliceMasks, _ inputs: [Value?]
  ) throws(Failure) -> Value {
    guard let steps = integers(.input(3), inputs), let starts = extents(.input(1), inputs),
      starts.count == steps.count, masks.newAxis == 0, steps.count <= axes.count + 1
    else { throw .notPlain }
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
        let isFromStart = masks.begin >> index & 1 != 0
        guard step >= 1, isFromStart || starts[index]?.number != nil else { throw .notPlain }
        axis.pitch = try rounded(axis.pitch * Double(step))
      } else {
        axis.size = nil
      }
      result.append(axis)
    }
    return .image(result + axes[result.count...])
  }

  private mutating func reduce(
    _ operation: String, _ axes: [Axis], _ numbers: Numbers?, _ keepsAxes: Bool, _ isNothingWithoutAxes: Bool,
    _ inputs: [Value?]
  ) throws(Failure) -> Value {
    var places: Set<Int>
    if let listed = integers(numbers, inputs) {
      places = Set(listed.map { $0 < 0 ? $0 + axes.count : $0 })
      if listed.isEmpty && !isNothingWithoutAxes { places = Set(axes.indices) }
    } else {
      guard numbers == nil else { throw .notPlain }
      places = isNothingWithoutAxes ? [] : Set(axes.indices)
    }
    guard places.allSatisfy(axes.indices.contains) else { throw .notPlain }
    if places.contains(where: { axes[$0].isSpatial }) { note(operation) }
    return .image(
      axes.indices.compactMap { place in
        places.contains(place) ? (keepsAxes ? Axis(size: 1) : nil) : axes[place]
      })
  }

  private func select(_ axes: [Axis], axis: Int) throws(Failure) -> Value {
    var axes = axes
    let place = axis < 0 ? axis + axes.count : axis
    guard axes.indices.contains(place), !axes[place].isSpatial else { throw .notPlain }
    axes[place].size = nil
    return .image(axes)
  }

  private func resize(
    _ axes: [Axis], _ scales: Int?, _ sizes: Int?, _ which: [Int]?, _ inputs: [Value?]
  ) throws(Failure) -> Value {
    var axes = axes
    let places = (which ?? Array(axes.indices)).map { $0 < 0 ? $0 + axes.count : $0 }
    guard places.allSatisfy(axes.indices.contains) else { throw .notPlain }
    let factors = scales.flatMap { extents(.input($0), inputs) } ?? []
    let targets = sizes.flatMap { extents(.input($0), inputs) } ?? []
    for (index, place) in places.enumerated() where axes[place].isSpatial {
      if factors.count == places.count, let factor = factors[index]?.number, factor > 0 {
        axes[place].pitch /= factor
      } else if targets.count == places.count, let target = targets[index],
        let pitch = pitch(axes[place].role, sized: target)
      {
        axes[place].pitch = pitch
      } else {
        throw .notPlain
      }
      axes[place].pitch = try rounded(axes[place].pitch)
    }
    return .image(axes)
  }
}
