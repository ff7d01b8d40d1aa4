// SPDX-License-Identifier: Apache-2.0
private import Foundation
import KachelBytes
import KachelImages

/// An image output under its temporary name, and the format that its name says.
struct NamedOutput: Sendable {
  let pending: PendingOutput
  let format: OutputFormat

  /// - Parameter overwrite: whether what has the name is replaced, if it is what an output can be.
  /// - Throws: ``SegmentationError`` where no format has the extension, ``BytesError`` where the output cannot be
  ///   created.
  init(_ path: String, omeZarr: OMEZarrOptions = OMEZarrOptions(), overwrite: Bool) throws {
    format = try Self.format(of: path, omeZarr: omeZarr)
    if overwrite { try Self.checkReplaceable(path, by: format) }
    pending = try PendingOutput(path: path, overwrite: overwrite)
  }

  private static func format(of path: String, omeZarr: OMEZarrOptions) throws(SegmentationError) -> OutputFormat {
    do throws(ImageError) { return try OutputFormat(path: path, omeZarr: omeZarr) } catch {
      throw SegmentationError(.option, file: path, error.reason)
    }
  }

  /// Checks how an OME-Zarr is to be stored, and that one of the outputs is an OME-Zarr if that is said at all.
  static func check(_ omeZarr: OMEZarrOptions, for paths: [String]) throws(SegmentationError) {
    var isUsed = omeZarr == OMEZarrOptions()
    for path in paths where try format(of: path, omeZarr: omeZarr).isFolder { isUsed = true }
    guard isUsed else {
      throw SegmentationError(
        .option, file: paths[0], "is no OME-Zarr; --zarr, --shard and --chunk say how those are stored")
    }
    do throws(OMEZarrOptions.Refusal) { try omeZarr.check() } catch {
      throw SegmentationError(.option, file: paths[0], error.description)
    }
  }

  /// Writing or replacing an output must not destroy another one, the image or the model.
  ///
  /// - Parameter firstMayLieInFirstInput: whether the first output are labels in the image that is the first input.
  static func checkNames(
    _ outputs: [String], inputs: [String], firstMayLieInFirstInput: Bool = false
  ) throws(SegmentationError) {
    func standard(_ path: String) -> String { URL(filePath: path).resolvingSymlinksInPath().standardizedFileURL.path }
    // What is no name at all is told as that later.
    let names = outputs.filter { ![".", "..", nil].contains($0.split(separator: "/").last) }.map(standard)
    let all = names + inputs.filter { !RemoteAddress.isAddress($0) }.map(standard)
    for (index, name) in names.enumerated() {
      for (place, other) in all.enumerated().dropFirst(index + 1)
      where (name + "/").hasPrefix(other + "/") || (other + "/").hasPrefix(name + "/") {
        if firstMayLieInFirstInput && index == 0 && place == names.count { continue }
        let isFolder = place == names.count && FileManager.default.fileExists(atPath: other + "/.")
        throw SegmentationError(
          .option, file: name,
          "is, holds, or lies in \(other): the outputs and what is read must have different names"
            + (isFolder ? "; labels in an OME-Zarr image are named as IMAGE/labels/NAME" : ""))
      }
    }
  }

  /// Replacing deletes a whole folder, so it must be one that a run has made or an empty one, not one that happens to
  /// have the name.
  static func checkReplaceable(_ path: String, by format: OutputFormat) throws(BytesError) {
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
}
