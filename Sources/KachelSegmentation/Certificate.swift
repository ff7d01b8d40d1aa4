// SPDX-License-Identifier: Apache-2.0
import KachelModels
import KachelPixels

/// What a run promises of its result: whether the way in which the image was cut shows in it.
public struct Certificate: Codable, Sendable, Hashable, CustomStringConvertible {
  public enum Promise: String, Codable, Sendable, Hashable {
    /// The result is that of the whole image in one tile, bit for bit.
    case exact
    /// It is not, or may not be, but is the same for any region, memory, threads and planes chosen: tiles lie on a fixed
    /// grid.
    case canonical
    /// Tiles see less than the network needs; pixels near their borders may differ from those of the whole image.
    case approximate
    /// Tiles are those of ZEN.
    case zen
  }

  /// What a result must promise at least.
  public enum Requirement: String, Codable, Sendable, Hashable, CaseIterable {
    case exact
    case canonical

    func isMet(by promise: Promise) -> Bool {
      switch promise {
      case .exact: true
      case .canonical: self == .canonical
      case .approximate, .zen: false
      }
    }
  }

  public var promise: Promise
  /// What keeps the result from being exact: the operation and node, or the halo.
  public var reason: String?
  /// By how much an approximate result is wrong, in a sample.
  public var measuredError: MeasuredError?
  /// What was not given to the network, where something may have been left out.
  public var background: SkippedBackground?
  /// Whose statistics the network's input is standardised with, where it is.
  public var statistics: StatisticsScope?

  public init(promise: Promise, reason: String? = nil, statistics: StatisticsScope? = nil) {
    self.promise = promise
    self.reason = reason
    self.statistics = statistics
  }

  public var description: String {
    promise.rawValue + (statistics.map { " with statistics of the \($0.rawValue)" } ?? "")
      + (reason.map { ": \($0)" } ?? "") + (measuredError.map { "; \($0)" } ?? "")
      + (background.map { "; \($0)" } ?? "")
  }

  /// The certificate of a run that leaves out background.
  func skipping(_ choice: BackgroundChoice?, _ signals: [[SignalMap]]?) -> Certificate {
    guard let choice, let signals else { return self }
    var certificate = self
    certificate.background = SkippedBackground(choice, signals)
    return certificate
  }

  /// The certificate of a network that is run with these tiles.
  init(
    _ facts: GraphFacts, _ plan: TilePlan, statistics: StatisticsScope? = nil, bound: String? = nil,
    rounding: String? = nil
  ) {
    self.init(facts, plan)
    if let rounding, promise == .exact { (promise, reason) = (.canonical, rounding) }
    self.statistics = statistics
    if let bound, let reason { self.reason = "\(reason), and the image's own cannot be taken, as \(bound)" }
  }

  private init(_ facts: GraphFacts, _ plan: TilePlan) {
    let rules = plan.rules
    guard rules.tiling == .aligned else {
      self.init(promise: .zen, reason: "tiles are cut as ZEN cuts them, and depend on the image's size")
      return
    }
    // An axis of one tile has no border between tiles.
    let (hasColumns, hasRows) = (plan.grids.contains { $0.x.count > 1 }, plan.grids.contains { $0.y.count > 1 })
    let lack = facts.neededBorder.flatMap { needed -> String? in
      let isTooSmall = (hasColumns && rules.halo.width < needed.x) || (hasRows && rules.halo.height < needed.y)
      let size = Size(width: needed.x, height: needed.y)
      return isTooSmall
        ? "tiles see \(rules.halo) pixels around what they decide, the network needs \(size)" : nil
    }
    switch (facts.exactness, lack) {
    case (.exact, let lack?), (.canonical, let lack?): self.init(promise: .approximate, reason: lack)
    case (.exact, nil): self.init(promise: .exact)
    case (.exactWithStatistics(let reason), _), (.canonical(let reason), nil):
      self.init(promise: .canonical, reason: reason)
    }
  }
}

/// The part of the image that shows nothing, whose result is 0. It follows from the image alone and so does not depend
/// on how it is cut.
public struct SkippedBackground: Codable, Sendable, Hashable, CustomStringConvertible {
  /// What was asked for: `auto` or a value.
  public var choice: String
  /// The share of the blocks of 64 x 64 pixels.
  public var fraction: Double
  /// Up to which values a channel's pixels were background, or from which on; where planes differ, in the first of them.
  public var upTo: [Float]?
  public var from: [Float]?

  init(_ choice: BackgroundChoice, _ signals: [[SignalMap]]) {
    self.choice = choice.description
    let maps = signals.joined(), all = maps.reduce(0) { $0 + $1.blocks.all }
    fraction = all == 0 ? 0 : Double(maps.reduce(0) { $0 + $1.blocks.background }) / Double(all)
    let ranges = maps.first?.background ?? []
    if !ranges.isEmpty, ranges.allSatisfy({ $0.upperBound.isFinite }) { upTo = ranges.map(\.upperBound) }
    if !ranges.isEmpty, ranges.allSatisfy({ $0.lowerBound.isFinite }) { from = ranges.map(\.lowerBound) }
  }

  public var description: String {
    func list(_ values: [Float]) -> String { values.map { "\($0)" }.joined(separator: ", ") }
    guard let values = upTo.map({ "values up to " + list($0) }) ?? from.map({ "values from " + list($0) + " on" })
    else { return "no background was found to leave out" }
    return "\(Int((100 * fraction).rounded())) % is background (\(values)) and left out"
  }
}

/// What a tile sees around the pixels that it decides.
public enum HaloChoice: Sendable, Hashable {
  /// What the network needs by its graph; the package's border where that is not finite or takes most of a tile.
  case automatic
  /// The package's border.
  case package
  /// Pixels on each side.
  case pixels(Int)

  /// Reads `auto`, `package` or a number.
  public init?(_ text: String) {
    switch text {
    case "auto": self = .automatic
    case "package": self = .package
    default:
      guard let pixels = Int(text) else { return nil }
      self = .pixels(pixels)
    }
  }
}
