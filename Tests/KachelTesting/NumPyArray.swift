// SPDX-License-Identifier: Apache-2.0
public import Foundation

/// An array in NumPy's `.npy` format (versions 1 and 2, C order, little-endian), as the golden results are stored.
public struct NumPyArray: Sendable {
  public let shape: [Int]
  /// NumPy's name of the type, as in `|u1` or `<f4`.
  public let type: String
  public let bytes: [UInt8]

  public struct Failure: Error { public let reason: String }

  public init(_ data: Data) throws {
    let all = [UInt8](data)
    guard all.count > 12, all.prefix(6) == [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59] else {
      throw Failure(reason: "not an .npy file")
    }
    let start = all[6] == 1 ? 10 : 12
    let length = all[6] == 1 ? Int(all[8]) | Int(all[9]) << 8 : (0..<4).reduce(0) { $0 | Int(all[8 + $1]) << (8 * $1) }
    let header = String(decoding: all[start..<start + length], as: UTF8.self)
    guard let descr = header.firstMatch(of: /'descr': '([^']+)'/), header.contains("'fortran_order': False"),
      let shape = header.firstMatch(of: /'shape': \(([^)]*)\)/)
    else { throw Failure(reason: "not understood: \(header)") }
    type = String(descr.1)
    self.shape = shape.1.split(separator: ",").compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
    bytes = [UInt8](all[(start + length)...])
  }

  public init(shared name: String) throws { try self.init(SharedData.data(name)) }

  /// The values as floating point numbers, whatever their type.
  public var floats: [Float] {
    get throws {
      func numbers<T>(_: T.Type, _ convert: (T) -> Float) -> [Float] {
        bytes.withUnsafeBytes { raw in
          (0..<raw.count / MemoryLayout<T>.size).map {
            convert(raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self))
          }
        }
      }
      switch type {
      case "|u1": return bytes.map(Float.init)
      case "<u2": return numbers(UInt16.self) { Float($0) }
      case "<f4": return numbers(Float.self) { $0 }
      default: throw Failure(reason: "type \(type) is not read")
      }
    }
  }
}
