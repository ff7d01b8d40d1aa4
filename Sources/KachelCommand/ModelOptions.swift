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
  @Option(
    help: """
      The size of tiles that the network is to take, as 1024x1024 (width x height, borders included). Needed in a .czann \
      where the network takes any.
      """, transform: readTile)
  var tile: Size?
  @Option(help: "The version of the metadata to write (default: the oldest that holds the model).") var schema: String?

  /// Whether nothing is said.
  var isEmpty: Bool { pixelType == nil && colorHandling == nil && border == nil && tile == nil && schema == nil }

  /// Says it of a package.
  func apply(to package: inout ModelPackage) throws {
    if let pixelType { package.metadata.setPixelTypes(pixelType) }
    if let colorHandling { package.metadata.colorHandling = colorHandling }
    if let border { package.metadata.border = AxisPair(y: border, x: border) }
    if let tile { package = try package.settingSpatialDimensions(height: tile.height, width: tile.width) }
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
  /// Converts and writes the package, after saying what got lost.
  mutating func write(to output: String, as format: PackageFormat, overwrite: Bool) throws {
    try convert(to: format)
    for note in notes { Console.note("kachel: note: \(note)") }
    try write(to: output, overwrite: overwrite)
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

private func readTile(_ text: String) throws -> Size {
  guard let match = text.firstMatch(of: /^(\d{1,5})x(\d{1,5})$/), let width = Int(match.1), let height = Int(match.2),
    width > 0, height > 0
  else { throw ValidationError("\(text) is not such as 1024x1024 (width x height)") }
  return Size(width: width, height: height)
}

private func readColorHandling(_ text: String) throws -> ColorHandling {
  guard let handling = ColorHandling.allCases.first(where: { $0.rawValue.lowercased() == text.lowercased() }) else {
    throw ValidationError("\(text) is no colour handling; they are ConvertToMonochrome and SplitRgb")
  }
  return handling
}
