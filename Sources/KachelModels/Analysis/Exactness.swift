// SPDX-License-Identifier: Apache-2.0

/// What running a network over tiles promises, by what its graph does.
public enum Exactness: Sendable, Hashable {
  /// Every pixel of the output sees a limited neighbourhood only. Tiles on the network's stride that overlap enough give
  /// what the whole image does, bit for bit.
  case exact
  /// The same, once numbers that the network takes of its whole input, as the mean and deviation that it standardises
  /// with, are those of the whole image.
  case exactWithStatistics(reason: String)
  /// Pixels see the whole tile, or it is not known what they see, or their values are rounded by where a tile lies. The
  /// same tiles always give the same, but not what the whole image does.
  case canonical(reason: String)

  /// As in `exact with statistics`.
  public var name: String {
    switch self {
    case .exact: "exact"
    case .exactWithStatistics: "exact with statistics"
    case .canonical: "canonical"
    }
  }

  /// The operation and node that keep the network from being plainly exact.
  public var reason: String? {
    switch self {
    case .exact: nil
    case .exactWithStatistics(let reason), .canonical(let reason): reason
    }
  }
}

/// Whether tiles that overlap by what a package declares give what the whole image does.
public enum BorderVerdict: Sendable, Hashable {
  case sufficient(needed: AxisPair)
  /// Pixels within the difference of a tile's inner border may differ.
  case insufficient(needed: AxisPair)
  /// The package declares none.
  case undeclared(needed: AxisPair)
  /// No border is enough, or it is not known which one would be.
  case unknown(reason: String)
}

extension GraphFacts {
  /// Whether a border suffices, and which one would.
  ///
  /// - Parameter border: pixels that a tile sees around what it decides, on each side; `nil` where none is declared.
  public func verdict(onBorder border: AxisPair?) -> BorderVerdict {
    guard let neededBorder else { return .unknown(reason: exactness.reason ?? "") }
    guard let border else { return .undeclared(needed: neededBorder) }
    return border.y >= neededBorder.y && border.x >= neededBorder.x
      ? .sufficient(needed: neededBorder) : .insufficient(needed: neededBorder)
  }
}

/// Which axes of a tensor of four are what.
public enum ImageLayout: Sendable, Hashable {
  /// Batch, height, width, channels, as packages have it.
  case channelsLast
  /// Batch, channels, height, width, as bare networks of PyTorch have it.
  case channelsFirst

  /// The axes by their numbers in batch, height, width, channels.
  var order: [Int] { self == .channelsLast ? [0, 1, 2, 3] : [0, 3, 1, 2] }
}
