// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelTesting
import Testing

@testable import KachelImages

@Suite struct ChunkFilesTests {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private func write(_ names: [String], _ date: Date? = nil) throws {
    for name in names {
      let parent = URL(filePath: folder.file(name)).deletingLastPathComponent()
      try FileManager.default.createDirectory(at: parent, withIntermediateDirectories: true)
      _ = try folder.write([1, 2, 3], to: name)
      let date = date ?? Date(timeIntervalSince1970: 1e9)
      try FileManager.default.setAttributes([.modificationDate: date], ofItemAtPath: folder.file(name))
    }
  }

  private func files(_ arrays: [String] = ["0"]) throws -> ChunkFiles {
    try ChunkFiles(of: arrays.map(folder.file), in: folder.path)
  }

  @Test func namesOfChunks() throws {
    let chunks = ["0/.zarray", "0/zarr.json", "0/c", "0/1.2.3", "0/c.4.5", "0/7/8/9/10/11/12/13/14", "0/5/6"]
    try write(chunks)
    #expect(try files().count == chunks.count)
    try write([
      "0/.zattrs", "0/.5.6.partial", "0/labels/0/0", "0/x1", "0/1x", "0/5/6~", "0/5/.6", "0/c1x/2", "1/0/0",
      "labels/0/0",
      "0/1/2/3/4/5/6/7/8/9/10/11",
    ])
    #expect(try files().count == chunks.count)
  }

  /// The names, sizes and times count, and not the order in which a folder lists them.
  @Test func changes() throws {
    let names = (0..<40).map { "0/c/\($0 % 7)/\($0)" }
    try write(names)
    let first = try files()
    #expect(first.newest == .init(name: "0/c/6/6", date: Date(timeIntervalSince1970: 1e9)))
    try FileManager.default.removeItem(atPath: folder.file("0"))
    try write(names.reversed())
    #expect(try files() == first)
    try write([names[20]], Date(timeIntervalSince1970: 1e9 + 0.25))
    let second = try files()
    #expect(second.digest != first.digest && second.count == 40 && second.newest?.name == names[20])
    #expect(second.description.hasSuffix(", the newest \(names[20]) of 2001-09-09T01:46:40.250Z"))
    try write([names[20]])
    #expect(try files() == first)
    // Two files take each other's names.
    _ = try folder.write([4], to: names[3])
    try write(["0/c/9"])
    let third = try files()
    try FileManager.default.moveItem(atPath: folder.file("0/c/9"), toPath: folder.file("0/c/8"))
    #expect(try files().digest != third.digest && files().count == third.count)
  }

  @Test func severalArrays() throws {
    try write(["0/0/1.1", "1/0/1.1"])
    let both = try files(["0/0", "1/0"])
    #expect(both.count == 2)
    #expect(try files(["0/0"]).digest != files(["1/0"]).digest)
  }

  /// Links that lead into themselves, or out of the image, end.
  @Test(.timeLimit(.minutes(1))) func links() throws {
    try write(["0/0/0", "elsewhere/1/2"])
    let files = FileManager.default
    for name in 1..<20 { try files.createSymbolicLink(atPath: folder.file("0/\(name)"), withDestinationPath: ".") }
    try files.createSymbolicLink(atPath: folder.file("0/0/1"), withDestinationPath: "../../elsewhere")
    try files.createSymbolicLink(atPath: folder.file("0/0/2"), withDestinationPath: "nowhere")
    #expect(try self.files().count == 2)
  }

  @Test func aFolderThatCannotBeRead() throws {
    #expect(throws: ImageError.self) { try files() }
    _ = try folder.write([1], to: "0")
    #expect(throws: ImageError.self) { try files() }
  }
}
