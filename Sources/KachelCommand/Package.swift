// SPDX-License-Identifier: Apache-2.0
public import ArgumentParser
import Foundation
import Kachel

struct Package: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a model package of a network.",
    discussion: """
      The output's extension says the format: .czmodel and .czseg (XML, ZEN 3.2 and later; the network is fed raw pixel \
      values) or .czann (JSON, ZEN 3.5 and later; values from 0 to 1). Whether network and options fit each other is \
      checked before anything is written.

        kachel package model/ --name Nuclei --classes Background,Nucleus \\
          --pixel-type Gray16 --color-handling ConvertToMonochrome --border 8 \\
          --tile 1024x1024 --preprocess per-image-standardization -o m.czmodel
        kachel package net.onnx --classes Background,Nucleus --border 32 -o m.czann
        kachel package --spec model_spec.json -o nuclei.czmodel
        kachel package old.czmodel --name "Nuclei 2" -o new.czmodel
      """)

  /// What a network takes.
  enum Input: String, CaseIterable, ExpressibleByArgument { case raw, scaled }

  @Argument(help: "An ONNX file, the folder of a SavedModel, or a package whose metadata are changed.") var model:
    String?
  @Option(help: "A JSON file that names the model and says the rest, as ZEN imports it. Options change what it says.")
  var spec: String?
  @Option(name: .shortAndLong, help: "The package to write: .czmodel, .czseg or .czann.") var output: String
  @Flag(help: "Replace a package that exists.") var overwrite = false

  @Option(help: "The model's name (default: its file's).") var name: String?
  @Option(help: "The names of the classes in the order of the network's output channels, as Background,Nucleus.")
  var classes: String?
  @OptionGroup var options: ModelOptions
  @Option(
    help: """
      What the network takes: raw pixel values, or scaled ones from 0 to 1 (default: what the format feeds). Where the \
      format feeds the other, the input is multiplied inside.
      """)
  var input: Input?
  @Option(
    help: """
      A layer to put before the network; once for each, in their order: rgb-to-bgr, rgba-to-bgra, \
      per-image-standardization, zero-mean-unit-variance=1e-6, normalization=MEAN/DEVIATION, transpose-channels=2,1,0, shift=X, scale=X. Numbers are \
      one for all channels or one for each, as normalization=120,117,104/58,57,57.
      """, transform: readPreprocessing)
  var preprocess: [Preprocessing] = []
  @Option(
    help: """
      A layer to put behind the network; once for each, in their order: sigmoid, softmax, sigmoid-to-softmax-scores (two \
      classes of one probability).
      """, transform: readPostprocessing)
  var postprocess: [Postprocessing] = []
  @Option(help: "What the output means, in a .czann: \(ModelKind.allCases.map(\.rawValue).joined(separator: ", ")).")
  var kind: ModelKind?
  @Option(help: "A class's colour, as Nucleus=#00C8FF; once for each.", transform: readColor) var color: [ClassColor] =
    []
  @Flag(help: "No two classes of one colour; the czmodel tools give the fourth class the red of the first.")
  var distinctColors = false
  @Option(help: "What the model is for. Stored in .czann, and in .czseg of version 3.2.0.") var description: String?
  @Option(help: "The size of the pixels that the model was made for in micrometres, as 0.13; stored in .czann.")
  var pixelSize: Double?
  @Option(help: "A licence to pack.") var license: String?
  @Option(help: "The package's UUID (default: a fresh one).") var id: String?

  func validate() throws {
    guard (model == nil) != (spec == nil) else {
      throw ValidationError("name either a model or --spec with a JSON file")
    }
    if let pixelSize, !(pixelSize > 0 && pixelSize <= 1e6) {
      throw ValidationError("a pixel has 0 to 1000000 micrometres, not \(pixelSize)")
    }
  }

  func run() throws {
    var package = try read()
    try describe(&package)
    try package.write(to: output, as: options.format(package, for: output), overwrite: overwrite)
    print(output)
  }

  private func read() throws -> ModelPackage {
    if let spec {
      let specification = try ModelSpecification(at: spec)
      for place in specification.places { Console.note("kachel: \(place)") }
      for warning in specification.warnings { Console.warning(warning) }
      return try ModelPackage(specification)
    }
    var package = try ModelPackage(at: model ?? "")
    package.metadata.id = ModelMetadata.freshID()
    // Those of a network alone are numbers.
    if !package.format.isPackage { package.metadata.classes = [] }
    return package
  }

  private func describe(_ package: inout ModelPackage) throws {
    if !preprocess.isEmpty { package = try package.prepending(preprocess) }
    for layer in postprocess { package = try package.appending(layer) }
    try options.apply(to: &package)
    if let name { package.metadata.name = name }
    if let kind { package.metadata.kind = kind }
    if let classes {
      package.metadata.nameClasses(
        classes.split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmingCharacters(in: .whitespaces) })
    } else if package.metadata.classes.isEmpty, package.metadata.kind.isSemanticSegmentation {
      throw ModelError(
        .option, file: package.path,
        "nothing names the classes; pass --classes, as Background,Nucleus, in the order of "
          + "the network's output channels")
    }
    if distinctColors {
      let colors = ClassColors.distinctColors(count: package.metadata.classes.count)
      for (index, color) in colors.enumerated() { package.metadata.classes[index].color = color }
    }
    for color in color {
      guard let index = package.metadata.classes.firstIndex(where: { $0.name == color.name }) else {
        let names = package.metadata.classes.map(\.name).joined(separator: ", ")
        throw ModelError(.option, file: package.path, "has no class \(color.name) to colour; it has \(names)")
      }
      package.metadata.classes[index].color = color.color
    }
    if let description { package.metadata.description = description }
    if let pixelSize { package.metadata.pixelSize = ModelPixelSize(x: pixelSize, y: pixelSize) }
    if let license { package.license = try ModelPackage.AttachedFile(reading: license) }
    if let id { package.metadata.id = id }
    if let input { package.networkTakes(scaledValues: input == .scaled) }
  }
}

extension ModelKind: ExpressibleByArgument {}

private func readPreprocessing(_ text: String) throws -> Preprocessing {
  let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
  let values = parts.count > 1 ? parts[1] : nil
  func numbers(_ text: some StringProtocol) throws -> [Double] {
    try text.split(separator: ",", omittingEmptySubsequences: false).map { word in
      guard let number = Double(word.trimmingCharacters(in: .whitespaces)), number.isFinite else {
        throw ValidationError("\(word) is no number")
      }
      return number
    }
  }
  switch (parts.first, values) {
  case ("rgb-to-bgr", nil): return .rgbToBGR
  case ("rgba-to-bgra", nil): return .rgbaToBGRA
  case ("per-image-standardization", nil): return .perImageStandardization
  case ("normalization", let values?):
    let halves = values.split(separator: "/", omittingEmptySubsequences: false)
    guard halves.count == 2 else { throw ValidationError("\(text) is not such as normalization=120/58") }
    return .normalization(mean: try numbers(halves[0]), standardDeviation: try numbers(halves[1]))
  case ("zero-mean-unit-variance", let values?):
    guard let epsilon = try numbers(values).first, try numbers(values).count == 1 else {
      throw ValidationError("\(text) is not such as zero-mean-unit-variance=1e-6")
    }
    return .zeroMeanUnitVariance(epsilon: epsilon)
  case ("transpose-channels", let values?):
    let order = try numbers(values).compactMap { Int(exactly: $0) }
    guard order.count == (try numbers(values).count) else { throw ValidationError("\(text) has no whole numbers") }
    return .transposeChannels(order)
  case ("shift", let values?): return .shift(try numbers(values))
  case ("scale", let values?): return .scale(try numbers(values))
  default:
    throw ValidationError(
      "\(text) is no layer; they are rgb-to-bgr, rgba-to-bgra, per-image-standardization, "
        + "zero-mean-unit-variance=EPSILON, "
        + "normalization=MEAN/DEVIATION, transpose-channels=ORDER, shift=NUMBERS and scale=NUMBERS")
  }
}

private func readPostprocessing(_ text: String) throws -> Postprocessing {
  switch text {
  case "sigmoid-to-softmax-scores": return .sigmoidToSoftmaxScores
  case "sigmoid": return .sigmoid
  case "softmax": return .softmax
  default:
    throw ValidationError("\(text) is no layer; they are sigmoid, softmax and sigmoid-to-softmax-scores")
  }
}

struct ClassColor {
  var name: String
  var color: RGB
}

private func readColor(_ text: String) throws -> ClassColor {
  guard let match = text.firstMatch(of: /^(.+)=#?([0-9A-Fa-f]{6})$/), let value = UInt32(match.2, radix: 16) else {
    throw ValidationError("\(text) is not such as Nucleus=#00C8FF")
  }
  let color = RGB(
    red: UInt8(value >> 16), green: UInt8(value >> 8 & 0xFF), blue: UInt8(value & 0xFF))
  return ClassColor(name: String(match.1), color: color)
}
