// SPDX-License-Identifier: Apache-2.0

/// Why a network could not be run.
public struct EngineError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Kind: Sendable, Hashable {
    /// There is no engine on this machine, or its library cannot be loaded.
    case missing
    /// The engine does not accept the network, or not with the wanted shape.
    case refused
    /// The engine cannot compute on that device, or in that precision.
    case unsuitable
    /// The engine failed while it ran the network.
    case failed
  }

  public let kind: Kind
  /// The network, or the engine's library, that this is about.
  public let name: String
  /// What is wrong, and what to do about it.
  public let reason: String

  public init(_ kind: Kind, name: String, _ reason: String) {
    self.kind = kind
    self.name = name
    self.reason = reason
  }

  public var description: String { "\(name): \(reason)" }

  /// Whether the engine could not get the memory that it needed, by its message: neither engine has a code for it.
  public var isOutOfMemory: Bool {
    let message = reason.lowercased()
    return ["bad_alloc", "bad allocation", "out of memory", "failed to allocate", "cannot allocate", "alloc_failed"]
      .contains { message.contains($0) }
  }
}
