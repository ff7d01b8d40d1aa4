// SPDX-License-Identifier: Apache-2.0
import KachelPixels

/// Which pixels of an image show nothing, so that the network need not see them.
public enum BackgroundChoice: Sendable, Hashable, CustomStringConvertible {
  /// What is as dark as the emptiest blocks of the plane; in a colour image most of which is bright, as bright as those.
  case automatic
  /// Up to this value.
  case upTo(Float)
  /// From this value on, as the glass of a slide in transmitted light.
  case from(Float)

  /// Reads `auto`, a value as `120`, or a value and `+` as `230+`.
  public init?(_ text: String) {
    if text == "auto" {
      self = .automatic
    } else if text.hasSuffix("+"), let value = Float(text.dropLast()), value.isFinite {
      self = .from(value)
    } else if let value = Float(text), value.isFinite {
      self = .upTo(value)
    } else {
      return nil
    }
  }

  public var description: String {
    switch self {
    case .automatic: "auto"
    case .upTo(let value): "\(value)"
    case .from(let value): "\(value)+"
    }
  }

  /// The values of background in a channel.
  ///
  /// - Parameters:
  ///   - extremes: of the channel's blocks.
  ///   - isColor: whether the background may be bright.
  func range(_ extremes: BlockExtremes, isColor: Bool) -> ClosedRange<Float>? {
    switch self {
    case .upTo(let value): return -.infinity...value
    case .from(let value): return value ... .infinity
    case .automatic:
      let lowest = extremes.lowest.filter(\.isFinite).sorted(), highest = extremes.highest.filter(\.isFinite).sorted()
      guard let bottom = lowest.first, let top = highest.last, lowest.count == highest.count else { return nil }
      let last = lowest.count - 1, place = lowest.count / Self.emptyShare
      // Most of a plane with bright background is near its brightest values.
      let isBright = isColor && top - highest[last / 2] < lowest[last / 2] - bottom
      let (low, high) = isBright ? (lowest[last - place], highest[last - place]) : (lowest[place], highest[place])
      // Where the emptiest blocks are as uneven as the whole plane, none is empty.
      guard high - low <= (top - bottom) * Self.mostUneven else { return nil }
      return isBright ? low - Self.margin * (high - low) ... .infinity : -.infinity...high + Self.margin * (high - low)
    }
  }

  /// One of so many blocks is taken to be empty.
  private static let emptyShare = 50
  /// Of what spots differ by within an empty block, how far those of another empty block may lie beyond it.
  private static let margin: Float = 1
  /// Of what spots of the plane differ by, the most that those of an empty block do.
  private static let mostUneven: Float = 0.3
}

/// Where a plane shows something: blocks of 64 x 64 pixels on a grid that begins at the plane's corner. They follow from
/// the image alone, so that what is left out does not depend on tiles, regions or memory.
struct SignalMap: Sendable {
  private static let side = BlockExtremes.side
  private let columns: Int
  private let rows: Int
  /// By block, row after row.
  let hasSignal: [Bool]
  /// The values of background in each of the image's channels that the network gets.
  let background: [ClosedRange<Float>]
  /// How many of the region's blocks hold pixels, and how many of those are background.
  let blocks: (all: Int, background: Int)

  /// A block has signal if it or one beside it holds a spot that is no background, so that the rims of objects stay.
  ///
  /// - Parameters:
  ///   - channels: the extremes of each channel's blocks, and whether it is one of colours.
  ///   - region: what is segmented.
  init(_ channels: [(extremes: BlockExtremes, isColor: Bool)], _ choice: BackgroundChoice, region: Region) {
    columns = channels.first?.extremes.columns ?? 0
    rows = channels.first?.extremes.rows ?? 0
    var seen = [Bool](repeating: false, count: columns * rows)
    var background: [ClosedRange<Float>] = []
    for (extremes, isColor) in channels {
      let range = choice.range(extremes, isColor: isColor)
      if let range { background.append(range) }
      for block in seen.indices where extremes.lowest[block] <= extremes.highest[block] {
        let isBackground =
          range.map { $0.contains(extremes.lowest[block]) && $0.contains(extremes.highest[block]) } ?? false
        if !isBackground { seen[block] = true }
      }
    }
    self.background = background
    var wide = seen
    for row in 0..<rows {
      for column in 0..<columns where seen[row * columns + column] {
        for near in max(0, row - 1)...min(rows - 1, row + 1) {
          for beside in max(0, column - 1)...min(columns - 1, column + 1) { wide[near * columns + beside] = true }
        }
      }
    }
    hasSignal = wide
    var blocks = (all: 0, background: 0)
    for row in Self.blocks(region.y..<region.maxY, rows) {
      for column in Self.blocks(region.x..<region.maxX, columns) {
        let block = row * columns + column
        guard channels.contains(where: { $0.extremes.lowest[block] <= $0.extremes.highest[block] }) else { continue }
        blocks.all += 1
        blocks.background += wide[block] ? 0 : 1
      }
    }
    self.blocks = blocks
  }

  /// A map that was found before.
  ///
  /// - Parameter hasSignal: as many as a plane of this size has blocks.
  init(
    hasSignal: [Bool], size: Size, background: [ClosedRange<Float>], blocks: (all: Int, background: Int)
  ) {
    let plane = BlockExtremes.grid(of: size)
    precondition(hasSignal.count == plane.columns * plane.rows)
    (columns, rows) = plane
    (self.hasSignal, self.background, self.blocks) = (hasSignal, background, blocks)
  }

  /// The blocks that have pixels in a region, cut to those that exist.
  private static func blocks(_ pixels: Range<Int>, _ count: Int) -> Range<Int> {
    let first = max(0, pixels.lowerBound / side)
    return first..<max(first, min(count, (pixels.upperBound + side - 1) / side))
  }

  /// Whether any pixel of a region has signal.
  func hasSignal(in region: Region) -> Bool {
    let across = Self.blocks(region.x..<region.maxX, columns)
    return Self.blocks(region.y..<region.maxY, rows).contains { row in
      across.contains { hasSignal[row * columns + $0] }
    }
  }

  /// The parts of a region that have signal.
  func regions(in region: Region) -> [Region] {
    let across = Self.blocks(region.x..<region.maxX, columns)
    var regions: [Region] = []
    for row in Self.blocks(region.y..<region.maxY, rows) {
      var column = across.lowerBound
      while column < across.upperBound {
        let isSignal = hasSignal[row * columns + column]
        let start = column
        while column < across.upperBound, hasSignal[row * columns + column] == isSignal { column += 1 }
        guard isSignal else { continue }
        let run = Region(
          x: start * Self.side..<column * Self.side, y: row * Self.side..<(row + 1) * Self.side)
        regions.append(run.intersection(region))
      }
    }
    return regions
  }
}
