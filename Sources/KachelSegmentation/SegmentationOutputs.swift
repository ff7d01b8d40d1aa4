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
  let result: NamedOutput
  let confidence: NamedOutput?
  private let previews: [PendingOutput]

  init(
    _ outputs: SegmentationOutputs, selection: PlaneSelection, image: any ImageSource, model: String,
    isRegression: Bool
  ) throws {
    if isRegression && outputs.confidence != nil {
      throw SegmentationError(.option, file: image.path, "a regression has no classes and so no --confidence")
    }
    try NamedOutput.checkNames(
      [outputs.result, outputs.confidence, outputs.preview].compactMap { $0 }, inputs: [image.path, model])
    result = try NamedOutput(outputs.result, overwrite: outputs.overwrite)
    confidence = try outputs.confidence.map { try NamedOutput($0, overwrite: outputs.overwrite) }
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

  func previewPath(scene: Int) -> String? { previews.isEmpty ? nil : previews[scene].temporaryPath }

  private var all: [PendingOutput] { [result.pending] + (confidence.map { [$0.pending] } ?? []) + previews }

  var paths: [String] { all.map(\.path) }

  func commit() throws(BytesError) { try PendingOutput.commit(all) }
}
