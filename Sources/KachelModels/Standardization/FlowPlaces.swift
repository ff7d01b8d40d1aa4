// SPDX-License-Identifier: Apache-2.0

extension FlowAnalysis {
  /// Which elements along an axis an operation takes, in this order.
  ///
  /// - Parameters:
  ///   - rank: how many axes its input has.
  ///   - count: how many elements the input has along the axis.
  ///   - number: which of the operation's outputs is meant.
  /// - Returns: `nil` where that is not known, or where it does more than to take elements.
  func places(of node: Flow.Node, axis: Int, rank: Int, count: Int, output number: Int) -> [Int]? {
    let values = node.inputs.map { $0 >= 0 ? self.values[$0] : nil }
    func integers(_ numbers: Numbers?) -> [Int]? { self.integers(numbers, values) }
    func place(_ axis: Int) -> Int { axis < 0 ? axis + rank : axis }
    func range(_ start: Int?, _ end: Int?, _ step: Int) -> [Int]? {
      guard step != 0 else { return nil }
      func bounded(_ index: Int, _ least: Int, _ most: Int) -> Int {
        max(least, min(most, index < 0 ? max(index, -count - 1) + count : index))
      }
      let all =
        step > 0
        ? Swift.stride(
          from: start.map { bounded($0, 0, count) } ?? 0, to: end.map { bounded($0, 0, count) } ?? count, by: step)
        : Swift.stride(
          from: start.map { bounded($0, -1, count - 1) } ?? count - 1, to: end.map { bounded($0, -1, count - 1) } ?? -1,
          by: step)
      return Array(all)
    }
    switch node.step {
    case .reverse(let axes):
      guard let axes = integers(axes)?.map(place) else { return nil }
      return axes.contains(axis) ? (0..<count).reversed() : Array(0..<count)
    case .gather(let gathered):
      guard place(gathered) == axis, let indices = integers(.input(1)) else { return nil }
      return indices.map { $0 < 0 ? $0 + count : $0 }
    case .split(let split):
      guard let split = integers(split)?.first, place(split) == axis, node.outputs.count > 0,
        count % node.outputs.count == 0, node.inputs.count < 3
      else { return nil }
      // Parts of other sizes would be told by another input.
      if node.operation == "SplitV" || (node.inputs.count == 2 && node.operation != "Split") { return nil }
      let part = count / node.outputs.count
      return Array(number * part..<(number + 1) * part)
    case .slice(let starts, let axes, let steps, let ends):
      guard let starts = integers(starts), let ends = integers(ends) else { return nil }
      let axes = axes == nil ? Array(starts.indices) : integers(axes) ?? []
      let steps = steps == nil ? starts.map { _ in 1 } : integers(steps) ?? []
      guard axes.count == starts.count, steps.count == starts.count, ends.count == starts.count else { return nil }
      guard let own = axes.firstIndex(where: { place($0) == axis }) else { return Array(0..<count) }
      return range(starts[own], ends[own], steps[own])
    case .stridedSlice(let masks):
      guard masks.newAxis == 0, masks.shrink == 0, let starts = integers(.input(1)), let ends = integers(.input(2)),
        let steps = integers(.input(3)), starts.count == ends.count, starts.count == steps.count
      else { return nil }
      var at = 0
      for index in starts.indices {
        if masks.ellipsis >> index & 1 != 0 {
          at += rank - (starts.count - 1)
          continue
        }
        if at == axis {
          return range(
            masks.begin >> index & 1 != 0 ? nil : starts[index], masks.end >> index & 1 != 0 ? nil : ends[index],
            steps[index])
        }
        at += 1
      }
      return Array(0..<count)
    default: return nil
    }
  }
}
