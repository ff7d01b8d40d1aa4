// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

struct Compare: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compare a class of a label image with a true mask.",
    discussion: """
      Prints the intersection over union of the pixels that have the label and the pixels that are not 0 in the mask, \
      over the first plane.

        kachel compare slide.labels.ome.zarr truth.png --label 2
      """)

  @Argument(help: "A result of `kachel segment`.") var labels: String
  @Argument(help: "A gray PNG of the same size: 0 is background, anything else is not.") var truth: String
  @Option(help: "The label to compare, 1 or more.") var label = 2
  @Flag(help: "Print JSON.") var json = false

  private struct Report: Encodable {
    var label: Int
    var intersection: Int
    var union: Int
    var intersectionOverUnion: Double
  }

  func validate() throws {
    guard label >= 1 else { throw ValidationError("a label is 1 or more, not \(label)") }
  }

  func run() throws {
    let image = try Image(at: labels)
    guard image.description.scenes.count == 1 else {
      throw SegmentationError(
        .mismatch, file: labels,
        "holds several scenes"
          + (image.description.format == "OME-Zarr" ? "; name one of them, as \(labels)/0" : "; compare one of them"))
    }
    let result = try LabelComparison(labels: image, truth: Image(at: truth), label: label)
    if json {
      try Console.print(
        json: Report(
          label: label, intersection: result.intersection, union: result.union,
          intersectionOverUnion: result.intersectionOverUnion))
    } else {
      print(String(format: "intersection over union of label %d: %.4f", label, result.intersectionOverUnion))
    }
  }
}
