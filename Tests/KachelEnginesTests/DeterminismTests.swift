// SPDX-License-Identifier: Apache-2.0
internal import Foundation
internal import KachelEngines
internal import KachelTesting
internal import Synchronization
internal import Testing

/// The same input gives the same bits, however it is run.
struct DeterminismTests {
  private let picture = noise(256 * 256)

  private func compiled(_ engine: TestedEngine, threads: Int = 2, streams: Int = 1) throws -> any CompiledNetwork {
    try engine.exampleNetwork().compile(inputShape: [1, 256, 256, 1], threads: threads, streams: streams)
  }

  @Test(arguments: TestedEngine.allCases) func runToRun(_ engine: TestedEngine) throws {
    let compiled = try compiled(engine)
    let request = try compiled.makeRequest()
    let count = compiled.outputShape.reduce(1, *)
    let first = try request.run(picture, giving: count)
    // Another input between, so that what it leaves behind would show.
    let other = try request.run(noise(256 * 256, seed: 2), giving: count)
    #expect(!identical(first, other))
    #expect(identical(first, try request.run(picture, giving: count)))
    #expect(identical(first, try compiled.run(picture)))
    #expect(identical(first, try self.compiled(engine).run(picture)))
    #expect(!first.contains { $0.isNaN })
  }

  @Test(arguments: TestedEngine.allCases) func threadsAndStreams(_ engine: TestedEngine) throws {
    let expected = try compiled(engine, threads: 1).run(picture)
    for (threads, streams) in [(2, 1), (2, 2), (1, 2), (4, 2)] {
      #expect(
        identical(expected, try compiled(engine, threads: threads, streams: streams).run(picture)),
        "\(threads) threads, \(streams) streams")
    }
  }

  @Test(arguments: TestedEngine.allCases) func requestsAtTheSameTime(_ engine: TestedEngine) throws {
    let compiled = try compiled(engine, streams: 2)
    let pictures = (1...2).map { noise(256 * 256, seed: UInt64($0)) }
    let expected = try pictures.map { try compiled.run($0) }
    let failures = Mutex<[String]>([])
    DispatchQueue.concurrentPerform(iterations: 2) { index in
      do {
        let request = try compiled.makeRequest()
        for round in 0..<4 {
          let found = try request.run(pictures[index], giving: expected[index].count)
          if !identical(found, expected[index]) { failures.withLock { $0.append("\(index), round \(round)") } }
        }
      } catch {
        failures.withLock { $0.append("\(error)") }
      }
    }
    #expect(failures.withLock { $0 } == [])
  }

  /// A tile whose origin is moved by a multiple of the network's stride (8) sees the same neighbourhood of each pixel,
  /// except near its own edges; the network looks 51 pixels far.
  @Test(arguments: TestedEngine.allCases) func originsMovedByTheStride(_ engine: TestedEngine) throws {
    let (size, margin, width) = (256, 56, 256 + 24)
    let large = noise(width * width, seed: 7)
    func tile(_ x: Int, _ y: Int) -> [Float] {
      (y..<y + size).flatMap { row in large[(row * width + x)..<(row * width + x + size)] }
    }
    let compiled = try compiled(engine)
    let origin = try compiled.run(tile(0, 0))
    for (x, y) in [(8, 0), (0, 8), (24, 16)] {
      let moved = try compiled.run(tile(x, y))
      var differing = 0
      for row in (y + margin)..<(size - margin) {
        for column in (x + margin)..<(size - margin) {
          let here = (row * size + column) * 2
          let there = ((row - y) * size + column - x) * 2
          if !identical(Array(origin[here..<here + 2]), Array(moved[there..<there + 2])) { differing += 1 }
        }
      }
      #expect(differing == 0, "moved by \(x), \(y)")
    }
  }

  /// Compile calls do not disturb each other, in whatever order and with whatever shapes.
  @Test(arguments: TestedEngine.allCases) func shapesOneAfterAnother(_ engine: TestedEngine) throws {
    let network = try engine.exampleNetwork()
    let first = try network.compile(inputShape: [1, 256, 256, 1], threads: 2, streams: 1)
    let expected = try first.run(picture)
    for side in [64, 128, 256, 72] {
      let compiled = try network.compile(inputShape: [1, side, side, 1], threads: 2, streams: 1)
      #expect(compiled.outputShape == [1, side, side, 2])
      let found = try compiled.run(Array(picture.prefix(side * side)))
      if side == 256 { #expect(identical(found, expected)) }
    }
    #expect(identical(try first.run(picture), expected))
  }
}
