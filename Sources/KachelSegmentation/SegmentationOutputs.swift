// SPDX-License-Identifier: Apache-2.0
private import Foundation
import KachelBytes
import KachelImages

/// Where the results of a run go.
public struct SegmentationOutputs: Sendable {
  /// The folder of the OME-Zarr with the labels, or with the values of a regression.
  public var result: String
  /// The folder of the OME-Zarr with the winning class's probability.
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
  private let result: PendingOutput
  private let confidence: PendingOutput?
  private let previews: [PendingOutput]
  private let sceneCount: Int

  init(
    _ outputs: SegmentationOutputs, selection: PlaneSelection, image: any ImageSource, model: String,
    isRegression: Bool
  ) throws {
    if isRegression && outputs.confidence != nil {
      throw SegmentationError(.option, file: image.path, "a regression has no classes and so no --confidence")
    }
    try Self.checkNames(outputs, inputs: [image.path, model])
    if outputs.overwrite {
      for folder in [outputs.result, outputs.confidence].compactMap({ $0 }) { try Self.checkReplaceable(folder) }
    }
    sceneCount = selection.scenes.count
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
    if sceneCount > 1 {
      for output in [result] + (confidence.map { [$0] } ?? []) { try Self.createCollection(output.temporaryPath) }
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
  private static func checkReplaceable(_ folder: String) throws(BytesError) {
    let files = FileManager.default
    let isEmpty = (try? files.contentsOfDirectory(atPath: folder))?.isEmpty ?? false
    guard !files.fileExists(atPath: folder) || files.fileExists(atPath: folder + "/.zgroup") || isEmpty else {
      throw BytesError(
        .cannotWrite, file: folder, "exists and is no OME-Zarr, so that it is not replaced; name another output")
    }
  }

  /// One group for several images, in the layout of bioformats2raw that NGFF 0.4 describes.
  private static func createCollection(_ folder: String) throws(ImageError) {
    try OMEZarrGroup.create(folder)
    try OMEZarrGroup.write(["bioformats2raw.layout": 3], to: folder)
  }

  func folder(scene: Int) -> String { sceneCount > 1 ? "\(result.temporaryPath)/\(scene)" : result.temporaryPath }

  func confidenceFolder(scene: Int) -> String? {
    confidence.map { sceneCount > 1 ? "\($0.temporaryPath)/\(scene)" : $0.temporaryPath }
  }

  func previewPath(scene: Int) -> String? { previews.isEmpty ? nil : previews[scene].temporaryPath }

  var paths: [String] { [result.path] + (confidence.map { [$0.path] } ?? []) + previews.map(\.path) }

  func commit() throws(BytesError) {
    try PendingOutput.commit([result] + (confidence.map { [$0] } ?? []) + previews)
  }
}
