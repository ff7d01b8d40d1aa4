// SPDX-License-Identifier: Apache-2.0

/// The memory of a tensor, given back with the value.
///
/// `@unchecked Sendable`: it may be given back on any thread. Who reads and writes it when is up to its owner.
public final class TensorBuffer: @unchecked Sendable {
  public let bytes: UnsafeMutableRawBufferPointer
  private let release: () -> Void

  /// - Parameter release: gives the memory back.
  init(bytes: UnsafeMutableRawBufferPointer, release: @escaping () -> Void) {
    self.bytes = bytes
    self.release = release
  }

  /// Memory of this process.
  public convenience init(byteCount: Int) {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 64)
    self.init(bytes: bytes) { bytes.deallocate() }
  }

  deinit { release() }
}

extension UnsafeMutableRawBufferPointer {
  /// The start of a buffer that a request is given, where it is as large as its tensor and aligned to its numbers.
  ///
  /// - Parameters:
  ///   - role: What errors call the buffer, as in "input".
  ///   - name: What errors call the network.
  func start(
    ofTensor shape: [Int], _ element: ElementType, _ role: String, _ name: String
  ) throws(EngineError) -> UnsafeMutableRawPointer {
    let wanted = NetworkPorts.byteCount(shape, element) ?? 0
    guard let baseAddress, count == wanted, UInt(bitPattern: baseAddress) % UInt(element.size) == 0 else {
      throw EngineError(
        .failed, name: name,
        "the \(role) buffer holds \(count) bytes (aligned to \(element.size)), but \(wanted) are needed")
    }
    return baseAddress
  }
}
