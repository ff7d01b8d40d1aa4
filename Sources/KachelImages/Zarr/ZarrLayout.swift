// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelPixels

/// How an array is cut and stored, the same for both versions of Zarr.
struct ZarrLayout: Sendable {
  var shape: [Int]
  var element: ZarrElement
  /// The number that stands where nothing is stored, in memory's form.
  var fill: [UInt8]
  /// What is decoded at once: a chunk, or a chunk inside a shard.
  var chunk: ZarrChunkLayout
  /// How chunks lie in shards, where several share a file.
  var shards: ZarrShardLayout?
  var keys: ZarrChunkKeys
  var dimensionNames: [String]?

  /// How many chunks there are along every dimension.
  var grid: [Int] { zip(shape, chunk.shape).map { ($0 + $1 - 1) / $1 } }

  /// The most that a side may have.
  static let longestSide = 1 << 31
  /// The most that a decoded chunk may have in bytes.
  static let largestChunk = 256 << 20
  static let mostDimensions = 8
  /// The most chunks in a shard.
  static let mostChunksInShard = 1 << 22
}

/// What a decoded chunk is, and how it is encoded.
struct ZarrChunkLayout: Sendable {
  var shape: [Int]
  /// How many numbers lie between neighbours along every dimension.
  var strides: [Int]
  var isSwapped: Bool
  /// In the order of encoding.
  var codecs: [ZarrCodec]

  /// - Parameter order: for each dimension in storage, from the slowest, which one of the array it is.
  init(shape: [Int], order: [Int], isSwapped: Bool, codecs: [ZarrCodec]) {
    self.shape = shape
    self.isSwapped = isSwapped
    self.codecs = codecs
    strides = shape
    var stride = 1
    for dimension in order.reversed() {
      strides[dimension] = stride
      stride *= shape[dimension]
    }
  }

  var count: Int { shape.reduce(1, *) }

  /// The most bytes that an encoded chunk may have: what cannot be compressed grows a little.
  func encodedLimit(_ element: ZarrElement) -> Int {
    let size = count * element.storedSize
    return size + size / 8 + 1 << 16
  }

  /// The numbers of a chunk in the machine's form.
  func decode(_ bytes: [UInt8], _ element: ZarrElement) throws(ZarrCodec.Failure) -> [UInt8] {
    let size = count * element.storedSize
    var bytes = bytes
    for (index, codec) in codecs.enumerated().reversed() {
      bytes = try codec.decode(bytes, limit: index == 0 ? size : encodedLimit(element))
    }
    guard bytes.count == size else {
      throw ZarrCodec.Failure(reason: "the chunk has \(bytes.count) bytes instead of \(size)")
    }
    return isSwapped || element.isHalf ? element.native(bytes, isSwapped: isSwapped) : bytes
  }
}

/// How chunks lie in a shard: anywhere in its file, at the places that an index tells.
struct ZarrShardLayout: Sendable {
  /// How many chunks a shard has along every dimension.
  var chunks: [Int]
  var isIndexAtStart: Bool
  var isIndexSwapped: Bool
  var isIndexChecked: Bool

  var count: Int { chunks.reduce(1, *) }
  var indexSize: Int { count * 16 + (isIndexChecked ? 4 : 0) }
}

/// How the entry of a chunk, or of a shard, is called.
struct ZarrChunkKeys: Sendable, Hashable {
  var prefix: String
  var separator: String

  func key(_ position: [Int]) -> String { prefix + position.map(String.init).joined(separator: separator) }
}

/// Metadata of an array or group, and how its faults are told.
struct ZarrDocument {
  var json: JSONValue
  var file: String

  func damaged(_ reason: String) -> ImageError { ImageError(.damaged, file: file, reason) }
  func unsupported(_ reason: String) -> ImageError { ImageError(.unsupported, file: file, reason) }

  func ints(_ name: String) throws(ImageError) -> [Int] { try ints(name, in: json) }

  func ints(_ name: String, in json: JSONValue?) throws(ImageError) -> [Int] {
    guard let values = json?[name]?.ints else { throw damaged("\(name) is missing or no list of integers") }
    return values
  }

  /// Checks that sizes are those of an array and its chunks that can be read.
  func check(shape: [Int], chunk: [Int], size: Int) throws(ImageError) {
    guard (1...ZarrLayout.mostDimensions).contains(shape.count) else {
      throw unsupported("arrays of \(shape.count) dimensions are not read")
    }
    guard chunk.count == shape.count else {
      throw damaged("chunks of \(chunk.count) dimensions contradict an array of \(shape.count)")
    }
    guard shape.allSatisfy({ (1...ZarrLayout.longestSide).contains($0) }) else {
      throw unsupported("an array of the shape \(shape) is not read: sides have 1 to 2^31 elements")
    }
    var bytes = size
    for side in chunk {
      guard side >= 1, side <= ZarrLayout.largestChunk / bytes else {
        throw unsupported("chunks of the shape \(chunk) are not read: they have 1 byte to 256 MiB")
      }
      bytes *= side
    }
  }
}
