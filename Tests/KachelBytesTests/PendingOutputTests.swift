// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelTesting
import Testing

@Suite struct PendingOutputTests {
  private let folder: ScratchFolder
  init() throws { folder = try ScratchFolder() }

  private var names: [String] {
    get throws { try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() }
  }

  @Test func appearsOnlyWhenComplete() throws {
    let output = try PendingOutput(path: folder.file("a"), overwrite: false)
    try Data([1]).write(to: URL(filePath: output.temporaryPath))
    #expect(try !names.contains("a"))
    try output.commit()
    #expect(try names == ["a"])
  }

  @Test func isDeletedWhenDropped() throws {
    do {
      let output = try PendingOutput(path: folder.file("a"), overwrite: false)
      try FileManager.default.createDirectory(atPath: output.temporaryPath + "/b", withIntermediateDirectories: true)
      #expect(try names.count == 1)
    }
    #expect(try names.isEmpty)
  }

  @Test func replacesOnlyWhenTold() throws {
    try FileManager.default.createDirectory(atPath: folder.file("a/old"), withIntermediateDirectories: true)
    #expect(throws: BytesError.self) { try PendingOutput(path: folder.file("a"), overwrite: false) }
    let output = try PendingOutput(path: folder.file("a/"), overwrite: true)
    try FileManager.default.createDirectory(atPath: output.temporaryPath + "/new", withIntermediateDirectories: true)
    #expect(FileManager.default.fileExists(atPath: folder.file("a/old")))
    try output.commit()
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("a")) == ["new"])
    #expect(try names == ["a"])
  }

  @Test func needsItsFolder() {
    #expect {
      try PendingOutput(path: folder.file("no/such/a"), overwrite: false)
    } throws: {
      ($0 as? BytesError)?.kind == .cannotWrite
    }
  }

  @Test(arguments: ["", ".", "..", "/", "a/..", "./"]) func needsAName(_ path: String) {
    #expect {
      try PendingOutput(path: path, overwrite: true)
    } throws: {
      ($0 as? BytesError)?.kind == .cannotWrite
    }
  }

  @Test func putsBackWhatItCannotReplace() throws {
    _ = try folder.write([1], to: "a")
    let output = try PendingOutput(path: folder.file("a"), overwrite: true)
    // Nothing was written, so that the last step fails.
    #expect(throws: BytesError.self) { try output.commit() }
    #expect(try names == ["a"])
  }

  @Test func doesNotReplaceWhatAppearedMeanwhile() throws {
    let output = try PendingOutput(path: folder.file("a"), overwrite: false)
    try Data([1]).write(to: URL(filePath: output.temporaryPath))
    try Data([2]).write(to: URL(filePath: folder.file("a")))
    #expect(throws: BytesError.self) { try output.commit() }
    #expect(try Data(contentsOf: URL(filePath: folder.file("a"))) == Data([2]))
  }
}
