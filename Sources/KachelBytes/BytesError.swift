// SPDX-License-Identifier: Apache-2.0

/// Why a file's bytes could not be read, decoded or written.
public struct BytesError: Error, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// There is no such file, or it may not be read.
    case cannotRead
    /// The file ends before, or has a size other than, what its content says.
    case truncated
    /// The content contradicts its format.
    case damaged
    /// The content is of a kind that Kachel does not read.
    case unsupported
    /// The file cannot be created or written, as when the disk is full.
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
}
