// SPDX-License-Identifier: Apache-2.0
private import Foundation
import KachelBytes
public import KachelImages
import KachelPixels

/// Where the results of a run go.
public struct SegmentationOutputs: Sendable {
  /// The image with the labels, or with the values of a regression; its format follows from the name, see
  /// ``OutputFormat/init(path:)``. `IMAGE/labels/NAME` of the image that is segmented, an OME-Zarr, are labels in it; see
  /// ``OMEZarrLabels``.
  public var result: String
  /// The image with the winning class's probability.
  public var confidence: String?
  /// A PNG of the image under the classes' colours; of several scenes, `-scene` and the index is put before `.png`.
  public var preview: String?
  /// Whether outputs that exist are replaced, when the new ones are complete.
  public var overwrite = false
  /// Whether a run with this result that ended early goes on, with its tiles, threads and command. While a run lasts,
  /// what it has decided is kept in a journal, `.NAME.journal` beside the result; after a crash, when it was cancelled, or
  /// when a disk was full or a server away, the same run goes on from there and gives the same bytes. Of a run that is
  /// complete the result is returned at once, and where there is none it starts from the beginning.
  public var resume = false
  /// Whether there is a journal.
  var isJournaled = true
  /// How those outputs are stored that are OME-Zarrs.
  public var omeZarr = OMEZarrOptions()
  /// The command line to store in the provenance.
  public var command: [String]?

  public init(result: String, confidence: String? = nil, preview: String? = nil, overwrite: Bool = false) {
    self.result = result
    self.confidence = confidence
    self.preview = preview
    self.overwrite = overwrite
  }
}

/// The outputs under their temporary names.
struct PendingOutputs: Sendable {
  private enum Target: Sendable {
    case image(NamedOutput)
    case labels(OMEZarrLabels)
  }

  private let result: Target
  private let confidence: NamedOutput?
  private let previews: [PendingOutput]

  init(
    _ outputs: SegmentationOutputs, selection: PlaneSelection, image: any ImageSource, model: String,
    isRegression: Bool
  ) throws {
    if isRegression && outputs.confidence != nil {
      throw SegmentationError(.option, file: image.path, "a regression has no classes and so no --confidence")
    }
    let isInImage = OMEZarrLabels.isInside(image.path, path: outputs.result)
    try NamedOutput.checkNames(
      [outputs.result, outputs.confidence, outputs.preview].compactMap { $0 }, inputs: [image.path, model],
      firstMayLieInFirstInput: isInImage)
    if !isInImage {
      try NamedOutput.check(outputs.omeZarr, for: [outputs.result, outputs.confidence].compactMap { $0 })
    }
    if isInImage {
      result = .labels(try Self.labels(outputs, selection: selection, image: image, isRegression: isRegression))
    } else {
      result = .image(try NamedOutput(outputs.result, omeZarr: outputs.omeZarr, overwrite: outputs.overwrite))
    }
    confidence = try outputs.confidence.map {
      try NamedOutput($0, omeZarr: outputs.omeZarr, overwrite: outputs.overwrite)
    }
    var previews: [PendingOutput] = []
    if let preview = outputs.preview {
      for scene in selection.scenes {
        var path = preview
        if selection.scenes.count > 1 {
          let stem = preview.lowercased().hasSuffix(".png") ? String(preview.dropLast(4)) : preview
          path = "\(stem)-scene\(image.description.scenes[scene].index).png"
        }
        var isFolder: ObjCBool = false
        guard !FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) || !isFolder.boolValue else {
          throw BytesError(.cannotWrite, file: path, "is a folder; name a file for the preview")
        }
        previews.append(try PendingOutput(path: path, overwrite: outputs.overwrite))
      }
    }
    self.previews = previews
  }

  /// Labels in the image itself, which have its size.
  private static func labels(
    _ outputs: SegmentationOutputs, selection: PlaneSelection, image: any ImageSource, isRegression: Bool
  ) throws -> OMEZarrLabels {
    func refusal(_ reason: String) -> SegmentationError {
      SegmentationError(
        .option, file: outputs.result, "\(reason), or name an output of its own, such as labels.ome.zarr")
    }
    if isRegression { throw refusal("a regression gives values, no labels for an image; choose another model") }
    let description = image.description
    guard selection.times.count == description.times, selection.depths.count == description.depth,
      zip(selection.scenes, selection.regions).allSatisfy({ Region(description.scenes[$0].size) == $1 })
    else { throw refusal("labels in an image have its size; leave --region, --time and --z out") }
    let labels: OMEZarrLabels
    do {
      labels = try OMEZarrLabels(
        path: outputs.result, of: image.path, scenes: selection.scenes, overwrite: outputs.overwrite,
        options: outputs.omeZarr)
    } catch let error as OMEZarrOptions.Refusal {
      throw SegmentationError(.option, file: outputs.result, error.description)
    }
    if outputs.overwrite { for path in labels.paths { try NamedOutput.checkReplaceable(path, by: .omeZarr()) } }
    return labels
  }

  func previewPath(scene: Int) -> String? { previews.isEmpty ? nil : previews[scene].temporaryPath }

  /// What the user should know before the run.
  var warnings: [String] { if case .labels(let labels) = result { labels.warnings } else { [] } }

  func resultWriter(_ image: OutputImage, cacheBytes: Int, readableLevels: Int) throws(ImageError) -> ImageWriter {
    switch result {
    case .image(let output):
      try ImageWriter(
        image, to: output.pending, as: output.format, cacheBytes: cacheBytes, readableLevels: readableLevels)
    case .labels(let labels):
      try ImageWriter(image, into: labels, cacheBytes: cacheBytes, readableLevels: readableLevels)
    }
  }

  func confidenceWriter(_ image: OutputImage, cacheBytes: Int) throws(ImageError) -> ImageWriter? {
    guard let confidence else { return nil }
    return try ImageWriter(image, to: confidence.pending, as: confidence.format, cacheBytes: cacheBytes)
  }

  /// Where the outputs are until they are complete.
  var temporaryPaths: [String] {
    let results =
      switch result {
      case .image(let output): [output.pending.temporaryPath]
      case .labels(let labels): labels.temporaryPaths
      }
    return results + others.map(\.temporaryPath)
  }

  private var others: [PendingOutput] { (confidence.map { [$0.pending] } ?? []) + previews }

  var paths: [String] {
    let results =
      switch result {
      case .image(let output): [output.pending.path]
      case .labels(let labels): labels.paths
      }
    return results + others.map(\.path)
  }

  func commit() throws {
    switch result {
    case .image(let output): try PendingOutput.commit([output.pending] + others)
    case .labels(let labels): try labels.commit(with: others)
    }
  }
}
