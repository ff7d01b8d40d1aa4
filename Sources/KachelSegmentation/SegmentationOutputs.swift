// SPDX-License-Identifier: Apache-2.0
private import Foundation
import KachelBytes
import KachelImages

/// Where the results of a run go.
public struct SegmentationOutputs: Sendable {
  /// The image with the labels, or with the values of a regression; its format follows from the name, see
  /// ``OutputFormat/init(path:)``.
  public var result: String
  /// The image with the winning class's probability.
  public var confidence: String?
  /// A PNG of the image under the classes' colours; of several scenes, `-scene` and the index is put before `.png`.
  public var preview: String?
  /// Whether outputs that exist are replaced, when the new ones are complete.
  public var overwrite = false
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
  let result: PendingOutput
  let confidence: PendingOutput?
  private let previews: [PendingOutput]
  let resultFormat: OutputFormat
  let confidenceFormat: OutputFormat?

  init(
    _ outputs: SegmentationOutputs, selection: PlaneSelection, image: any ImageSource, model: String,
    isRegression: Bool
  ) throws {
    if isRegression && outputs.confidence != nil {
      throw SegmentationError(.option, file: image.path, "a regression has no classes and so no --confidence")
    }
    try Self.checkNames(outputs, inputs: [image.path, model])
    resultFormat = try Self.format(of: outputs.result)
    confidenceFormat = try outputs.confidence.map(Self.format)
    if outputs.overwrite {
      try Self.checkReplaceable(outputs.result, by: resultFormat)
      if let path = outputs.confidence, let confidenceFormat { try Self.checkReplaceable(path, by: confidenceFormat) }
    }
    result = try PendingOutput(path: outputs.result, overwrite: outputs.overwrite)
    confidence = try outputs.confidence.map { try PendingOutput(path: $0, overwrite: outputs.overwrite) }
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

  private static func format(of path: String) throws(SegmentationError) -> OutputFormat {
    do throws(ImageError) { return try OutputFormat(path: path) } catch {
      throw SegmentationError(.option, file: path, error.reason)
    }
  }

  /// Writing or replacing an output must not destroy another one, the image or the model.
  private static func checkNames(_ outputs: SegmentationOutputs, inputs: [String]) throws(SegmentationError) {
    func standard(_ path: String) -> String { URL(filePath: path).resolvingSymlinksInPath().standardizedFileURL.path }
    // What is no name at all is told as that later.
    let names = [outputs.result, outputs.confidence, outputs.preview].compactMap { $0 }
      .filter { ![".", "..", nil].contains($0.split(separator: "/").last) }.map(standard)
    let all = names + inputs.map(standard)
    for (index, name) in names.enumerated() {
      for other in all[(index + 1)...] where (name + "/").hasPrefix(other + "/") || (other + "/").hasPrefix(name + "/")
      {
        throw SegmentationError(
          .option, file: name,
          "is, holds, or lies in \(other): the outputs, the image and the model must have different names")
      }
    }
  }

  /// Replacing deletes a whole folder, so it must be one that a run has made or an empty one, not one that happens to
  /// have the name.
  private static func checkReplaceable(_ path: String, by format: OutputFormat) throws(BytesError) {
    let files = FileManager.default
    var isFolder: ObjCBool = false
    guard files.fileExists(atPath: path, isDirectory: &isFolder) else { return }
    if format.isFolder {
      let isEmpty = (try? files.contentsOfDirectory(atPath: path))?.isEmpty ?? false
      let isZarr = [".zgroup", "zarr.json"].contains { files.fileExists(atPath: path + "/" + $0) }
      guard isZarr || isEmpty else {
        throw BytesError(
          .cannotWrite, file: path, "exists and is no OME-Zarr, so that it is not replaced; name another output")
      }
    } else if isFolder.boolValue {
      throw BytesError(.cannotWrite, file: path, "is a folder, so that it is not replaced; name another output")
    }
  }

  func previewPath(scene: Int) -> String? { previews.isEmpty ? nil : previews[scene].temporaryPath }

  var paths: [String] { [result.path] + (confidence.map { [$0.path] } ?? []) + previews.map(\.path) }

  func commit() throws(BytesError) {
    try PendingOutput.commit([result] + (confidence.map { [$0] } ?? []) + previews)
  }
}
