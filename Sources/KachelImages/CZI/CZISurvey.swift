// SPDX-License-Identifier: Apache-2.0
import KachelPixels

/// What the directory of a CZI file tells of how its pixels lie and of what is unusual, in words. No pixels are read.
struct CZISurvey {
  let directory: CZIDirectory
  let metadata: CZIMetadata
  let compositor: CZICompositor
  let scenes: [ImageDescription.Scene]
  /// The scenes' indices in the directory.
  let codes: [Int32]
  let channelTypes: [CZIPixelType]
  /// The size of the largest sub-block at full resolution.
  let largest: Size
  /// The first plane of every scene that has pixels, and how many have.
  private let planes: [(first: Int, count: Int)]

  init(
    directory: CZIDirectory, metadata: CZIMetadata, compositor: CZICompositor, scenes: [ImageDescription.Scene],
    codes: [Int32], channelTypes: [CZIPixelType], largest: Size
  ) {
    (self.directory, self.metadata, self.compositor) = (directory, metadata, compositor)
    (self.scenes, self.codes, self.channelTypes, self.largest) = (scenes, codes, channelTypes, largest)
    planes = codes.map { code in
      let planes = compositor.orders[1]?.planes(of: code)
      return (planes?.first ?? 0, planes?.count ?? 0)
    }
  }

  /// How the pixels lie in the file.
  var storage: String {
    let full = directory.subBlocks.count(where: \.isLayer0)
    let reduced = directory.subBlocks.count - full
    return "\(full) sub-block\(full == 1 ? "" : "s")\(full == 1 ? " of" : " of at most") \(largest)"
      + (reduced > 0 ? ", \(reduced) more in the pyramid" : "")
  }

  /// What is unusual.
  var notes: [String] { sizes + types + positions + pyramid + mosaic }

  /// Where the metadata contradict the directory, which is right.
  private var sizes: [String] {
    var notes: [String] = []
    let box = scenes.map(\.box).reduce(Region(x: 0, y: 0, width: 0, height: 0)) { $0.union($1) }
    if let width = metadata.sizes["X"], let height = metadata.sizes["Y"], width > 0, height > 0 {
      let said = Size(width: width, height: height)
      if said != box.size && !scenes.contains(where: { $0.size == said }) {
        notes.append("the metadata say \(said) pixels, the sub-blocks cover \(box.size)")
      }
    }
    let names = [("C", "channels"), ("Z", "z planes"), ("T", "time points")]
    for ((name, words), dimension) in zip(names, directory.dimensions) {
      if let said = metadata.sizes[name], said != dimension.count {
        notes.append("the metadata say \(said), the sub-blocks have \(dimension.count) \(words)")
      }
    }
    return notes
  }

  private var types: [String] {
    var wrong: [String] = []
    for (index, (type, channel)) in zip(channelTypes, metadata.channels).enumerated() {
      let name = CZIPixelType.name(of: type.rawValue)
      if let said = channel.pixelType, said != name { wrong.append("\(said) for channel \(index), which is \(name)") }
    }
    var notes = wrong.isEmpty ? [] : ["the metadata say " + Self.list(wrong)]
    let numbers = metadata.channels.prefix(channelTypes.count).map(\.number)
    if zip(numbers, 0...).contains(where: { $0 != nil && $0 != $1 }) {
      notes.append("the metadata number the channels otherwise; they are taken in their order")
    }
    return notes
  }

  /// Positions along dimensions, and planes that have no pixels.
  private var positions: [String] {
    var notes: [String] = []
    let shifted = directory.dimensions.filter { $0.minimum != 0 }.map { "\($0.name) at \($0.minimum)" }
    if !shifted.isEmpty {
      notes.append("positions in the file begin with \(Self.list(shifted)); here they are counted from 0")
    }
    let all = directory.dimensions.reduce(1) { $0 * $1.count }
    let lacking = planes.map { all - $0.count }
    if lacking.contains(where: { $0 > 0 }) {
      notes.append("\(Self.range(lacking)) of \(all) planes \(scenes.count > 1 ? "of each scene " : "")hold no pixels")
    }
    if scenes.count > 1 || codes.first != CZISubBlock.missing,
      directory.subBlocks.contains(where: { $0.isLayer0 && $0.scene == CZISubBlock.missing })
    {
      notes.append("some sub-blocks belong to no scene; they are part of each")
    }
    return notes
  }

  private var pyramid: [String] {
    var notes: [String] = []
    let unused = directory.subBlocks.count { $0.factor == 0 }
    if unused > 0 {
      notes.append(
        unused == 1
          ? "1 sub-block of the pyramid fits no resolution or no plane and is not used"
          : "\(unused) sub-blocks of the pyramid fit no resolution or no plane and are not used")
    }
    let used = Set(scenes.flatMap { $0.levels.map { Int32($0.downsampling) } })
    let left = compositor.factors.filter { !used.contains($0) }
    if !left.isEmpty {
      notes.append(
        "the pyramid's resolution\(left.count > 1 ? "s" : "") \(Self.list(left.map { "1/\($0)" })) "
          + "\(left.count > 1 ? "have" : "has") gaps or another pixel type and \(left.count > 1 ? "are" : "is") not used"
      )
    }
    return notes
  }

  /// As much as a thousand tiles that each cover all of the box; a mosaic of a million tiles takes a tenth of it.
  private static let mostWork = 20_000_000

  /// How much of their boxes the first planes of the scenes fill, and how much of that more than one tile covers.
  private var mosaic: [String] {
    var filled: [Double] = [], doubled: [Double] = []
    var cells = CZICoverage()
    for ((scene, code), planes) in zip(zip(scenes, codes), planes) {
      guard let order = compositor.orders[1] else { continue }
      cells.clear()
      for tile in order.members(of: code, plane: planes.first).joined() {
        cells.add(directory.subBlocks[Int(tile)].region, of: scene.box)
        // Tiles that lie over each other by the hundreds are not worth the time.
        guard cells.work < Self.mostWork else { return [] }
      }
      filled.append(cells.filled)
      doubled.append(cells.doubled)
    }
    var notes: [String] = []
    // What is more than rounding makes it.
    if filled.contains(where: { $0 < 0.995 }) { notes.append("pixels fill \(Self.percent(filled)) of \(box)") }
    if doubled.contains(where: { $0 > 0.005 }) {
      notes.append("tiles overlap in \(Self.percent(doubled)) of the pixels; the later one is seen")
    }
    return notes
  }

  private var box: String { scenes.count > 1 ? "the scenes' boxes" : "the scene's box" }

  // MARK: Words

  private static func list(_ parts: [String]) -> String {
    parts.prefix(4).joined(separator: ", ") + (parts.count > 4 ? " and \(parts.count - 4) more" : "")
  }

  private static func range(_ values: [Int]) -> String {
    guard let least = values.min(), let most = values.max(), least < most else { return "\(values.first ?? 0)" }
    return "\(least) to \(most)"
  }

  private static func percent(_ shares: [Double]) -> String {
    func text(_ share: Double) -> String {
      share > 0 && share < 0.01 ? "less than 1 %" : "\(Int((share * 100).rounded())) %"
    }
    guard let least = shares.min(), let most = shares.max(), text(least) != text(most) else {
      return text(shares.first ?? 0)
    }
    return "\(text(least)) to \(text(most))"
  }
}

/// How much of a box tiles cover, and how much more than one of them, on a grid of 1024 x 1024 cells.
private struct CZICoverage {
  private static let side = 1024
  private static let words = side / 64
  private var once = [UInt64](repeating: 0, count: side * words)
  private var twice = [UInt64](repeating: 0, count: side * words)
  /// How many words were changed.
  private(set) var work = 0

  /// The part of the box that is covered, and the part of that which is so more than once.
  var filled: Double { Double(Self.count(once)) / Double(Self.side * Self.side) }
  var doubled: Double { Double(Self.count(twice)) / Double(max(1, Self.count(once))) }

  private static func count(_ bits: [UInt64]) -> Int { bits.reduce(0) { $0 + $1.nonzeroBitCount } }

  mutating func clear() {
    for index in once.indices { (once[index], twice[index]) = (0, 0) }
  }

  /// - Parameters:
  ///   - tile, box: in the same coordinates; a tile covers the cells whose middle lies in it.
  mutating func add(_ tile: Region, of box: Region) {
    let columns = CZIPaintOrder.cells(tile.x - box.x..<tile.maxX - box.x, of: box.width, count: Self.side)
    guard !columns.isEmpty else { return }
    let touched = columns.lowerBound / 64...(columns.upperBound - 1) / 64
    for row in CZIPaintOrder.cells(tile.y - box.y..<tile.maxY - box.y, of: box.height, count: Self.side) {
      work += touched.count
      for word in touched {
        let first = UInt64(max(0, columns.lowerBound - 64 * word))
        let last = UInt64(min(64, columns.upperBound - 64 * word))
        let bits = (last == 64 ? UInt64.max : 1 << last - 1) & ~(1 << first - 1)
        let place = row * Self.words + word
        twice[place] |= once[place] & bits
        once[place] |= bits
      }
    }
  }
}
