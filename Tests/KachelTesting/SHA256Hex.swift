// SPDX-License-Identifier: Apache-2.0
private import CCrypto

/// The SHA-256 of bytes in lower-case hexadecimal, as the golden results are stored.
public func sha256Hex(_ bytes: UnsafeRawBufferPointer) -> String {
  var digest = [UInt8](repeating: 0, count: 32)
  guard EVP_Digest(bytes.baseAddress, bytes.count, &digest, nil, EVP_sha256(), nil) == 1 else { return "no SHA-256" }
  return digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

public func sha256Hex(_ bytes: [UInt8]) -> String { bytes.withUnsafeBytes { sha256Hex($0) } }
