// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelTesting
import Testing

@testable import KachelBytes

/// Files of records that end anywhere.
@Suite struct RecordFileTests {
  private let folder: ScratchFolder
  init() throws { folder = try ScratchFolder() }

  private var path: String { folder.file("records") }
  private func open() throws(BytesError) -> RecordFile {
    try RecordFile(at: path, calling: "output", magic: "KACHELXX")
  }

  private func records(_ file: RecordFile) throws -> [[UInt8]] {
    var (records, next): ([[UInt8]], Int) = ([], file.start)
    while let record = try file.record(at: next) {
      records.append(try file.bytes(of: record, upTo: .max))
      next = record.end
    }
    return records
  }

  /// Larger than what is read at once, too.
  private let contents: [[UInt8]] = [[7], Array("hello".utf8), [UInt8](repeating: 3, count: 600_000), [0]]

  @Test func recordsComeBack() throws {
    let file = try open()
    for record in contents { try file.append(record) }
    #expect(try records(file) == contents)
    #expect(throws: BytesError.self) { try file.append([]) }
  }

  @Test func aFileCutAnywhereHasItsFirstRecords() throws {
    do {
      let file = try open()
      for record in contents[..<2] { try file.append(record) }
    }
    let whole = try Data(contentsOf: URL(filePath: path))
    #expect(whole.count == 8 + 8 + 1 + 8 + 5)
    for count in 0..<whole.count {
      try whole.prefix(count).write(to: URL(filePath: path))
      let file = try open()
      let found = try records(file)
      #expect(found == (count < 17 ? [] : [[7]]))
      // What follows the last whole record is written over.
      try file.cut(at: found.isEmpty ? 0 : 17)
      try file.append([9, 9])
      #expect(try records(file) == found + [[9, 9]])
    }
  }

  @Test func aFlippedBitEndsTheFile() throws {
    do {
      let file = try open()
      for record in contents[..<2] { try file.append(record) }
    }
    let whole = try Data(contentsOf: URL(filePath: path))
    for bit in 64..<whole.count * 8 {
      var flipped = whole
      flipped[bit / 8] ^= 1 << (bit % 8)
      try flipped.write(to: URL(filePath: path))
      #expect(try records(open()) == (bit < 17 * 8 ? [] : [[7]]), "bit \(bit)")
    }
  }

  @Test func otherFilesAreLeftAlone() throws {
    for content in ["another file", "KACHELXY"] {
      _ = try folder.write(Array(content.utf8), to: "records")
      #expect(throws: BytesError.self) { try open() }
      #expect(try String(contentsOfFile: path, encoding: .utf8) == content)
    }
    try FileManager.default.removeItem(atPath: path)
    // A link would be followed to a file that somebody else means.
    let target = try folder.write([], to: "target")
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
    #expect(throws: BytesError.self) { try open() }
  }

  @Test func oneHasIt() throws {
    var file: RecordFile? = try open()
    try file?.append([1])
    let error = #expect(throws: BytesError.self) { try open() }
    #expect(error?.description == "output: is being written by another run; wait for its end, or name another output")
    file?.remove()
    file = nil
    #expect(try records(open()).isEmpty)
  }
}
