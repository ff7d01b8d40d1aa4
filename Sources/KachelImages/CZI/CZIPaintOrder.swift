// SPDX-License-Identifier: Apache-2.0
package import KachelPixels

/// Finds the sub-blocks of layer 0 that touch a region of a plane, in the order in which they are painted.
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
  private let members: [Int32]
  private let boxes: [Region]

  package init(_ subBlocks: [CZISubBlock]) {
    struct Key {
      var plane: Int
      var scene: Int32
      var index: Int32
      var curve: UInt64
    }
    var keys: [Key] = []
    keys.reserveCapacity(subBlocks.count)
    for (index, block) in subBlocks.enumerated() where block.isLayer0 {
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
}
