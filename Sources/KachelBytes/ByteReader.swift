// SPDX-License-Identifier: Apache-2.0

/// Reads little-endian numbers from bytes in memory, one after the other, never beyond their end.
public struct ByteReader: Sendable {
  private let bytes: [UInt8]
  private let file: String
  private let fileOffset: Int
  /// Where the next read begins, in bytes from the start of the bytes.
  public private(set) var position = 0

  /// - Parameters:
  ///   - file: what the bytes are called in errors.
  ///   - offset: where in the file the first byte stands; errors name positions in the file.
  public init(_ bytes: [UInt8], file: String, offset: Int = 0) {
    self.bytes = bytes
    self.file = file
    fileOffset = offset
  }

  public var count: Int { bytes.count }
  public var remaining: Int { bytes.count - position }

  /// Continues at a position counted from the first byte; throws `truncated` where it lies outside the bytes.
  public mutating func seek(to position: Int) throws(BytesError) {
    guard position >= 0, position <= bytes.count else { throw truncated(at: position, wanted: 0) }
    self.position = position
  }

  public mutating func skip(_ count: Int) throws(BytesError) { _ = try take(count) }

  public mutating func uint8() throws(BytesError) -> UInt8 { bytes[try take(1)] }
  public mutating func uint16() throws(BytesError) -> UInt16 { UInt16(truncatingIfNeeded: try number(2)) }
  public mutating func uint32() throws(BytesError) -> UInt32 { UInt32(truncatingIfNeeded: try number(4)) }
  public mutating func uint64() throws(BytesError) -> UInt64 { try number(8) }
  public mutating func int32() throws(BytesError) -> Int32 { Int32(truncatingIfNeeded: try number(4)) }
  public mutating func int64() throws(BytesError) -> Int64 { Int64(bitPattern: try number(8)) }
  public mutating func float32() throws(BytesError) -> Float { Float(bitPattern: try uint32()) }
  public mutating func float64() throws(BytesError) -> Double { Double(bitPattern: try uint64()) }

  /// The next `count` bytes.
  public mutating func bytes(_ count: Int) throws(BytesError) -> ArraySlice<UInt8> {
    let start = try take(count)
    return bytes[start..<start + count]
  }

  /// The next `count` bytes as text that ends at the first NUL.
  public mutating func text(_ count: Int) throws(BytesError) -> String {
    String(decoding: try bytes(count).prefix { $0 != 0 }, as: UTF8.self)
  }

  private mutating func number(_ size: Int) throws(BytesError) -> UInt64 {
    let start = try take(size)
    var value: UInt64 = 0
    for index in (start..<start + size).reversed() { value = value << 8 | UInt64(bytes[index]) }
    return value
  }

  /// Moves on by `count` bytes and returns where they start.
  private mutating func take(_ count: Int) throws(BytesError) -> Int {
    guard count >= 0, count <= remaining else { throw truncated(at: position, wanted: count) }
    defer { position += count }
    return position
  }

  private func truncated(at position: Int, wanted: Int) -> BytesError {
    let place = fileOffset.addingReportingOverflow(position)
    return BytesError(
      .truncated, file: file, offset: place.overflow ? fileOffset : place.partialValue,
      "\(wanted) bytes are wanted at position \(position) of \(bytes.count)")
  }
}
