// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
private import KachelPixels

extension ZarrLayout {
  /// Reads the content of an array's `zarr.json` (Zarr core specification version 3).
  init(version3 document: ZarrDocument) throws(ImageError) {
    let json = document.json
    guard json["zarr_format"]?.int == 3, json["node_type"]?.string == "array" else {
      throw document.damaged("is no array of zarr_format 3")
    }
    let known: Set = [
      "zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs",
      "attributes", "storage_transformers", "dimension_names",
    ]
    for (name, value) in json.object ?? [:] where !known.contains(name) && value["must_understand"] != .bool(false) {
      throw document.unsupported("the extension \(name.prefix(80)) of the array is not read")
    }
    guard json["storage_transformers"]?.array?.isEmpty ?? true else {
      throw document.unsupported("storage transformers are not read")
    }
    let type = Extension(json["data_type"])
    guard let element = ZarrElement(name: type.name) else {
      throw document.unsupported("numbers of the type \(type.name) are not read")
    }
    let grid = Extension(json["chunk_grid"])
    guard grid.name == "regular" else { throw document.unsupported("the chunk grid \(grid.name) is not read") }
    let shape = try document.ints("shape"), outer = try document.ints("chunk_shape", in: grid.configuration)
    guard let fill = element.fill(json["fill_value"]) else {
      throw document.damaged("the fill value \(Self.text(json["fill_value"])) is no number of the type \(type.name)")
    }
    let steps = (json["codecs"]?.array ?? []).map { Extension($0) }
    let chunk: ZarrChunkLayout
    var shards: ZarrShardLayout?
    if let sharding = steps.first(where: { $0.name == "sharding_indexed" }) {
      guard steps.count == 1 else {
        throw document.unsupported("shards that are transposed or compressed as a whole are not read")
      }
      (chunk, shards) = try Self.sharded(sharding, shape: shape, shard: outer, element, document)
    } else {
      try document.check(shape: shape, chunk: outer, size: element.type.size)
      chunk = try Self.chunk(outer, steps, element, document)
    }
    self.init(
      shape: shape, element: element, fill: fill, chunk: chunk, shards: shards, keys: try Self.keys(document),
      dimensionNames: json["dimension_names"]?.strings)
  }

  /// A named thing with its configuration; where it needs none, the name may stand alone.
  private struct Extension {
    var name: String
    var configuration: JSONValue?

    init(_ json: JSONValue?) {
      name = String((json?.string ?? json?["name"]?.string ?? "(none)").prefix(80))
      configuration = json?["configuration"]
    }
  }

  private static func keys(_ document: ZarrDocument) throws(ImageError) -> ZarrChunkKeys {
    let encoding = Extension(document.json["chunk_key_encoding"])
    guard encoding.name == "default" || encoding.name == "v2" else {
      throw document.unsupported("the chunk key encoding \(encoding.name) is not read")
    }
    let isDefault = encoding.name == "default"
    let separator = encoding.configuration?["separator"]?.string ?? (isDefault ? "/" : ".")
    guard separator == "." || separator == "/" else {
      throw document.damaged("the separator of chunk keys is neither a dot nor a slash")
    }
    return ZarrChunkKeys(prefix: isDefault ? "c" + separator : "", separator: separator)
  }

  private static func chunk(
    _ shape: [Int], _ steps: [Extension], _ element: ZarrElement, _ document: ZarrDocument
  ) throws(ImageError) -> ZarrChunkLayout {
    guard steps.count <= 16 else { throw document.unsupported("\(steps.count) codecs are not read") }
    var order = Array(shape.indices)
    var isSwapped: Bool?
    var codecs: [ZarrCodec] = []
    for step in steps {
      if step.name == "transpose", isSwapped == nil {
        let further = try document.ints("order", in: step.configuration)
        guard further.sorted() == Array(shape.indices) else {
          throw document.damaged("the transposition \(further) is no order of \(shape.count) dimensions")
        }
        order = further.map { order[$0] }
      } else if step.name == "bytes", isSwapped == nil {
        isSwapped = try isByteOrderSwapped(step, size: element.storedSize, document)
      } else if isSwapped != nil, let codec = ZarrCodec(name: step.name, configuration: step.configuration) {
        codecs.append(codec)
      } else {
        throw document.unsupported(
          "the codec \(step.name) is not read here; bytes, transpose, sharding_indexed, blosc, zstd, gzip and crc32c are"
        )
      }
    }
    guard let isSwapped else { throw document.damaged("the codecs lack one that turns numbers into bytes") }
    return ZarrChunkLayout(shape: shape, order: order, isSwapped: isSwapped, codecs: codecs)
  }

  private static func isByteOrderSwapped(
    _ step: Extension, size: Int, _ document: ZarrDocument
  ) throws(ImageError) -> Bool {
    switch step.configuration?["endian"]?.string {
    case "little": return ZarrElement.isSwapped(bigEndian: false)
    case "big": return ZarrElement.isSwapped(bigEndian: true)
    default:
      guard size == 1 else { throw document.damaged("the codec bytes has no byte order") }
      return false
    }
  }

  private static func sharded(
    _ sharding: Extension, shape: [Int], shard: [Int], _ element: ZarrElement, _ document: ZarrDocument
  ) throws(ImageError) -> (ZarrChunkLayout, ZarrShardLayout) {
    let inner = try document.ints("chunk_shape", in: sharding.configuration)
    try document.check(shape: shape, chunk: inner, size: element.type.size)
    guard shard.count == inner.count,
      zip(shard, inner).allSatisfy({ (1...longestSide).contains($0) && $0.isMultiple(of: $1) })
    else { throw document.damaged("shards of the shape \(shard) do not consist of chunks of the shape \(inner)") }
    let chunks = zip(shard, inner).map { $0 / $1 }
    var count = 1
    for side in chunks {
      guard side <= mostChunksInShard / count else {
        throw document.unsupported("shards of more than \(mostChunksInShard) chunks are not read")
      }
      count *= side
    }
    let steps = (sharding.configuration?["codecs"]?.array ?? []).map { Extension($0) }
    guard !steps.contains(where: { $0.name == "sharding_indexed" }) else {
      throw document.unsupported("shards in shards are not read")
    }
    let index = (sharding.configuration?["index_codecs"]?.array ?? []).map { Extension($0) }
    guard index.first?.name == "bytes", index.count == 1 || (index.count == 2 && index[1].name == "crc32c") else {
      throw document.unsupported("an index of shards that is encoded as \(index.map(\.name)) is not read")
    }
    let place = sharding.configuration?["index_location"]?.string ?? "end"
    guard place == "end" || place == "start" else { throw document.damaged("index_location is neither start nor end") }
    return (
      try chunk(inner, steps, element, document),
      ZarrShardLayout(
        chunks: chunks, isIndexAtStart: place == "start",
        isIndexSwapped: try isByteOrderSwapped(index[0], size: 8, document), isIndexChecked: index.count == 2)
    )
  }
}
