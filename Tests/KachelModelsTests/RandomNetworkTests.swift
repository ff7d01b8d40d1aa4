// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import KachelTesting
import SwiftProtobuf
import Testing

/// What pixels see in random networks, against a slow oracle: for every pixel of a row the set of pixels that it is made
/// of, operation by operation.
@Suite struct RandomNetworkTests {
  /// A row of an image, and of which pixels of the input each of its elements is made.
  private struct Row {
    var sources: [Set<Int>]

    init(count: Int) { sources = (0..<count).map { [$0] } }
    init(count: Int, _ elements: (Int) -> [Int], of row: Row) {
      sources = (0..<count).map { index in
        elements(index).reduce(into: []) { set, element in
          if row.sources.indices.contains(element) { set.formUnion(row.sources[element]) }
        }
      }
    }

    var count: Int { sources.count }

    func window(kernel: Int, stride: Int, dilation: Int, before: Int, count: Int) -> Row {
      Row(count: count, { index in (0..<kernel).map { index * stride - before + $0 * dilation } }, of: self)
    }

    func transposedWindow(kernel: Int, stride: Int, dilation: Int, before: Int, count: Int) -> Row {
      // Every element spreads over those that it is added to.
      var result = Row(count: 0)
      result.sources = Array(repeating: [], count: count)
      for index in sources.indices {
        for tap in 0..<kernel {
          let target = index * stride - before + tap * dilation
          if result.sources.indices.contains(target) { result.sources[target].formUnion(sources[index]) }
        }
      }
      return result
    }

    func resized(by factor: Int, mode: String, place: String, rounding: String) -> Row {
      Row(
        count: count * factor,
        { index in
          let x =
            switch place {
            case "half_pixel": (Double(index) + 0.5) / Double(factor) - 0.5
            case "asymmetric": Double(index) / Double(factor)
            default: (Double(index) + 0.5) / Double(factor)
            }
          let inside = { (element: Double) in min(max(Int(element), 0), count - 1) }
          switch (mode, rounding) {
          case ("linear", _): return [inside(x.rounded(.down)), inside(x.rounded(.up))]
          case ("nearest", "floor"): return [inside(x.rounded(.down))]
          case ("nearest", "ceil"): return [inside(x.rounded(.up))]
          case ("nearest", "round_prefer_floor"): return [inside((x - 0.5).rounded(.up))]
          default: return [inside((x + 0.5).rounded(.down))]
          }
        }, of: self)
    }
  }

  /// A network of one random operation after the other, and what its pixels are made of.
  private struct Pair {
    var network: NetworkFixture
    var row: Row
    var random: SeededRandom
    /// By how much the row is smaller than the input, in steps.
    var factors: [Int] = []
    /// Earlier values at the resolution at hand.
    var earlier: [Int: [(name: String, row: Row)]] = [:]
    var description: [String] = []

    init(seed: UInt64, count: Int) {
      network = NetworkFixture(input: [nil, 4, 36, count])
      row = Row(count: count)
      random = SeededRandom(seed: seed)
    }

    mutating func choose(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    mutating func step() {
      earlier[row.count, default: []].append((network.last, row))
      switch choose(0...9) {
      case 0...3: convolution()
      case 4, 5: factors.reduce(1, *) < 6 ? down() : convolution()
      case 6: factors.isEmpty ? convolution() : up()
      case 7, 8: branch()
      default: shift()
      }
    }

    mutating func convolution() {
      let (kernel, dilation) = (choose(1...4), choose(1...2))
      let total = (kernel - 1) * dilation
      let before = choose(0...total)
      add("Conv", kernel, 1, dilation, before, total - before)
      row = row.window(kernel: kernel, stride: 1, dilation: dilation, before: before, count: row.count)
    }

    mutating func down() {
      let stride = choose(2...3)
      let kernel = choose(stride...stride + 2)
      let before = choose(0...kernel - stride)
      add(choose(0...1) == 0 ? "Conv" : "MaxPool", kernel, stride, 1, before, kernel - stride - before)
      row = row.window(kernel: kernel, stride: stride, dilation: 1, before: before, count: row.count / stride)
      factors.append(stride)
    }

    mutating func up() {
      let factor = factors.removeLast()
      if choose(0...1) == 0 {
        let kernel = choose(1...5)
        let before = choose(0...max(0, kernel - factor))
        let after = max(0, kernel - factor - before)
        add("ConvTranspose", kernel, factor, 1, before, after, outputPadding: max(0, factor - kernel))
        row = row.transposedWindow(
          kernel: kernel, stride: factor, dilation: 1, before: before, count: row.count * factor)
      } else {
        let mode = ["nearest", "linear"][choose(0...1)]
        let places =
          mode == "nearest" ? ["half_pixel", "asymmetric", "tf_half_pixel_for_nn"] : ["half_pixel", "asymmetric"]
        let place = places[choose(0...places.count - 1)]
        let rounding = ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"][choose(0...3)]
        network.add(
          "Resize", ["", network.floats([1, 1, 1, Float(factor)])],
          text: ["mode": mode, "coordinate_transformation_mode": place, "nearest_mode": rounding])
        row = row.resized(by: factor, mode: mode, place: place, rounding: rounding)
        description.append("\(mode) \(place) \(rounding) x\(factor)")
      }
    }

    mutating func branch() {
      guard let others = earlier[row.count], let other = others.randomElement(using: &random) else { return }
      network.add("Add", [other.name])
      for index in row.sources.indices { row.sources[index].formUnion(other.row.sources[index]) }
      description.append("branch")
    }

    /// Pads on one side and cuts off the other.
    mutating func shift() {
      let (before, start) = (choose(0...3), choose(0...3))
      let count = row.count
      network.add("Pad", [network.integers([0, 0, 0, Int64(before), 0, 0, 0, Int64(start)])])
      network.add(
        "Slice",
        [network.integers([Int64(start)]), network.integers([Int64(count + start)]), network.integers([3])])
      row = Row(count: count, { [$0 + start - before] }, of: row)
      description.append("shift \(start - before)")
    }

    private mutating func add(
      _ operation: String, _ kernel: Int, _ stride: Int, _ dilation: Int, _ before: Int, _ after: Int,
      outputPadding: Int = 0
    ) {
      var ints: [String: [Int64]] = [
        "kernel_shape": [1, Int64(kernel)], "strides": [1, Int64(stride)], "pads": [0, Int64(before), 0, Int64(after)],
      ]
      if operation != "MaxPool" { ints["dilations"] = [1, Int64(dilation)] }
      if outputPadding > 0 { ints["output_padding"] = [0, Int64(outputPadding)] }
      network.add(operation, operation == "MaxPool" ? [] : [network.weights([4, 4, 1, kernel])], ints: ints)
      description.append("\(operation) k\(kernel) s\(stride) d\(dilation) p\(before),\(after) o\(outputPadding)")
    }
  }

  @Test(arguments: 0..<40) func everyPixelSeesWhatItIsMadeOf(batch: Int) throws {
    for seed in batch * 10..<batch * 10 + 10 {
      let count = 720
      var pair = Pair(seed: UInt64(seed), count: count)
      for _ in 0..<pair.choose(1...8) { pair.step() }
      while !pair.factors.isEmpty { pair.up() }
      let text: Comment = "\(seed): \(pair.description.joined(separator: ", "))"
      var model = pair.network.model(opset: 13)
      model.graph.output[0].type.tensorType.shape.dim = model.graph.input[0].type.tensorType.shape.dim
      let facts = try ONNXGraph(model.serializedBytes(), file: "f", member: "m").facts(layout: .channelsFirst)
      let stride = try #require(facts.stride, text), field = try #require(facts.receptiveField, text)
      let border = try #require(facts.neededBorder, text)
      #expect(stride.y == 1 && field.y == 0 && border.y == 0, text)
      let isUneven = pair.description.contains { $0.hasPrefix("linear") && $0.hasSuffix("x3") }
      #expect(facts.exactness.name == (isUneven ? "canonical" : "exact"), text)
      // Away from the edges, where nothing is missing.
      let middle = count / 3 / stride.x * stride.x..<(2 * count / 3) / stride.x * stride.x
      try #require(field.x < count / 3)
      var influence = 0, left = 0, right = 0
      for pixel in middle {
        let sources = pair.row.sources[pixel]
        guard let first = sources.min(), let last = sources.max() else { continue }
        influence = max(influence, pixel - first, last - pixel)
        left = max(left, pixel / stride.x * stride.x - first)
        right = max(right, last - (pixel / stride.x * stride.x + stride.x - 1))
        // The stride is one: the next pixel but so many sees the same, so much further.
        #expect(Set(sources.map { $0 + stride.x }) == pair.row.sources[pixel + stride.x], text)
      }
      #expect(field.x == influence, text)
      let needed = max(left, right)
      #expect(border.x == (needed + stride.x - 1) / stride.x * stride.x, text)
    }
  }
}
