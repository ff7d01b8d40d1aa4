// SPDX-License-Identifier: Apache-2.0
import KachelPixels

/// What the planner decided, as a journal keeps it: a resumed run has the tiles, halo, streams and threads of the first
/// one, whatever memory is free now.
struct PlanRecord: Codable, Sendable {
  /// Width and height in pixels.
  var stride: [Int]
  var halo: [Int]
  /// The size that the network or the user fixes, or else that of the largest plane's tiles.
  var tile: [Int]
  var shrinks: [Bool]
  var tiling: Tiling
  var identifier: String
  var streams: Int
  var threads: Int
  var outputChannels: Int
  var certificate: Certificate
  var warnings: [String]

  init(_ decision: Planner.Decision, threads: Int) {
    let rules = decision.plan.rules
    let largest = decision.plan.grids.max { $0.x.length * $0.y.length < $1.x.length * $1.y.length }
    let tile = rules.fixed ?? largest.map { Size(width: $0.x.tile, height: $0.y.tile) } ?? Size(width: 0, height: 0)
    stride = [rules.stride.width, rules.stride.height]
    halo = [rules.halo.width, rules.halo.height]
    self.tile = [tile.width, tile.height]
    shrinks = [rules.shrinks.width, rules.shrinks.height]
    (tiling, identifier) = (rules.tiling, decision.plan.identifier)
    (streams, self.threads) = (decision.streams, threads)
    (outputChannels, certificate, warnings) = (decision.outputChannels, decision.certificate, decision.warnings)
  }

  /// What was decided.
  ///
  /// - Parameter mostPixels: how many pixels a tile may have.
  /// - Returns: `nil` where the record is none of a plan for such planes.
  func decision(planes: [Size], mostPixels: Int) -> Planner.Decision? {
    func isSize(_ numbers: [Int], _ range: ClosedRange<Int>) -> Bool {
      numbers.count == 2 && numbers.allSatisfy(range.contains)
    }
    guard isSize(stride, 1...1 << 15), isSize(halo, 0...1 << 15), isSize(tile, 1...1 << 15),
      tile[0] * tile[1] <= mostPixels, shrinks.count == 2,
      1...64 ~= streams, 1...1 << 16 ~= threads, 1...1 << 16 ~= outputChannels
    else { return nil }
    let rules = TileRules(
      stride: Size(width: stride[0], height: stride[1]), halo: Size(width: halo[0], height: halo[1]),
      fixed: Size(width: tile[0], height: tile[1]), shrinks: (shrinks[0], shrinks[1]), tiling: tiling)
    guard let plan = TilePlan(planes: planes, rules: rules, tilePixels: 0), plan.identifier == identifier else {
      return nil
    }
    return Planner.Decision(
      plan: plan, streams: streams, outputChannels: outputChannels, certificate: certificate, warnings: warnings)
  }
}
