// SPDX-License-Identifier: Apache-2.0
package import KachelPixels

/// Finds the sub-blocks of one resolution that touch a region of a plane, in the order in which they are painted.
///
/// Sub-blocks are sorted by plane, scene and then along a Z-shaped curve, so that neighbours in the list are neighbours
/// in the image; the box of every 32 of them lets a search skip the others. Nothing depends on how they are arranged:
/// tiles may overlap, leave gaps and differ in size.
package struct CZIPaintOrder: Sendable {
  /// The sub-blocks of one scene of one plane.
  private struct Group {
    var plane: Int
    var scene: Int32
    var members: Range<Int>
    var firstBox: Int
    var box: Region
  }

  private static let membersPerBox = 32
  private let groups: [Group]
  /// Which groups are a scene's, ascending.
  private let groupsOfScene: [Int32: [Int32]]
  private let members: [Int32]
  private let boxes: [Region]

  /// - Parameter factor: takes the sub-blocks that are reduced by as much.
  package init(_ subBlocks: [CZISubBlock], factor: Int32 = 1) {
    struct Key {
      var plane: Int
      var scene: Int32
      var index: Int32
      var curve: UInt64
    }
    var keys: [Key] = []
    keys.reserveCapacity(subBlocks.count)
    for (index, block) in subBlocks.enumerated() where block.factor == factor {
      keys.append(
        Key(
          plane: block.plane, scene: block.scene, index: Int32(index), curve: Self.curvePosition(block.x, block.y)))
    }
    keys.sort {
      if $0.plane != $1.plane { return $0.plane < $1.plane }
      if $0.scene != $1.scene { return $0.scene < $1.scene }
      return $0.curve != $1.curve ? $0.curve < $1.curve : $0.index < $1.index
    }
    members = keys.map(\.index)

    var groups: [Group] = []
    var boxes: [Region] = []
    for (place, key) in keys.enumerated() {
      let region = subBlocks[Int(key.index)].region
      if let last = groups.last, last.plane == key.plane, last.scene == key.scene {
        groups[groups.count - 1].members = last.members.lowerBound..<place + 1
        groups[groups.count - 1].box = last.box.union(region)
        if (place - last.members.lowerBound).isMultiple(of: Self.membersPerBox) {
          boxes.append(region)
        } else {
          boxes[boxes.count - 1] = boxes[boxes.count - 1].union(region)
        }
      } else {
        groups.append(
          Group(
            plane: key.plane, scene: key.scene, members: place..<place + 1, firstBox: boxes.count, box: region))
        boxes.append(region)
      }
    }
    (self.groups, self.boxes) = (groups, boxes)
    groupsOfScene = Dictionary(grouping: groups.indices.map { Int32($0) }) { groups[Int($0)].scene }
  }

  /// Interleaves the bits of both coordinates.
  private static func curvePosition(_ x: Int32, _ y: Int32) -> UInt64 {
    func spread(_ value: Int32) -> UInt64 {
      var bits = UInt64(UInt32(bitPattern: value) ^ 0x8000_0000)
      bits = (bits | bits << 16) & 0x0000_FFFF_0000_FFFF
      bits = (bits | bits << 8) & 0x00FF_00FF_00FF_00FF
      bits = (bits | bits << 4) & 0x0F0F_0F0F_0F0F_0F0F
      bits = (bits | bits << 2) & 0x3333_3333_3333_3333
      return (bits | bits << 1) & 0x5555_5555_5555_5555
    }
    return spread(x) | spread(y) << 1
  }

  /// Calls `body` with the sub-blocks that touch `region` until it returns false: scene after scene, without order
  /// inside a scene. `sceneEnds` is called after each scene.
  private func search(
    _ region: Region, plane: Int, scene: Int32?, in subBlocks: [CZISubBlock], sceneEnds: () -> Void = {},
    body: (Int32) -> Bool
  ) {
    var low = 0, high = groups.count
    while low < high {
      let middle = (low + high) / 2
      if groups[middle].plane < plane { low = middle + 1 } else { high = middle }
    }
    for group in groups[low...].prefix(while: { $0.plane == plane }) {
      if let scene, group.scene != scene, group.scene != CZISubBlock.missing { continue }
      guard group.box.intersects(region) else { continue }
      for (box, start) in stride(
        from: group.members.lowerBound, to: group.members.upperBound, by: Self.membersPerBox
      ).enumerated() where boxes[group.firstBox + box].intersects(region) {
        for member in members[start..<min(start + Self.membersPerBox, group.members.upperBound)]
        where subBlocks[Int(member)].region.intersects(region) {
          guard body(member) else { return }
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
  private func groups(of scene: Int32) -> [Group] {
    let without = scene == CZISubBlock.missing ? [] : groupsOfScene[CZISubBlock.missing] ?? []
    return ((groupsOfScene[scene] ?? []) + without).sorted().map { groups[Int($0)] }
  }

  /// The sub-blocks of a scene and those without scene, plane by plane.
  package func members(of scene: Int32) -> [ArraySlice<Int32>] { groups(of: scene).map { members[$0.members] } }

  /// The planes that have sub-blocks of a scene or without scene, ascending.
  package func planes(of scene: Int32) -> [Int] {
    var planes: [Int] = []
    for group in groups(of: scene) where planes.last != group.plane { planes.append(group.plane) }
    return planes
  }

  /// Which of 64 x 64 cells of a box are covered in their middle: one number for every row of cells, the lowest bit
  /// for the leftmost.
  package func coverage(of box: Region, plane: Int, scene: Int32, of all: [CZISubBlock]) -> [UInt64] {
    /// The cells whose middle, (2 i + 1) / 128 of the box, lies in a range that is counted from the box's start.
    func cells(_ range: Range<Int>, _ size: Int) -> Range<Int> {
      func first(_ edge: Int) -> Int { max(0, min(64, (edge * 128 - size + 2 * size - 1) / (2 * size))) }
      return first(max(0, range.lowerBound))..<max(first(max(0, range.lowerBound)), first(max(0, range.upperBound)))
    }
    var rows = [UInt64](repeating: 0, count: 64)
    search(box, plane: plane, scene: scene, in: all) { member in
      let region = all[Int(member)].region
      let columns = cells(region.x - box.x..<region.maxX - box.x, box.width)
      let bits = (columns.upperBound == 64 ? UInt64.max : 1 << UInt64(columns.upperBound) - 1)
      let mask = columns.isEmpty ? 0 : bits & ~(1 << UInt64(columns.lowerBound) - 1)
      for row in cells(region.y - box.y..<region.maxY - box.y, box.height) { rows[row] |= mask }
      return true
    }
    return rows
  }
}
