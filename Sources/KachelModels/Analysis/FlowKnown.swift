// SPDX-License-Identifier: Apache-2.0

/// Values that do not depend on pixels: constants, weights, and sizes computed from the image's size.
extension FlowAnalysis {
  /// What a step makes of known inputs; whatever is not computed here comes out as known, but of unknown content.
  func known(_ node: Flow.Node, _ inputs: [Known?]) -> Known {
    let first = inputs.first.flatMap { $0 }
    let values = inputs.map { $0.map(Value.known) }
    switch node.step {
    case .constant(let known): return known
    case .same: return first ?? Known()
    case .elementwise(let arithmetic?):
      return combine(arithmetic, inputs.compactMap { $0 })
    case .squeeze, .unsqueeze:
      // Vectors of one element and scalars are told apart by nobody here.
      return Known(elements: (first?.elements).flatMap { $0.count == 1 ? $0 : nil })
    case .reshape: return Known(elements: first?.elements)
    case .stack, .concatenate:
      let count = if case .concatenate(_, let count) = node.step { count } else { inputs.count }
      var elements: [Extent?] = []
      for input in inputs.prefix(count) {
        guard let part = input?.elements, elements.count + part.count <= 64 else { return Known() }
        elements += part
      }
      return Known(shape: [elements.count], elements: elements)
    case .gather:
      guard let elements = first?.elements, let indices = integers(.input(1), values) else { return Known() }
      return Known(elements: indices.map { pick(elements, $0) })
    case .slice(let starts, _, let steps, let ends):
      guard let elements = first?.elements, let start = integers(starts, values)?.first,
        let end = integers(ends, values)?.first, steps == nil || integers(steps, values) == [1]
      else { return Known() }
      return part(elements, from: start, to: end)
    case .stridedSlice(let masks):
      guard let elements = first?.elements, integers(.input(3), values) == [1],
        let start = masks.begin & 1 != 0 ? 0 : integers(.input(1), values)?.first
      else { return Known() }
      if masks.shrink & 1 != 0 { return Known(shape: [], elements: [pick(elements, start)]) }
      guard let end = masks.end & 1 != 0 ? elements.count : integers(.input(2), values)?.first else { return Known() }
      return part(elements, from: start, to: end)
    case .split:
      // Every output gets the same value, so only a vector of equal elements can be split.
      guard let elements = first?.elements, !node.outputs.isEmpty, Set(elements).count == 1 else { return Known() }
      return Known(elements: Array(elements.prefix(max(1, elements.count / node.outputs.count))))
    case .shape(let start, let end):
      guard let shape = first?.shape else { return Known() }
      return Known(shape[range(start, end, count: shape.count)].map(Double.init))
    default: return Known()
    }
  }

  private func pick(_ elements: [Extent?], _ index: Int) -> Extent? {
    let index = index < 0 ? index + elements.count : index
    return elements.indices.contains(index) ? elements[index] : nil
  }

  private func part(_ elements: [Extent?], from start: Int, to end: Int) -> Known {
    let range = range(start, end, count: elements.count)
    return Known(shape: [range.count], elements: Array(elements[range]))
  }

  /// Indices of which negative ones count from the end, within bounds.
  func range(_ start: Int, _ end: Int?, count: Int) -> Range<Int> {
    func bounded(_ index: Int) -> Int { max(0, min(count, index < 0 ? max(index, -count) + count : index)) }
    let lower = bounded(start)
    return lower..<max(lower, bounded(end ?? count))
  }

  private func combine(_ arithmetic: Step.Arithmetic, _ inputs: [Known]) -> Known {
    guard let first = inputs.first?.elements else { return Known() }
    if case .negate = arithmetic { return Known(elements: first.map { $0.map { $0 * -1 } }) }
    var result = first
    for input in inputs.dropFirst() {
      guard let next = input.elements, result.count == next.count || result.count == 1 || next.count == 1 else {
        return Known()
      }
      let count = max(result.count, next.count)
      guard !result.isEmpty, !next.isEmpty else { return Known() }
      result = (0..<count).map { index in
        guard let a = result[result.count == 1 ? 0 : index], let b = next[next.count == 1 ? 0 : index] else {
          return nil
        }
        return apply(arithmetic, a, b)
      }
    }
    return Known(elements: result)
  }

  private func apply(_ arithmetic: Step.Arithmetic, _ a: Extent, _ b: Extent) -> Extent? {
    switch arithmetic {
    case .add: return a + b
    case .subtract: return a + b * -1
    case .multiply:
      if let factor = b.number { return a * factor }
      return a.number.map { b * $0 }
    case .divide:
      guard let divisor = b.number, divisor != 0 else { return nil }
      return a * (1 / divisor)
    case .maximum, .minimum:
      if a == b { return a }
      guard let first = a.number, let second = b.number else { return nil }
      return Extent(constant: arithmetic == .maximum ? max(first, second) : min(first, second))
    case .negate: return a * -1
    }
  }
}
