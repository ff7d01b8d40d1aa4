// SPDX-License-Identifier: Apache-2.0

/// Follows an image through a network: how far apart, in pixels of the input, the elements of every value on the way
/// are, and which operations see more than a limited neighbourhood.
///
/// The least common multiple of all those distances is the network's stride: moving the input by that many pixels moves
/// the output by as many, and changes nothing else but at the edges.
struct FlowAnalysis {
  private(set) var stride: AxisPair?
  private(set) var globalOperations: [String: Int] = [:]

  struct Axis {
    enum Role { case y, x, other }
    var role = Role.other
    /// Distance of neighbours in pixels of the input; 1 for other axes.
    var pitch = 1.0
    /// The size of other axes, where it is known.
    var size: Int?
    var isSpatial: Bool { role != .other }
  }

  enum Value {
    case known(Known)
    case image([Axis])
    /// Depends on the image in a way that is not followed.
    case opaque
  }

  /// Stands among the operations for a network of which none was recognised as the reason.
  static let notFollowed = "not followed"

  /// What a step makes of its inputs; failing means that the image is not followed any further.
  enum Failure: Error { case notPlain }

  private let flow: Flow
  var values: [Value?]
  /// The input's size, where the network fixes it.
  let height: Double?
  let width: Double?
  private var pitches: (y: Set<Double>, x: Set<Double>) = ([1], [1])

  init(_ flow: Flow) {
    self.flow = flow
    values = Array(repeating: nil, count: flow.valueCount)
    let shape = flow.inputShape
    guard shape.count == 4 else {
      (height, width) = (nil, nil)
      note(Self.notFollowed)
      return
    }
    (height, width) = (shape[1].map(Double.init), shape[2].map(Double.init))
    for (value, known) in flow.constants where values.indices.contains(value) { values[value] = .known(known) }
    if values.indices.contains(flow.input) {
      values[flow.input] = .image([Axis(size: shape[0]), Axis(role: .y), Axis(role: .x), Axis(size: shape[3])])
    }
    for index in order() { evaluate(flow.nodes[index]) }
    finish()
  }

  // MARK: Order

  /// The nodes that the output needs, each after those whose values it reads. Nodes of a cycle are left out.
  private func order() -> [Int] {
    var producer: [Int: Int] = [:]
    for (index, node) in flow.nodes.enumerated() {
      for output in node.outputs where output >= 0 { producer[output] = index }
    }
    func sources(_ index: Int) -> [Int] {
      (flow.nodes[index].inputs + flow.nodes[index].hidden).compactMap { producer[$0] }
    }
    var needed: Set<Int> = []
    var open = [producer[flow.output]].compactMap { $0 }
    while let index = open.popLast() {
      if needed.insert(index).inserted { open += sources(index) }
    }
    var waiting: [Int: Int] = [:], readers: [Int: [Int]] = [:], order: [Int] = []
    for index in needed {
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

  private mutating func evaluate(_ node: Flow.Node) {
    let inputs = node.inputs.map { $0 >= 0 && $0 < values.count ? values[$0] : nil }
    let hidden = node.hidden.compactMap { values[$0] }
    let isKnown = (inputs.compactMap { $0 } + hidden).allSatisfy { if case .known = $0 { true } else { false } }
    let result: Value
    if inputs.isEmpty, hidden.isEmpty, case .unknown = node.step {
      // As random numbers.
      if !node.outputs.contains(flow.input) { note(node.operation) }
      result = .opaque
    } else if isKnown {
      result = .known(known(node, inputs.map { if case .known(let known)? = $0 { known } else { nil } }))
    } else {
      do {
        result = try image(node, inputs)
      } catch {
        note(node.operation)
        result = .opaque
      }
    }
    if case .image(let axes) = result {
      for axis in axes {
        if axis.role == .y { pitches.y.insert(axis.pitch) }
        if axis.role == .x { pitches.x.insert(axis.pitch) }
      }
    }
    for output in node.outputs where output >= 0 && output != flow.input { values[output] = result }
  }

  mutating func note(_ operation: String) { globalOperations[operation, default: 0] += 1 }

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

  /// The size of an axis of an image.
  func extent(of axis: Axis) -> Extent? {
    switch axis.role {
    case .other: axis.size.map { Extent(constant: Double($0)) }
    case .y: height.map { Extent(constant: $0 / axis.pitch) } ?? Extent(y: 1 / axis.pitch)
    case .x: width.map { Extent(constant: $0 / axis.pitch) } ?? Extent(x: 1 / axis.pitch)
    }
  }

  /// The distance between pixels that an axis has once its size is `extent`.
  func pitch(_ role: Axis.Role, sized extent: Extent) -> Double? {
    if let number = extent.number {
      guard number > 0, let whole = role == .y ? height : width else { return nil }
      return whole / number
    }
    let (factor, other) = role == .y ? (extent.y, extent.x) : (extent.x, extent.y)
    return other == 0 && extent.constant == 0 && factor > 0 ? 1 / factor : nil
  }

  // MARK: Result

  private mutating func finish() {
    guard values.indices.contains(flow.output), case .image(let axes)? = values[flow.output] else {
      if globalOperations.isEmpty { note(Self.notFollowed) }
      return
    }
    let y = axes.filter { $0.role == .y }, x = axes.filter { $0.role == .x }
    // Another resolution at the output than at the input is no plain case.
    guard y.count == 1, x.count == 1, y[0].pitch == 1, x[0].pitch == 1 else { return }
    guard let strideY = Self.commonMultiple(pitches.y), let strideX = Self.commonMultiple(pitches.x) else { return }
    stride = AxisPair(y: strideY, x: strideX)
  }

  /// The least whole number that is a multiple of all; `nil` above 65 536.
  static func commonMultiple(_ pitches: Set<Double>) -> Int? {
    var result = 1
    for pitch in pitches {
      guard let numerator = fraction(pitch)?.numerator else { return nil }
      var (a, b) = (result, numerator)
      while b != 0 { (a, b) = (b, a % b) }
      result = result / a * numerator
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
