// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

struct Inspect: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Say what an image or a model package holds, and draw a thumbnail.",
    discussion: """
      Files are recognised by their content, not by their names. No pixels are read unless a thumbnail is drawn.

        kachel inspect slide.czi
        kachel inspect slide.czi --thumbnail slide.png
        kachel inspect slide.czi --thumbnail slide.png --channel DAPI --z 4
      """)

  @Argument(
    help: """
      An image (CZI, TIFF, OME-TIFF, OME-Zarr, PNG, JPEG, whole slide) or a model (.czmodel, .czseg, .czann, .onnx, the \
      folder of a SavedModel).
      """)
  var file: String
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup(title: "Thumbnail") var thumbnail: ThumbnailOptions

  func run() async throws {
    if ModelPackage.isModel(at: file) {
      guard thumbnail.path == nil else {
        throw SegmentationError(.option, file: file, "is a model; --thumbnail draws images")
      }
      let report = try ModelReport(ModelPackage(at: file))
      if json { try Console.print(json: report) } else { print(report.text) }
    } else {
      let image = try Image(at: file)
      let report = ImageReport(image, drawn: try await thumbnail.draw(image))
      if json { try Console.print(json: report) } else { print(report.text) }
    }
  }
}

/// Lines of `name: value`, the values under each other.
struct FactSheet {
  private var facts: [(name: String, value: String)] = []

  mutating func add(_ name: String, _ value: String?) {
    if let value { facts.append((name, value)) }
  }

  var text: String {
    let width = facts.map(\.name.count).max() ?? 0
    return facts.map { fact in
      let lines = fact.value.split(separator: "\n", omittingEmptySubsequences: false)
      let indent = "\n" + String(repeating: " ", count: width + 2)
      return fact.name.padding(toLength: width + 2, withPad: " ", startingAt: 0) + lines.joined(separator: indent)
    }.joined(separator: "\n")
  }
}
