// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Kachel

struct Unpack: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Take a model package apart.",
    discussion: """
      Writes the network (model.onnx, or a SavedModel in model/), the metadata, the licence, and spec.json, of which \
      kachel package makes the package again.

        kachel unpack nuclei.czann -o nuclei/
        kachel package --spec nuclei/spec.json -o nuclei.czann
      """)

  @Argument(help: "The package: .czmodel, .czseg or .czann.") var package: String
  @Option(name: .shortAndLong, help: "The folder to create.") var output: String

  func run() throws {
    try ModelPackage(at: package).unpack(to: output)
    print(output)
  }
}
