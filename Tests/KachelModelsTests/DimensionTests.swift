// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import Testing

/// Formulas of sizes that are not known.
@Suite struct DimensionTests {
  private let height = Dimension(axis: 1, of: "x")
  private let width = Dimension(axis: 2, of: "x")

  /// What a formula is for a height and a width.
  private func value(_ size: Dimension, _ h: Int, _ w: Int) -> Int {
    size.terms.reduce(0) { sum, term in
      sum
        + term.factors.reduce(term.coefficient) { product, factor in
          switch factor.kind {
          case .axis(_, let axis): product * (axis == 1 ? h : w)
          case .quotient(let dividend, let divisor):
            product * Int((Double(value(dividend, h, w)) / Double(divisor)).rounded(.down))
          }
        }
    }
  }

  private func some(_ size: Dimension?) throws -> Dimension { try #require(size) }

  @Test func equalFormulasAreEqual() throws {
    let two = Dimension(2), four = Dimension(4)
    #expect((height + height) == height * two)
    #expect((height * width) == width * height)
    let doubled = try some(height * two), half = try some(height / 2), raised = try some(height + four)
    #expect(doubled / 2 == height)
    #expect(half / 3 == height / 6)
    let quarter = try some(height / 4)
    #expect(raised / 4 == quarter + Dimension(1))
    #expect((height - height)?.number == 0)
    let area = try some(height * width), sum = try some(height + width)
    #expect(area.divided(exactlyBy: width) == height)
    #expect(sum.divided(exactlyBy: width) == nil)
  }

  /// TensorFlow pads an image to whole blocks by this, and cuts the same off again.
  @Test func paddingToWholeBlocks() throws {
    for block in [2, 3, 8] {
      let full = try some(height + Dimension(4))
      let rest = try some(full.remainder(by: block))
      let missing = try some(Dimension(block) - rest)
      let extra = try some(missing.remainder(by: block))
      for h in 1...40 { #expect(value(extra, h, 1) == (block - (h + 4) % block) % block) }
    }
  }

  @Test func formulasAreTheNumbers() throws {
    for divisor in 1...5 {
      for (a, b) in [(3, -7), (-2, 5), (4, 0), (1, 1)] {
        let product = try some(height * Dimension(a))
        let size = try some(product + Dimension(b))
        let down = try some(size / divisor), up = try some(size.dividedRoundingUp(by: divisor))
        let rest = try some(size.remainder(by: divisor))
        for h in 1...30 {
          let number = Double(a * h + b) / Double(divisor)
          #expect(value(down, h, 1) == Int(number.rounded(.down)))
          #expect(value(up, h, 1) == Int(number.rounded(.up)))
          #expect((0..<divisor).contains(value(rest, h, 1)))
        }
      }
    }
  }

  @Test func formulasStayShort() {
    var size: Dimension? = height
    for step in 2..<100 { size = size.flatMap { $0 * height }.flatMap { $0 + Dimension(axis: step, of: "y") } }
    #expect(size == nil)
    #expect(Dimension(.max) + Dimension(1) == nil)
    #expect(Dimension(.max) * Dimension(2) == nil)
    #expect(height / 0 == nil)
  }

  /// The gradient of a convolution with stride `s` over `size` pixels has the size that gives these back.
  @Test func transposedConvolutions() {
    for stride in 1...4 {
      for kernel in 1...5 {
        for beyond in -4...4 {
          for size in 2...6 {
            let target = size * stride + beyond
            let forward = (target + stride - 1) / stride
            let same = WindowAxis.transposedPadding(
              beyondStride: beyond, kernel: kernel, stride: stride, padding: .same)
            #expect((same != nil) == (forward == size))
            if let same {
              #expect((size - 1) * stride + kernel - same.begin - same.end + same.added == target)
              // TensorFlow's own: what the convolution needs to cover the image, the smaller half first.
              let total = max(0, (size - 1) * stride + kernel - target)
              #expect(same.begin == total / 2 && same.end == total - total / 2)
              #expect(same.added < stride)
            }
            let valid = WindowAxis.transposedPadding(
              beyondStride: beyond, kernel: kernel, stride: stride, padding: .explicit(0, 0))
            let isValid = target >= kernel && (target - kernel) / stride + 1 == size
            #expect((valid != nil) == isValid)
            if let valid { #expect((size - 1) * stride + kernel + valid.added == target) }
          }
        }
      }
    }
  }
}
