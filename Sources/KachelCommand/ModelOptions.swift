// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

/// What is said of a model that is written, where its file does not say it, or says something else.
struct ModelOptions: ParsableArguments {
  @Option(
    help: """
      The pixels that the model was made for, one type for each image channel, as Gray16 or Gray8,Bgr24: \
      \(ModelPixelType.allCases.map(\.rawValue).joined(separator: ", ")).
      """, transform: readPixelTypes)
  var pixelType: [ModelPixelType]?
  @Option(
    help: "What happens to colour images: ConvertToMonochrome or SplitRgb.", transform: readColorHandling)
  var colorHandling: ColorHandling?
  @Option(help: "The pixels by which tiles overlap on each side.") var border: Int?
  @Option(help: "The version of the metadata to write (default: the oldest that holds the model).") var schema: String?

  /// Whether nothing is said.
  var isEmpty: Bool { pixelType == nil && colorHandling == nil && border == nil && schema == nil }

  /// Says it of a package.
  func apply(to metadata: inout ModelMetadata) {
    if let pixelType { metadata.setPixelTypes(pixelType) }
    if let colorHandling { metadata.colorHandling = colorHandling }
    if let border { metadata.border = AxisPair(y: border, x: border) }
  }

  /// The format that an output of that name gets.
  func format(_ package: ModelPackage, for output: String) throws -> PackageFormat {
    switch (try package.format(forName: output), schema) {
    case (.czmodel, let version?): .czmodel(version: version)
    case (.czann, let version?): .czann(version: version)
    case (let format, _): format
    }
  }
}

extension ModelPackage {
  /// Writes the package, after saying what got lost.
  func write(to output: String, as format: PackageFormat, overwrite: Bool) throws {
    let package = try converted(to: format)
    for note in package.notes { Console.note("kachel: note: \(note)") }
    try package.write(to: output, overwrite: overwrite)
  }
}

private func readPixelTypes(_ text: String) throws -> [ModelPixelType] {
  try text.split(separator: ",", omittingEmptySubsequences: false).map { name in
    let name = name.trimmingCharacters(in: .whitespaces)
    guard let type = ModelPixelType.allCases.first(where: { $0.rawValue.lowercased() == name.lowercased() }) else {
      throw ValidationError(
        "\(name) is no pixel type; they are "
          + ModelPixelType.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return type
  }
}

private func readColorHandling(_ text: String) throws -> ColorHandling {
  guard let handling = ColorHandling.allCases.first(where: { $0.rawValue.lowercased() == text.lowercased() }) else {
    throw ValidationError("\(text) is no colour handling; they are ConvertToMonochrome and SplitRgb")
  }
  return handling
}
