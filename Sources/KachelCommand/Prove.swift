// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

struct Prove: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Try out that a model's result does not depend on how an image is cut.",
    discussion: """
      Runs a part of the first plane in one tile, where the network allows that, and in several other ways: small tiles, \
      a region of the part, one thread, stopped and resumed, the package's border, ZEN's tiles. Prints how many pixels get another class and \
      how much scores differ. Ends with 70 where a result differs that is promised not to.

        kachel prove nuclei.czann slide.czi
        kachel prove nuclei.czann slide.czi --region 1000,500,1024,1024 --picture differences.png
      """)

  @Argument(help: "The model package: .czmodel, .czseg or .czann.") var model: String
  @Argument(help: "An image for the model.") var image: String
  @OptionGroup var planes: PlaneOptions
  @Option(help: "A channel by name or index; once for each channel that the model takes.") var channel: [String] = []
  @Option(
    help: """
      Whose mean and deviation the input is standardised with, where the network does that: the image's, each plane by \
      itself (default); every tile's, as in ZEN; or the dataset's, all chosen planes together.
      """, transform: StatisticsScope.read)
  var statistics: StatisticsScope?
  @Option(help: "Draw the way that differs most, where one does; pixels of another class are white.") var picture:
    String?
  @Flag(help: "Replace a picture that exists.") var overwrite = false
  @Option(help: "Memory to use at most, as 2G or 800M (default: half of what is free).", transform: MemoryLimit.read)
  var memory: MemoryLimit?
  @OptionGroup var engine: EngineOptions
  @Flag(name: .shortAndLong, help: "Print nothing but errors and results.") var quiet = false
  @Flag(help: "Print JSON.") var json = false

  func run() async throws {
    var options = SegmentationOptions()
    options.planes = planes.choice
    options.channels = channel.isEmpty ? nil : channel
    options.memory = memory ?? .halfOfFree
    options.engine = engine.choice
    options.statistics = statistics
    let package = try ModelPackage(at: model)
    let source = try Image(at: image, cacheBytes: options.imageCacheBytes)
    let proof = try await Interruption.stopping { [options, picture, overwrite, quiet] in
      try await Proof(of: source, with: package, options: options, picture: picture, overwrite: overwrite) {
        if !quiet { Console.note("runs \($0)") }
      }
    }
    if json { try Console.print(json: proof) } else { print(text(proof)) }
    guard proof.holds else { throw ExitCode(ExitStatus.internalError.rawValue) }
  }

  private func text(_ proof: Proof) -> String {
    let heads = ["compared with \(proof.reference)", "tiles", "halo", "other pixels", "largest difference", ""]
    let rows = proof.rows.map { row in
      let verdict = row.isPromised ? (row.isEqual ? "as promised" : "BROKEN PROMISE") : "not promised"
      return [
        row.name, "\(row.tiles) of \(row.tile[0]) x \(row.tile[1])",
        row.halo[0] == row.halo[1] ? "\(row.halo[0])" : "\(row.halo[0]) x \(row.halo[1])",
        "\(row.differing) of \(row.pixels)", row.largestDifference == 0 ? "0" : "\(row.largestDifference)", verdict,
      ]
    }
    let widths = heads.indices.map { column in ([heads] + rows).map { $0[column].count }.max() ?? 0 }
    let lines = ([heads] + rows).map { row in
      zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }.joined(separator: "  ")
        .trimmingSuffix(while: \.isWhitespace)
    }
    let region = proof.region.map(String.init).joined(separator: ",")
    return (["the network is \(proof.certificate)", "the part is \(region)", ""] + lines).joined(separator: "\n")
  }
}

extension String {
  fileprivate func trimmingSuffix(while isCut: (Character) -> Bool) -> String {
    String(reversed().drop(while: isCut).reversed())
  }
}
