// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

struct Segment: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run a model over an image and write labels.",
    discussion: """
      Writes an image with one label per class (1, 2, ... as the package numbers them; 0 is no data), or with the \
      values of a regression. Its format follows from its name: \(OutputFormat.list). Every scene, time point and z \
      plane is segmented unless you choose.

        kachel segment slide.czi --model nuclei.czmodel
        kachel segment slide.czi -m nuclei.czann -o out.ome.tiff --preview out.png
        kachel segment plate.czi -m m.czann --scene 1 --time 0-3 --z 5 --channel DAPI
        kachel segment plate/ -m m.czann -o results --format ome.zarr
        kachel segment slide.czi -m m.czann --region 1000,500,2048,2048 --memory 2G
        kachel segment slide.czi -m m.czann --resume
        kachel segment https://host/path/image.ome.zarr -m nuclei.czann
        kachel segment image.ome.zarr -m m.czann -o image.ome.zarr/labels/nuclei
      """)

  @Argument(
    help: """
      Images (CZI, TIFF, OME-TIFF, OME-Zarr, PNG, JPEG, whole slides), folders of images, or patterns such as \
      'plate/*.czi'.
      """)
  var images: [String]
  @Option(name: .shortAndLong, help: "The model package: .czmodel, .czseg or .czann.") var model: String
  @Option(
    name: .shortAndLong,
    help: """
      What to write (default: the image's name with .labels.ome.zarr), or IMAGE/labels/NAME for labels in the OME-Zarr \
      IMAGE; of several images, the folder for results.
      """)
  var output: String?
  @Option(help: "The extension of results that are named after their image: \(OutputFormat.list).") var format =
    "ome.zarr"
  @Option(
    help: "Also draw the image under the classes' colours as a PNG, at most 4096 pixels a side; or the folder for them."
  )
  var preview: String?
  @Option(help: "Also write the winning class's probability as an 8-bit image (0 to 255); or the folder for them.")
  var confidence: String?
  @Option(help: "Set pixels whose winning class is less probable than this (0 to 1) to 0.") var minimumConfidence:
    Float?
  @Flag(help: "Replace outputs that exist.") var overwrite = false
  @Flag(
    help: """
      Go on with a run that was stopped or crashed; the result is the same to the byte. Images that are complete are \
      passed over.
      """)
  var resume = false
  @OptionGroup var storage: OutputOptions

  @OptionGroup var planes: PlaneOptions
  @Option(help: "A channel by name or index; once for each channel that the model takes.") var channel: [String] = []

  @Option(help: "Memory to use at most, as 2G or 800M (default: half of what is free).", transform: MemoryLimit.read)
  var memory: MemoryLimit?
  @OptionGroup var engine: EngineOptions
  @Option(help: "The engine's threads (default: all processors).") var threads: Int?
  @Option(help: "The side of a tile in pixels, where the network takes any (default: chosen by memory).")
  var tileSize: Int?
  @Option(
    help: """
      What a tile sees around what it decides: auto, as much as the network needs by its graph; package, the border that \
      the package declares; or pixels.
      """, transform: HaloChoice.read)
  var halo = HaloChoice.automatic
  @Option(
    help: """
      Refuse to run where the result would promise less: exact, that it is that of one tile as large as the image; \
      canonical, that it is the same for any region, memory and threads.
      """, transform: Certificate.Requirement.read)
  var require: Certificate.Requirement?
  @Option(
    help: """
      Where tiles lie: aligned to the network's stride, so that the result does not depend on the cut, or as zen cuts \
      images, to match its results and those of napari-czann-segment.
      """, transform: Tiling.read)
  var tiling = Tiling.aligned
  @Option(
    help: """
      Leave out what shows nothing, and set it to 0: auto finds its values in the image; 120, pixels up to that value; 230+, \
      pixels from that value on, as glass in transmitted light.
      """, transform: BackgroundChoice.read)
  var skipBackground: BackgroundChoice?
  @Option(
    help: """
      Whose mean and deviation the input is standardised with, where the network does that: the image's, each plane by \
      itself (default); every tile's, as in ZEN; or the dataset's, all chosen planes together.
      """, transform: StatisticsScope.read)
  var statistics: StatisticsScope?
  @Flag(name: .shortAndLong, help: "Print nothing but errors and results.") var quiet = false
  @Flag(help: "Print the result's provenance as JSON.") var json = false

  func validate() throws {
    do throws(ImageError) { _ = try OutputFormat(extension: format) } catch {
      throw ValidationError("--format \(format): \(error.reason)")
    }
  }

  func run() async throws {
    var options = SegmentationOptions()
    options.planes = planes.choice
    options.channels = channel.isEmpty ? nil : channel
    (options.tileSide, options.halo, options.threads) = (tileSize, halo, threads)
    options.requirement = require
    (options.tiling, options.statistics) = (tiling, statistics)
    options.engine = engine.choice
    options.memory = memory ?? .halfOfFree
    options.minimumConfidence = minimumConfidence
    options.background = skipBackground

    // Read first: a wrong file should be told before anything else happens.
    let package = try ModelPackage(at: model)
    let batch = try ImageBatch(images)
    if batch.isBatch {
      try await run(batch, package, options)
    } else {
      try await run(batch.images[0], package, options)
    }
  }

  /// The command line becomes part of the results, which others get to see.
  private var command: [String] {
    // A resumed run is the one that it goes on with.
    ["kachel"] + CommandLine.arguments.dropFirst().filter { $0 != "--resume" }.map(RemoteAddress.withoutSecrets)
  }

  private func run(_ path: String, _ package: ModelPackage, _ options: SegmentationOptions) async throws {
    let image = try Image(at: path, cacheBytes: options.imageCacheBytes)
    let segmentation = try Segmentation(of: image, with: package, options: options)
    let name = SegmentationBatch.names(of: [path])[0]
    var outputs = SegmentationOutputs(
      result: output ?? "\(name).\(package.metadata.kind.resultName).\(format)", confidence: confidence,
      preview: preview, overwrite: overwrite)
    outputs.command = command
    outputs.resume = resume
    outputs.omeZarr = storage.omeZarr
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

  private func run(_ images: ImageBatch, _ package: ModelPackage, _ options: SegmentationOptions) async throws {
    var outputs = SegmentationBatchOutputs(
      folder: output ?? "", extension: format, confidenceFolder: confidence, previewFolder: preview,
      omeZarr: storage.omeZarr, overwrite: overwrite, command: command)
    outputs.resume = resume
    let batch = try SegmentationBatch(images, with: package, options: options, outputs: outputs)
    let line = quiet ? nil : ProgressLine()
    defer { line?.close() }
    let count = batch.images.count
    let outcomes = try await Interruption.stopping {
      try await batch.write { index, path in
        line?.close()
        if line != nil { Console.note("image \(index + 1) of \(count): \(RemoteAddress.withoutSecrets(path))") }
      } progress: {
        line?.show($0)
      }
    }
    line?.close()
    try report(outcomes)
  }

  private struct ImageOutcome: Encodable {
    var image: String
    var outputs: [String]?
    var provenance: Provenance?
    var error: String?
  }

  /// Says what became of the images of a batch.
  ///
  /// - Throws: `ExitCode` where one could not be segmented.
  private func report(_ outcomes: [SegmentationBatch.Outcome]) throws {
    var firstFailure: (any Error)?
    var summary: [ImageOutcome] = []
    for outcome in outcomes {
      let image = RemoteAddress.withoutSecrets(outcome.image)
      switch outcome.result {
      case .success(let result):
        summary.append(
          ImageOutcome(image: image, outputs: result.outputs, provenance: result.provenance))
        if !json { result.outputs.forEach { print($0) } }
      case .failure(let error):
        summary.append(ImageOutcome(image: image, error: "\(error)"))
        firstFailure = firstFailure ?? error
      }
    }
    if json { try Console.print(json: summary) }
    let failures = summary.filter { $0.error != nil }
    if !quiet {
      Console.note("\(summary.count - failures.count) of \(summary.count) images segmented")
    }
    for failure in failures { Console.error("not segmented: \(failure.error ?? failure.image)") }
    if let firstFailure { throw ExitCode(ExitStatus(firstFailure).rawValue) }
  }
}

extension Tiling {
  fileprivate static func read(_ text: String) throws -> Tiling {
    guard let tiling = Tiling(rawValue: text) else {
      throw ValidationError("--tiling is \(allCases.map(\.rawValue).joined(separator: " or ")), not \(text)")
    }
    return tiling
  }
}

extension BackgroundChoice {
  fileprivate static func read(_ text: String) throws -> BackgroundChoice {
    guard let choice = BackgroundChoice(text) else {
      throw ValidationError("--skip-background is auto, a pixel value as 120, or one and + as 230+, not \(text)")
    }
    return choice
  }
}

extension Certificate.Requirement {
  static func read(_ text: String) throws -> Self {
    guard let requirement = Self(rawValue: text) else {
      throw ValidationError("--require is \(allCases.map(\.rawValue).joined(separator: " or ")), not \(text)")
    }
    return requirement
  }
}

extension StatisticsScope {
  static func read(_ text: String) throws -> StatisticsScope {
    guard let scope = StatisticsScope(rawValue: text) else {
      throw ValidationError("--statistics is \(allCases.map(\.rawValue).joined(separator: ", ")), not \(text)")
    }
    return scope
  }
}

extension HaloChoice {
  fileprivate static func read(_ text: String) throws -> HaloChoice {
    guard let halo = HaloChoice(text) else {
      throw ValidationError("--halo is auto, package or a number of pixels, not \(text)")
    }
    return halo
  }
}
