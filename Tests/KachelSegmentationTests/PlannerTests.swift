// SPDX-License-Identifier: Apache-2.0
import KachelEngines
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// A network of any size, of which nothing is run.
private struct PlannedNetwork: Network {
  let inputs = [Port(name: "input", shape: [1, nil, nil, 1], element: .float32)]
  var outputs: [Port] { [] }

  func compile(
    inputShape: [Int], elements: ElementTypes, threads: Int, streams: Int
  ) throws(EngineError) -> any CompiledNetwork { throw EngineError(.failed, name: "net", "it is only planned") }
}

/// Which tiles the example's network gets, which needs halos of 48, where a pixel of a tile costs the engine 300 bytes.
@Suite struct PlannerTests {
  private let planes = [Size(width: 16384, height: 16384)]

  private func budget(_ megabytes: Int) -> MemoryBudget {
    MemoryBudget(limit: megabytes << 20, fixed: 100 << 20, enginePerPixel: 300, slotPerPixel: 20)
  }

  private func decide(
    megabytes: Int, border: Int = 64, requirement: Certificate.Requirement? = nil
  ) throws -> Planner.Decision {
    var package = try Example.package("nuclei.czann")
    package.metadata.border = AxisPair(y: border, x: border)
    var options = SegmentationOptions()
    options.requirement = requirement
    var planner = Planner(
      package: package, runNetwork: try RunNetwork(of: package, options), network: PlannedNetwork(), options: options,
      threads: 2)
    planner.mostMemory = .gigabytes(8)
    return try planner.decide(planes: planes, budget: budget(megabytes), outputChannels: 2)
  }

  private func needed(_ decision: Planner.Decision) -> Int {
    budget(0).needed(tilePixels: decision.plan.largestTile, streams: decision.streams)
  }

  /// How many pixels the engine gets.
  private func pixels(_ decision: Planner.Decision) -> Int {
    decision.plan.grids.reduce(0) { $0 + $1.x.count * $1.y.count * $1.x.tile * $1.y.tile }
  }

  /// The memory that the advice tells to pass, in megabytes.
  private func advised(_ decision: Planner.Decision, _ words: String) throws -> Int {
    let advice = try #require(decision.advice)
    #expect(advice.contains(words))
    let match = try #require(advice.firstMatch(of: /; pass --memory ([0-9]+)M$/))
    return try #require(Int(match.1))
  }

  @Test(arguments: [200, 400, 800, 1600, 3200, 6400]) func thePlanFitsIntoMemory(megabytes: Int) throws {
    let decision = try decide(megabytes: megabytes)
    #expect(needed(decision) <= megabytes << 20)
    #expect(decision.plan.rules.halo == Size(width: 48, height: 48) && decision.certificate.promise == .exact)
  }

  /// What is allowed is not taken where it buys next to nothing.
  @Test func memoryIsTakenForWorkOnly() throws {
    let (ample, much) = (try decide(megabytes: 6000), try decide(megabytes: 12000))
    #expect(needed(much) <= needed(ample))
    #expect(ample.advice == nil && much.advice == nil)
  }

  @Test func littleMemoryIsSaidToCostWork() throws {
    let little = try decide(megabytes: 150)
    let enough = try decide(megabytes: advised(little, "times the work that larger ones would"))
    #expect(enough.advice == nil)
    #expect(2 * pixels(little) > 3 * pixels(enough))
  }

  /// A package's border that is less than what the network needs is taken only where no tile has room for that.
  @Test func littleMemoryIsSaidToCostExactness() throws {
    let little = try decide(megabytes: 110, border: 16)
    #expect(little.plan.rules.halo == Size(width: 16, height: 16) && little.certificate.promise == .approximate)
    let enough = try decide(megabytes: advised(little, "see all that the network does"), border: 16)
    #expect(enough.plan.rules.halo == Size(width: 48, height: 48) && enough.certificate.promise == .exact)
    let error = #expect(throws: SegmentationError.self) { try decide(megabytes: 110, border: 16, requirement: .exact) }
    #expect(error?.kind == .option && error?.description.contains("does; pass --memory ") == true)
  }

  @Test func tooLittleMemoryIsRefused() throws {
    let error = #expect(throws: SegmentationError.self) { try decide(megabytes: 101) }
    #expect(error?.kind == .memory)
  }
}
