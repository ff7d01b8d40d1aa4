// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

@main
struct KachelBenchmarks: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What Benchmarks/run and Benchmarks/formats need besides Kachel itself.",
    subcommands: [MakeSlide.self, MakeSparseSlide.self, EngineOnly.self, ReadImage.self, WriteImage.self])
}

struct EngineOnly: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run the network over the tiles of a run, with nothing around it.",
    discussion: "Prints JSON: how many tiles were run, and the seconds that they and the network's preparation took.")

  @Argument(help: "The image that was segmented.") var image: String
  @Argument(help: "What `kachel segment --json` printed for it.") var provenance: String
  @Option(help: "The model package, with an ONNX network.") var model: String
  @Option(help: "Run at most so many of the tiles.") var tiles: Int?
  @Flag(help: "Leave a softmax at the network's end out, as a run does.") var logits = false

  func run() async throws {
    let run = try JSONDecoder().decode(Provenance.self, from: Data(contentsOf: URL(filePath: provenance)))
    let alone = try EngineAlone(run, image: Image(at: image), package: ModelPackage(at: model), givesLogits: logits)
    try printJSON(try await alone.measure(tiles: min(run.tiles.count, tiles ?? .max)))
  }
}
