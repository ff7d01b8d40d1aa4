// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelTesting
import Testing

@Suite struct ArchiveTests {
  typealias Member = ZipFixture.Member
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  func open(_ fixture: ZipFixture, limits: Archive.Limits = .init()) throws -> Archive {
    try Archive(path: folder.write(fixture.bytes, to: UUID().uuidString), limits: limits)
  }

  /// The error with which an archive is refused, or a member of it is.
  func error(of fixture: ZipFixture, reading: Bool = false, limits: Archive.Limits = .init()) -> BytesError? {
    do {
      let archive = try open(fixture, limits: limits)
      if reading { for member in archive.members { _ = try archive.read(member, limit: 1 << 30) } }
      return nil
    } catch {
      return error as? BytesError
    }
  }

  // MARK: Reading

  @Test(arguments: [false, true], [false, true])
  func membersAreRead(isDeflated: Bool, isInMemory: Bool) throws {
    let texts = ["one": "first", "folder/two": String(repeating: "second ", count: 30_000), "empty": ""]
    let members = texts.sorted { $0.key < $1.key }.map { Member($0.key, $0.value) }
    let fixture = ZipFixture(isDeflated ? members.map { $0.deflated() } : members)
    let archive =
      isInMemory ? try fixture.bytes.withUnsafeBytes { try Archive(bytes: $0, file: "x") } : try open(fixture)
    #expect(archive.members.map(\.name) == ["empty", "folder/two", "one"])
    #expect(archive["folder/two"]?.baseName == "two")
    #expect(archive["three"] == nil)
    for member in archive.members {
      #expect(member.size == texts[member.name]?.utf8.count)
      #expect(!member.isEncrypted)
      #expect(String(decoding: try archive.read(member, limit: 1 << 20), as: UTF8.self) == texts[member.name])
    }
  }

  @Test func aMemoryArchiveOutlivesItsBytes() throws {
    func make() throws -> Archive {
      try ZipFixture([Member("a", "text")]).bytes.withUnsafeBytes { try Archive(bytes: $0, file: "x") }
    }
    let archive = try make()
    #expect(try archive.read(archive.members[0], limit: 10) == Array("text".utf8))
  }

  @Test func backslashesSeparateAndFoldersAreLeftOut() throws {
    let archive = try open(
      ZipFixture([Member("variables\\index", "1"), Member("folder/", ""), Member("folder/a", "2")]))
    #expect(archive.members.map(\.name) == ["variables/index", "folder/a"])
  }

  @Test func namesKeepTheirLetters() throws {
    var utf8 = Member("größe.txt", "1")
    utf8.flags = 1 << 11
    #expect(try open(ZipFixture([utf8])).members[0].name == "größe.txt")
  }

  @Test func theCallersLimitHolds() throws {
    let archive = try open(ZipFixture([Member("a", "12345")]))
    #expect(throws: BytesError.self) { try archive.read(archive.members[0], limit: 4) }
    #expect(try archive.read(archive.members[0], limit: 5).count == 5)
  }

  // MARK: Extracting

  @Test func membersAreExtracted() throws {
    let archive = try open(ZipFixture([Member("a", "1"), Member("b/c/d", "2").deflated(), Member("b/e", "")]))
    let target = try ScratchFolder()
    try archive.extract(to: target.path)
    #expect(try String(contentsOfFile: target.file("a"), encoding: .utf8) == "1")
    #expect(try String(contentsOfFile: target.file("b/c/d"), encoding: .utf8) == "2")
    #expect(try Data(contentsOf: URL(filePath: target.file("b/e"))).isEmpty)
    // What is there already is not overwritten.
    #expect { try archive.extract(to: target.path) } throws: { ($0 as? BytesError)?.kind == .cannotWrite }
  }

  @Test func linksAreNotFollowed() throws {
    let archive = try open(ZipFixture([Member("a", "1")]))
    let target = try ScratchFolder()
    try FileManager.default.createSymbolicLink(atPath: target.file("a"), withDestinationPath: target.file("outside"))
    #expect(throws: BytesError.self) { try archive.extract(to: target.path) }
    #expect(!FileManager.default.fileExists(atPath: target.file("outside")))
  }

  @Test func renamedMembersAreCheckedToo() throws {
    let archive = try open(ZipFixture([Member("a", "1")]))
    let target = try ScratchFolder()
    #expect(throws: BytesError.self) { try archive.extract(to: target.path) { _ in "../a" } }
  }

  // MARK: Refusals

  @Test(arguments: [
    "../a", "a/../../b", "..\\a", "/etc/passwd", "\\a", "C:/a", "c:\\a", "a//b", "./a", "a/.", "", "a\nb", "a\tb",
  ])
  func badNamesAreRefused(name: String) {
    let problem = error(of: ZipFixture([Member("good", "1"), Member(name, "2")]))
    #expect(problem?.kind == .damaged)
    #expect(problem?.reason.contains("name") == true)
  }

  @Test func aNULNeverGetsIntoAName() throws {
    // libzip makes it a space.
    let archive = try open(ZipFixture([Member(Array("model.json\0.txt".utf8), [1])]))
    #expect(archive.members.map(\.name) == ["model.json .txt"])
  }

  @Test(arguments: [("a", "a"), ("x/a", "x\\a"), ("x", "x/")])
  func duplicatesAreRefused(first: String, second: String) {
    let problem = error(of: ZipFixture([Member(first, "1"), Member(second, "")]))
    #expect(problem?.reason.contains("two members") == true)
  }

  @Test func encryptionIsSeenAndRefused() throws {
    var member = Member("secret", "0123456789abcdef")
    member.flags = 1
    let archive = try open(ZipFixture([member]))
    #expect(archive.members[0].isEncrypted)
    let problem = error(of: ZipFixture([member]), reading: true)
    #expect(problem?.kind == .unsupported)
    #expect(problem?.reason.contains("encrypted") == true)
  }

  @Test func tooManyMembersAreRefused() {
    var limits = Archive.Limits()
    limits.members = 5
    let fixture = ZipFixture((0..<6).map { Member("\($0)", "") })
    #expect(error(of: fixture, limits: limits)?.reason.contains("6 members") == true)
    #expect(error(of: ZipFixture(Array(fixture.members.prefix(5))), limits: limits) == nil)
  }

  @Test func bombsAreRefused() throws {
    let bomb = ZipFixture([.zeros("zeros", count: 4 << 20)])
    #expect(bomb.bytes.count < 32 << 10)
    var limits = Archive.Limits()
    limits.freeSize = 1 << 20
    #expect(error(of: bomb, limits: limits)?.kind == .unsupported)
    limits.ratio = 2000
    let archive = try open(bomb, limits: limits)
    #expect(try archive.read(archive.members[0], limit: 1 << 30).count == archive.members[0].size)
    limits.totalSize = 1 << 20
    #expect(error(of: bomb, limits: limits)?.reason.contains("1048576") == true)
  }

  @Test func sharedBytesAreRefused() {
    // Ten members that are all the first one's bytes.
    let content = [UInt8](repeating: 7, count: 4000)
    var members = [Member("0", content)]
    for index in 1..<10 {
      var member = Member("\(index)", [])
      member.declaredSize = 4000
      member.declaredPackedSize = 4000
      member.declaredOffset = 0
      members.append(member)
    }
    #expect(error(of: ZipFixture(members))?.kind == .unsupported)
  }

  @Test(arguments: [
    (declared: 3, packed: 8), (declared: 20, packed: 8), (declared: 1_000_000, packed: 8), (declared: 8, packed: 4),
  ])
  func lyingSizesAreRefused(declared: Int, packed: Int) {
    for isDeflated in [false, true] {
      var member = Member("a", "12345678")
      if isDeflated {
        member = member.deflated()
        if packed == 4 { member.declaredPackedSize = 4 }
      } else {
        member.declaredPackedSize = UInt32(packed)
      }
      member.declaredSize = UInt32(declared)
      #expect(error(of: ZipFixture([member]), reading: true) != nil)
    }
  }

  @Test func aWrongCRCIsRefused() {
    for isDeflated in [false, true] {
      var member = isDeflated ? Member("a", "12345678").deflated() : Member("a", "12345678")
      member.declaredCRC = 1
      #expect(error(of: ZipFixture([member]), reading: true)?.kind == .damaged)
    }
  }

  @Test func notAZip() throws {
    #expect { try Archive(path: folder.write([], to: "empty")) } throws: { ($0 as? BytesError)?.kind == .truncated }
    for bytes in [[1], Array("this is text, not an archive".utf8), [UInt8](repeating: 0x50, count: 1000)] {
      let path = try folder.write(bytes, to: UUID().uuidString)
      #expect { try Archive(path: path) } throws: { ($0 as? BytesError)?.reason == "is not a zip archive" }
    }
    #expect { try Archive(path: folder.path) } throws: { ($0 as? BytesError)?.kind == .cannotRead }
    #expect { try Archive(path: folder.file("missing")) } throws: { ($0 as? BytesError)?.kind == .cannotRead }
  }

  @Test func everyTruncationIsRefused() throws {
    let bytes = ZipFixture([Member("one", "12345"), Member("two", "678").deflated()]).bytes
    for count in 0..<bytes.count {
      let cut = Array(bytes.prefix(count))
      #expect(throws: BytesError.self) { _ = try cut.withUnsafeBytes { try Archive(bytes: $0, file: "x") } }
    }
    let path = try folder.write(bytes.dropLast(30), to: "cut")
    #expect { try Archive(path: path) } throws: { ($0 as? BytesError)?.kind == .truncated }
  }

  /// Whatever the bytes are, the archive is refused or read within its declared sizes.
  @Test(arguments: 0..<8) func mutationsNeverCrash(seed: Int) {
    var random = SeededRandom(seed: UInt64(seed))
    let original = ZipFixture([Member("one", "12345"), Member("a/two", "67890").deflated()]).bytes
    for _ in 0..<400 {
      var bytes = original
      for _ in 0...Int.random(in: 0..<4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      bytes.withUnsafeBytes { raw in
        guard let archive = try? Archive(bytes: raw, file: "x") else { return }
        for member in archive.members {
          guard let content = try? archive.read(member, limit: 1 << 20) else { continue }
          #expect(content.count == member.size)
        }
      }
    }
  }
}
