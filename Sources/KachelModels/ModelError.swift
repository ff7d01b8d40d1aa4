// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes

/// Why a model package could not be read, or cannot be run.
public struct ModelError: Error, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// There is no such file, or it may not be read.
    case cannotRead
    /// The file is not a model package.
    case notAPackage
    /// The package contradicts its format, or is incomplete.
    case damaged
    /// The package is of a kind, or asks for something, that Kachel does not do.
    case unsupported
    /// What the package says of its network is not what the network is.
    case mismatch
    /// The package's content cannot be written where it was to be.
    case cannotWrite
    /// What the caller asks for does not fit, or something must be said that no file says.
    case option
  }

  public let kind: Kind
  public let file: String
  /// Which part of the package, by its name in the package.
  public let member: String?
  /// What is wrong, and what to do about it.
  public let reason: String

  public init(_ kind: Kind, file: String, member: String? = nil, _ reason: String) {
    self.kind = kind
    self.file = file
    self.member = member?.isEmpty == true ? nil : member
    self.reason = reason
  }

  public var description: String { "\(file)\(member.map { " (\($0))" } ?? ""): \(reason)" }
}

extension ModelError {
  /// The same failure, told of a package.
  init(_ error: BytesError, file: String, member: String? = nil) {
    let kind: Kind =
      switch error.kind {
      case .cannotRead: .cannotRead
      case .truncated, .damaged: .damaged
      case .unsupported: .unsupported
      case .cannotWrite: .cannotWrite
      }
    self.init(kind, file: file, member: member, error.reason)
  }
}
