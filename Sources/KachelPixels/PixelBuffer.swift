// SPDX-License-Identifier: Apache-2.0
#if canImport(Glibc)
  private import Glibc
#endif

/// A rectangle of pixels in memory: `height` tight rows of `width` pixels of `samples` interleaved samples each,
/// in the machine's byte order.
///
/// A buffer grows and is used again with ``reshape(width:height:samples:type:)``.
/// `@unchecked Sendable`: a buffer has one owner at a time and is handed from stage to stage, never shared.
public final class PixelBuffer: @unchecked Sendable {
  public private(set) var width = 0
  public private(set) var height = 0
  public private(set) var samples = 1
  public private(set) var type = PixelType.uint8
  private var storage: UnsafeMutableRawBufferPointer

  /// A buffer whose content is undefined until something is written into it.
  public init(width: Int, height: Int, samples: Int = 1, type: PixelType) {
    storage = .allocate(byteCount: 0, alignment: 64)
    reshape(width: width, height: height, samples: samples, type: type)
  }

  deinit { storage.deallocate() }

  /// Makes room for another shape. The content is undefined afterwards.
  public func reshape(width: Int, height: Int, samples: Int, type: PixelType) {
    let needed = width * height * samples * type.size
    if needed > storage.count {
      storage.deallocate()
      storage = Self.allocate(needed)
    }
    (self.width, self.height, self.samples, self.type) = (width, height, samples, type)
  }

  /// Large buffers get large pages where the system has them: a page of 4 KiB costs as much as filling it.
  private static func allocate(_ byteCount: Int) -> UnsafeMutableRawBufferPointer {
    #if canImport(Glibc)
      let pageSize = 2 << 20
      guard byteCount >= 2 * pageSize else { return .allocate(byteCount: byteCount, alignment: 64) }
      let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: pageSize)
      madvise(storage.baseAddress, byteCount, MADV_HUGEPAGE)
      return storage
    #else
      return .allocate(byteCount: byteCount, alignment: 64)
    #endif
  }

  public var size: Size { Size(width: width, height: height) }
  public var bytesPerPixel: Int { samples * type.size }
  public var bytesPerRow: Int { width * bytesPerPixel }
  public var byteCount: Int { height * bytesPerRow }

  /// All samples, row after row.
  public var bytes: UnsafeMutableRawBufferPointer { .init(rebasing: storage[0..<byteCount]) }

  /// All samples as numbers of the given type, which must be the buffer's own.
  public func values<T>(as type: T.Type = T.self) -> UnsafeMutableBufferPointer<T> { bytes.bindMemory(to: type) }

  public func fill(byte: UInt8) { if byteCount > 0 { bytes.initializeMemory(as: UInt8.self, repeating: byte) } }

  /// A sample as an integer, whatever the type; see ``Sample/asInt``. For single pixels, not for loops.
  ///
  /// - Parameter index: among all samples, row after row.
  public func integer(at index: Int) -> Int { type.apply(IntegerAt(buffer: self, index: index)) }

  private struct IntegerAt: SampleOperation {
    let buffer: PixelBuffer
    let index: Int
    func run<S: Sample>(_: S.Type) -> Int { buffer.values(as: S.self)[index].asInt }
  }
}
