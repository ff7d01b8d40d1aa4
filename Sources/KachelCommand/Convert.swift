// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

struct Convert: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Copy an image or a model package into a file of another format.",
    discussion: """
      The output's extension says the format: \(OutputFormat.list). Pixels are copied as they are, plane by plane, with \
      smaller resolutions, names, colours and physical sizes. Every scene, channel, time point and z plane is copied \
      unless you choose.

        kachel convert slide.czi slide.ome.zarr
        kachel convert slide.czi slide.ome.zarr --zarr 0.5 --shard 4096
        kachel convert slide.czi dapi.png --scene 1 --channel DAPI --z 5
        kachel convert labels.tif labels.ome.zarr --labels

      Model packages are recognised by their content, and converted so that their results are the same: where the \
      formats feed networks differently, the input is multiplied inside. What a format cannot hold is said.

        kachel convert old.czmodel new.czann
        kachel convert new.czann old.czmodel
        kachel convert foreign.czann old.czmodel --pixel-type Gray16
      """)

  @Argument(
    help:
      "The image (CZI, TIFF, OME-TIFF, OME-Zarr, PNG, JPEG or a whole slide) or model package (.czmodel, .czann ...).")
  var input: String
  @Argument(help: "The file or folder to write.") var output: String
  @Flag(help: "The pixels are labels: smaller resolutions get the most frequent one, never a mean.") var labels = false
  @Flag(help: "Replace an output that exists.") var overwrite = false

  @OptionGroup var storage: OutputOptions
  @OptionGroup var planes: PlaneOptions
  @Option(help: "A channel by name or index; once for each that is copied (default: all).") var channel: [String] = []

  @Option(help: "Memory to use at most, as 2G or 800M (default: half of what is free).", transform: MemoryLimit.read)
  var memory: MemoryLimit?
  @OptionGroup(title: "Models") var model: ModelOptions
  @Flag(name: .shortAndLong, help: "Print nothing but errors and results.") var quiet = false

  func run() async throws {
    if ModelPackage.isModel(at: input) { try convertModel() } else { try await convertImage() }
    print(output)
  }

  private func convertModel() throws {
    guard planes.isEmpty, storage.isEmpty, channel.isEmpty, !labels, memory == nil else {
      throw ModelError(.option, file: input, "is a model; the options of images do not go with it")
    }
    var package = try ModelPackage(at: input)
    guard package.format.isPackage else {
      throw ModelError(.option, file: input, "is a network without a package; kachel package makes one")
    }
    try model.apply(to: &package)
    try package.write(to: output, as: model.format(package, for: output), overwrite: overwrite)
  }

  private func convertImage() async throws {
    guard model.isEmpty else {
      throw ModelError(.option, file: input, "is no model package; the options of models do not go with it")
    }
    var options = ImageConversionOptions()
    options.planes = planes.choice
    options.channels = channel.isEmpty ? nil : channel
    options.isLabels = labels
    options.omeZarr = storage.omeZarr
    options.memory = memory ?? .halfOfFree
    let source = try Image(at: input, cacheBytes: min(512 << 20, options.memory.bytes / 4))
    let conversion = try ImageConversion(of: source, options: options)
    let line = quiet ? nil : ProgressLine()
    defer { line?.close() }
    try await Interruption.stopping { [output, overwrite] in
      try await conversion.write(to: output, overwrite: overwrite) { line?.show(.tile($0)) }
    }
    line?.close()
  }
}
