// SPDX-License-Identifier: Apache-2.0
package import KachelBytes

/// Why a file could not be read as an image, or an image could not be written.
public struct ImageError: Error, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// The content is not of any image format that Kachel knows.
    case notAnImage
    /// The file is an image of a kind, or has a part, that Kachel does not read.
    case unsupported
    /// A library that reads images of this kind is not installed.
    case missingLibrary
    /// The file contradicts itself or its format.
    case damaged
    /// The file has no such plane, scene, channel or region.
    case outOfRange
    /// The server that has the image did not answer, or answers that it cannot do so now.
    case unreachable
    /// The output could not be written.
    case cannotWrite
  }

  public let kind: Kind
  public let file: String
  /// Where in the file, in bytes from its start.
  public let offset: Int?
  /// What is wrong, and what to do about it.
  public let reason: String

  public init(_ kind: Kind, file: String, offset: Int? = nil, _ reason: String) {
    self.kind = kind
    self.file = file
    self.offset = offset
    self.reason = reason
  }

  public var description: String { "\(file)\(offset.map { " at byte \($0)" } ?? ""): \(reason)" }

  /// The same finding about the bytes of an image.
  package init(_ error: BytesError) {
    let kind: Kind =
      switch error.kind {
      case .cannotRead: .notAnImage
      case .truncated, .damaged: .damaged
      case .unsupported: .unsupported
      case .cannotWrite: .cannotWrite
      }
    self.init(kind, file: error.file, offset: error.offset, error.reason)
  }

  /// Runs what reads or writes bytes and reports its errors as an image's.
  package static func wrapping<Result>(_ body: () throws(BytesError) -> Result) throws(ImageError) -> Result {
    do { return try body() } catch { throw ImageError(error) }
  }
}
