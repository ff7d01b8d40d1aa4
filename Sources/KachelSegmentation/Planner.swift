// SPDX-License-Identifier: Apache-2.0
private import Foundation
import KachelEngines
import KachelImages
import KachelModels
import KachelPixels

/// Decides how large tiles are, from what the package declares, the network fixes and the memory allows.
struct Planner {
  let package: ModelPackage
  let runNetwork: RunNetwork
  let network: any Network
  let options: SegmentationOptions
  let threads: Int
  /// That the engine rounds differently in tiles of another size, and why, where it does.
  var rounding: String?
  /// The pixels that a tile may have where its size is free, whatever memory allows.
  var mostTilePixels = Int.max
  /// What a run may be advised to take.
  var mostMemory = MemoryLimit.halfOfFree

  /// A plan and how many requests run at the same time.
  struct Decision {
    let plan: TilePlan
    let streams: Int
    /// Channels of the network's output.
    let outputChannels: Int
    let certificate: Certificate
    let warnings: [String]
    /// What more memory would buy, where that is much. It follows from what this machine has, and so is not part of what a
    /// result tells of itself.
    var advice: String?
  }

  /// A plan, how many requests run at the same time, what the engine then has to do, in pixels, and the memory for it.
  private struct Candidate {
    let plan: TilePlan
    let streams: Int
    let work: Double
    let bytes: Int

    /// The less, the better: half of the memory is worth 3.5 % more work. Smaller tiles also stay closer to the processor's
    /// caches.
    var cost: Double { work * pow(Double(bytes), 0.05) }
  }

  private var facts: GraphFacts { runNetwork.facts }

  /// What a tile sees around its core where neither the package nor the user says.
  static let assumedHalo = 64
  /// The stride of a network whose graph does not plainly show it.
  static let assumedStride = 32
  /// The tile of a network that takes any size but whose answer depends on it, where the package declares none.
  static let assumedTile = 512
  /// A second request at the same time makes a tile about this much cheaper, and costs memory.
  fileprivate static let secondStreamGain = 0.93
  /// The first tile of a request takes this much longer than another one, as all of its memory is touched for the first
  /// time: 0.15 to 0.4 was measured.
  fileprivate static let firstTile = 0.3
  /// How much smaller the tiles of one plan are than those of the plan that was looked at before.
  private static let step = 0.7
  /// Smaller tiles than this are not looked for.
  private static let leastTilePixels = 1 << 16

  /// - Parameter otherBytes: what the run needs besides the engine and the tiles: caches, the preview.
  func decide(
    planes: [Size], mapping: InputMapping, bytesPerPixel: Int, otherBytes: Int
  ) throws -> Decision {
    let (own, declared) = (try rules(halo: ownHalo), try rules(halo: declaredHalo))
    // Where the tile's size is fixed, the plan is known before the memory is.
    guard [own, declared].contains(where: { TilePlan(planes: planes, rules: $0, tilePixels: .max >> 8) != nil }) else {
      throw noRoom(own)
    }
    let probe = try TileProbe.measure(
      network, fixed: fixedShape, stride: own.stride, channels: mapping.channels, threads: threads,
      limit: options.memory, file: package.path)
    let budget = MemoryBudget(
      limit: options.memory.bytes, fixed: probe.fixedBytes + otherBytes, enginePerPixel: probe.bytesPerPixel,
      // The image's pixels, the input, the scores, and label, confidence and coverage.
      slotPerPixel: bytesPerPixel + 4 * mapping.channels + 4 * probe.outputChannels + 5)
    return try decide(planes: planes, budget: budget, outputChannels: probe.outputChannels)
  }

  /// Decides where it is known what the network costs.
  func decide(planes: [Size], budget: MemoryBudget, outputChannels: Int) throws -> Decision {
    let (own, declared) = (try rules(halo: ownHalo), try rules(halo: declaredHalo))
    var rules = own
    var best = best(planes, own, budget)
    if options.halo == .automatic, declared.halo.width < own.halo.width || declared.halo.height < own.halo.height,
      best.map({ $0.plan.isMostlyHalo }) ?? true
    {
      rules = declared
      best = self.best(planes, declared, budget)
    }
    guard let best else {
      let least =
        TilePlan(planes: planes, rules: rules, tilePixels: 0)?.largestTile
        ?? (2 * rules.halo.width + rules.stride.width) * (2 * rules.halo.height + rules.stride.height)
      let needed = MemoryLimit(bytes: budget.needed(tilePixels: least, streams: 1))
      throw SegmentationError(
        .memory, file: package.path,
        "a tile needs about \(needed), more than the \(options.memory) allowed; pass --memory with more")
    }
    let certificate = Certificate(
      facts, best.plan, statistics: runNetwork.statistics, bound: runNetwork.bound, rounding: rounding)
    let advice = advice(best, planes, own, budget)
    if let requirement = options.requirement, !requirement.isMet(by: certificate.promise) {
      throw SegmentationError(
        .option, file: package.path,
        "the result would not be \(requirement.rawValue): \(certificate)"
          + (rules.halo == own.halo ? "" : advice.map { "; \($0)" } ?? ""))
    }
    return Decision(
      plan: best.plan, streams: best.streams, outputChannels: outputChannels, certificate: certificate,
      warnings: warnings(rules), advice: advice)
  }

  /// The plan that fits into memory with the least cost.
  private func best(_ planes: [Size], _ rules: TileRules, _ budget: MemoryBudget) -> Candidate? {
    var fitting: [Candidate] = []
    for streams in 1...min(2, threads) {
      var pixels = min(mostTilePixels, budget.tilePixels(streams: streams))
      repeat {
        guard let plan = TilePlan(planes: planes, rules: rules, tilePixels: pixels) else { break }
        pixels = Int(Double(plan.largestTile) * Self.step)
        let bytes = budget.needed(tilePixels: plan.largestTile, streams: streams)
        guard bytes <= budget.limit else { continue }
        fitting.append(Candidate(plan: plan, streams: streams, work: plan.work(streams: streams), bytes: bytes))
      } while rules.fixed == nil && pixels >= Self.leastTilePixels
    }
    return fitting.min { $0.cost < $1.cost }
  }

  /// What more memory would buy where there is so little that tiles do not see all that the network does, or that most of
  /// the engine's work is in their halos; `nil` where the machine has no more, or it would buy little.
  ///
  /// - Parameter rules: what tiles respect where there is enough.
  private func advice(_ chosen: Candidate, _ planes: [Size], _ rules: TileRules, _ budget: MemoryBudget) -> String? {
    let most = mostMemory.bytes
    guard most > budget.limit else { return nil }
    let more = (sequence(first: 2 * budget.limit) { 2 * $0 }.prefix { $0 < most } + [most]).compactMap { limit in
      var budget = budget
      budget.limit = limit
      return best(planes, rules, budget)
    }
    func remedy(_ plan: Candidate) -> String {
      let hundred = 100 << 20
      return "pass --memory \((plan.bytes + hundred - 1) / hundred * 100)M"
    }
    guard chosen.plan.rules.halo == rules.halo else {
      return more.first { !$0.plan.isMostlyHalo }.map {
        "there is too little memory for tiles that see all that the network does; \(remedy($0))"
      }
    }
    guard let ample = more.last, chosen.work > 1.5 * ample.work,
      let enough = more.first(where: { $0.work <= 1.25 * ample.work })
    else { return nil }
    let grid = chosen.plan.grids[0]
    let times = String(format: "%.1f", chosen.work / enough.work)
    return """
      tiles of \(grid.x.tile) x \(grid.y.tile) pixels with halos of \(rules.halo) make \(times) times the work that \
      larger ones would; \(remedy(enough))
      """
  }

  private func warnings(_ rules: TileRules) -> [String] {
    var warnings: [String] = []
    if facts.stride == nil {
      warnings.append("the network's stride is not plain from its graph; \(Self.assumedStride) is assumed")
    }
    if package.metadata.border == nil, options.halo == .package || (options.halo == .automatic && needed == nil) {
      warnings.append("the package declares no border; tiles see \(Self.assumedHalo) pixels around what they decide")
    }
    if let rounding { warnings.append(rounding) }
    if let bound = runNetwork.bound {
      warnings.append("the network standardises every tile with its own statistics, as \(bound)")
    }
    return warnings
  }

  private func noRoom(_ rules: TileRules) -> SegmentationError {
    let tile = rules.fixed.map { "\($0)" } ?? "any size"
    let isAsked = options.tileSide != nil || options.halo != .automatic
    return SegmentationError(
      isAsked ? .option : .mismatch, file: package.path,
      """
      tiles of \(tile) pixels leave no room between halos of \(rules.halo) pixels on either side, and the image is \
      larger than one tile. Choose larger tiles (--tile-size) or a smaller halo (--halo)
      """)
  }

  /// The height and width that the network fixes.
  private var fixedShape: (height: Int?, width: Int?) {
    guard let shape = network.inputs.first?.shape, shape.count == 4 else { return (nil, nil) }
    return (shape[1], shape[2])
  }

  /// What the network needs by its graph; `nil` where that is not finite.
  private var needed: Size? {
    facts.stride == nil ? nil : facts.neededBorder.map { Size(width: $0.x, height: $0.y) }
  }

  /// The package's border.
  private var declaredHalo: Size {
    package.metadata.border.map { Size(width: $0.x, height: $0.y) }
      ?? Size(width: Self.assumedHalo, height: Self.assumedHalo)
  }

  /// The halo that is asked for. ZEN takes the package's.
  private var ownHalo: Size {
    switch options.halo {
    case .pixels(let pixels): Size(width: pixels, height: pixels)
    case .automatic where options.tiling == .aligned: needed ?? declaredHalo
    case .automatic, .package: declaredHalo
    }
  }

  private func rules(halo: Size) throws(SegmentationError) -> TileRules {
    var halo = halo
    let stride =
      facts.stride.map { Size(width: $0.x, height: $0.y) }
      ?? Size(width: Self.assumedStride, height: Self.assumedStride)
    if options.tiling == .zen {
      return TileRules(stride: stride, halo: halo, fixed: try zenTile(), shrinks: (false, false), tiling: .zen)
    }
    halo.width = AxisGrid.roundUp(halo.width, to: stride.width)
    halo.height = AxisGrid.roundUp(halo.height, to: stride.height)
    return TileRules(
      stride: stride, halo: halo, fixed: try fixedTile(stride),
      shrinks: (width: fixedShape.width == nil, height: fixedShape.height == nil))
  }

  /// ZEN's tile is what the package or the network says; it never follows from memory.
  private func zenTile() throws(SegmentationError) -> Size {
    let own = fixedShape
    let declared = package.metadata.tileSize
    guard let width = own.width ?? options.tileSide ?? declared?.width,
      let height = own.height ?? options.tileSide ?? declared?.height
    else {
      throw SegmentationError(
        .option, file: package.path,
        "neither the package nor the network says how large ZEN's tiles are; name their side with --tile-size")
    }
    if let side = options.tileSide, side != width || side != height {
      throw SegmentationError(
        .option, file: package.path, "the network takes tiles of \(width) x \(height) pixels only, not of \(side)")
    }
    return Size(width: width, height: height)
  }

  /// The tile's size, where it does not follow from memory.
  private func fixedTile(_ stride: Size) throws(SegmentationError) -> Size? {
    let own = fixedShape
    if let side = options.tileSide {
      for (name, length) in [("high", own.height), ("wide", own.width)] {
        guard let length, length != side else { continue }
        throw SegmentationError(
          .option, file: package.path, "the network takes tiles that are \(length) pixels \(name) only, not \(side)")
      }
      return Size(
        width: own.width ?? AxisGrid.roundUp(side, to: stride.width),
        height: own.height ?? AxisGrid.roundUp(side, to: stride.height))
    }
    if let height = own.height, let width = own.width { return Size(width: width, height: height) }
    // Where a pixel's answer depends on the whole tile, or may do so, it must not depend on this machine's memory.
    let isExact = facts.exactness == .exact && rounding == nil
    guard !isExact || own.height != nil || own.width != nil else { return nil }
    let declared =
      runNetwork.ownSize ?? package.metadata.tileSize ?? Size(width: Self.assumedTile, height: Self.assumedTile)
    return Size(
      width: own.width ?? AxisGrid.roundUp(declared.width, to: stride.width),
      height: own.height ?? AxisGrid.roundUp(declared.height, to: stride.height))
  }
}

extension TilePlan {
  /// Whether the halos of a tile take more than half of it along an axis that has several.
  fileprivate var isMostlyHalo: Bool {
    grids.contains { grid in [grid.x, grid.y].contains { $0.count > 1 && 4 * $0.halo > $0.tile } }
  }
}

extension TilePlan {
  /// What the engine has to do, in pixels: with two requests at a time a tile costs a little less, but each has half
  /// of the threads, and the last one of an odd number leaves half of the machine idle.
  fileprivate func work(streams: Int) -> Double {
    let pixels = grids.reduce(0.0) { sum, grid in
      let tiles = (grid.x.count * grid.y.count + streams - 1) / streams * streams
      return sum + Double(grid.x.tile * grid.y.tile) * Double(tiles)
    }
    let first = Double(largestTile * streams) * Planner.firstTile
    return (pixels + first) * (streams == 2 ? Planner.secondStreamGain : 1)
  }
}
