// SPDX-License-Identifier: Apache-2.0

/// What steps do to the axes of an image, but for windows and sizes.
extension FlowAnalysis {
  /// - Throws: where the image cannot be followed through the step.
  mutating func image(_ node: Flow.Node, _ inputs: [Value?]) throws(Failure) -> Value {
    switch node.step {
    case .shape(let start, let end):
      guard case .image(let axes)? = inputs.first else { return .known(Known(isWhole: true)) }
      let sizes = axes[range(start, end, count: axes.count)].map(\.extent)
      var known = Known(shape: [sizes.count], elements: sizes, isWhole: true)
      known.isFromSizes = true
      return .known(known)
    case .elementwise: return try broadcast(inputs)
    case .concatenate(let axis, let count): return try concatenate(axis, Array(inputs.prefix(count)), all: inputs)
    case .constant(let known): return .known(known)
    case .unknown: throw .notPlain
    default: break
    }
    // The other steps have one image, the first input.
    if case .opaque? = inputs.first {
      switch node.step {
      case .global, .globalPool: note(isGlobal: true)
      case .window(let window) where window.hasWeights: count(nil)
      case .matrixProduct: count(nil)
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
    case .same, .cast, .pointwise: return .image(axes)
    case .global:
      if isSpatial { note(isGlobal: true) }
      return .image(axes)
    case .window(let window): return try self.window(axes, window, inputs)
    case .pixelShuffle(let block, let first, let isToDepth):
      return try pixelShuffle(axes, block: block, first: first, isToDepth: isToDepth)
    case .blocks(let isInverse): return try blocks(axes, isInverse: isInverse, inputs)
    case .pad(let amounts, let places, let isByAxis): return try pad(axes, amounts, places, isByAxis, inputs)
    case .transpose(let numbers):
      let order = integers(numbers, inputs) ?? (numbers == nil ? axes.indices.reversed() : [])
      guard order.count == axes.count, Set(order) == Set(axes.indices) else { throw .notPlain }
      return .image(order.map { axes[$0] })
    case .reverse(let numbers):
      guard let places = integers(numbers, inputs)?.map({ $0 < 0 ? $0 + axes.count : $0 }),
        places.allSatisfy({ axes.indices.contains($0) && !axes[$0].isSpatial })
      else { throw .notPlain }
      return .image(axes)
    case .reshape(let numbers): return try reshape(axes, to: extents(numbers, inputs))
    case .squeeze(let numbers): return try squeeze(axes, numbers, inputs)
    case .unsqueeze(let numbers):
      guard let added = integers(numbers, inputs) else { throw .notPlain }
      let count = axes.count + added.count
      let places = Set(added.map { $0 < 0 ? $0 + count : $0 })
      guard count <= Self.mostAxes, places.count == added.count, places.allSatisfy({ $0 >= 0 && $0 < count }) else {
        throw .notPlain
      }
      var rest = axes[...]
      return .image((0..<count).map { places.contains($0) ? Axis(size: 1) : rest.removeFirst() })
    case .slice(let starts, let which, let steps, let ends):
      return try slice(axes, starts, which, steps, ends, inputs)
    case .stridedSlice(let masks): return try stridedSlice(axes, masks, inputs)
    case .reduce(_, let numbers, let keepsAxes, let isNothing):
      return try reduce(axes, numbers, keepsAxes, isNothing, inputs)
    case .normalize(let range):
      let touched = range.lowerBound < 0 ? range.lowerBound + axes.count...range.upperBound + axes.count : range
      if axes.indices.contains(where: { touched.contains($0) && axes[$0].isSpatial }) { note(isGlobal: true) }
      return .image(axes)
    case .resize(let resize): return try self.resize(axes, resize, inputs)
    case .globalPool:
      if isSpatial { note(isGlobal: true) }
      return .image(axes.enumerated().map { $0.offset < 2 && !$0.element.isSpatial ? $0.element : Axis(size: 1) })
    case .gather(let axis): return try select(axes, axis: axis, isGather: true, inputs)
    case .split(let numbers):
      guard let axis = integers(numbers, inputs)?.first else { throw .notPlain }
      return try select(axes, axis: axis, isGather: false, inputs)
    case .matrixProduct: return try product(axes, inputs)
    case .expand:
      guard !isSpatial else { throw .notPlain }
      return .image(axes)
    default: throw .notPlain
    }
  }

  /// Weights times the last axis, at every place on its own.
  private mutating func product(_ axes: [Axis], _ inputs: [Value?]) throws(Failure) -> Value {
    guard axes.count >= 2, let last = axes.last, !last.isSpatial, case .known(let weights)? = inputs.dropFirst().first
    else { throw .notPlain }
    let isSpatial = axes.contains(where: \.isSpatial)
    if isSpatial { count(weights.shape.flatMap(Self.count).map { Double($0) * density(axes) }) }
    var result = Axis()
    result.size = weights.shape?.last
    return .image(axes.dropLast() + [result])
  }

  /// Elements for each pixel of the input, of one channel.
  func density(_ axes: [Axis]) -> Double { axes.reduce(1) { $0 / $1.pitch } }

  /// Axes are aligned at the end. A constant that differs from place to place moves with no image.
  private mutating func broadcast(_ inputs: [Value?]) throws(Failure) -> Value {
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
      // A factor that follows from the image's size is another one for a tile.
      if known.differsInTiles, result.contains(where: \.isSpatial) { note(isGlobal: true) }
      // Dimensions in front, as of a batch.
      let missing = (known.shape?.count ?? 0) - result.count
      if missing > 0 { result = Array(repeating: Axis(size: 1), count: missing) + result }
    }
    return .image(result)
  }

  private mutating func merge(_ a: [Axis], _ b: [Axis]) throws(Failure) -> [Axis] {
    let count = max(a.count, b.count)
    var result: [Axis] = []
    for place in 0..<count {
      let (first, second) = (place - (count - a.count), place - (count - b.count))
      guard first >= 0, second >= 0 else {
        result.append(first >= 0 ? a[first] : b[second])
        continue
      }
      var (left, right) = (a[first], b[second])
      switch (left.isSpatial, right.isSpatial) {
      case (true, true):
        guard left.role == right.role, left.pitch == right.pitch, left.block == right.block else { throw .notPlain }
        if let own = left.reach, let other = right.reach {
          left.reach = own.union(other) { afford($0) }
        } else {
          left.reach = nil
        }
        left.extent = left.extent ?? right.extent
        result.append(left)
      case (true, false): result.append(left)
      case (false, true): result.append(right)
      case (false, false):
        if left.size == 1 { left.extent = right.extent }
        result.append(left)
      }
    }
    return result
  }

  private mutating func concatenate(_ axis: Numbers, _ inputs: [Value?], all: [Value?]) throws(Failure) -> Value {
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

  private func squeeze(_ axes: [Axis], _ numbers: Numbers?, _ inputs: [Value?]) throws(Failure) -> Value {
    guard let removed = integers(numbers, inputs) else {
      guard numbers == nil, axes.allSatisfy({ $0.isSpatial || $0.size != nil }) else { throw .notPlain }
      return .image(axes.filter { $0.isSpatial || $0.size != 1 })
    }
    let places = Set(removed.map { $0 < 0 ? $0 + axes.count : $0 })
    guard places.allSatisfy({ axes.indices.contains($0) && !axes[$0].isSpatial }) else { throw .notPlain }
    return .image(axes.indices.filter { !places.contains($0) }.map { axes[$0] })
  }

  /// The axes that a reduction takes; `nil` where they are not known.
  func places(_ axes: [Axis], _ numbers: Numbers?, _ isNothingWithoutAxes: Bool, _ inputs: [Value?]) -> Set<Int>? {
    guard let listed = integers(numbers, inputs) else {
      guard numbers == nil else { return nil }
      return isNothingWithoutAxes ? [] : Set(axes.indices)
    }
    if listed.isEmpty && !isNothingWithoutAxes { return Set(axes.indices) }
    let places = Set(listed.map { $0 < 0 ? $0 + axes.count : $0 })
    return places.allSatisfy(axes.indices.contains) ? places : nil
  }

  private mutating func reduce(
    _ axes: [Axis], _ numbers: Numbers?, _ keepsAxes: Bool, _ isNothingWithoutAxes: Bool, _ inputs: [Value?]
  ) throws(Failure) -> Value {
    guard let places = places(axes, numbers, isNothingWithoutAxes, inputs) else { throw .notPlain }
    if places.contains(where: { axes[$0].isSpatial }) { note(isGlobal: true) }
    return .image(
      axes.indices.compactMap { place in
        places.contains(place) ? (keepsAxes ? Axis(size: 1) : nil) : axes[place]
      })
  }

  private func select(_ axes: [Axis], axis: Int, isGather: Bool, _ inputs: [Value?]) throws(Failure) -> Value {
    var axes = axes
    let place = axis < 0 ? axis + axes.count : axis
    guard axes.indices.contains(place), !axes[place].isSpatial else { throw .notPlain }
    axes[place].size = nil
    if isGather, inputs.count > 1, case .known(let indices)? = inputs[1], let shape = indices.shape {
      // The indices' axes stand in for the one that is chosen from.
      guard axes.count + shape.count <= Self.mostAxes else { throw .notPlain }
      axes.replaceSubrange(place...place, with: shape.map { Axis(size: $0) })
    }
    return .image(axes)
  }
}
