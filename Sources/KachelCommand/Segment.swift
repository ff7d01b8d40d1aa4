// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Dispatch
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

  @Option(help: "Scenes by index, as 1 or 0-2,5.", transform: readSelection) var scene: Selection?
  @Option(help: "Time points, counted from 0.", transform: readSelection) var time: Selection?
  @Option(help: "z planes, counted from 0.", transform: readSelection) var z: Selection?
  @Option(help: "A channel by name or index; once for each channel that the model takes.") var channel: [String] = []
  @Option(help: "The position along another dimension, as H=0.", transform: readPosition) var dimension: [Position] = []
  @Option(help: "x,y,width,height in pixels from the scene's top-left corner.", transform: readRegion) var region:
    Region?

  @Option(help: "Memory to use at most, as 2G or 800M (default: half of the machine's).", transform: readMemory)
  var memory: MemoryLimit?
  @Option(help: "The engine's threads (default: all processors).") var threads: Int?
  @Option(help: "The side of a tile in pixels, where the network takes any (default: chosen by memory).")
  var tileSize: Int?
  @Option(help: "Pixels that a tile sees around what it decides (default: what the package declares).") var halo: Int?
  @Flag(name: .shortAndLong, help: "Print nothing but errors and results.") var quiet = false
  @Flag(help: "Print the result's provenance as JSON.") var json = false

  struct Position: Sendable {
    let name: String
    let index: Int
  }

  func validate() throws {
    let names = dimension.map(\.name)
    if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
      throw ValidationError("--dimension chooses one position of \(twice), and it is given twice")
    }
  }

  func run() async throws {
    var options = SegmentationOptions()
    (options.scenes, options.times, options.depths) = (scene, time, z)
    options.channels = channel.isEmpty ? nil : channel
    for position in dimension { options.further[position.name] = position.index }
    (options.region, options.tileSide, options.halo, options.threads) = (region, tileSize, halo, threads)
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
    let work = Task { [outputs] in try await segmentation.write(to: outputs) { line?.show($0) } }
    let signals = Self.cancelling(work)
    defer {
      signals.forEach { $0.cancel() }
      line?.close()
    }
    let result = try await work.value
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

  /// Stops the work on Ctrl-C or when the system asks; at the second Ctrl-C the process ends at once.
  private static func cancelling(_ work: Task<SegmentationResult, any Error>) -> [any DispatchSourceSignal] {
    [SIGINT, SIGTERM].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        if work.isCancelled { _exit(ExitStatus.cancelled.rawValue) }
        work.cancel()
      }
      source.resume()
      return source
    }
  }
}

private func readSelection(_ text: String) throws -> Selection {
  guard let selection = Selection(text) else { throw ValidationError("\(text) is not a list such as 3, 0-4 or 0-2,7") }
  return selection
}

private func readMemory(_ text: String) throws -> MemoryLimit {
  guard let limit = MemoryLimit(text) else { throw ValidationError("\(text) is not an amount such as 2G or 800M") }
  return limit
}

private func readRegion(_ text: String) throws -> Region {
  let numbers = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
  guard numbers.count == 4, case let values = numbers.compactMap({ $0 }), values.count == 4,
    values.allSatisfy({ (0...1 << 31).contains($0) }), values[2] > 0, values[3] > 0
  else { throw ValidationError("\(text) is not x,y,width,height") }
  return Region(x: values[0], y: values[1], width: values[2], height: values[3])
}

private func readPosition(_ text: String) throws -> Segment.Position {
  let parts = text.split(separator: "=")
  guard parts.count == 2, let index = Int(parts[1]) else { throw ValidationError("\(text) is not such as H=0") }
  return Segment.Position(name: String(parts[0]), index: index)
}
