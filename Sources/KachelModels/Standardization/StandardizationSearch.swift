// SPDX-License-Identifier: Apache-2.0

/// A standardisation as it was found in a network, and what takes it out.
struct FoundStandardization {
  var standardization: InputStandardization
  /// Operations of which nothing is left but one of their inputs, the image's pixels.
  var bypassed: [Bypass]

  struct Bypass: Hashable {
    /// The node, by its first output's name, and the function that it is in.
    var node: String
    var function: String
    /// Which of its inputs goes on instead of its result.
    var input: Int
  }
}

extension FlowAnalysis {
  /// Why a standardisation cannot be taken out.
  struct Bound: Error { let reason: String }

  /// Finds the operations with which the network standardises its input by means and deviations, where it looks at its
  /// input in no other way.
  func findStandardization() throws(Bound) -> FoundStandardization {
    guard
      let channels = flow.layout == .channelsLast
        ? flow.inputShape.last ?? nil : flow.inputShape.dropFirst().first ?? nil,
      channels > 0
    else { throw Bound(reason: "the graph does not say how many channels the input has") }
    guard channels <= StandardizationSearch.mostChannels, values.indices.contains(flow.input) else {
      throw Bound(reason: "the input has more than \(StandardizationSearch.mostChannels) channels")
    }
    var search = StandardizationSearch(self, channels: channels)
    return try search.find()
  }
}

/// Follows the statistics of a network's input, and what is computed from them, through its graph.
private struct StandardizationSearch {
  typealias Operation = InputStandardization.Operation

  /// Graphs may be made to be searched for long: real ones have a few channels and a dozen operations before their first
  /// layer.
  static let mostChannels = 1024
  private static let mostOperations = 1000
  private static let mostCandidates = 16

  let analysis: FlowAnalysis
  let channels: Int
  private var operations: [Operation] = []
  private var items: [Int: Item] = [:]

  /// A value whose operation is known.
  private struct Item {
    enum Kind { case pixels, squares, numbers }
    var kind: Kind
    var operation: Int
    /// How many channels or numbers.
    var count: Int
    /// For more than one number, along which axis they lie, counted from the last one.
    var place: Int?
    /// Whether statistics of the input were used.
    var isStatistical = false
    /// Whether it is a sum that is not yet divided by how many numbers there were.
    var isTotal = false
  }

  init(_ analysis: FlowAnalysis, channels: Int) {
    self.analysis = analysis
    self.channels = channels
  }

  mutating func find() throws(FlowAnalysis.Bound) -> FoundStandardization {
    if let other = analysis.statistics.first(where: { $0.reduction == .minimum || $0.reduction == .maximum }) {
      throw FlowAnalysis.Bound(reason: "\(other.operation) (\(other.node)) takes the least or the largest value")
    }
    let flow = analysis.flow
    items[flow.input] = add(.input, Item(kind: .pixels, operation: 0, count: channels))
    // Where pixels meet statistics; the constants that follow stay in the network.
    var candidates: [Int] = []
    let order = analysis.order()
    for index in order {
      let node = flow.nodes[index]
      for (place, output) in node.outputs.enumerated() where output >= 0 && items[output] == nil {
        guard let item = item(node, output: output, number: place) else { continue }
        items[output] = item
        if case .elementwise = node.step, item.kind == .pixels,
          node.inputs.contains(where: { items[$0]?.kind == .numbers && items[$0]?.isStatistical == true })
        {
          candidates.append(output)
        }
      }
    }
    guard !candidates.isEmpty else {
      let first = analysis.statistics.first.map { "\($0.operation) (\($0.node))" } ?? "statistics"
      throw FlowAnalysis.Bound(reason: "what the network makes of \(first) is not understood")
    }
    guard
      let result = candidates.suffix(Self.mostCandidates).last(where: { $0 != flow.output && isOnlyWay($0, order) }),
      let item = items[result], item.operation < Self.mostOperations
    else { throw FlowAnalysis.Bound(reason: "the network also sees the input, or its statistics, in another way") }
    let found = FoundStandardization(
      standardization: InputStandardization(
        channels: channels, isPerChannel: analysis.statistics.contains(where: \.isPerChannel),
        operations: Array(operations[...item.operation])),
      bypassed: try bypassed(before: result))
    guard found.standardization.isSound else {
      throw FlowAnalysis.Bound(
        reason: "what follows from its statistics is not the same map for every pixel of a channel")
    }
    return found
  }

  private mutating func add(_ operation: Operation, _ item: Item) -> Item {
    operations.append(operation)
    var item = item
    item.operation = operations.count - 1
    return item
  }

  /// Whether everything that reaches the output passes a value.
  private func isOnlyWay(_ value: Int, _ order: [Int]) -> Bool {
    let flow = analysis.flow
    var isReached = Array(repeating: false, count: flow.valueCount)
    isReached[flow.input] = true
    for index in order {
      let node = flow.nodes[index]
      guard (node.inputs + node.hidden).contains(where: { $0 >= 0 && isReached[$0] }) else { continue }
      for output in node.outputs where output >= 0 && output != value {
        // How large an image is, is the same for its standardised form.
        if case .known? = analysis.values[output] { continue }
        isReached[output] = true
      }
    }
    return !isReached[flow.output]
  }

  /// The arithmetic on the way from the input to a value.
  private func bypassed(before value: Int) throws(FlowAnalysis.Bound) -> [FoundStandardization.Bypass] {
    let flow = analysis.flow
    let uses = Dictionary(flow.nodes.map { ([$0.place.function, $0.place.result], 1) }, uniquingKeysWith: +)
    var open = [value], seen: Set<Int> = [], result: [FoundStandardization.Bypass] = []
    while let value = open.popLast() {
      guard value != flow.input, seen.insert(value).inserted, let index = analysis.producer[value] else { continue }
      let node = flow.nodes[index]
      let pixels = node.inputs.indices.filter { items[node.inputs[$0]]?.kind == .pixels }
      open += pixels.map { node.inputs[$0] }
      guard case .elementwise = node.step, let input = pixels.first else { continue }
      let place = node.place
      guard uses[[place.function, place.result]] == 1 else {
        throw FlowAnalysis.Bound(reason: "\(node.operation) (\(place.name)) is in a function that is called twice")
      }
      result.append(.init(node: place.result, function: place.function, input: input))
    }
    return result
  }

  // MARK: Operations

  private mutating func item(_ node: Flow.Node, output: Int, number: Int) -> Item? {
    var inputs: [Item?] = []
    for input in node.inputs { inputs.append(items[input]) }
    guard let first = inputs.first, inputs.contains(where: { $0 != nil }) else {
      switch node.step {
      case .shape(let start, let end): return sizes(of: node.inputs.first ?? -1, start, end)
      case .pointwise(let function): return ofConstant(node, function)
      default: return nil
      }
    }
    var result: Item?
    switch node.step {
    case .shape(let start, let end): return sizes(of: node.inputs[0], start, end)
    case .same: result = first
    case .transpose(let order):
      let values = node.inputs.map { $0 >= 0 ? analysis.values[$0] : nil }
      result = first.flatMap { $0.kind == .numbers || analysis.integers(order, values)?.first == 0 ? $0 : nil }
    // Which axis has the channels is known where there are not several.
    case .squeeze, .unsqueeze, .reshape: result = first.flatMap { $0.kind == .numbers || $0.count == 1 ? $0 : nil }
    case .cast(let toWhole):
      // Sizes are whole; pixels and statistics lose their fractions.
      result = first.flatMap { toWhole && ($0.kind != .numbers || $0.isStatistical) ? nil : $0 }
    case .pointwise(let function): result = pointwise(node, function, first)
    case .elementwise(let arithmetic): result = elementwise(node, arithmetic)
    case .concatenate(let axis, let count): result = joined(node, axis, Array(inputs.prefix(count)), output)
    case .reduce(let reduction, let axes, _, let isNothing): result = reduced(node, reduction, axes, isNothing, first)
    case .globalPool(let reduction):
      guard let first, first.kind != .numbers, reduction == .mean else { return nil }
      result = add(.mean(first.operation, ofEachChannel: true), statistic(first.count))
    case .reverse, .gather, .slice, .stridedSlice, .split: result = picked(node, first, number)
    default: return nil
    }
    guard var item = result else { return nil }
    switch item.kind {
    case .pixels, .squares:
      guard isImage(output) else { return nil }
    case .numbers:
      guard item.count > 1 else { item.place = nil; break }
      guard let place = placeOfMany(output, item.count) else { return nil }
      item.place = place
    }
    return item
  }

  private func statistic(_ count: Int) -> Item {
    Item(kind: .numbers, operation: 0, count: count, isStatistical: true)
  }

  /// Whether a value is of the axes batch, height, width and channels, in an order with the batch first.
  private func isImage(_ value: Int) -> Bool {
    guard case .image(let axes)? = analysis.values[value], axes.count == 4, !axes[0].isSpatial else { return false }
    return analysis.isWhole(axes)
  }

  private func channelAxis(_ value: Int) -> Int? {
    guard isImage(value), case .image(let axes)? = analysis.values[value] else { return nil }
    return axes.indices.dropFirst().first { !axes[$0].isSpatial }
  }

  /// Along which axis, counted from the last one, a value has so many numbers, where it has one number along all others.
  private func placeOfMany(_ value: Int, _ count: Int) -> Int? {
    let sizes: [Int?]
    switch analysis.values[value] {
    case .image(let axes)? where !axes.contains(where: \.isSpatial): sizes = axes.map(\.size)
    case .known(let known)?:
      guard let shape = known.shape else { return nil }
      sizes = shape
    default: return nil
    }
    // The batch's size is not known, nor is that of channels after a choice among them.
    let places = sizes.indices.filter { sizes[$0] == count }
    if places.count == 1,
      sizes.indices.allSatisfy({ places.contains($0) || sizes[$0] == 1 || (sizes[$0] == nil && $0 == 0) })
    {
      return sizes.count - 1 - places[0]
    }
    let unknown = sizes.indices.filter { $0 > 0 && sizes[$0] == nil }
    guard places.isEmpty, unknown.count == 1,
      sizes.indices.allSatisfy({ $0 == 0 || unknown.contains($0) || sizes[$0] == 1 })
    else { return nil }
    return sizes.count - 1 - unknown[0]
  }

  private mutating func sizes(of value: Int, _ start: Int, _ end: Int?) -> Item? {
    guard let item = items[value], item.kind == .pixels, isImage(value),
      case .image(let axes)? = analysis.values[value],
      let channel = channelAxis(value)
    else { return nil }
    let all = axes.indices.map { place -> InputStandardization.Axis in
      switch axes[place].role {
      case .y: .rows
      case .x: .columns
      case .other: .other(place == channel ? item.count : 1)
      }
    }
    let chosen = Array(all[analysis.range(start, end, count: all.count)])
    return add(.sizes(chosen), Item(kind: .numbers, operation: 0, count: chosen.count, place: 0))
  }

  private mutating func pointwise(_ node: Flow.Node, _ function: Step.Function?, _ first: Item?) -> Item? {
    guard let first else { return nil }
    if function == .square { return squared(first) }
    guard first.kind == .numbers else { return nil }
    switch (function, node.operation) {
    case (.squareRoot, _): return squareRoot(first)
    case (nil, "Rsqrt"): return reciprocal(squareRoot(first))
    case (nil, "Reciprocal"), (nil, "Inv"): return reciprocal(first)
    default: return nil
    }
  }

  /// A root or a reciprocal of a single constant: of how many numbers an input of a fixed size has.
  private mutating func ofConstant(_ node: Flow.Node, _ function: Step.Function?) -> Item? {
    guard let input = node.inputs.first, case .known(let known)? = input >= 0 ? analysis.values[input] : nil,
      known.elements?.count == 1
    else { return nil }
    return pointwise(node, function, operand(input))
  }

  private mutating func squareRoot(_ item: Item) -> Item {
    if let number = constant(item) { return add(.numbers([number.squareRoot()]), item) }
    return add(.squareRoot(item.operation), item)
  }

  private mutating func reciprocal(_ item: Item) -> Item {
    if let number = constant(item) { return add(.numbers([1 / number]), item) }
    return add(.reciprocal(item.operation), item)
  }

  private func constant(_ item: Item) -> Double? {
    if case .numbers(let numbers) = operations[item.operation], numbers.count == 1 { numbers[0] } else { nil }
  }

  private mutating func squared(_ item: Item) -> Item? {
    guard item.kind != .squares else { return nil }
    var result = item
    if item.kind == .pixels { result.kind = .squares }
    return add(.square(item.operation), result)
  }

  private mutating func reduced(
    _ node: Flow.Node, _ reduction: Step.Reduction?, _ numbers: Numbers?, _ isNothing: Bool, _ first: Item?
  ) -> Item? {
    guard let first else { return nil }
    if first.kind == .numbers {
      guard reduction == .product, first.place == 0 || first.count == 1 else { return nil }
      var result = first
      result.count = 1
      return add(.product(first.operation), result)
    }
    guard let value = node.inputs.first, let channel = channelAxis(value),
      case .image(let axes)? = analysis.values[value],
      let places = analysis.places(axes, numbers, isNothing, node.inputs.map { $0 >= 0 ? analysis.values[$0] : nil }),
      axes.indices.allSatisfy({ !axes[$0].isSpatial || places.contains($0) })
    else { return nil }
    let isOfEach = !places.contains(channel)
    switch reduction {
    case .mean:
      return add(.mean(first.operation, ofEachChannel: isOfEach), statistic(isOfEach ? first.count : 1))
    case .sum:
      var total = statistic(isOfEach ? first.count : 1)
      total.isTotal = true
      return add(.sum(first.operation, ofEachChannel: isOfEach), total)
    default: return nil
    }
  }

  // MARK: Arithmetic

  /// An operand: what is known of it, or a constant.
  private mutating func operand(_ value: Int) -> Item? {
    if let item = items[value] { return item }
    guard value >= 0, case .known(let known)? = analysis.values[value], !known.isFromSizes,
      let elements = known.elements, !elements.isEmpty
    else { return nil }
    let numbers = elements.compactMap { $0?.number }
    guard numbers.count == elements.count else { return nil }
    var place: Int?
    if numbers.count > 1 {
      guard let found = placeOfMany(value, numbers.count) else { return nil }
      place = found
    }
    return add(.numbers(numbers), Item(kind: .numbers, operation: 0, count: numbers.count, place: place))
  }

  private mutating func elementwise(_ node: Flow.Node, _ arithmetic: Step.Arithmetic?) -> Item? {
    if arithmetic == .negate, let first = items[node.inputs[0]] {
      let minus = add(.numbers([-1]), first)
      return add(.arithmetic(.multiply, first.operation, minus.operation), first)
    }
    guard let arithmetic = arithmetic.flatMap(Self.arithmetic), node.inputs.count == 2,
      var a = operand(node.inputs[0]), var b = operand(node.inputs[1])
    else { return nil }
    if node.inputs[0] == node.inputs[1], arithmetic == .multiply { return squared(a) }
    if arithmetic == .power, a.kind == .pixels {
      guard operations[b.operation] == .numbers([2]) else { return nil }
      return squared(a)
    }
    if arithmetic == .maximum || arithmetic == .minimum {
      if a.isStatistical, isLeastDeviation(b) { b = add(.leastDeviation, b) }
      if b.isStatistical, isLeastDeviation(a) { a = add(.leastDeviation, a) }
    }
    // A number that a sum is divided by may be that of a tile's pixels; only sizes are followed.
    if a.isTotal || b.isTotal {
      guard arithmetic == .divide, a.isTotal, !b.isTotal, !b.isStatistical, !isConstant(b) else { return nil }
      a.isTotal = false
    }
    guard a.kind != .squares, b.kind != .squares, a.kind == .numbers || b.kind == .numbers else { return nil }
    let isStatistical = a.isStatistical || b.isStatistical
    let operation = Operation.arithmetic(arithmetic, a.operation, b.operation)
    if a.kind == .numbers, b.kind == .numbers {
      guard a.count == 1 || b.count == 1 || (a.count == b.count && a.place == b.place) else { return nil }
      return add(
        operation,
        Item(
          kind: .numbers, operation: 0, count: max(a.count, b.count), place: a.place ?? b.place,
          isStatistical: isStatistical))
    }
    let (pixels, numbers, value) = a.kind == .pixels ? (a, b, node.inputs[0]) : (b, a, node.inputs[1])
    guard numbers.count == 1 || (numbers.count == pixels.count && numbers.place == channelAxis(value).map { 3 - $0 })
    else { return nil }
    // What divides by pixels is no such map.
    guard a.kind == .pixels || arithmetic != .divide, arithmetic != .maximum, arithmetic != .minimum else { return nil }
    return add(
      operation,
      Item(
        kind: arithmetic == .squaredDifference ? .squares : .pixels, operation: 0, count: pixels.count,
        isStatistical: isStatistical))
  }

  private static func arithmetic(_ arithmetic: Step.Arithmetic) -> InputStandardization.Arithmetic? {
    switch arithmetic {
    case .add: .add
    case .subtract: .subtract
    case .multiply: .multiply
    case .divide: .divide
    case .power: .power
    case .maximum: .maximum
    case .minimum: .minimum
    case .squaredDifference: .squaredDifference
    case .floorDivide, .modulo, .negate: nil
    }
  }

  /// How many numbers the input has, where its size is fixed.
  private var fixedCount: Double? {
    let sizes = analysis.flow.inputShape.dropFirst()
    let known = sizes.compactMap { $0 }
    return known.count == sizes.count ? known.reduce(1) { $0 * Double($1) } : nil
  }

  /// Whether a constant is what exporters make of `1 / sqrt(N)` for an input of a fixed size.
  private func isLeastDeviation(_ item: Item) -> Bool {
    guard let fixedCount, let number = constant(item) else { return false }
    let least = 1 / fixedCount.squareRoot()
    return abs(number - least) <= 1e-6 * least
  }

  private func isConstant(_ item: Item) -> Bool {
    if case .numbers = operations[item.operation] { true } else { false }
  }

  // MARK: Channels

  private mutating func joined(_ node: Flow.Node, _ axis: Numbers, _ inputs: [Item?], _ output: Int) -> Item? {
    let known = inputs.compactMap { $0 }
    let values = node.inputs.map { $0 >= 0 ? analysis.values[$0] : nil }
    let count = known.reduce(0) { $0 + $1.count }
    guard known.count == inputs.count, count <= Self.mostChannels, known.allSatisfy({ $0.kind == .pixels }),
      let first = node.inputs.first,
      let channel = channelAxis(first), let number = analysis.integers(axis, values)?.first,
      (number < 0 ? number + 4 : number) == channel
    else { return nil }
    return add(
      .joined(known.map(\.operation)),
      Item(
        kind: .pixels, operation: 0, count: count, isStatistical: known.contains(where: \.isStatistical)))
  }

  private mutating func picked(_ node: Flow.Node, _ first: Item?, _ number: Int) -> Item? {
    guard let first, first.kind != .squares, let value = node.inputs.first else { return nil }
    let rank = first.kind == .numbers ? 1 : 4
    let axis = first.kind == .numbers ? 0 : channelAxis(value)
    guard first.kind != .numbers || (first.place == 0 && isVector(value)), let axis,
      let places = analysis.places(of: node, axis: axis, rank: rank, count: first.count, output: number),
      !places.isEmpty,
      places.allSatisfy((0..<first.count).contains)
    else { return nil }
    if places == Array(0..<first.count) { return first }
    var item = first
    item.count = places.count
    return add(.picked(first.operation, places), item)
  }

  private func isVector(_ value: Int) -> Bool {
    if case .known(let known)? = analysis.values[value] { known.shape?.count == 1 } else { false }
  }
}
