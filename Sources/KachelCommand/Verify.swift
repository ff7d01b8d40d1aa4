// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

struct Verify: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Look for everything that can be wrong with a model package.",
    discussion: """
      Checks the container, the metadata against its schema and against the network, and which ZEN can run it; then runs \
      the network to see whether it gives probabilities, in which range it takes pixels, and whether the declared border \
      is wide enough. Prints a line for each check, the worst first. Ends with 65 where a check failed.

        kachel verify nuclei.czann
        kachel verify nuclei.czann --image slide.czi --channel DAPI
        kachel verify zoo.bioimageio.zip --json
        kachel verify model_spec.json
      """)

  @Argument(
    help: """
      A model package: .czmodel, .czseg, .czann, or a zip or folder of the BioImage Model Zoo; or the JSON specification \
      of one, which is verified on its TestImageFile.
      """)
  var model: String
  @Option(name: .shortAndLong, help: "An image of the kind that the model was made for, to run it on.")
  var image: String?
  @Option(help: "A channel of that image by name or index; once for each channel that the model takes.")
  var channel: [String] = []
  @OptionGroup var engine: EngineOptions
  @Flag(help: "End with 65 also where there is a warning.") var strict = false
  @Flag(help: "Print JSON.") var json = false

  func validate() throws {
    if image == nil, !channel.isEmpty { throw ValidationError("--channel chooses channels of an --image") }
  }

  func run() async throws {
    var verification = Verification(of: model, image: try image.map { try Image(at: $0) })
    verification.channels = channel.isEmpty ? nil : channel
    verification.engine = engine.choice
    let report = try await verification.report()
    if json {
      try Console.print(json: report)
    } else {
      for check in report.checks { print(Self.line(check)) }
      print(report.verdict)
    }
    if !report.isGood(strict: strict) { throw ExitCode(ExitStatus.badInput.rawValue) }
  }

  private static func line(_ check: Check) -> String {
    let status = check.status.rawValue.padding(toLength: 9, withPad: " ", startingAt: 0)
    return status + check.name.padding(toLength: 17, withPad: " ", startingAt: 0) + check.text
  }
}
