// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

struct Segment: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run a model over an image and write labels.",
    discussion: """
      Writes an OME-Zarr with one label per class (1, 2, ... as the package numbers them; 0 is no data), or with the \
      values of a regression. Every scene, time point and z plane is segmented unless you choose.

        kachel segment slide.czi --model nuclei.czmodel
        kachel segment slide.czi -m nuclei.czann -o out.ome.zarr --preview out.png
        kachel segment plate.czi -m m.czann --scene 1 --time 0-3 --z 5 --channel DAPI
        kachel segment slide.czi -m m.czann --region 1000,500,2048,2048 --memory 2G
      """)

  @Argument(help: "The image: CZI, TIFF, OME-TIFF, OME-Zarr, PNG or JPEG.") var image: String
  @Option(name: .shortAndLong, help: "The model package: .czmodel, .czseg or .czann.") var model: String
  @Option(name: .shortAndLong, help: "The OME-Zarr to write (default: the image's name with .labels.ome.zarr).")
  var output: String?
  @Option(help: "Also draw the image under the classes' colours as a PNG, at most 4096 pixels a side.") var preview:
    String?
  @Option(help: "Also write the winning class's probability as an 8-bit OME-Zarr (0 to 255).") var confidence: String?
  @Option(help: "Set pixels whose winning class is less probable than this (0 to 1) to 0.") var minimumConfidence:
    Float?
  @Flag(help: "Replace outputs that exist.") var overwrite = false

  @OptionGroup var planes: PlaneOptions
  @Option(help: "A channel by name or index; once for each channel that the model takes.") var channel: [String] = []

  @Option(help: "Memory to use at most, as 2G or 800M (default: half of the machine's).", transform: MemoryLimit.read)
  var memory: MemoryLimit?
  @Option(help: "The engine's threads (default: all processors).") var threads: Int?
  @Option(help: "The side of a tile in pixels, where the network takes any (default: chosen by memory).")
  var tileSize: Int?
  @Option(help: "Pixels that a tile sees around what it decides (default: what the package declares).") var halo: Int?
  @Flag(name: .shortAndLong, help: "Print nothing but errors and results.") var quiet = false
  @Flag(help: "Print the result's provenance as JSON.") var json = false

  func run() async throws {
    var options = SegmentationOptions()
    options.planes = planes.choice
    options.channels = channel.isEmpty ? nil : channel
    (options.tileSide, options.halo, options.threads) = (tileSize, halo, threads)
    options.memory = memory ?? .half
    options.minimumConfidence = minimumConfidence

    // Read first: a wrong file should be told before anything else happens.
    let package = try ModelPackage(at: model)
    let source = try Image(at: image, cacheBytes: min(64 << 20, options.memory.bytes / 16))
    let segmentation = try Segmentation(of: source, with: package, options: options)
    var outputs = SegmentationOutputs(
      result: output ?? defaultOutput(package), confidence: confidence, preview: preview, overwrite: overwrite)
    outputs.command = ["kachel"] + CommandLine.arguments.dropFirst()

    let line = quiet ? nil : ProgressLine()
    defer { line?.close() }
    let result = try await Interruption.stopping { [outputs] in
      try await segmentation.write(to: outputs) { line?.show($0) }
    }
    line?.close()
    if json {
      try Console.print(json: result.provenance)
    } else {
      result.outputs.forEach { print($0) }
    }
  }

  private func defaultOutput(_ package: ModelPackage) -> String {
    let stem = URL(filePath: image).deletingPathExtension().lastPathComponent
    let kind = package.metadata.kind == .regression ? "values" : "labels"
    return "\(stem).\(kind).ome.zarr"
  }
}
