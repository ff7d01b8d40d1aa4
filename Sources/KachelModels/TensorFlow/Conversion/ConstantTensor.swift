// SPDX-License-Identifier: Apache-2.0
private import Foundation
internal import KachelBytes

/// The types of numbers in the converted graph, by their numbers in ONNX. Half precision becomes float32: the results
/// are those of the same network, computed more exactly.
enum ElementType: Int32, Sendable {
  case float = 1, uint8 = 2, int8 = 3, uint16 = 4, int16 = 5, int32 = 6, int64 = 7, bool = 9, double = 11

  init(_ stored: StoredType) {
    self =
      switch stored {
      case .float32, .float16, .bfloat16: .float
      case .float64: .double
      case .int32: .int32
      case .uint8: .uint8
      case .int16: .int16
      case .int8: .int8
      case .int64: .int64
      case .bool: .bool
      case .uint16: .uint16
      }
  }

  init?(tensorFlow number: Int32) {
    guard let stored = StoredType(rawValue: number) else { return nil }
    self.init(stored)
  }

  /// Bytes of one number.
  var size: Int {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .float, .int32: 4
    case .int64, .double: 8
    }
  }

  var isFloatingPoint: Bool { self == .float || self == .double }
  var isInteger: Bool { !isFloatingPoint && self != .bool }
}

/// A tensor whose numbers are known: a constant of the graph, or a variable, which stays in its file until it is needed.
struct ConstantTensor: Sendable {
  enum Source: Sendable {
    case bytes([UInt8])
    case variable(VariableBundle.Variable)
  }

  /// Where it comes from; names it in the converted graph.
  let name: String
  /// Tells constants apart, whatever they hold.
  let id: Int
  let type: ElementType
  var shape: [Int]
  let source: Source

  var count: Int { shape.reduce(1, *) }

  /// The numbers, little-endian, in the order of the shape.
  func bytes() throws(ModelError) -> [UInt8] {
    switch source {
    case .bytes(let bytes): return bytes
    case .variable(let variable): return Self.widened(try variable.read(), variable.type)
    }
  }

  /// The numbers of a tensor of floating point numbers.
  func floats() throws(ModelError) -> [Double] {
    let bytes = try self.bytes()
    return bytes.withUnsafeBytes { raw in
      type == .double
        ? (0..<raw.count / 8).map { raw.loadUnaligned(fromByteOffset: $0 * 8, as: Double.self) }
        : (0..<raw.count / 4).map { Double(raw.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self)) }
    }
  }

  /// The numbers of a tensor of integers or truth values.
  func integers() throws(ModelError) -> [Int] {
    let bytes = try self.bytes()
    func numbers<T: FixedWidthInteger>(_: T.Type) -> [Int] {
      bytes.withUnsafeBytes { raw in
        let size = MemoryLayout<T>.size
        return (0..<raw.count / size).map { Int(raw.loadUnaligned(fromByteOffset: $0 * size, as: T.self)) }
      }
    }
    switch type {
    case .int64: return numbers(Int64.self)
    case .int32: return numbers(Int32.self)
    case .int16: return numbers(Int16.self)
    case .uint16: return numbers(UInt16.self)
    case .int8: return numbers(Int8.self)
    case .uint8, .bool: return bytes.map(Int.init)
    case .float, .double: return []
    }
  }

  /// Half precision as float32; everything else as it is.
  static func widened(_ bytes: [UInt8], _ type: StoredType) -> [UInt8] {
    guard type == .float16 || type == .bfloat16 else { return bytes }
    return packed(
      bytes.withUnsafeBytes { raw in
        (0..<raw.count / 2).map { index in
          let bits = raw.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)
          return type == .bfloat16 ? Float(bitPattern: UInt32(bits) << 16) : float(half: bits)
        }
      })
  }

  /// A number of half precision (IEEE 754 binary16), which not every processor's Swift has as a type.
  private static func float(half bits: UInt16) -> Float {
    let sign: Float = bits & 0x8000 == 0 ? 1 : -1
    let (exponent, fraction) = (Int(bits >> 10 & 0x1F), Float(bits & 0x3FF) / 1024)
    switch exponent {
    case 0: return sign * fraction * 0x1p-14
    case 31: return fraction == 0 ? sign * .infinity : .nan
    default: return sign * (1 + fraction) * Float(sign: .plus, exponent: exponent - 15, significand: 1)
    }
  }

  static func packed<T>(_ numbers: [T]) -> [UInt8] { numbers.withUnsafeBytes { Array($0) } }

  /// Floating point numbers in the form of a type.
  static func packed(_ numbers: [Double], as type: ElementType) -> [UInt8] {
    type == .double ? packed(numbers) : packed(numbers.map(Float.init))
  }

  /// The bytes of integers in the form of a type; `nil` where one does not fit, or the type is none of integers.
  static func packed(_ numbers: [Int], as type: ElementType) -> [UInt8]? {
    func fit<T: FixedWidthInteger>(_: T.Type) -> [UInt8]? {
      let fitting = numbers.compactMap { T(exactly: $0) }
      return fitting.count == numbers.count ? packed(fitting) : nil
    }
    switch type {
    case .int64: return fit(Int64.self)
    case .int32: return fit(Int32.self)
    case .int16: return fit(Int16.self)
    case .uint16: return fit(UInt16.self)
    case .int8: return fit(Int8.self)
    case .uint8: return fit(UInt8.self)
    case .bool: return numbers.map { $0 == 0 ? 0 : 1 }
    case .float, .double: return nil
    }
  }
}

extension ConstantTensor {
  /// Most bytes of a constant that repeats one number, as a few bytes in a file may ask for any.
  private static let mostRepeated = 64 << 20

  /// The bytes of a constant in the graph; `nil` where its parts contradict each other, or where it is absurdly large.
  static func bytes(of tensor: TF_TensorProto, type: StoredType, count: Int) -> [UInt8]? {
    if !tensor.tensorContent.isEmpty {
      return tensor.tensorContent.count == count * type.size ? Array(tensor.tensorContent) : nil
    }
    // The last number stands for all that follow; none at all stands for zeros.
    func filled<T, U>(_ numbers: [T], _ zero: U, _ convert: (T) -> U?) -> [UInt8]? {
      let given = numbers.compactMap(convert)
      guard given.count == numbers.count, given.count <= count else { return nil }
      guard given.count == count || count * type.size <= mostRepeated else { return nil }
      return packed(given + Array(repeating: given.last ?? zero, count: count - given.count))
    }
    switch type {
    case .float32: return filled(tensor.floatVal, 0 as Float) { $0 }
    case .float64: return filled(tensor.doubleVal, 0 as Double) { $0 }
    case .int64: return filled(tensor.int64Val, 0 as Int64) { $0 }
    case .int32: return filled(tensor.intVal, 0 as Int32) { $0 }
    case .int16: return filled(tensor.intVal, 0 as Int16) { Int16(exactly: $0) }
    case .uint16: return filled(tensor.intVal, 0 as UInt16) { UInt16(exactly: $0) }
    case .int8: return filled(tensor.intVal, 0 as Int8) { Int8(exactly: $0) }
    case .uint8: return filled(tensor.intVal, 0 as UInt8) { UInt8(exactly: $0) }
    case .bool: return filled(tensor.boolVal, 0 as UInt8) { $0 ? 1 : 0 }
    case .float16, .bfloat16: return filled(tensor.halfVal, 0 as UInt16) { UInt16(exactly: $0) }
    }
  }
}
