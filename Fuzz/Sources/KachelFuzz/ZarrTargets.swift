// SPDX-License-Identifier: Apache-2.0
private import Foundation

/// Zarr arrays and OME-Zarr images, which are folders.
enum ZarrTargets {
  /// The files of a hierarchy one after the other, each after a line of `=>` and its key.
  static func files(in input: UnsafeRawBufferPointer) -> [(key: String, content: [UInt8])] {
    var files: [(key: String, content: [UInt8])] = []
    var rest = input[...]
    while let start = rest.firstRange(of: "=>".utf8), files.count < 64 {
      rest = rest[start.upperBound...]
      guard let line = rest.firstIndex(of: UInt8(ascii: "\n")) else { break }
      let key = String(decoding: rest[..<line], as: UTF8.self)
      rest = rest[(line + 1)...]
      let end = rest.firstRange(of: "\n=>".utf8)?.lowerBound ?? rest.endIndex
      files.append((key, Array(rest[..<end])))
      rest = rest[end...]
    }
    return files
  }

  static func hierarchy(_ input: UnsafeRawBufferPointer) { probe(files(in: input)) }

  /// A chunk of an array whose metadata are right: the first byte says of which.
  static func chunk(_ input: UnsafeRawBufferPointer) {
    guard let first = input.first else { return }
    let array = arrays[Int(first) % arrays.count]
    probe([(array.name, Array(array.metadata.utf8)), (array.chunk, Array(input.dropFirst()))])
  }

  private static func probe(_ files: [(key: String, content: [UInt8])]) {
    var made: [String] = []
    let root = Scratch.folder + "/a.zarr"
    mkdir(root, 0o777)
    for (key, content) in files where isKey(key) {
      let parts = key.split(separator: "/")
      for depth in 1..<parts.count {
        let folder = root + "/" + parts[..<depth].joined(separator: "/")
        if mkdir(folder, 0o777) == 0 { made.append(folder) }
      }
      // What is a file cannot be a folder too.
      let folder = ([root] + parts.dropLast().map(String.init)).joined(separator: "/")
      guard access(root + "/" + key, F_OK) != 0, access(folder + "/.", F_OK) == 0 else { continue }
      made.append(Scratch.write(content, to: "a.zarr/" + key))
    }
    ImageTargets.probe(root)
    for path in made.reversed() { remove(path) }
  }

  /// Whether a key is a file of the hierarchy and nowhere else.
  private static func isKey(_ key: String) -> Bool {
    let parts = key.split(separator: "/", omittingEmptySubsequences: false)
    return key.utf8.count < 100 && parts.count <= 6
      && key.utf8.allSatisfy { (0x2D...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) }
      && parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
  }

  // MARK: Arrays

  /// What is written where; all have 70 x 90 numbers in chunks of 32 x 40, the layout of the reference data.
  private static let arrays =
    [
      #"{"id":"blosc","cname":"lz4","clevel":5,"shuffle":1,"blocksize":0}"#, #"{"id":"zstd","level":3}"#,
      #"{"id":"zlib","level":5}"#, #"{"id":"gzip","level":5}"#, #"{"id":"lz4","acceleration":1}"#, "null",
    ].map { compressor in
      (
        name: ".zarray", chunk: "0/0",
        metadata: #"{"zarr_format":2,"shape":[70,90],"chunks":[32,40],"dtype":"<u2","fill_value":0,"order":"C","#
          + #""filters":null,"dimension_separator":"/","compressor":\#(compressor)}"#
      )
    }
    + [
      ("float16", #"{"name":"bytes","configuration":{"endian":"big"}},{"name":"zstd"}"#),
      (
        "int32",
        #"{"name":"transpose","configuration":{"order":[1,0]}},{"name":"bytes","configuration":{"endian":"big"}}"#
      ),
      (
        "uint16", #"{"name":"bytes","configuration":{"endian":"little"}},{"name":"blosc"},{"name":"gzip"}"#
      ),
      ("uint16", shard(inner: #"{"name":"bytes","configuration":{"endian":"little"}},{"name":"gzip"}"#, place: "end")),
      ("float64", shard(inner: #"{"name":"bytes","configuration":{"endian":"big"}},{"name":"zstd"}"#, place: "start")),
    ].map { type, codecs in
      (
        name: "zarr.json", chunk: "c/0/0",
        metadata: #"{"zarr_format":3,"node_type":"array","shape":[70,90],"data_type":"\#(type)","#
          + #""chunk_grid":{"name":"regular","configuration":{"chunk_shape":[32,40]}},"#
          + #""chunk_key_encoding":{"name":"default","configuration":{"separator":"/"}},"#
          + #""fill_value":1,"codecs":[\#(codecs)],"attributes":{}}"#
      )
    }

  /// The index has no checksum, as fuzzing would hardly ever get past it.
  private static func shard(inner: String, place: String) -> String {
    #"{"name":"sharding_indexed","configuration":{"chunk_shape":[16,20],"codecs":[\#(inner)],"#
      + #""index_codecs":[{"name":"bytes","configuration":{"endian":"little"}}],"index_location":"\#(place)"}}"#
  }
}
