// SPDX-License-Identifier: Apache-2.0

/// Follows an image through a network: how far apart, in pixels of the input, the elements of every value on the way
/// are, which pixels they see, and which operations see more than a limited neighbourhood.
///
/// The least common multiple of all those distances is the network's stride: moving the input by that many pixels moves
/// the output by as many, and changes nothing else but at the edges.
struct FlowAnalysis {
  private(set) var stride: AxisPair?
  /// How far a pixel of the output sees; see ``GraphFacts/receptiveField``.
  private(set) var receptiveField: AxisPair?
  private(set) var neededBorder: AxisPair?
  private(set) var globalOperations: [String: Int] = [:]
  /// Numbers that the network takes of the whole input before it does anything else with it.
  private(set) var statistics: [InputStatistic] = []
  private(set) var exactness = Exactness.exact
  private var operationsPerPixel = 0.0
  private var isCounted = true
  /// Operations per pixel of the input at its full resolution, two for each multiplication and addition.
  var flopsPerPixel: Double? { isCounted && !flow.nodes.isEmpty && shapeIsPlain ? operationsPerPixel : nil }

  struct Axis {
    enum Role { case y, x, other }
    var role = Role.other
    /// Distance of neighbours in pixels of the input; 1 for other axes.
    var pitch = 1.0
    /// How many elements it has, where that is known.
    var extent: Extent?
    /// What an element of a spatial axis sees; `nil` where that is not known.
    var reach: Reach? = .own
    /// Pixels this far apart lie beside each other, those between along the batch; neighbours are as far apart as
    /// `pitch` says in the whole image.
    var block = 1
    var isSpatial: Bool { role != .other }
    var size: Int? {
      get { extent?.integer }
      set { extent = newValue.map { Extent(constant: Double($0)) } }
    }

    init(role: Role = .other, extent: Extent? = nil) { (self.role, self.extent) = (role, extent) }
    init(size: Int?) { self.size = size }
  }

  enum Value {
    case known(Known)
    case image([Axis])
    /// Depends on the image in a way that is not followed.
    case opaque
  }

  /// Stands among the operations for a network of which none was recognised as the reason.
  static let notFollowed = "not followed"
  /// Most axes that a value may have.
  static let mostAxes = 16

  /// What a step makes of its inputs; failing means that the image is not followed any further.
  enum Failure: Error { case notPlain }

  /// Why tiles do not give what the whole image does: a node that sees all of it, or is not followed.
  private struct Obstacle {
    var node: Int
    var isGlobal: Bool
  }

  let flow: Flow
  var values: [Value?]
  /// What is known of the numbers in values, beside their axes.
  var contents: [Content?]
  /// Which node makes a value.
  private(set) var producer: [Int?]
  private var pitches: (y: Set<Double>, x: Set<Double>) = ([1], [1])
  private var obstacles: [Obstacle] = []
  /// The first node that interpolates with weights which are rounded differently from place to place.
  private var uneven: Int?
  /// The first node after which it is not known what the image's elements see.
  private var lost: Int?
  private var current = 0
  private let shapeIsPlain: Bool
  /// Work that may still be done to find out what is seen: real networks need a thousandth of it.
  private var work = 20_000_000

  init(_ flow: Flow) {
    self.flow = flow
    values = Array(repeating: nil, count: flow.valueCount)
    contents = Array(repeating: nil, count: flow.valueCount)
    producer = Array(repeating: nil, count: flow.valueCount)
    shapeIsPlain = flow.inputShape.count == 4
    guard shapeIsPlain else {
      globalOperations[Self.notFollowed] = 1
      exactness = .canonical(reason: "the input has \(flow.inputShape.count) axes, not 4")
      return
    }
    for (index, node) in flow.nodes.enumerated() {
      for output in node.outputs where output >= 0 { producer[output] = index }
    }
    for (value, known) in flow.constants where values.indices.contains(value) { values[value] = .known(known) }
    if values.indices.contains(flow.input) {
      let axes = flow.layout.order.map { place in
        switch place {
        case 1: Axis(role: .y, extent: whole(.y))
        case 2: Axis(role: .x, extent: whole(.x))
        default: Axis(size: inputSize(place))
        }
      }
      values[flow.input] = .image(axes)
      contents[flow.input] = .pixels(flow.input)
    }
    for index in order() { evaluate(index) }
    finish()
  }

  /// The input's size along an axis of batch, height, width, channels.
  private func inputSize(_ axis: Int) -> Int? { flow.inputShape[flow.layout.order.firstIndex(of: axis) ?? axis] }

  /// The image's height or width.
  func whole(_ role: Axis.Role) -> Extent {
    inputSize(role == .y ? 1 : 2).map { Extent(constant: Double($0)) } ?? (role == .y ? Extent(y: 1) : Extent(x: 1))
  }

  // MARK: Order

  /// The nodes that the output needs, each after those whose values it reads. Nodes of a cycle are left out.
  func order() -> [Int] {
    func sources(_ index: Int) -> [Int] {
      (flow.nodes[index].inputs + flow.nodes[index].hidden).compactMap {
        producer.indices.contains($0) ? producer[$0] : nil
      }
    }
    var isNeeded = Array(repeating: false, count: flow.nodes.count)
    var open = producer.indices.contains(flow.output) ? [producer[flow.output]].compactMap { $0 } : []
    while let index = open.popLast() {
      if isNeeded[index] { continue }
      isNeeded[index] = true
      open += sources(index)
    }
    var waiting: [Int: Int] = [:], readers: [Int: [Int]] = [:], order: [Int] = []
    for index in flow.nodes.indices where isNeeded[index] {
      let sources = Set(sources(index))
      waiting[index] = sources.count
      for source in sources { readers[source, default: []].append(index) }
      if sources.isEmpty { order.append(index) }
    }
    var next = 0
    while next < order.count {
      for reader in readers[order[next]] ?? [] {
        waiting[reader]! -= 1
        if waiting[reader] == 0 { order.append(reader) }
      }
      next += 1
    }
    return order
  }

  // MARK: Evaluation

  private mutating func evaluate(_ index: Int) {
    let node = flow.nodes[index]
    current = index
    let inputs = node.inputs.map { $0 >= 0 && $0 < values.count ? values[$0] : nil }
    let hidden = node.hidden.compactMap { values[$0] }
    let isKnown = (inputs.compactMap { $0 } + hidden).allSatisfy { if case .known = $0 { true } else { false } }
    if inputs.isEmpty, hidden.isEmpty, case .unknown = node.step {
      // As random numbers.
      if !node.outputs.contains(flow.input) { note(isGlobal: false) }
      return set(node, .opaque)
    }
    if isKnown {
      let known = inputs.map { if case .known(let known)? = $0 { known } else { nil as Known? } }
      var results: [Known] = []
      if case .split = node.step { results = split(node, known.first ?? nil) ?? [] }
      if results.isEmpty { results = node.outputs.isEmpty ? [] : [self.known(node, known)] }
      let isFromSizes = known.contains { $0?.isFromSizes == true }
      for (index, output) in node.outputs.enumerated() where output >= 0 && output != flow.input {
        var result = results[min(index, results.count - 1)]
        result.isFromSizes = result.isFromSizes || isFromSizes
        values[output] = .known(result)
      }
      return
    }
    let before = obstacles.count
    var result: Value
    do {
      result = try image(node, inputs)
    } catch {
      note(isGlobal: false)
      result = .opaque
    }
    follow(&result)
    set(node, result)
    guard case .image(let axes) = result else { return }
    for output in node.outputs where contents.indices.contains(output) && output != flow.input {
      contents[output] = content(node, inputs, axes, output)
    }
    if let statistic = statistic(node, inputs) {
      obstacles.removeLast(obstacles.count - before)
      statistics.append(statistic)
    }
  }

  private mutating func set(_ node: Flow.Node, _ value: Value) {
    for output in node.outputs where output >= 0 && output != flow.input { values[output] = value }
  }

  /// Takes notice of an image's distances, and of where it is not known any more what is seen.
  private mutating func follow(_ value: inout Value) {
    guard case .image(let axes) = value else { return }
    for axis in axes where axis.isSpatial {
      if axis.role == .y { pitches.y.insert(axis.pitch) } else { pitches.x.insert(axis.pitch) }
      if axis.reach == nil, lost == nil { lost = current }
    }
  }

  /// - Parameter isGlobal: whether the node at hand sees the whole image; otherwise the image is not followed through it.
  mutating func note(isGlobal: Bool) {
    globalOperations[flow.nodes[current].operation, default: 0] += 1
    obstacles.append(Obstacle(node: current, isGlobal: isGlobal))
    if !isGlobal { isCounted = false }
  }

  /// Takes notice that the node at hand interpolates with weights which are rounded differently from place to place.
  mutating func noteUneven() { uneven = uneven ?? current }

  /// Counts multiplications and additions for every pixel of the input; `nil` where they are not known.
  mutating func count(_ multiplications: Double?) {
    if let multiplications { operationsPerPixel += 2 * multiplications } else { isCounted = false }
  }

  /// Whether some more work may be done to find out what is seen.
  mutating func afford(_ steps: Int) -> Bool {
    guard steps <= work else { return false }
    work -= steps
    return true
  }

  /// The numbers that a step takes, where they are known and whole.
  func integers(_ numbers: Numbers?, _ inputs: [Value?]) -> [Int]? {
    switch numbers {
    case .fixed(let values): return values
    case .input, nil:
      guard let elements = extents(numbers, inputs) else { return nil }
      let integers = elements.compactMap { $0?.integer }
      return integers.count == elements.count ? integers : nil
    }
  }

  func extents(_ numbers: Numbers?, _ inputs: [Value?]) -> [Extent?]? {
    switch numbers {
    case .fixed(let values): return values.map { Extent(constant: Double($0)) }
    case .input(let index):
      guard inputs.indices.contains(index), case .known(let known)? = inputs[index] else { return nil }
      return known.elements
    case nil: return nil
    }
  }

  // MARK: Result

  private mutating func finish() {
    guard values.indices.contains(flow.output), case .image(let axes)? = values[flow.output] else {
      if globalOperations.isEmpty { globalOperations[Self.notFollowed] = 1 }
      exactness = .canonical(reason: reason ?? "the output does not follow from the input in a way that is understood")
      return
    }
    let y = axes.filter { $0.role == .y }, x = axes.filter { $0.role == .x }
    // Another resolution at the output than at the input is no plain case.
    guard let y = y.first, let x = x.first, axes.filter(\.isSpatial).count == 2, y.pitch == 1, x.pitch == 1,
      y.block == 1, x.block == 1
    else {
      exactness = .canonical(reason: reason ?? "the output has another resolution than the input")
      return
    }
    guard let strideY = Self.commonMultiple(pitches.y), let strideX = Self.commonMultiple(pitches.x) else {
      exactness = .canonical(reason: reason ?? "its stride is above 65536 pixels")
      return
    }
    stride = AxisPair(y: strideY, x: strideX)
    if let reason {
      exactness = .canonical(reason: reason)
      return
    }
    guard let reachY = y.reach, let reachX = x.reach, let influenceY = Self.pixels(reachY.influence),
      let influenceX = Self.pixels(reachX.influence), let borderY = Self.pixels(reachY.border(stride: strideY)),
      let borderX = Self.pixels(reachX.border(stride: strideX))
    else {
      let place = lost.map { " beyond \(text($0))" } ?? ""
      exactness = .canonical(reason: "how far it sees is not known\(place)")
      return
    }
    receptiveField = AxisPair(y: influenceY, x: influenceX)
    neededBorder = AxisPair(
      y: (borderY + strideY - 1) / strideY * strideY, x: (borderX + strideX - 1) / strideX * strideX)
    if let uneven {
      exactness = .canonical(
        reason: "\(text(uneven)) interpolates by no power of two, and its weights are rounded by where a tile lies")
    } else if let first = statistics.first {
      exactness = .exactWithStatistics(
        reason: "the input is standardised by statistics of the whole image: \(first.operation) (\(first.node))")
    }
  }

  /// What the first obstacle is, and how many more there are of its kind.
  private var reason: String? {
    guard let first = obstacles.first else { return nil }
    let operation = flow.nodes[first.node].operation
    let more = obstacles.count { $0.isGlobal == first.isGlobal && flow.nodes[$0.node].operation == operation } - 1
    if first.isGlobal {
      return "\(text(first.node)) sees the whole tile\(more > 0 ? ", and so do \(more) more" : "")"
    }
    let why = if case .unknown(let why?) = flow.nodes[first.node].step { ": \(why)" } else { "" }
    return "the image is not followed through \(text(first.node))\(more > 0 ? " and \(more) more" : "")\(why)"
  }

  private func text(_ node: Int) -> String { "\(flow.nodes[node].operation) (\(flow.nodes[node].place.name))" }

  /// Whole pixels, rounded up.
  private static func pixels(_ distance: Double) -> Int? {
    distance < 1e9 ? Int((distance - 1e-6).rounded(.up)) : nil
  }

  /// The least whole number that is a multiple of all; `nil` above 65 536.
  static func commonMultiple(_ pitches: Set<Double>) -> Int? {
    var result = 1
    for pitch in pitches {
      guard let numerator = fraction(pitch)?.numerator else { return nil }
      result = result / Reach.commonDivisor(result, numerator) * numerator
      guard result <= 65_536 else { return nil }
    }
    return result
  }

  /// A number as a fraction with a small denominator.
  static func fraction(_ value: Double) -> (numerator: Int, denominator: Int)? {
    guard value > 0, value < 65_537 else { return nil }
    for denominator in 1...64 {
      let numerator = (value * Double(denominator)).rounded()
      if numerator >= 1, abs(value * Double(denominator) - numerator) < 1e-6 * Double(denominator) {
        return (Int(numerator), denominator)
      }
    }
    return nil
  }
}
