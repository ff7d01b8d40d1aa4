// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Kachel

/// Which scenes, planes and pixels of an image a command works on.
struct PlaneOptions: ParsableArguments {
  @Option(help: "Scenes by index, as 1 or 0-2,5.", transform: readSelection) var scene: Selection?
  @Option(help: "Time points, counted from 0.", transform: readSelection) var time: Selection?
  @Option(help: "z planes, counted from 0.", transform: readSelection) var z: Selection?
  @Option(help: "The position along another dimension, as H=0.", transform: readPosition) var dimension: [Position] = []
  @Option(help: "x,y,width,height in pixels from the scene's top-left corner.", transform: readRegion) var region:
    Region?

  struct Position: Sendable {
    let name: String
    let index: Int
  }

  func validate() throws { try Self.checkEachOnce(dimension) }

  static func checkEachOnce(_ positions: [Position]) throws {
    let names = positions.map(\.name)
    if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
      throw ValidationError("--dimension chooses one position of \(twice), and it is given twice")
    }
  }

  /// Whether nothing is chosen.
  var isEmpty: Bool { scene == nil && time == nil && z == nil && dimension.isEmpty && region == nil }

  var choice: PlaneChoice {
    var choice = PlaneChoice()
    (choice.scenes, choice.times, choice.depths, choice.region) = (scene, time, z, region)
    for position in dimension { choice.further[position.name] = position.index }
    return choice
  }
}

func readSelection(_ text: String) throws -> Selection {
  guard let selection = Selection(text) else { throw ValidationError("\(text) is not a list such as 3, 0-4 or 0-2,7") }
  return selection
}

private func readRegion(_ text: String) throws -> Region {
  let numbers = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
  guard numbers.count == 4, case let values = numbers.compactMap({ $0 }), values.count == 4,
    values.allSatisfy({ (0...1 << 31).contains($0) }), values[2] > 0, values[3] > 0
  else { throw ValidationError("\(text) is not x,y,width,height") }
  return Region(x: values[0], y: values[1], width: values[2], height: values[3])
}

func readPosition(_ text: String) throws -> PlaneOptions.Position {
  let parts = text.split(separator: "=")
  guard parts.count == 2, let index = Int(parts[1]) else { throw ValidationError("\(text) is not such as H=0") }
  return PlaneOptions.Position(name: String(parts[0]), index: index)
}

extension MemoryLimit {
  /// Reads an option's value.
  static func read(_ text: String) throws -> MemoryLimit {
    guard let limit = MemoryLimit(text) else { throw ValidationError("\(text) is not an amount such as 2G or 800M") }
    return limit
  }
}
