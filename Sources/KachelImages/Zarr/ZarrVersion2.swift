// SPDX-License-Identifier: Apache-2.0
import KachelBytes
private import KachelPixels

extension ZarrLayout {
  /// Reads the content of a `.zarray` (Zarr storage specification version 2).
  init(version2 document: ZarrDocument) throws(ImageError) {
    let json = document.json
    guard json["zarr_format"]?.int == 2 else { throw document.damaged("zarr_format is not 2") }
    let shape = try document.ints("shape"), chunk = try document.ints("chunks")
    guard let dtype = json["dtype"]?.string, let element = ZarrElement(kindAndSize: dtype.dropFirst()) else {
      throw document.unsupported("numbers of the type \(Self.text(json["dtype"])) are not read")
    }
    let isBigEndian = dtype.hasPrefix(">")
    guard isBigEndian || dtype.hasPrefix("<") || (dtype.hasPrefix("|") && element.storedSize == 1) else {
      throw document.damaged("the type \(dtype) has no byte order")
    }
    try document.check(shape: shape, chunk: chunk, size: element.type.size)
    let order: [Int]
    switch json["order"]?.string {
    case "C": order = Array(shape.indices)
    case "F": order = shape.indices.reversed()
    default: throw document.damaged("order is neither C nor F")
    }
    guard let fill = element.fill(json["fill_value"]) else {
      throw document.damaged("the fill value \(Self.text(json["fill_value"])) is no number of the type \(dtype)")
    }
    let separator = json["dimension_separator"]?.string ?? "."
    guard separator == "." || separator == "/" else {
      throw document.damaged("dimension_separator is neither a dot nor a slash")
    }
    self.init(
      shape: shape, element: element, fill: fill,
      chunk: ZarrChunkLayout(
        shape: chunk, order: order, isSwapped: ZarrElement.isSwapped(bigEndian: isBigEndian),
        codecs: try Self.codecs(document)),
      keys: ZarrChunkKeys(prefix: "", separator: separator))
  }

  private static func codecs(_ document: ZarrDocument) throws(ImageError) -> [ZarrCodec] {
    var steps = document.json["filters"]?.array ?? []
    if let compressor = document.json["compressor"], !compressor.isNull { steps.append(compressor) }
    guard steps.count <= 4 else { throw document.unsupported("\(steps.count) filters are not read") }
    var codecs: [ZarrCodec] = []
    for step in steps {
      // numcodecs' own checksum filter lies before the data, unlike that of version 3.
      guard let name = step["id"]?.string, name != "crc32c", let codec = ZarrCodec(name: name, configuration: step)
      else {
        throw document.unsupported(
          "the compression or filter \(text(step["id"])) is not read; blosc, zstd, zlib, gzip and lz4 are")
      }
      codecs.append(codec)
    }
    return codecs
  }

  /// A value for an error.
  static func text(_ json: JSONValue?) -> String {
    switch json {
    case .string(let text): String(text.prefix(80))
    case .integer(let value): "\(value)"
    case .unsigned(let value): "\(value)"
    case .number(let value): "\(value)"
    case .bool(let value): "\(value)"
    case nil, .null: "(none)"
    case .array, .object: "(a structure)"
    }
  }
}
