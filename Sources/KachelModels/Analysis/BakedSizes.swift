// SPDX-License-Identifier: Apache-2.0

/// The numbers inside a network of fixed size that follow from this size, and what they become with another one.
///
/// Along an axis of the image, the number of pixels of every value in the network is the image's divided by a pitch, plus
/// a constant that only depends on what the image's number leaves when divided by the stride. So where the image grows by
/// a multiple of the stride, every number of pixels grows by that divided by its pitch, whatever it is: this holds for
/// cropped and padded networks, and for the paddings of dilated convolutions, which stay.
struct BakedSizes {
  /// New numbers for a vector that an operation reads.
  struct Change: Hashable {
    /// The operation, among those of the flow.
    var node: Int
    /// Which input of the operation in the flow holds the numbers.
    var input: Int
    /// The numbers as they are, where they are known.
    var old: [Int?]
    /// What is added to each number.
    var difference: [Int]
    /// The new numbers, where no old one depends on the image.
    var numbers: [Int]?
  }

  /// An operation that stands in the way.
  struct Obstacle: Error {
    /// `nil` where none is known to be the one.
    var node: Int?
    var reason: String
  }

  let flow: Flow
  let analysis: FlowAnalysis
  /// Values that differ from image to image, or with the image's size.
  private var dependent: Set<Int> = []

  init(_ flow: Flow) {
    self.flow = flow
    analysis = FlowAnalysis(flow)
    var readers: [Int: [Int]] = [:]
    for (index, node) in flow.nodes.enumerated() {
      for input in node.inputs + node.hidden where input >= 0 { readers[input, default: []].append(index) }
    }
    var open = [flow.input]
    while let value = open.popLast() {
      guard dependent.insert(value).inserted else { continue }
      for reader in readers[value] ?? [] { open += flow.nodes[reader].outputs.filter { $0 >= 0 } }
    }
  }

  func value(_ number: Int) -> FlowAnalysis.Value? {
    analysis.values.indices.contains(number) ? analysis.values[number] : nil
  }

  func axes(_ number: Int) -> [FlowAnalysis.Axis]? {
    if case .image(let axes)? = value(number) { axes } else { nil }
  }

  /// The axes of an operation's first result.
  func resultAxes(_ node: Int) -> [FlowAnalysis.Axis]? { flow.nodes[node].outputs.first.flatMap { axes($0) } }

  var outputAxes: [FlowAnalysis.Axis]? { axes(flow.output) }

  /// The size of the output for a size of the input; `nil` where it is not known.
  func outputSize(height: Int, width: Int) -> AxisPair? {
    guard let axes = outputAxes else { return nil }
    func size(_ role: FlowAnalysis.Axis.Role, _ growth: Int) -> Int? {
      guard let axis = axes.first(where: { $0.role == role }), let extent = axis.extent else { return nil }
      let old = extent.y * Double(height) + extent.x * Double(width) + extent.constant
      return Int(exactly: old + (extent.number == nil ? 0 : Double(growth) / axis.pitch)).flatMap { $0 > 0 ? $0 : nil }
    }
    let (oldHeight, oldWidth) = (analysis.whole(.y).integer ?? height, analysis.whole(.x).integer ?? width)
    guard let y = size(.y, height - oldHeight), let x = size(.x, width - oldWidth) else { return nil }
    return AxisPair(y: y, x: x)
  }

  private func producer(of value: Int) -> Flow.Node? {
    guard analysis.producer.indices.contains(value), let node = analysis.producer[value] else { return nil }
    return flow.nodes[node]
  }

  /// How many sliding windows the image could be followed through.
  var followedWindows: Int {
    flow.nodes.indices.count { index in
      guard case .window = flow.nodes[index].step else { return false }
      return resultAxes(index)?.contains(where: \.isSpatial) == true
    }
  }

  /// Why a size does not go with the network's stride; `nil` where it does.
  ///
  /// - Parameter old: The sizes that the network has, where they are fixed.
  func misfit(height: Int, width: Int, old: (y: Int?, x: Int?)) -> String? {
    guard let stride = analysis.stride else { return nil }
    for (name, size, old, stride) in [("height", height, old.y, stride.y), ("width", width, old.x, stride.x)]
    where size != old {
      let rest = (size - (old ?? 0) % stride) % stride
      let below = size - (rest < 0 ? rest + stride : rest)
      guard below != size else { continue }
      let nearest = (below > 0 ? [below] : []) + [below + stride]
      let multiple =
        (old ?? 0) % stride == 0 ? "multiples of \(stride)" : "\(old ?? 0) and steps of \(stride) from there"
      return "the \(name) \(size) does not go with the network's stride of \(stride) pixels: possible are \(multiple), "
        + "the nearest \(nearest.map { "\($0)" }.joined(separator: " and "))"
    }
    return nil
  }

  /// An obstacle in words.
  static func sentence(operation: String, name: String, _ reason: String) -> String {
    "sizes are built into the network, and cannot all be changed: its operation \(operation) (\(name)) \(reason). "
      + "Export the network with free sizes"
  }

  /// The changes that a size needs.
  ///
  /// - Parameter growth: By how many pixels the image becomes larger; both are multiples of the stride.
  func changes(growth: AxisPair) throws(Obstacle) -> [Change] {
    var changes: [Change] = []
    for (index, node) in flow.nodes.enumerated() {
      guard let output = node.outputs.first(where: { $0 >= 0 }), let result = value(output) else { continue }
      let growth = Growth(index: index, node: node, pixels: growth)
      switch result {
      case .opaque:
        if node.inputs.allSatisfy({ if case .opaque? = value($0) { false } else { true } }) {
          throw growth.obstacle("is not understood")
        }
      case .known: try checkConstant(growth)
      case .image(let axes): if let change = try change(growth, axes) { changes.append(change) }
      }
    }
    guard analysis.stride != nil else {
      throw Obstacle(reason: "the network gives another size than it takes, so that its sizes cannot be changed")
    }
    return changes
  }

  /// One operation and by how much its image grows.
  private struct Growth {
    let index: Int
    let node: Flow.Node
    let pixels: AxisPair

    func along(_ axis: FlowAnalysis.Axis) throws(Obstacle) -> Int {
      let pixels =
        switch axis.role {
        case .y: pixels.y
        case .x: pixels.x
        case .other: 0
        }
      guard let difference = Int(exactly: (Double(pixels) / axis.pitch * 64).rounded() / 64) else {
        throw obstacle("has a size that does not stay whole")
      }
      return difference
    }

    func obstacle(_ reason: String) -> Obstacle { Obstacle(node: index, reason: reason) }
  }

  private func change(_ growth: Growth, _ axes: [FlowAnalysis.Axis]) throws(Obstacle) -> Change? {
    let node = growth.node
    switch node.step {
    case .reshape(.input(let input)):
      guard let target = numbers(node, input), target.count == axes.count else {
        throw growth.obstacle("makes a shape that is not known")
      }
      return try vector(growth, input, axes, target) { _, number, _ in number <= 0 }
    case .reshape(.fixed(let numbers)):
      for (axis, number) in zip(axes, numbers) where axis.isSpatial && number > 0 {
        throw growth.obstacle("has the size \(number) in an attribute")
      }
      return nil
    case .resize(let resize): return try self.resize(growth, axes, resize)
    case .window(let window):
      guard case .input(let input)? = window.outputSizes else { return nil }
      guard let target = numbers(node, input), target.count == axes.count else {
        throw growth.obstacle("makes a size that is not known")
      }
      return try vector(growth, input, axes, target) { _, _, _ in false }
    case .blocks(let isInverse):
      // What is added to fill the last block is the same where the image grows by whole blocks.
      guard let blocks = numbers(node, 1), isConstant(node.inputs.last ?? -1, 0) else { return nil }
      let images = isInverse ? axes : self.axes(node.inputs.first ?? -1) ?? axes
      for (axis, block) in zip(images.dropFirst(), blocks) where axis.isSpatial {
        let pixels = try growth.along(axis)
        guard let block, block > 0 else { throw growth.obstacle("makes blocks of a size that is not known") }
        guard pixels % block == 0 else {
          let step = Int((Double(block) * axis.pitch).rounded())
          throw growth.obstacle("puts pixels together so that the size can only change in steps of \(step)")
        }
      }
      return nil
    case .slice(_, let which, _, .input(let ends)):
      guard let numbers = numbers(node, ends) else { return nil }
      let places =
        which == nil ? Array(numbers.indices) : analysis.integers(which, node.inputs.map(value)) ?? []
      for (place, end) in zip(places, numbers.indices) {
        let place = place < 0 ? place + axes.count : place
        if axes.indices.contains(place) { try checkEnd(growth, axes[place], ends, end, numbers[end]) }
      }
      return nil
    case .slice(_, let which, _, .fixed(let ends)):
      let places = analysis.integers(which, node.inputs.map(value)) ?? Array(ends.indices)
      for (place, end) in zip(places, ends) {
        let place = place < 0 ? place + axes.count : place
        if axes.indices.contains(place), axes[place].isSpatial, end > 0, end < Self.farAway {
          throw growth.obstacle("cuts the image off at pixel \(end)")
        }
      }
      return nil
    case .stridedSlice(let masks):
      guard let numbers = numbers(node, 2) else { return nil }
      var place = 0
      for index in numbers.indices {
        if masks.ellipsis >> index & 1 != 0 {
          place = axes.count - (numbers.count - index - 1)
          continue
        }
        if axes.indices.contains(place), masks.end >> index & 1 == 0 {
          try checkEnd(growth, axes[place], 2, index, numbers[index])
        }
        place += 1
      }
      return nil
    case .expand:
      throw growth.obstacle("spreads numbers over a size that is not known")
    case .elementwise, .concatenate:
      for input in node.inputs {
        guard let others = self.axes(input) else { continue }
        for (axis, other) in zip(axes.reversed(), others.reversed())
        where axis.isSpatial && !other.isSpatial && (other.size ?? 1) != 1 {
          throw growth.obstacle("puts an image and a map of the fixed size \(other.size ?? 0) together")
        }
      }
      return nil
    default: return nil
    }
  }

  private func resize(
    _ growth: Growth, _ axes: [FlowAnalysis.Axis], _ resize: Step.Resize
  ) throws(Obstacle) -> Change? {
    let places = (resize.axes ?? Array(axes.indices)).map { $0 < 0 ? $0 + axes.count : $0 }
    guard let source = self.axes(growth.node.inputs.first ?? -1), places.allSatisfy(source.indices.contains) else {
      return nil
    }
    let inputs = growth.node.inputs.map(value)
    let factors = resize.scales.flatMap { analysis.extents(.input($0), inputs) } ?? []
    for (place, factor) in zip(places, factors)
    where !source[place].isSpatial && source[place].size == 1 && factor?.number != 1 {
      throw growth.obstacle("stretches a mean of the whole image to a fixed size")
    }
    guard let sizes = resize.sizes, let target = numbers(growth.node, sizes), target.count == places.count else {
      return nil
    }
    return try vector(growth, sizes, places.map { axes[$0] }, target) { index, number, axis throws(Obstacle) in
      let before = source[places[index]]
      guard axis.isSpatial else {
        if places[index] > 0, before.size == 1, number != 1 {
          throw growth.obstacle("stretches a mean of the whole image to the fixed size \(number)")
        }
        return true
      }
      // The pitch behind follows from the size, so only a plain factor shows that the size before was as expected.
      let factor = before.pitch / axis.pitch
      guard factor == factor.rounded() || (1 / factor) == (1 / factor).rounded() else {
        throw growth.obstacle("has the size \(number), which is no whole multiple of the size before")
      }
      return false
    }
  }

  /// - Parameter isKept: Whether the number at a place along an axis needs no change.
  private func vector(
    _ growth: Growth, _ input: Int, _ axes: [FlowAnalysis.Axis], _ target: [Int?],
    isKept: (Int, Int, FlowAnalysis.Axis) throws(Obstacle) -> Bool
  ) throws(Obstacle) -> Change? {
    let vector = growth.node.inputs[input]
    var difference = Array(repeating: 0, count: target.count)
    for (place, axis) in axes.enumerated() {
      guard isConstant(vector, place), let number = target[place] else { continue }
      guard try !isKept(place, number, axis) else { continue }
      difference[place] = try growth.along(axis)
      if difference[place] == 0 { continue }
      guard (1...Int(Int32.max)).contains(number), (1...Int(Int32.max)).contains(number + difference[place]) else {
        throw growth.obstacle("has the size \(number), which cannot change by \(difference[place])")
      }
    }
    guard difference.contains(where: { $0 != 0 }) else { return nil }
    let numbers = target.compactMap { $0 }
    return Change(
      node: growth.index, input: input, old: target, difference: difference,
      numbers: dependent.contains(vector) || numbers.count != target.count
        ? nil : zip(numbers, difference).map { $0 + $1 })
  }

  /// The elements of an input that are whole numbers.
  func numbers(_ node: Flow.Node, _ input: Int) -> [Int?]? {
    analysis.extents(.input(input), node.inputs.map(value))?.map { $0?.integer }
  }

  /// Ends of slices that mean everything up to the end.
  private static let farAway = 1 << 24

  private func checkEnd(
    _ growth: Growth, _ axis: FlowAnalysis.Axis, _ input: Int, _ index: Int, _ end: Int?
  ) throws(Obstacle) {
    guard axis.isSpatial, let end, end > 0, end < Self.farAway, isConstant(growth.node.inputs[input], index) else {
      return
    }
    throw growth.obstacle("cuts the image off at pixel \(end)")
  }

  /// A network that was saved with a batch of fixed size may reckon with its shape as with any constant.
  private func checkConstant(_ growth: Growth) throws(Obstacle) {
    guard let vector = growth.node.inputs.first, !dependent.contains(vector),
      case .known(let known)? = value(vector), let elements = known.elements, elements.count >= 3,
      let height = analysis.whole(.y).number, let width = analysis.whole(.x).number, min(height, width) >= 8
    else { return }
    switch growth.node.step {
    case .slice, .stridedSlice, .gather, .reduce, .split: break
    default: return
    }
    for (first, second) in zip(elements, elements.dropFirst()) where first?.number == height && second?.number == width
    {
      throw growth.obstacle("reckons with the fixed size \(Int(width)) x \(Int(height))")
    }
  }

  /// Whether an element of a vector is the same whatever the image is, as far as it is put together from others.
  private func isConstant(_ vector: Int, _ element: Int) -> Bool {
    var (vector, element) = (vector, element)
    // Values do not run in circles, but a damaged graph's might.
    for _ in 0..<1000 {
      guard dependent.contains(vector) else { return true }
      guard let node = producer(of: vector), let first = node.inputs.first else { return false }
      switch node.step {
      case .same, .cast, .squeeze, .unsqueeze, .reshape: vector = first
      case .stack:
        guard node.inputs.indices.contains(element) else { return false }
        (vector, element) = (node.inputs[element], 0)
      case .concatenate(_, let count):
        var found = false
        for input in node.inputs.prefix(count) {
          guard case .known(let known)? = value(input), let part = known.elements?.count else { return false }
          if element < part {
            (vector, found) = (input, true)
            break
          }
          element -= part
        }
        guard found else { return false }
      default: return false
      }
    }
    return false
  }
}

extension BakedSizes {
  /// The changes that another number of images needs.
  ///
  /// - Parameter size: `nil` for any number, which is written as -1.
  func changes(batch old: Int, to size: Int?) throws(Obstacle) -> [Change] {
    var changes: [Change] = []
    for (index, node) in flow.nodes.enumerated() {
      guard let output = node.outputs.first(where: { $0 >= 0 }), let result = value(output) else { continue }
      func obstacle(_ reason: String) -> Obstacle { Obstacle(node: index, reason: reason) }
      switch result {
      case .known: continue
      case .opaque:
        if node.inputs.allSatisfy({ if case .opaque? = value($0) { false } else { true } }) {
          throw obstacle("is not understood")
        }
        continue
      case .image: break
      }
      let input: Int
      switch node.step {
      case .reshape(.input(let shape)): input = shape
      case .resize(let resize):
        guard let sizes = resize.sizes, resize.axes == nil else { continue }
        input = sizes
      case .window(let window):
        guard case .input(let sizes)? = window.outputSizes else { continue }
        input = sizes
      case .reshape, .expand, .blocks: throw obstacle("has a shape built in")
      default: continue
      }
      let vector = node.inputs[input]
      guard let target = numbers(node, input) else { throw obstacle("makes a shape that is not known") }
      guard target.first == old, isConstant(vector, 0) else { continue }
      let numbers = target.compactMap { $0 }
      guard !dependent.contains(vector), numbers.count == target.count else { throw obstacle("has a shape built in") }
      if size == nil {
        guard case .reshape = node.step, !numbers.contains(-1) else { throw obstacle("has the batch \(old) built in") }
      }
      var changed = numbers
      changed[0] = size ?? -1
      changes.append(
        Change(
          node: index, input: input, old: target, difference: zip(changed, numbers).map { $0 - $1 }, numbers: changed))
    }
    return changes
  }
}
