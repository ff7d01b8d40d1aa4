// SPDX-License-Identifier: Apache-2.0
import KachelPixels

/// The content of the `.zarray` that ``ZarrChunkFolder`` writes, Zarr storage specification version 2.
struct ZarrArrayMetadata: Encodable {
  struct Compressor: Encodable {
    var id: String
    var level: Int
  }

  var zarrFormat = 2
  var shape: [Int]
  var chunks: [Int]
  var dtype: String
  var compressor: Compressor? = Compressor(id: "zstd", level: 3)
  var fillValue = 0
  var order = "C"
  var filters: [String]?
  var dimensionSeparator = "/"

  enum CodingKeys: String, CodingKey {
    case zarrFormat = "zarr_format"
    case shape, chunks, dtype, compressor
    case fillValue = "fill_value"
    case order, filters
    case dimensionSeparator = "dimension_separator"
  }

  init(shape: [Int], chunks: [Int], type: PixelType) {
    self.shape = shape
    self.chunks = chunks
    dtype = (type.size == 1 ? "|" : "<") + Self.kind(type) + "\(type.size)"
  }

  private static func kind(_ type: PixelType) -> String {
    switch type {
    case .uint8, .uint16, .uint32, .uint64: "u"
    case .int8, .int16, .int32, .int64: "i"
    case .float32, .float64: "f"
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(zarrFormat, forKey: .zarrFormat)
    try container.encode(shape, forKey: .shape)
    try container.encode(chunks, forKey: .chunks)
    try container.encode(dtype, forKey: .dtype)
    try container.encode(compressor, forKey: .compressor)
    try container.encode(fillValue, forKey: .fillValue)
    try container.encode(order, forKey: .order)
    // Required by the specification also where there are none; JSON's null.
    try container.encode(filters, forKey: .filters)
    try container.encode(dimensionSeparator, forKey: .dimensionSeparator)
  }
}
