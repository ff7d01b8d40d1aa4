// SPDX-License-Identifier: Apache-2.0
private import Foundation
private import KachelBytes

/// A Zarr array that is written number by number, in any layout that the specifications know.
public struct ZarrFixture {
  public var version = 3
  public var shape: [Int]
  public var chunk: [Int]
  /// By its name in Zarr 3.
  public var type = "uint16"
  public var isBigEndian = false
  /// The dimensions in storage, from the slowest.
  public var order: [Int]
  public var separator = "/"
  /// Version 3 only: whether keys are those of version 2.
  public var hasOldKeys = false
  /// As JSON.
  public var fill = "0"
  public var isZstandard = false
  public var isChecked = false
  /// How many chunks a shard has along every dimension; version 3 only.
  public var shard: [Int]?
  public var isIndexAtStart = false
  public var names: [String]?
  /// Chunks, by their position in the grid, that are not stored.
  public var isMissing: ([Int]) -> Bool = { _ in false }
  /// The number at a position of the array: 0 to 2000.
  public var value: ([Int]) -> Int

  public init(shape: [Int], chunk: [Int], value: @escaping ([Int]) -> Int) {
    self.shape = shape
    self.chunk = chunk
    self.value = value
    order = Array(shape.indices)
  }

  /// Every position of a box, the last dimension fastest.
  public static func positions(_ shape: [Int]) -> [[Int]] {
    shape.reduce([[]]) { positions, count in positions.flatMap { start in (0..<count).map { start + [$0] } } }
  }

  /// Bit by bit, as the definition says.
  public static func crc32c(_ bytes: [UInt8]) -> UInt32 {
    var register = ~0 as UInt32
    for byte in bytes {
      register ^= UInt32(byte)
      for _ in 0..<8 { register = register & 1 == 1 ? register >> 1 ^ 0x82F6_3B78 : register >> 1 }
    }
    return ~register
  }

  /// Writes the array into a folder that it creates.
  public func write(to folder: String) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Data(metadata.utf8).write(to: URL(filePath: folder + (version == 2 ? "/.zarray" : "/zarr.json")))
    let grid = zip(shape, chunk).map { ($0 + $1 - 1) / $1 }
    guard let shard else {
      for index in Self.positions(grid) where !isMissing(index) { try store(encoded(index), index, folder) }
      return
    }
    for index in Self.positions(zip(grid, shard).map { ($0 + $1 - 1) / $1 }) {
      try writeShard(index, shard, grid, folder)
    }
  }

  private func writeShard(_ index: [Int], _ shard: [Int], _ grid: [Int], _ folder: String) throws {
    var content: [UInt8] = [], places: [UInt8] = []
    let entries = Self.positions(shard)
    let indexSize = entries.count * 16 + 4
    for entry in entries {
      let chunk = zip(zip(index, shard), entry).map { $0.0 * $0.1 + $1 }
      var place = [UInt64.max, .max]
      if zip(chunk, grid).allSatisfy({ $0 < $1 }) && !isMissing(chunk) {
        let bytes = encoded(chunk)
        place = [UInt64(content.count + (isIndexAtStart ? indexSize : 0)), UInt64(bytes.count)]
        content += bytes
      }
      for value in place { withUnsafeBytes(of: value.littleEndian) { places += $0 } }
    }
    guard !content.isEmpty else { return }
    withUnsafeBytes(of: Self.crc32c(places).littleEndian) { places += $0 }
    try store(isIndexAtStart ? places + content : content + places, index, folder)
  }

  private func store(_ bytes: [UInt8], _ index: [Int], _ folder: String) throws {
    let isNew = version == 3 && !hasOldKeys
    let file = URL(
      filePath: folder + "/" + ((isNew ? ["c"] : []) + index.map(String.init)).joined(separator: separator))
    try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: file)
  }

  private func encoded(_ index: [Int]) -> [UInt8] {
    var bytes: [UInt8] = []
    for stored in Self.positions(order.map { chunk[$0] }) {
      var position = [Int](repeating: 0, count: shape.count)
      for (place, dimension) in order.enumerated() {
        position[dimension] = index[dimension] * chunk[dimension] + stored[place]
      }
      // What lies beyond the array is anything.
      let isInside = zip(position, shape).allSatisfy { $0 < $1 }
      let number = self.number(isInside ? value(position) : 77)
      bytes += isBigEndian ? number.reversed() : number
    }
    if isZstandard { bytes = bytes.withUnsafeBytes { Zstandard.compress($0) } }
    if isChecked { withUnsafeBytes(of: Self.crc32c(bytes).littleEndian) { bytes += $0 } }
    return bytes
  }

  /// Little-endian.
  private func number(_ value: Int) -> [UInt8] {
    func bytes(_ number: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: number.littleEndian) { Array($0) } }
    switch type {
    case "bool": return [UInt8(value & 1)]
    case "float32": return bytes(Float(value).bitPattern)
    case "float64": return bytes(Double(value).bitPattern)
    case "float16":
      guard value > 0 else { return [0, 0] }
      let exponent = value.bitWidth - 1 - value.leadingZeroBitCount
      return bytes(UInt16((exponent + 15) << 10 | (value << (10 - exponent)) & 1023))
    default: return Array(bytes(UInt64(value)).prefix(size))
    }
  }

  private var size: Int {
    if type == "bool" { return 1 }
    return (Int(type.drop { !$0.isNumber }) ?? 8) / 8
  }

  public var metadata: String {
    if version == 2 {
      let kind = type == "bool" ? "b" : String(type.prefix(1))
      let dtype = (size == 1 ? "|" : isBigEndian ? ">" : "<") + kind + "\(size)"
      let compressor = isZstandard ? #"{"id":"zstd","level":3}"# : "null"
      return #"{"zarr_format":2,"shape":\#(shape),"chunks":\#(chunk),"dtype":"\#(dtype)","compressor":\#(compressor),"#
        + #""fill_value":\#(fill),"order":"\#(order.first == 0 ? "C" : "F")","filters":null,"#
        + #""dimension_separator":"\#(separator)"}"#
    }
    var codecs = [
      #"{"name":"transpose","configuration":{"order":\#(order)}}"#,
      #"{"name":"bytes","configuration":{"endian":"\#(isBigEndian ? "big" : "little")"}}"#,
    ]
    if isZstandard { codecs.append(#"{"name":"zstd","configuration":{"level":3,"checksum":false}}"#) }
    if isChecked { codecs.append(#"{"name":"crc32c"}"#) }
    var outer = chunk
    if let shard {
      outer = zip(chunk, shard).map { $0 * $1 }
      codecs = [
        #"{"name":"sharding_indexed","configuration":{"chunk_shape":\#(chunk),"codecs":[\#(codecs.joined(separator: ","))],"#
          + #""index_codecs":[{"name":"bytes","configuration":{"endian":"little"}},{"name":"crc32c"}],"#
          + #""index_location":"\#(isIndexAtStart ? "start" : "end")"}}"#
      ]
    }
    return #"{"zarr_format":3,"node_type":"array","shape":\#(shape),"data_type":"\#(type)","#
      + #""chunk_grid":{"name":"regular","configuration":{"chunk_shape":\#(outer)}},"#
      + #""chunk_key_encoding":{"name":"\#(hasOldKeys ? "v2" : "default")","configuration":{"separator":"\#(separator)"}},"#
      + #""fill_value":\#(fill),"codecs":[\#(codecs.joined(separator: ","))],"attributes":{}"#
      + (names.map { ",\"dimension_names\":\($0)" } ?? "") + "}"
  }
}
