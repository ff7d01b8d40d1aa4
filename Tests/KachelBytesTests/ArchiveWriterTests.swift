// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelTesting
import Testing

@Suite struct ArchiveWriterTests {
  private let folder: ScratchFolder
  init() throws { folder = try ScratchFolder() }

  @Test func membersComeBack() throws {
    let large = [UInt8]((0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) })
    let members: [(String, [UInt8])] = [("b.txt", Array("text".utf8)), ("a/empty", []), ("ü 核.bin", large)]
    for name in ["1.zip", "2.zip"] {
      let archive = try ArchiveWriter(path: folder.file(name))
      try archive.add(members[0].0, .bytes(members[0].1))
      try archive.add(members[1].0, .bytes(members[1].1))
      try archive.add(members[2].0, .file(try folder.write(large, to: "large-\(name)")))
      try archive.finish()
    }
    let archive = try Archive(path: folder.file("1.zip"))
    #expect(archive.members.map(\.name) == members.map(\.0))
    for (member, expected) in zip(archive.members, members) {
      #expect(try archive.read(member, limit: 1 << 24) == expected.1)
    }
    let bytes = try Data(contentsOf: URL(filePath: folder.file("1.zip")))
    #expect(try Data(contentsOf: URL(filePath: folder.file("2.zip"))) == bytes)
    // Stored, and so found as they are; the date is fixed.
    #expect(bytes.range(of: Data("text".utf8)) != nil)
    #expect(Array(bytes[8..<14]) == [0, 0, 0, 0, 0x21, 0])
  }

  @Test func refusals() throws {
    let archive = try ArchiveWriter(path: folder.file("a.zip"))
    try archive.add("x", .bytes([1]))
    for name in ["x", "../y", "/y", "a//b", "", "a\u{1}"] {
      #expect(throws: BytesError.self, "\(name)") { try archive.add(name, .bytes([])) }
    }
    #expect { try archive.add("z", .file(folder.file("none"))) } throws: {
      ($0 as? BytesError)?.file == folder.file("none")
    }
    try archive.finish()
    #expect(try Archive(path: folder.file("a.zip")).members.map(\.name) == ["x"])
    #expect(throws: BytesError.self) { try ArchiveWriter(path: folder.file("a.zip")) }
    let nowhere = try ArchiveWriter(path: folder.file("no/such.zip"))
    try nowhere.add("x", .bytes([1]))
    #expect { try nowhere.finish() } throws: {
      let error = $0 as? BytesError
      return error?.kind == .cannotWrite && error?.reason.contains("No such file") == true
    }
  }

  @Test func nothingIsLeftOfAnUnfinishedArchive() throws {
    do {
      let archive = try ArchiveWriter(path: folder.file("a.zip"))
      try archive.add("x", .bytes([1, 2, 3]))
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [])
  }
}
