// SPDX-License-Identifier: Apache-2.0
import KachelModels
import KachelPixels

/// What a run promises of its result: whether the way in which the image was cut shows in it.
public struct Certificate: Codable, Sendable, Hashable, CustomStringConvertible {
  public enum Promise: String, Codable, Sendable, Hashable {
    /// The result is that of the whole image in one tile, bit for bit.
    case exact
    /// It is not, but the same for any region, memory, threads and planes chosen: tiles lie on a fixed grid.
    case canonical
    /// Tiles see less than the network needs; pixels near their borders may differ from those of the whole image.
    case approximate
    /// Tiles are those of ZEN.
    case zen
  }

  public var promise: Promise
  /// What keeps the result from being exact: the operation and node, or the halo.
  public var reason: String?

  public init(promise: Promise, reason: String? = nil) {
    self.promise = promise
    self.reason = reason
  }

  public var description: String { promise.rawValue + (reason.map { ": \($0)" } ?? "") }

  /// The certificate of a network that is run with these tiles.
  init(_ facts: GraphFacts, _ rules: TileRules) {
    guard rules.tiling == .aligned else {
      self.init(promise: .zen, reason: "tiles are cut as ZEN cuts them, and depend on the image's size")
      return
    }
    switch facts.exactness {
    case .exact:
      let needed = facts.neededBorder.map { Size(width: $0.x, height: $0.y) }
      if let needed, rules.halo.width < needed.width || rules.halo.height < needed.height {
        self.init(
          promise: .approximate,
          reason: "tiles see \(rules.halo) pixels around what they decide, the network needs \(needed)")
      } else {
        self.init(promise: .exact)
      }
    case .exactWithStatistics(let reason), .canonical(let reason):
      self.init(promise: .canonical, reason: reason)
    }
  }
}

/// What a tile sees around the pixels that it decides.
public enum HaloChoice: Sendable, Hashable {
  /// What the network needs by its graph; the package's border where that is not finite or takes most of a tile.
  case automatic
  /// The package's border.
  case package
  /// Pixels on each side.
  case pixels(Int)

  /// Reads `auto`, `package` or a number.
  public init?(_ text: String) {
    switch text {
    case "auto": self = .automatic
    case "package": self = .package
    default:
      guard let pixels = Int(text) else { return nil }
      self = .pixels(pixels)
    }
  }
}
