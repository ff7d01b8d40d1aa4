// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelPixels

/// The numbers of an array as they are stored, and as what they are read.
struct ZarrElement: Sendable, Hashable {
  /// As what they are read: truth values as `uint8`, half precision as `float32`.
  var type: PixelType
  /// Bytes of a stored number.
  var storedSize: Int
  var isHalf: Bool { type == .float32 && storedSize == 2 }

  /// A type by its name in Zarr 3; `nil` where it is not one of single real numbers.
  init?(name: String) {
    switch name {
    case "bool": type = .uint8
    case "float16": type = .float32
    default:
      guard let type = PixelType(rawValue: name) else { return nil }
      self.type = type
    }
    storedSize = name == "float16" ? 2 : type.size
  }

  /// A type by NumPy's description in Zarr 2, as in `<u2`, without the byte order.
  init?(kindAndSize: Substring) {
    let name: String
    switch kindAndSize.first {
    case "b" where kindAndSize == "b1": name = "bool"
    case "u": name = "uint"
    case "i": name = "int"
    case "f": name = "float"
    default: return nil
    }
    guard let size = Int(kindAndSize.dropFirst()), (1...8).contains(size) else { return nil }
    self.init(name: name == "bool" ? name : "\(name)\(size * 8)")
  }

  /// A fill value as one number in memory; `nil` where the type has no such number.
  ///
  /// - Parameter json: a number, a truth value, a text for one (`NaN`, `-Infinity`, `0`, or the bits as `0x7fc00000`),
  ///   or null for none, which is read as 0.
  func fill(_ json: JSONValue?) -> [UInt8]? {
    switch json ?? .null {
    case .null: fill(.integer(0))
    case .bool(let value): fill(.integer(value ? 1 : 0))
    case .string(let text): fill(text: text)
    case .integer(let value):
      integer { $0.init(exactly: value) } ?? real(Double(value))
    case .unsigned(let value):
      integer { $0.init(exactly: value) } ?? real(Double(value))
    case .number(let value):
      integer { $0.init(exactly: value) } ?? real(value)
    case .array, .object: nil
    }
  }

  private func fill(text: String) -> [UInt8]? {
    switch text {
    case "NaN", "nan": return real(.nan)
    case "Infinity", "inf": return real(.infinity)
    case "-Infinity", "-inf": return real(-.infinity)
    case "true", "True": return fill(.integer(1))
    case "false", "False", "": return fill(.integer(0))
    default: break
    }
    if text.hasPrefix("0x") {
      guard let bits = UInt64(text.dropFirst(2), radix: 16), text.utf8.count == 2 + 2 * storedSize else { return nil }
      if isHalf { return Self.bytes(Float(halfBits: UInt16(truncatingIfNeeded: bits)).bitPattern) }
      return Self.bytes(bits).prefixOrSuffix(type.size)
    }
    if let value = Int(text) { return fill(.integer(value)) }
    if let value = UInt64(text) { return fill(.unsigned(value)) }
    return Double(text).flatMap { fill(.number($0)) }
  }

  private func integer(_ convert: (any FixedWidthInteger.Type) -> (any FixedWidthInteger)?) -> [UInt8]? {
    let integers: [PixelType: any FixedWidthInteger.Type] = [
      .uint8: UInt8.self, .uint16: UInt16.self, .uint32: UInt32.self, .uint64: UInt64.self,
      .int8: Int8.self, .int16: Int16.self, .int32: Int32.self, .int64: Int64.self,
    ]
    return integers[type].flatMap(convert).map { value in Self.bytes(of: value) }
  }

  private func real(_ value: Double) -> [UInt8]? {
    switch type {
    case .float32: Self.bytes(Float(value).bitPattern)
    case .float64: Self.bytes(value.bitPattern)
    default: nil
    }
  }

  private static func bytes(of value: any FixedWidthInteger) -> [UInt8] { bytes(value) }
  private static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }

  /// Turns stored numbers into those of ``type`` in the machine's byte order.
  func native(_ bytes: [UInt8], isSwapped: Bool) -> [UInt8] {
    var bytes = bytes
    if isSwapped && storedSize > 1 {
      bytes.withUnsafeMutableBytes { raw in
        switch storedSize {
        case 2: Self.swap(raw.bindMemory(to: UInt16.self))
        case 4: Self.swap(raw.bindMemory(to: UInt32.self))
        default: Self.swap(raw.bindMemory(to: UInt64.self))
        }
      }
    }
    guard isHalf else { return bytes }
    let count = bytes.count / 2
    return [UInt8](unsafeUninitializedCapacity: count * 4) { buffer, initialized in
      let target = UnsafeMutableRawBufferPointer(buffer)
      bytes.withUnsafeBytes { source in
        for index in 0..<count {
          let bits = source.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)
          target.storeBytes(of: Float(halfBits: bits), toByteOffset: index * 4, as: Float.self)
        }
      }
      initialized = count * 4
    }
  }

  private static func swap<T: FixedWidthInteger>(_ values: UnsafeMutableBufferPointer<T>) {
    for index in values.indices { values[index] = values[index].byteSwapped }
  }

  /// Whether the machine's byte order is not the one that is asked about.
  static func isSwapped(bigEndian: Bool) -> Bool { bigEndian == (UInt16(1).littleEndian == 1) }
}

extension [UInt8] {
  /// The bytes of the low end of a number in memory.
  fileprivate func prefixOrSuffix(_ count: Int) -> [UInt8] {
    Array(UInt16(1).littleEndian == 1 ? prefix(count) : suffix(count))
  }
}

extension Float {
  /// A number from its bits in half precision (IEEE 754 binary16); Swift has `Float16` on some platforms only.
  init(halfBits bits: UInt16) {
    let sign: Float = bits >> 15 == 1 ? -1 : 1
    let exponent = Int(bits >> 10 & 31), fraction = Float(bits & 1023) / 1024
    switch exponent {
    case 0: self = sign * fraction * 0x1p-14
    case 31: self = fraction == 0 ? sign * .infinity : .nan
    default: self = sign * Float(sign: .plus, exponent: exponent - 15, significand: 1 + fraction)
    }
  }
}
