// SPDX-License-Identifier: Apache-2.0
package import KachelPixels

/// Finds the sub-blocks of one resolution that touch a region of a plane, in the order in which they are painted.
///
/// Sub-blocks are sorted by plane, scene and then along a Z-shaped curve, so that neighbours in the list are neighbours
/// in the image; the box of every 32 of them, and that of 32 such boxes, let a search skip the others. Nothing depends on how they are arranged:
/// tiles may overlap, leave gaps and differ in size.
package struct CZIPaintOrder: Sendable {
  /// The sub-blocks of one scene of one plane. There may be as many of them as sub-blocks, so they are small: what
  /// ends where the next one begins is not said twice.
  private struct Group {
    var plane: Int
    var scene: Int32
    var firstMember: Int32
    var firstBox: Int32
    var firstWideBox: Int32
  }

  /// What some sub-blocks cover together. The last pixels are inside, so that 32 bits hold them.
  private struct Box {
    var (x, y): (Int32, Int32)
    var (lastX, lastY): (Int32, Int32)

    init(_ region: Region) {
      (x, y) = (Int32(clamping: region.x), Int32(clamping: region.y))
      (lastX, lastY) = (Int32(clamping: region.maxX - 1), Int32(clamping: region.maxY - 1))
    }

    mutating func extend(to other: Box) {
      (x, y) = (min(x, other.x), min(y, other.y))
      (lastX, lastY) = (max(lastX, other.lastX), max(lastY, other.lastY))
    }

    func intersects(_ region: Region) -> Bool {
      Int(x) < region.maxX && Int(lastX) >= region.x && Int(y) < region.maxY && Int(lastY) >= region.y
    }
  }

  private static let membersPerBox = 32
  private static let membersPerWideBox = 32 * membersPerBox
  private let groups: [Group]
  /// Which groups are a scene's, ascending.
  private let groupsOfScene: [Int32: [Int32]]
  private let members: [Int32]
  private let boxes: [Box]
  private let wideBoxes: [Box]

  /// - Parameter factor: takes the sub-blocks that are reduced by as much.
  package init(_ subBlocks: [CZISubBlock], factor: Int32 = 1) {
    // Every array has its final size from the start: to let one grow takes three times its memory for a while.
    var members: [Int32] = []
    members.reserveCapacity(subBlocks.reduce(0) { $0 + ($1.factor == factor ? 1 : 0) })
    for (index, block) in subBlocks.enumerated() where block.factor == factor { members.append(Int32(index)) }
    subBlocks.withUnsafeBufferPointer { blocks in
      members.sort { Self.precedes(blocks[Int($0)], $0, blocks[Int($1)], $1) }
    }
    /// Calls `body` with every sub-block, and its place in its group.
    func walk(_ body: (_ place: Int, CZISubBlock, _ inGroup: Int) -> Void) {
      var start = 0
      for (place, member) in members.enumerated() {
        let block = subBlocks[Int(member)]
        let last = subBlocks[Int(members[max(0, place - 1)])]
        if place == 0 || block.plane != last.plane || block.scene != last.scene { start = place }
        body(place, block, place - start)
      }
    }
    var (groups, boxes, wideBoxes): ([Group], [Box], [Box]) = ([], [], [])
    var (groupCount, boxCount, wideBoxCount) = (0, 0, 0)
    walk { _, _, inGroup in
      if inGroup == 0 { groupCount += 1 }
      if inGroup.isMultiple(of: Self.membersPerBox) { boxCount += 1 }
      if inGroup.isMultiple(of: Self.membersPerWideBox) { wideBoxCount += 1 }
    }
    groups.reserveCapacity(groupCount)
    boxes.reserveCapacity(boxCount)
    wideBoxes.reserveCapacity(wideBoxCount)
    func add(_ box: Box, to boxes: inout [Box], isNew: Bool) {
      if isNew { boxes.append(box) } else { boxes[boxes.count - 1].extend(to: box) }
    }
    walk { place, block, inGroup in
      if inGroup == 0 {
        groups.append(
          Group(
            plane: block.plane, scene: block.scene, firstMember: Int32(place), firstBox: Int32(boxes.count),
            firstWideBox: Int32(wideBoxes.count)))
      }
      let box = Box(block.region)
      add(box, to: &boxes, isNew: inGroup.isMultiple(of: Self.membersPerBox))
      add(box, to: &wideBoxes, isNew: inGroup.isMultiple(of: Self.membersPerWideBox))
    }
    (self.groups, self.members, self.boxes, self.wideBoxes) = (groups, members, boxes, wideBoxes)
    var countOfScene: [Int32: Int] = [:]
    for group in groups { countOfScene[group.scene, default: 0] += 1 }
    var groupsOfScene: [Int32: [Int32]] = [:]
    for (scene, count) in countOfScene { groupsOfScene[scene, default: []].reserveCapacity(count) }
    for (index, group) in groups.enumerated() { groupsOfScene[group.scene, default: []].append(Int32(index)) }
    self.groupsOfScene = groupsOfScene
  }

  /// The order of the list: by plane, scene, and place along the Z-shaped curve, which interleaves the bits of x and y.
  private static func precedes(_ left: CZISubBlock, _ leftIndex: Int32, _ right: CZISubBlock, _ rightIndex: Int32)
    -> Bool
  {
    if left.plane != right.plane { return left.plane < right.plane }
    if left.scene != right.scene { return left.scene < right.scene }
    // The coordinate that differs in the higher bit decides (Chan, 2002). A sign counts as the highest bit.
    let (x, y) = (UInt32(bitPattern: left.x ^ right.x), UInt32(bitPattern: left.y ^ right.y))
    if x > y, x ^ y > y { return left.x < right.x }
    return y != 0 ? left.y < right.y : leftIndex < rightIndex
  }

  /// The places of a group's sub-blocks in the list.
  private func members(of group: Int) -> Range<Int> {
    Int(groups[group].firstMember)..<(group + 1 < groups.count ? Int(groups[group + 1].firstMember) : members.count)
  }

  /// The groups of a plane, by ascending scene.
  private func groups(of plane: Int) -> Range<Int> {
    var low = 0, high = groups.count
    while low < high {
      let middle = (low + high) / 2
      if groups[middle].plane < plane { low = middle + 1 } else { high = middle }
    }
    var end = low
    while end < groups.count, groups[end].plane == plane { end += 1 }
    return low..<end
  }

  /// Calls `body` with the sub-blocks that touch `region` until it returns false: scene after scene, without order
  /// inside a scene. `sceneEnds` is called after each scene.
  private func search(
    _ region: Region, plane: Int, scene: Int32?, in subBlocks: [CZISubBlock], sceneEnds: () -> Void = {},
    body: (Int32) -> Bool
  ) {
    for number in groups(of: plane) {
      let group = groups[number]
      if let scene, group.scene != scene, group.scene != CZISubBlock.missing { continue }
      let places = members(of: number)
      for (wide, wideStart) in zip(
        Int(group.firstWideBox)..., stride(from: places.lowerBound, to: places.upperBound, by: Self.membersPerWideBox)
      ) where wideBoxes[wide].intersects(region) {
        let wideEnd = min(wideStart + Self.membersPerWideBox, places.upperBound)
        for start in stride(from: wideStart, to: wideEnd, by: Self.membersPerBox)
        where boxes[Int(group.firstBox) + (start - places.lowerBound) / Self.membersPerBox].intersects(region) {
          for member in members[start..<min(start + Self.membersPerBox, wideEnd)]
          where subBlocks[Int(member)].region.intersects(region) {
            guard body(member) else { return }
          }
        }
      }
      sceneEnds()
    }
  }

  /// The sub-blocks that touch `region` (in the file's coordinates), first painted first: ascending scene, then
  /// ascending mosaic tile, then the directory's order; those without scene or tile come first.
  ///
  /// - Parameter scene: takes only sub-blocks of that scene and those without scene; `nil` takes all.
  package func subBlocks(in region: Region, plane: Int, scene: Int32?, of all: [CZISubBlock]) -> [Int32] {
    var found: [Int32] = []
    var sceneStart = 0
    search(region, plane: plane, scene: scene, in: all) {
      found[sceneStart...].sort {
        let left = all[Int($0)].tile, right = all[Int($1)].tile
        return left != right ? left < right : $0 < $1
      }
      sceneStart = found.count
    } body: {
      found.append($0)
      return true
    }
    return found
  }

  /// Whether any sub-block touches `region`.
  package func isCovered(_ region: Region, plane: Int, scene: Int32?, of all: [CZISubBlock]) -> Bool {
    var isCovered = false
    search(region, plane: plane, scene: scene, in: all) { _ in
      isCovered = true
      return false
    }
    return isCovered
  }

  /// The groups of a scene and those without scene, by ascending plane.
  private func groups(of scene: Int32) -> [Int32] {
    let own = groupsOfScene[scene] ?? []
    guard scene != CZISubBlock.missing, let without = groupsOfScene[CZISubBlock.missing] else { return own }
    return (own + without).sorted()
  }

  /// The sub-blocks of a scene and those without scene, plane by plane.
  package func members(of scene: Int32) -> some Sequence<ArraySlice<Int32>> {
    groups(of: scene).lazy.map { members[members(of: Int($0))] }
  }

  /// The sub-blocks of a scene and those without scene of one plane, in no order.
  func members(of scene: Int32, plane: Int) -> [ArraySlice<Int32>] {
    groups(of: plane).filter { groups[$0].scene == scene || groups[$0].scene == CZISubBlock.missing }
      .map { members[members(of: $0)] }
  }

  /// The planes that have sub-blocks of a scene or without scene, ascending. There may be as many as sub-blocks, so
  /// they are not gathered.
  package func planes(of scene: Int32) -> some Collection<Int> {
    let chosen = groups(of: scene)
    return chosen.indices.lazy.filter { [groups] index in
      index == 0 || groups[Int(chosen[index - 1])].plane != groups[Int(chosen[index])].plane
    }.map { [groups] in groups[Int(chosen[$0])].plane }
  }

  /// Which of 64 x 64 cells of a box are covered in their middle: one number for every row of cells, the lowest bit
  /// for the leftmost.
  package func coverage(of box: Region, plane: Int, scene: Int32, of all: [CZISubBlock]) -> [UInt64] {
    var rows = [UInt64](repeating: 0, count: 64)
    search(box, plane: plane, scene: scene, in: all) { member in
      let region = all[Int(member)].region
      let columns = Self.cells(region.x - box.x..<region.maxX - box.x, of: box.width, count: 64)
      let bits = (columns.upperBound == 64 ? UInt64.max : 1 << UInt64(columns.upperBound) - 1)
      let mask = columns.isEmpty ? 0 : bits & ~(1 << UInt64(columns.lowerBound) - 1)
      for row in Self.cells(region.y - box.y..<region.maxY - box.y, of: box.height, count: 64) { rows[row] |= mask }
      return true
    }
    return rows
  }

  /// Of cells that a length is cut into, those whose middle lies in a range that is counted from its start.
  static func cells(_ range: Range<Int>, of length: Int, count: Int) -> Range<Int> {
    // The middle of cell i is (2 i + 1) / (2 count) of the length.
    func first(_ edge: Int) -> Int { max(0, min(count, (edge * 2 * count - length + 2 * length - 1) / (2 * length))) }
    return first(max(0, range.lowerBound))..<max(first(max(0, range.lowerBound)), first(max(0, range.upperBound)))
  }
}
