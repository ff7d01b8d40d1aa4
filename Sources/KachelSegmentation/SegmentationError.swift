// SPDX-License-Identifier: Apache-2.0

/// Why an image could not be segmented with a model.
public struct SegmentationError: Error, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// The image and the model do not fit together.
    case mismatch
    /// An option asks for something that the image or the model does not have.
    case option
    /// The tiles do not fit into the memory that may be used.
    case memory
    /// The network's answer is not what its package promises.
    case badScores
  }

  public let kind: Kind
  /// The image or the package at fault.
  public let file: String
  /// What is wrong, and what to do about it.
  public let reason: String

  public init(_ kind: Kind, file: String, _ reason: String) {
    self.kind = kind
    self.file = file
    self.reason = reason
  }

  public var description: String { "\(file): \(reason)" }
}
