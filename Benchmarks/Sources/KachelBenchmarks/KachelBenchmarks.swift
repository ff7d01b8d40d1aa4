// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

@main
struct KachelBenchmarks: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What Benchmarks/run needs besides Kachel itself.", subcommands: [MakeSlide.self, EngineOnly.self])
}

struct MakeSlide: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a large CZI mosaic out of the pixels of a small image.")

  @Argument(help: "The side of the square image in pixels.") var side: Int
  @Argument(help: "The file to write.") var output: String
  @Option(help: "The image whose pixels are repeated: gray, 8 bit.") var from: String

  func validate() throws {
    guard (1...1 << 20).contains(side) else { throw ValidationError("a side is 1 to \(1 << 20) pixels") }
  }

  func run() throws {
    let writer = try SlideWriter(output)
    try writer.write(side: side, content: SlideContent(of: Image(at: from)))
  }
}

struct EngineOnly: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run the network over the tiles of a run, with nothing around it.",
    discussion: "Prints JSON: how many tiles were run, and the seconds that they and the network's preparation took.")

  @Argument(help: "The image that was segmented.") var image: String
  @Argument(help: "What `kachel segment --json` printed for it.") var provenance: String
  @Option(help: "The model package, with an ONNX network.") var model: String
  @Option(help: "Run at most so many of the tiles.") var tiles: Int?

  func run() async throws {
    let run = try JSONDecoder().decode(Provenance.self, from: Data(contentsOf: URL(filePath: provenance)))
    let alone = try EngineAlone(run, image: Image(at: image), package: ModelPackage(at: model))
    let report = try await alone.measure(tiles: min(run.tiles.count, tiles ?? .max))
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    print(String(decoding: try encoder.encode(report), as: UTF8.self))
  }
}
