// SPDX-License-Identifier: Apache-2.0

/// A size that is known as a formula only, as of an image that may have any height: whole multiples of products of
/// unknown sizes, added up. Formulas that are equal are equal as values, as far as the rules here bring them into one
/// form; so twice the height and the height of a picture upsampled by 2 are recognised as the same.
struct Dimension: Hashable, Sendable {
  /// A size that is not known further.
  struct Unknown: Hashable, Sendable {
    indirect enum Kind: Sendable {
      /// The size of an axis of a value in the ONNX graph.
      case axis(of: String, Int)
      /// A formula divided by a number, rounded down.
      case quotient(Dimension, Int)
    }
    let kind: Kind
    /// Tells unknown sizes apart and puts them in order.
    let key: String

    static func == (a: Self, b: Self) -> Bool { a.key == b.key }
    func hash(into hasher: inout Hasher) { hasher.combine(key) }
  }

  struct Term: Hashable, Sendable {
    /// In the order of their keys.
    var factors: [Unknown]
    var coefficient: Int

    fileprivate var key: String { factors.map(\.key).joined(separator: "*") }
  }

  /// In the order of their factors, none of them 0.
  let terms: [Term]

  /// Longer formulas are none that sizes of networks have.
  private static let mostTerms = 16
  private static let mostFactors = 6
  private static let longestKey = 2000
  /// Numbers up to this one are added and divided without a thought of overflow.
  private static let largestNumber = 1 << 48

  private init?(_ terms: [Term]) {
    var sums: [[Unknown]: Int] = [:]
    for term in terms {
      let sum = sums[term.factors, default: 0].addingReportingOverflow(term.coefficient)
      guard !sum.overflow else { return nil }
      sums[term.factors] = sum.partialValue
    }
    let kept = sums.filter { $0.value != 0 }.map { Term(factors: $0.key, coefficient: $0.value) }
    guard kept.count <= Self.mostTerms, kept.allSatisfy({ $0.factors.count <= Self.mostFactors }) else { return nil }
    self.terms = kept.map { ($0, $0.key) }.sorted { $0.1 < $1.1 }.map(\.0)
  }

  init(_ number: Int) { terms = number == 0 ? [] : [Term(factors: [], coefficient: number)] }

  private init(_ unknown: Unknown) { terms = [Term(factors: [unknown], coefficient: 1)] }

  init(axis: Int, of value: String) {
    self.init(Unknown(kind: .axis(of: value, axis), key: "\(value)[\(axis)]"))
  }

  /// The number that the formula is.
  var number: Int? { terms.isEmpty ? 0 : terms.count == 1 && terms[0].factors.isEmpty ? terms[0].coefficient : nil }

  fileprivate var key: String { terms.map { "\($0.coefficient)*\($0.key)" }.joined(separator: "+") }

  private var isModest: Bool { terms.allSatisfy { $0.coefficient.magnitude < Self.largestNumber } }

  // Each is nil where the formula becomes too long or its numbers too large.

  static func + (a: Self, b: Self) -> Self? { Self(a.terms + b.terms) }

  static func - (a: Self, b: Self) -> Self? { (b * Self(-1)).flatMap { a + $0 } }

  static func * (a: Self, b: Self) -> Self? {
    var terms: [Term] = []
    for one in a.terms {
      for other in b.terms {
        let product = one.coefficient.multipliedReportingOverflow(by: other.coefficient)
        guard !product.overflow else { return nil }
        let factors = (one.factors + other.factors).sorted { $0.key < $1.key }
        terms.append(Term(factors: factors, coefficient: product.partialValue))
      }
    }
    return Self(terms)
  }

  /// Divided by a number and rounded down.
  static func / (a: Self, divisor: Int) -> Self? {
    guard divisor > 0, divisor < largestNumber, a.isModest else { return nil }
    if divisor == 1 { return a }
    var whole: [Term] = [], rest: [Term] = []
    for term in a.terms {
      if term.factors.isEmpty {
        let remainder = ((term.coefficient % divisor) + divisor) % divisor
        whole.append(Term(factors: [], coefficient: (term.coefficient - remainder) / divisor))
        if remainder > 0 { rest.append(Term(factors: [], coefficient: remainder)) }
      } else if term.coefficient % divisor == 0 {
        whole.append(Term(factors: term.factors, coefficient: term.coefficient / divisor))
      } else {
        rest.append(term)
      }
    }
    guard let base = Self(whole), let inner = Self(rest) else { return nil }
    let unknown = inner.terms.filter { !$0.factors.isEmpty }
    if unknown.isEmpty { return base }
    if unknown.allSatisfy({ $0.coefficient < 0 }) {
      // Rounding down below 0 is rounding up above it: floor(-a / d) = -floor((a + d - 1) / d).
      guard let positive = inner * Self(-1), let raised = positive + Self(divisor - 1), let quotient = raised / divisor
      else { return nil }
      return base - quotient
    }
    if inner.terms.count == 1, inner.terms[0].coefficient == 1, inner.terms[0].factors.count == 1,
      case .quotient(let dividend, let first) = inner.terms[0].factors[0].kind
    {
      let product = first.multipliedReportingOverflow(by: divisor)
      guard !product.overflow, let quotient = dividend / product.partialValue else { return nil }
      return base + quotient
    }
    let key = "((\(inner.key))/\(divisor))"
    guard key.utf8.count <= longestKey else { return nil }
    return base + Self(Unknown(kind: .quotient(inner, divisor), key: key))
  }

  /// Divided by a number and rounded up.
  func dividedRoundingUp(by divisor: Int) -> Self? { (self + Self(divisor - 1)).flatMap { $0 / divisor } }

  /// What is left when the formula is divided by a number.
  func remainder(by divisor: Int) -> Self? {
    (self / divisor).flatMap { $0 * Self(divisor) }.flatMap { self - $0 }
  }

  /// The formula whose product with `divisor` this is, where there is one and `divisor` is a single product.
  func divided(exactlyBy divisor: Self) -> Self? {
    guard divisor.terms.count == 1, let by = divisor.terms.first, isModest, divisor.isModest else { return nil }
    var quotient: [Term] = []
    for term in terms {
      var factors = term.factors
      for factor in by.factors {
        guard let place = factors.firstIndex(of: factor) else { return nil }
        factors.remove(at: place)
      }
      guard term.coefficient % by.coefficient == 0 else { return nil }
      quotient.append(Term(factors: factors, coefficient: term.coefficient / by.coefficient))
    }
    return Self(quotient)
  }

  static func product(_ sizes: [Self]) -> Self? {
    sizes.reduce(Self(1)) { product, size in product.flatMap { $0 * size } }
  }

  /// The simpler of two formulas that are the same number.
  static func simpler(_ a: Self, _ b: Self) -> Self {
    if a.number != nil { return a }
    if b.number != nil { return b }
    return b.key.utf8.count < a.key.utf8.count ? b : a
  }
}
