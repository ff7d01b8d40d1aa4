// SPDX-License-Identifier: Apache-2.0

/// Numbers along axes, the last axis running fastest.
public struct NumberTensor: Sendable, Hashable {
  public var shape: [Int]
  public var values: [Float]

  public init(shape: [Int], values: [Float]) {
    self.shape = shape
    self.values = values
  }

  /// Elements from one position to the next, by axis.
  var strides: [Int] {
    var strides = Array(repeating: 1, count: shape.count)
    for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * shape[axis + 1] }
    return strides
  }
}

/// Arrays in NumPy's `.npy` format, versions 1 to 3, of real numbers.
///
/// Source: `numpy.lib.format`.
enum NumPyFile {
  /// Most elements; tensors that show what a model does have some millions.
  static let mostElements = 1 << 28

  struct Failure: Error {
    let reason: String
  }

  /// - Throws: where the bytes are no such file, hold other things than numbers, or not as many as they say.
  static func read(_ bytes: [UInt8]) throws(Failure) -> NumberTensor {
    guard bytes.count >= 12, bytes.starts(with: [0x93] + Array("NUMPY".utf8)), (1...3).contains(bytes[6]) else {
      throw Failure(reason: "is no .npy file")
    }
    let start = bytes[6] == 1 ? 10 : 12
    let length = bytes[8..<start].reversed().reduce(0) { $0 << 8 | Int($1) }
    guard length <= 1 << 16, length <= bytes.count - start else {
      throw Failure(reason: "the .npy file is cut off: copy it again")
    }
    let header = String(decoding: bytes[start..<start + length], as: UTF8.self)
    guard let type = header.firstMatch(of: /['"]descr['"]: *['"]([<>|=]?)([a-z])([0-9]+)['"]/),
      let order = header.firstMatch(of: /['"]fortran_order['"]: *(True|False)/),
      let sizes = header.firstMatch(of: /['"]shape['"]: *\(([0-9, ]*)\)/)
    else { throw Failure(reason: "the .npy file holds no plain array of numbers") }
    guard order.1 == "False" else { throw Failure(reason: "the .npy file is in Fortran order, which is not read") }
    var shape: [Int] = []
    var count = 1
    for text in sizes.1.split(separator: ",") {
      guard let size = Int(text.filter { $0 != " " }) else { continue }
      let product = count.multipliedReportingOverflow(by: size)
      guard !product.overflow, product.partialValue <= mostElements, shape.count < 32 else {
        throw Failure(reason: "the .npy file has more than \(mostElements) numbers; that is not read")
      }
      shape.append(size)
      count = product.partialValue
    }
    let content = bytes[(start + length)...]
    guard let width = Int(type.3), (1...8).contains(width), content.count == count * width else {
      throw Failure(reason: "the .npy file does not hold the \(count) numbers that it declares: copy it again")
    }
    let name = "\(type.2)\(width)"
    guard let values = numbers(content, name, count, isBig: type.1 == ">") else {
      throw Failure(reason: "the .npy file holds numbers of the type \(name), which is not read")
    }
    return NumberTensor(shape: shape, values: values)
  }

  private static func numbers(_ bytes: ArraySlice<UInt8>, _ type: String, _ count: Int, isBig: Bool) -> [Float]? {
    bytes.withUnsafeBytes { raw -> [Float]? in
      func read<T: FixedWidthInteger>(_: T.Type, _ convert: (T) -> Float) -> [Float] {
        (0..<count).map {
          let value = raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self)
          return convert(isBig ? T(bigEndian: value) : T(littleEndian: value))
        }
      }
      switch type {
      case "b1", "u1": return read(UInt8.self) { Float($0) }
      case "i1": return read(Int8.self) { Float($0) }
      case "u2": return read(UInt16.self) { Float($0) }
      case "i2": return read(Int16.self) { Float($0) }
      case "u4": return read(UInt32.self) { Float($0) }
      case "i4": return read(Int32.self) { Float($0) }
      case "u8": return read(UInt64.self) { Float($0) }
      case "i8": return read(Int64.self) { Float($0) }
      case "f4": return read(UInt32.self) { Float(bitPattern: $0) }
      case "f8": return read(UInt64.self) { Float(Double(bitPattern: $0)) }
      default: return nil
      }
    }
  }
}
