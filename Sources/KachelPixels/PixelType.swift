// SPDX-License-Identifier: Apache-2.0

/// The type of one sample (one number of a pixel).
public enum PixelType: String, Hashable, Sendable, CaseIterable {
  case uint8, uint16, uint32, uint64, int8, int16, int32, int64, float32, float64

  /// Bytes of one sample.
  public var size: Int {
    switch self {
    case .uint8, .int8: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64: 8
    }
  }

  /// Whether the numbers have a fraction.
  public var isFloatingPoint: Bool { self == .float32 || self == .float64 }

  /// Whether numbers may be negative.
  public var isSigned: Bool {
    switch self {
    case .uint8, .uint16, .uint32, .uint64: false
    case .int8, .int16, .int32, .int64, .float32, .float64: true
    }
  }

  /// The largest value of an integer type as a number; `nil` for floating point.
  public var integerMaximum: Double? { isFloatingPoint ? nil : apply(Largest()) }

  private struct Largest: SampleOperation {
    func run<S: Sample>(_: S.Type) -> Double { S.largest }
  }

  /// Runs an operation for the type of numbers that this is.
  public func apply<Operation: SampleOperation>(_ operation: Operation) -> Operation.Result {
    switch self {
    case .uint8: operation.run(UInt8.self)
    case .uint16: operation.run(UInt16.self)
    case .uint32: operation.run(UInt32.self)
    case .uint64: operation.run(UInt64.self)
    case .int8: operation.run(Int8.self)
    case .int16: operation.run(Int16.self)
    case .int32: operation.run(Int32.self)
    case .int64: operation.run(Int64.self)
    case .float32: operation.run(Float.self)
    case .float64: operation.run(Double.self)
    }
  }
}

/// What is done with samples of any type; compiled for each of them.
public protocol SampleOperation {
  associatedtype Result
  func run<S: Sample>(_: S.Type) -> Result
}

/// A number that pixels are made of.
public protocol Sample: Comparable, BitwiseCopyable, Sendable {
  static var pixelType: PixelType { get }
  /// The largest value as a number.
  static var largest: Double { get }
  var asFloat: Float { get }
  var asDouble: Double { get }
  /// The number as an integer: fractions are cut, what an `Int` cannot hold is clamped, NaN is 0.
  var asInt: Int { get }
  /// The mean; integers are rounded half up.
  static func mean(_ a: Self, _ b: Self, _ c: Self, _ d: Self) -> Self
  /// The sum of `count` values that stand `stride` values apart.
  static func sum(_ start: UnsafePointer<Self>, count: Int, stride: Int) -> Double
}

extension Sample where Self: FixedWidthInteger {
  public static var largest: Double { Double(Self.max) }
  public var asFloat: Float { Float(self) }
  public var asDouble: Double { Double(self) }
  public var asInt: Int { Int(clamping: self) }
  public static func mean(_ a: Self, _ b: Self, _ c: Self, _ d: Self) -> Self {
    // Quarters first, so that nothing overflows; what they cut off is added up apart.
    let rest = (a & 3) + (b & 3) + (c & 3) + (d & 3) + 2
    return (a >> 2) + (b >> 2) + (c >> 2) + (d >> 2) + rest >> 2
  }
  public static func sum(_ start: UnsafePointer<Self>, count: Int, stride: Int) -> Double {
    // Integers are added in vectors; 2^31 of 32 bits are the most that a row has.
    guard bitWidth <= 32 else { return (0..<count).reduce(0) { $0 + start[$1 * stride].asDouble } }
    var sum = 0
    if stride == 1 {
      for index in 0..<count { sum &+= Int(truncatingIfNeeded: start[index]) }
    } else {
      for index in 0..<count { sum &+= Int(truncatingIfNeeded: start[index * stride]) }
    }
    return Double(sum)
  }
}

extension Sample where Self: BinaryFloatingPoint {
  public static var largest: Double { Double(Self.greatestFiniteMagnitude) }
  public var asFloat: Float { Float(self) }
  public var asDouble: Double { Double(self) }
  public var asInt: Int { isNaN ? 0 : Int(exactly: rounded(.towardZero)) ?? (self < 0 ? .min : .max) }
  public static func mean(_ a: Self, _ b: Self, _ c: Self, _ d: Self) -> Self { (a + b + c + d) / 4 }
  public static func sum(_ start: UnsafePointer<Self>, count: Int, stride: Int) -> Double {
    (0..<count).reduce(0) { $0 + start[$1 * stride].asDouble }
  }
}

extension UInt8: Sample { public static var pixelType: PixelType { .uint8 } }
extension UInt16: Sample { public static var pixelType: PixelType { .uint16 } }
extension UInt32: Sample { public static var pixelType: PixelType { .uint32 } }
extension UInt64: Sample { public static var pixelType: PixelType { .uint64 } }
extension Int8: Sample { public static var pixelType: PixelType { .int8 } }
extension Int16: Sample { public static var pixelType: PixelType { .int16 } }
extension Int32: Sample { public static var pixelType: PixelType { .int32 } }
extension Int64: Sample { public static var pixelType: PixelType { .int64 } }
extension Float: Sample { public static var pixelType: PixelType { .float32 } }
extension Double: Sample { public static var pixelType: PixelType { .float64 } }
