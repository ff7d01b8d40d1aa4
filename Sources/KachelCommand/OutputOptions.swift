// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Kachel

/// How images are written, for the commands that write any.
struct OutputOptions: ParsableArguments {
  @Option(
    help: "The version of OME-Zarr to write, 0.4 or 0.5 (default: 0.4; of labels in an image, the image's).",
    transform: readVersion) var zarr: OMEZarrOptions.Version?
  @Option(
    help: "Store OME-Zarr 0.5 in shards, files of this many pixels a side, as 4096 (default: a file for every chunk).")
  var shard: Int?
  @Option(help: "The side of an OME-Zarr's chunks in pixels (default: 1024).") var chunk: Int?

  /// Whether nothing is said.
  var isEmpty: Bool { zarr == nil && shard == nil && chunk == nil }

  var omeZarr: OMEZarrOptions {
    var options = OMEZarrOptions(version: zarr, shardSide: shard)
    if let chunk { options.chunkSide = chunk }
    return options
  }
}

private func readVersion(_ text: String) throws -> OMEZarrOptions.Version {
  guard let version = OMEZarrOptions.Version(rawValue: text) else {
    throw ValidationError("OME-Zarr \(text) is not written; 0.4 and 0.5 are")
  }
  return version
}
