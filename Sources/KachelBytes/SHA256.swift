// SPDX-License-Identifier: Apache-2.0
private import CCrypto

/// SHA-256 (FIPS 180-4), by libcrypto.
public enum SHA256 {
  /// As lower-case hexadecimal digits.
  public static func hex(of bytes: UnsafeRawBufferPointer) -> String {
    let digest = Digest()
    digest.update(bytes)
    return digest.hex()
  }

  /// Of a file's content, which is read piece by piece, as lower-case hexadecimal digits.
  public static func hex(ofFile path: String) throws(BytesError) -> String {
    let source = try ByteSource(path: path)
    let digest = Digest()
    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { piece.deallocate() }
    var offset = 0
    while offset < source.count {
      let part = UnsafeMutableRawBufferPointer(rebasing: piece[..<min(piece.count, source.count - offset)])
      try source.read(at: offset, into: part)
      digest.update(UnsafeRawBufferPointer(part))
      offset += part.count
    }
    return digest.hex()
  }

  /// Of bytes that come piece by piece.
  package final class Digest {
    private let context: OpaquePointer

    package init() {
      // Fails only without memory or where libcrypto is built without SHA-256.
      guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
        preconditionFailure("libcrypto offers no SHA-256")
      }
      self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    package func update(_ bytes: UnsafeRawBufferPointer) {
      precondition(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1)
    }

    /// The 32 bytes of the digest, at the end.
    package func finish() -> [UInt8] {
      var digest = [UInt8](repeating: 0, count: 32)
      precondition(EVP_DigestFinal_ex(context, &digest, nil) == 1)
      return digest
    }

    fileprivate func hex() -> String { finish().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
  }
}
