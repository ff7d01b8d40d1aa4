// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Kachel

struct MakeSlide: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a large CZI mosaic out of the pixels of a small image.")

  @Argument(help: "The side of the square image in pixels.") var side: Int
  @Argument(help: "The file to write.") var output: String
  @Option(help: "The image whose pixels are repeated: gray, 8 bit.") var from: String

  func validate() throws {
    guard (1...1 << 20).contains(side) else { throw ValidationError("a side is 1 to \(1 << 20) pixels") }
  }

  func run() throws {
    let (writer, content) = (try SlideWriter(output), try SlideContent(of: Image(at: from)))
    let count = (side + SlideWriter.tileSide - 1) / SlideWriter.tileSide
    for index in 0..<count * count {
      let (x, y) = (index % count * SlideWriter.tileSide, index / count * SlideWriter.tileSide)
      let size = Size(width: min(SlideWriter.tileSide, side - x), height: min(SlideWriter.tileSide, side - y))
      try writer.add(content.tile(index, size), at: Region(x: x, y: y, width: size.width, height: size.height))
    }
    try writer.finish(Size(width: side, height: side))
  }
}

struct MakeSparseSlide: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a CZI mosaic of very many tiles, or of very few in a huge plane.",
    discussion:
      "All tiles have the same pixels, which the file holds once. They have as many dimensions as those of ZEN.")

  @Argument(help: "How many tiles the plane is wide.") var columns: Int
  @Argument(help: "How many tiles the plane is high.") var rows: Int
  @Argument(help: "The file to write.") var output: String
  @Option(help: "The image whose pixels are repeated: gray, 8 bit.") var from: String
  @Option(help: "One of so many tiles is there.") var every = 1

  func validate() throws {
    guard (1...1 << 20).contains(columns), (1...1 << 20).contains(rows), columns * rows <= 1 << 24, every >= 1 else {
      throw ValidationError("a plane has 1 to \(1 << 24) tiles")
    }
  }

  func run() throws {
    let side = SlideWriter.tileSide
    let writer = try SlideWriter(output, dimensions: ["C", "Z", "T", "S", "B", "V", "H"])
    let content = try SlideContent(of: Image(at: from)).tile(0, Size(width: side, height: side))
    for index in stride(from: 0, to: columns * rows, by: every) {
      let region = Region(x: index % columns * side, y: index / columns * side, width: side, height: side)
      if index == 0 { try writer.add(content, at: region) } else { writer.repeatLast(at: region) }
    }
    try writer.finish(Size(width: columns * side, height: rows * side))
  }
}
