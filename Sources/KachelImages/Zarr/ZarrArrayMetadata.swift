// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelPixels

/// What an array that is being written says of itself: the content of its `.zarray` (Zarr storage specification version
/// 2) or `zarr.json` (core specification version 3).
struct ZarrArrayMetadata {
  var version: OMEZarrOptions.Version
  var shape: [Int]
  var chunk: [Int]
  /// The shape of a shard; only in version 3.
  var shard: [Int]?
  var type: PixelType
  /// The level of the Zstandard compression.
  var level: Int32
  /// Of the dimensions; only in version 3.
  var names: [String]

  var fileName: String { version == .v04 ? ".zarray" : "zarr.json" }

  /// How chunks, or shards, are called.
  var keys: ZarrChunkKeys { ZarrChunkKeys(prefix: version == .v04 ? "" : "c/", separator: "/") }

  var json: JSONValue { version == .v04 ? version2 : version3 }

  private var version2: JSONValue {
    [
      "zarr_format": 2, "shape": JSONValue(shape), "chunks": JSONValue(chunk), "dtype": .string(dtype),
      "compressor": ["id": "zstd", "level": .integer(Int(level))], "fill_value": 0, "order": "C",
      // Required by the specification also where there are none.
      "filters": .null, "dimension_separator": "/",
    ]
  }

  /// NumPy's description of the type.
  private var dtype: String {
    let kind = type.isFloatingPoint ? "f" : String(type.rawValue.prefix(1))
    return (type.size == 1 ? "|" : "<") + kind + "\(type.size)"
  }

  private var version3: JSONValue {
    let bytes: JSONValue = ["name": "bytes", "configuration": ["endian": "little"]]
    var codecs: JSONValue = [
      bytes, ["name": "zstd", "configuration": ["level": .integer(Int(level)), "checksum": .bool(false)]],
    ]
    if shard != nil {
      codecs = [
        [
          "name": "sharding_indexed",
          "configuration": [
            "chunk_shape": JSONValue(chunk), "codecs": codecs, "index_codecs": [bytes, ["name": "crc32c"]],
            "index_location": "end",
          ],
        ]
      ]
    }
    return [
      "zarr_format": 3, "node_type": "array", "shape": JSONValue(shape), "data_type": .string(type.rawValue),
      "chunk_grid": ["name": "regular", "configuration": ["chunk_shape": JSONValue(shard ?? chunk)]],
      "chunk_key_encoding": ["name": "default", "configuration": ["separator": "/"]], "fill_value": 0,
      "codecs": codecs, "attributes": [:], "dimension_names": JSONValue(names),
    ]
  }
}

/// The folder of an array that is being written.
final class ZarrArrayFolder {
  let metadata: ZarrArrayMetadata
  private let folder: String
  private var madeFolders: Set<Substring> = []

  /// - Parameter folder: created; what it already holds is neither read nor removed.
  init(_ folder: String, _ metadata: ZarrArrayMetadata) throws(ImageError) {
    self.folder = folder
    self.metadata = metadata
    try OutputFolder.create(folder)
    try OutputFolder.write(metadata.json, to: folder + "/" + metadata.fileName)
  }

  /// The file of a chunk or shard.
  ///
  /// - Parameter index: its plane, in C order of all dimensions but the last two, and its place among the plane's chunks or
  ///   shards.
  func file(_ index: TileIndex) -> String {
    var position = [index.column, index.row]
    var rest = index.plane
    for count in metadata.shape.dropLast(2).reversed() {
      position.append(rest % count)
      rest /= count
    }
    return folder + "/" + metadata.keys.key(position.reversed())
  }

  /// Makes the folders that a file lies in.
  func makeFolders(for file: String) throws(ImageError) {
    guard let end = file.lastIndex(of: "/"), !madeFolders.contains(file[..<end]) else { return }
    var path = folder
    for name in file[..<end].dropFirst(folder.count).split(separator: "/") {
      path += "/" + name
      if madeFolders.insert(path[...]).inserted { try OutputFolder.create(path) }
    }
  }
}
