// SPDX-License-Identifier: Apache-2.0

/// Positions along a dimension, as a user writes them: `3`, `0-4`, `0-2,7`.
public struct Selection: Sendable, Hashable, CustomStringConvertible {
  /// At least one; none begins below 0.
  public let ranges: [ClosedRange<Int>]

  /// - Returns: `nil` where there is no range, or one that begins below 0.
  public init?(_ ranges: [ClosedRange<Int>]) {
    guard !ranges.isEmpty, ranges.allSatisfy({ $0.lowerBound >= 0 }) else { return nil }
    self.ranges = ranges
  }

  /// - Returns: `nil` where the text is not such a list.
  public init?(_ text: String) {
    var ranges: [ClosedRange<Int>] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
      guard let first = ends.first ?? nil, ends.count <= 2, let last = ends.last ?? nil, first >= 0, last >= first
      else {
        return nil
      }
      ranges.append(first...last)
    }
    self.ranges = ranges
  }

  /// The positions, each once, in ascending order.
  ///
  /// - Returns: `nil` where one is not below `count`.
  public func positions(below count: Int) -> [Int]? {
    guard ranges.allSatisfy({ $0.upperBound < count }) else { return nil }
    return Set(ranges.joined()).sorted()
  }

  public var description: String {
    ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
  }
}
