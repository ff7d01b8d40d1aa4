// SPDX-License-Identifier: Apache-2.0

/// Values that do not depend on pixels: constants, weights, and sizes computed from the image's size.
///
/// Exporters of networks with free sizes wrap what needs a size in such arithmetic; it is computed here, so that what is
/// left does with the image what it would do at any size.
extension FlowAnalysis {
  /// What a step makes of known inputs; whatever is not computed here comes out as known, but of unknown content.
  func known(_ node: Flow.Node, _ inputs: [Known?]) -> Known {
    let first = inputs.first.flatMap { $0 } ?? Known()
    let values = inputs.map { $0.map(Value.known) }
    switch node.step {
    case .constant(let known): return known
    case .same: return first
    case .cast(let toWhole):
      let elements = toWhole ? first.elements?.map { $0?.rounded(.towardZero) } : first.elements
      return Known(shape: first.shape, elements: elements, isWhole: toWhole)
    case .pointwise(let function): return apply(function, first)
    case .elementwise(let arithmetic): return combine(arithmetic, inputs.compactMap { $0 })
    case .squeeze(let axes):
      let removed = integers(axes, values)
      let shape = first.shape.flatMap { shape -> [Int]? in
        if axes == nil { return shape.filter { $0 != 1 } }
        guard let removed else { return nil }
        let places = Set(removed.map { $0 < 0 ? $0 + shape.count : $0 })
        return shape.indices.filter { !places.contains($0) }.map { shape[$0] }
      }
      return Known(shape: shape, elements: first.elements, isWhole: first.isWhole)
    case .unsqueeze(let axes):
      let shape = first.shape.flatMap { shape -> [Int]? in
        guard let added = integers(axes, values) else { return nil }
        let count = shape.count + added.count
        let places = Set(added.map { $0 < 0 ? $0 + count : $0 })
        guard count <= Self.mostAxes, places.count == added.count, places.allSatisfy({ $0 >= 0 && $0 < count }) else {
          return nil
        }
        var rest = shape[...]
        return (0..<count).map { places.contains($0) ? 1 : rest.removeFirst() }
      }
      return Known(shape: shape, elements: first.elements, isWhole: first.isWhole)
    case .reshape(let numbers): return reshape(first, to: integers(numbers, values))
    case .transpose(let numbers):
      return transpose(
        first, numbers == nil ? first.shape.map { Array($0.indices.reversed()) } : integers(numbers, values))
    case .stack(let axis): return axis == 0 ? append(inputs, isStack: true) : Known()
    case .concatenate(let axis, let count):
      // The only axis of vectors is the last one too.
      let vectors = inputs.prefix(count).allSatisfy { ($0?.shape?.count ?? 1) <= 1 }
      let number = integers(axis, values)?.first
      return number == 0 || (number == -1 && vectors) ? append(Array(inputs.prefix(count)), isStack: false) : Known()
    case .gather(let axis):
      guard axis == 0, let elements = first.elements, (first.shape?.count ?? 1) <= 1,
        let indices = integers(.input(1), values)
      else { return Known() }
      let shape = inputs.count > 1 ? inputs[1]?.shape : nil
      return Known(shape: shape, elements: indices.map { pick(elements, $0) }, isWhole: first.isWhole)
    case .slice(let starts, let axes, let steps, let ends):
      return slice(
        first, integers(starts, values), integers(ends, values), axes == nil ? [] : integers(axes, values),
        steps == nil ? [] : integers(steps, values))
    case .stridedSlice(let masks):
      guard let elements = first.elements, (first.shape?.count ?? 1) <= 1, integers(.input(3), values) == [1],
        let start = masks.begin & 1 != 0 ? 0 : integers(.input(1), values)?.first
      else { return Known() }
      if masks.shrink & 1 != 0 { return Known(shape: [], elements: [pick(elements, start)], isWhole: first.isWhole) }
      guard let end = masks.end & 1 != 0 ? elements.count : integers(.input(2), values)?.first else { return Known() }
      let range = range(start, end, count: elements.count)
      return Known(shape: [range.count], elements: Array(elements[range]), isWhole: first.isWhole)
    case .fill(let number):
      guard let shape = integers(.input(0), values), let count = Self.count(shape), count <= Known.mostElements else {
        return Known(shape: integers(.input(0), values).flatMap { Self.count($0) == nil ? nil : $0 })
      }
      let value =
        number.map { Extent(constant: $0) } ?? (inputs.count > 1 ? inputs[1]?.elements?.first : nil).flatMap { $0 }
      return Known(shape: shape, elements: Array(repeating: value, count: count), isWhole: first.isWhole)
    case .shape(let start, let end):
      guard let shape = first.shape else { return Known() }
      return Known(shape[range(start, end, count: shape.count)].map(Double.init), isWhole: true)
    default: return Known()
    }
  }

  /// What a split makes of a known vector, one value for each output; `nil` where it is no vector of that many parts.
  func split(_ node: Flow.Node, _ input: Known?) -> [Known]? {
    guard let input, let elements = input.elements, (input.shape?.count ?? 1) <= 1, !node.outputs.isEmpty,
      elements.count % node.outputs.count == 0
    else { return nil }
    let count = elements.count / node.outputs.count
    return node.outputs.indices.map { index in
      Known(
        shape: [count], elements: Array(elements[index * count..<(index + 1) * count]), isWhole: input.isWhole)
    }
  }

  private func pick(_ elements: [Extent?], _ index: Int) -> Extent? {
    let index = index < 0 ? index + elements.count : index
    return elements.indices.contains(index) ? elements[index] : nil
  }

  /// Indices of which negative ones count from the end, within bounds.
  func range(_ start: Int, _ end: Int?, count: Int) -> Range<Int> {
    func bounded(_ index: Int) -> Int { max(0, min(count, index < 0 ? max(index, -count) + count : index)) }
    let lower = bounded(start)
    return lower..<max(lower, bounded(end ?? count))
  }

  // MARK: Shapes

  /// How many elements a shape has; `nil` where its sizes make no sense.
  static func count(_ shape: [Int]) -> Int? {
    var count = 1
    for size in shape {
      guard size >= 0 else { return nil }
      let product = count.multipliedReportingOverflow(by: size)
      guard !product.overflow, product.partialValue <= 1 << 40 else { return nil }
      count = product.partialValue
    }
    return count
  }

  private func reshape(_ known: Known, to target: [Int]?) -> Known {
    var result = Known(elements: known.elements, isWhole: known.isWhole)
    guard var target, let whole = known.elements?.count ?? known.shape.flatMap(Self.count) else { return result }
    for (place, size) in target.enumerated() where size == 0 {
      if let shape = known.shape, shape.indices.contains(place) { target[place] = shape[place] }
    }
    if let open = target.firstIndex(of: -1) {
      var rest = target
      rest.remove(at: open)
      guard let count = Self.count(rest), count > 0, whole % count == 0 else { return result }
      target[open] = whole / count
    }
    if target.count <= Self.mostAxes, Self.count(target) == whole { result.shape = target }
    return result
  }

  private func transpose(_ known: Known, _ order: [Int]?) -> Known {
    guard let shape = known.shape, let order, order.count == shape.count, Set(order) == Set(shape.indices) else {
      return Known()
    }
    var result = Known(shape: order.map { shape[$0] }, isWhole: known.isWhole)
    guard let elements = known.elements, Self.count(shape) == elements.count else { return result }
    var strides = Array(repeating: 1, count: shape.count)
    for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * shape[axis + 1] }
    result.elements = elements.indices.map { index in
      var (rest, source) = (index, 0)
      for axis in order.reversed() {
        source += rest % shape[axis] * strides[axis]
        rest /= shape[axis]
      }
      return elements[source]
    }
    return result
  }

  /// Tensors behind each other along the first axis, or along a new one in front.
  private func append(_ inputs: [Known?], isStack: Bool) -> Known {
    var elements: [Extent?] = [], shape: [Int]?, isWhole = true
    for input in inputs {
      guard let input, let part = input.elements, elements.count + part.count <= Known.mostElements else {
        return Known()
      }
      elements += part
      shape = input.shape
      isWhole = isWhole && input.isWhole
    }
    let rest = isStack ? shape ?? [] : Array((shape ?? []).dropFirst())
    guard let size = Self.count(rest), size > 0, elements.count % size == 0 else {
      return Known(shape: [elements.count], elements: elements, isWhole: isWhole)
    }
    return Known(shape: [elements.count / size] + rest, elements: elements, isWhole: isWhole)
  }

  /// Along the first axis only.
  private func slice(_ known: Known, _ starts: [Int]?, _ ends: [Int]?, _ axes: [Int]?, _ steps: [Int]?) -> Known {
    guard let elements = known.elements, let start = starts?.first, let end = ends?.first, starts?.count == 1,
      let axes, let steps, axes.isEmpty || axes == [0] || (axes == [-1] && (known.shape?.count ?? 1) <= 1)
    else { return Known() }
    let rows = known.shape?.first ?? elements.count
    guard rows > 0, elements.count % rows == 0 else { return Known() }
    let width = elements.count / rows
    let step = steps.first ?? 1
    let chosen: [Int]
    if step >= 1 {
      let range = range(start, end, count: rows)
      chosen = Array(Swift.stride(from: range.lowerBound, to: range.upperBound, by: step))
    } else if step == -1 {
      let from = min(rows - 1, start < 0 ? max(start, -rows - 1) + rows : start)
      let to = max(-1, end < 0 ? max(end, -rows - 1) + rows : end)
      chosen = Array(Swift.stride(from: from, to: to, by: -1))
    } else {
      return Known()
    }
    return Known(
      shape: known.shape.map { [chosen.count] + $0.dropFirst() } ?? [chosen.count],
      elements: chosen.flatMap { elements[$0 * width..<($0 + 1) * width] }, isWhole: known.isWhole)
  }

  // MARK: Arithmetic

  private func apply(_ function: Step.Function?, _ known: Known) -> Known {
    let rule: FloatingPointRoundingRule
    switch function {
    case .floor: rule = .down
    case .ceiling: rule = .up
    case .round: rule = .toNearestOrEven
    case .square, .squareRoot, nil: return Known(shape: known.shape)
    }
    return Known(shape: known.shape, elements: known.elements?.map { $0?.rounded(rule) }, isWhole: known.isWhole)
  }

  private func combine(_ arithmetic: Step.Arithmetic?, _ inputs: [Known]) -> Known {
    var result = inputs.first ?? Known()
    if arithmetic == .negate {
      result.elements = result.elements?.map { $0.map { $0 * -1 } }
      return result
    }
    for next in inputs.dropFirst() {
      let shape = broadcast(result.shape, next.shape)
      let isWhole = result.isWhole && next.isWhole
      var elements: [Extent?]?
      if let arithmetic, let a = result.elements, let b = next.elements, !a.isEmpty, !b.isEmpty,
        a.count == b.count ? result.shape == next.shape || a.count == 1 || shape == nil : a.count == 1 || b.count == 1
      {
        elements = (0..<max(a.count, b.count)).map { index in
          guard let a = a[a.count == 1 ? 0 : index], let b = b[b.count == 1 ? 0 : index] else { return nil }
          return apply(arithmetic, a, b, isWhole: isWhole)
        }
      }
      result = Known(shape: shape, elements: elements, isWhole: isWhole)
    }
    return arithmetic == nil ? Known(shape: result.shape) : result
  }

  private func broadcast(_ a: [Int]?, _ b: [Int]?) -> [Int]? {
    guard let a, let b else { return nil }
    let count = max(a.count, b.count)
    let (long, other) = (
      Array(repeating: 1, count: count - a.count) + a, Array(repeating: 1, count: count - b.count) + b
    )
    return zip(long, other).map { $0 == 1 ? $1 : $0 }
  }

  private func apply(_ arithmetic: Step.Arithmetic, _ a: Extent, _ b: Extent, isWhole: Bool) -> Extent? {
    switch arithmetic {
    case .add: return a + b
    case .subtract: return a - b
    case .multiply:
      if let factor = b.number { return a * factor }
      return a.number.map { b * $0 }
    case .divide, .floorDivide:
      guard let divisor = b.number else { return a.ratio(to: b).map { Extent(constant: $0) } }
      guard divisor != 0 else { return nil }
      let quotient = a * (1 / divisor)
      if arithmetic == .floorDivide { return quotient.rounded(.down) }
      // Whole numbers lose what is behind the point; sizes are positive.
      return isWhole ? quotient.rounded(quotient.number == nil ? .down : .towardZero) : quotient
    case .modulo:
      guard let divisor = b.number, divisor > 0 else { return nil }
      return Extent(constant: a.remainder(of: divisor))
    case .maximum: return a.isAtMost(b).map { $0 ? b : a }
    case .minimum: return a.isAtMost(b).map { $0 ? a : b }
    case .power, .squaredDifference, .negate: return nil
    }
  }
}
