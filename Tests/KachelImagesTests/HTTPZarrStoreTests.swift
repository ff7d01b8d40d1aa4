// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelTesting
import Synchronization
import Testing

@testable import KachelImages

/// Reading entries and parts of them, and what servers may answer instead.
@Suite struct HTTPZarrStoreTests {
  private let served: Served
  init() throws { served = try Served() }

  static let valid: [ZarrBytePart] = [
    .all, .range(offset: 0, count: 1), .range(offset: 99_999, count: 1), .range(offset: 10, count: 5000),
    .range(offset: 0, count: 100_000), .range(offset: 0, count: 0), .last(1), .last(5000), .last(100_000),
  ]
  /// Such as reach out of the entry.
  static let invalid: [ZarrBytePart] = [
    .range(offset: 99_999, count: 2), .range(offset: 100_000, count: 1), .range(offset: -1, count: 1),
    .range(offset: 0, count: -1), .range(offset: .max, count: 1), .range(offset: 1, count: .max), .last(100_001),
  ]

  @Test(arguments: [FolderServer.Behavior.good, .ignoresRange])
  func readsAreThoseOfTheFolder(behavior: FolderServer.Behavior) throws {
    _ = try served.folder.write([], to: "empty")
    let server = try served.server { _ in behavior }
    let remote = try served.store(server.address), local = LocalZarrStore(folder: served.folder.path)
    for (key, parts) in [("a", Self.valid + Self.invalid), ("empty", Self.valid + Self.invalid), ("none", Self.valid)] {
      for part in parts {
        for limit in key == "none" ? [100_000] : [100_000, 5000] {
          let expected = local.outcome(key, part, limit: limit)
          #expect(remote.outcome(key, part, limit: limit) == expected, "\(key) \(part) \(limit)")
        }
      }
    }
    #expect(served.waits.all.isEmpty)
  }

  @Test func onlyWhatIsNeededIsSent() throws {
    let server = try served.server()
    let store = try served.store(server.address)
    _ = try store.read("a", .range(offset: 5, count: 10), limit: 10)
    _ = try store.read("a", .last(20), limit: 20)
    #expect(server.sentBytes == 30)
    #expect(server.requests.map(\.range) == ["bytes=5-14", "bytes=-20"])
    #expect(server.requests.allSatisfy { $0.headers["accept-encoding"] == "identity" })
  }

  /// Azure's storage, among others, does not count from the end.
  @Test(arguments: [FolderServer.Behavior.ignoresRange, .answer(416), .answer(400), .answer(501)])
  func serversThatDoNotCountFromTheEnd(behavior: FolderServer.Behavior) throws {
    let server = try served.server { $0.range?.hasPrefix("bytes=-") == true ? behavior : .good }
    let store = try served.store(server.address)
    for count in [100, 100, 100_000] {
      #expect(try store.read("a", .last(count), limit: count) == Served.content.suffix(count))
    }
    #expect(store.failure("a", .last(100_001))?.kind == .damaged)
    #expect(try store.read("none", .last(5), limit: 5) == nil)
    // Tried once only.
    #expect(server.requests.count { $0.range?.hasPrefix("bytes=-") == true } == 1)
  }

  @Test func whatIsTooLargeIsNotTaken() throws {
    let server = try served.server { request in request.key == "endless" ? .endless : .good }
    let store = try served.store(server.address)
    let error = store.failure("a", limit: 99_999)
    #expect(error?.kind == .damaged && error?.reason == "100000 bytes are more than belong here (99999)")
    #expect(store.failure("endless", limit: 99_999)?.kind == .damaged)
    // What the network holds in between is more than is taken.
    #expect(server.sentBytes < 16 << 20)
    #expect(served.waits.all.isEmpty)
  }

  /// An entry of 16 MiB and a byte is too large to be taken for a part of it, however its size is told.
  @Test(arguments: [FolderServer.Behavior.ignoresRange, .endless])
  func largeEntriesNeedRanges(behavior: FolderServer.Behavior) throws {
    _ = try served.folder.write([UInt8](repeating: 1, count: HTTPZarrStore.mostWithoutRanges + 1), to: "large")
    let server = try served.server { _ in behavior }
    let store = try served.store(server.address)
    for part in [ZarrBytePart.range(offset: 5, count: 10), .last(10)] {
      let error = store.failure("large", part)
      #expect(error?.kind == .unsupported)
      #expect(error?.reason.contains("use a server that knows range requests, or download the folder") == true)
      #expect(error?.file == server.address + "/large")
    }
  }

  @Test(arguments: [
    "bytes 6-15/100000", "bytes 4-13/100000", "bytes 5-15/100000", "bytes 5-14/10", "bytes 14-5/100000", "5-14/100000",
    "bytes 5-14", "bytes */100000", "bytes -5-14/100000", "bytes 5-99999999999999999999/*",
    "bytes 0-9223372036854775807/*", "lines 5-14/100000", "",
  ]) func otherPartsThanAsked(contentRange: String) throws {
    let body = Array(Served.content[5..<15])
    let server = try served.server { _ in .answer(206, ["Content-Range": contentRange], body) }
    let store = try served.store(server.address)
    for part in [ZarrBytePart.range(offset: 5, count: 10), .last(10)] {
      let error = store.failure("a", part)
      #expect(error?.kind == .damaged && error?.reason.contains("other bytes than those that were asked for") == true)
    }
    #expect(server.requests.count == 2)
  }

  @Test func unknownTotalsAreNoHindrance() throws {
    let body = Array(Served.content[5..<15])
    let server = try served.server { _ in .answer(206, ["Content-Range": "bytes 5-14/*"], body) }
    #expect(try served.store(server.address).read("a", .range(offset: 5, count: 10), limit: 10) == body)
  }

  @Test(arguments: [
    (FolderServer.Behavior.answer(400), "the server answers 400"),
    (.answer(401), "asks for a password (401"), (.answer(204), "answers 204"),
    (.answer(206, ["Content-Range": "bytes 0-0/1"], [1]), "answers 206"),
    (.answer(200, ["Content-Encoding": "gzip"], [1]), "compresses its answers (gzip)"),
    (.answer(302), "redirects to no web address"), (.answer(302, ["Location": "file:///etc/passwd"]), "no web address"),
    (.answer(302, ["Location": "ftp://localhost/a"]), "no web address"),
    (.answer(302, ["Location": "a"]), "redirects more than 5 times"),
  ]) func whatAskingAgainWouldNotHelp(behavior: FolderServer.Behavior, words: String) throws {
    let server = try served.server { _ in behavior }
    let error = try served.store(server.address).failure("a")
    #expect(error?.reason.contains(words) == true && error?.kind != .unreachable, "\(String(describing: error))")
    #expect(served.waits.all.isEmpty && server.requests.count <= 6)
  }

  @Test func redirects() throws {
    let (folder, bytes) = (try ScratchFolder(), Array(Served.content[5..<15]))
    _ = try folder.write(Served.content, to: "b")
    let second = try FolderServer(folder.path)
    let target = second.address + "/b?x=1"
    let server = try served.server { request in
      switch request.key {
      case "a": .answer(302, ["Location": "/deeper/a"])
      case "deeper/a": .answer(307, ["Location": "../z"])
      case "z": .answer(301, ["Location": target])
      default: .good
      }
    }
    let store = try served.store(server.address.replacingOccurrences(of: "//", with: "//user:secret@"))
    #expect(try store.read("a", .range(offset: 5, count: 10), limit: 10) == bytes)
    #expect(second.requests.map(\.uri) == ["/b?x=1"] && second.requests.map(\.range) == ["bytes=5-14"])
    // The password is for the first server.
    #expect(server.requests.allSatisfy { $0.headers["authorization"] == "Basic dXNlcjpzZWNyZXQ=" })
    #expect(second.requests.allSatisfy { $0.headers["authorization"] == nil })
  }

  /// S3 answers 403 for what is missing to those who may not list what is there.
  @Test func refusedCanBeMissing() throws {
    let isOver = Mutex(false)
    let server = try served.server { [folder = served.folder.path] request in
      let isThere = FileManager.default.fileExists(atPath: folder + "/" + request.key)
      return isThere && !isOver.withLock { $0 } ? .good : .answer(403)
    }
    let store = try served.store(server.address)
    #expect(try store.read(".zattrs", .all, limit: 100) == nil)
    #expect(store.absence.contains("403"))
    #expect(try store.read("zarr.json", .all, limit: 100) == Array("{}".utf8))
    for part in Self.valid { #expect(try store.read("c/0/0", part, limit: 100_000) == nil) }
    // When nothing can be read any more, nothing is known to be missing.
    isOver.withLock { $0 = true }
    for key in ["c/0/0", "a", "zarr.json"] {
      let error = store.failure(key)
      #expect(error?.kind == .notAnImage && error?.reason.contains("a signature may have run out") == true)
    }
  }

  @Test(arguments: [404, 410]) func missing(status: Int) throws {
    // With a page of any length that says so.
    let server = try served.server { _ in .answer(status, [:], [UInt8](repeating: 32, count: 1 << 20)) }
    let store = try served.store(server.address)
    for part in Self.valid { #expect(try store.read("a", part, limit: 100_000) == nil) }
  }

  @Test func manyThreads() throws {
    let server = try served.server()
    let store = try served.store(server.address)
    let wrong = Mutex(0)
    DispatchQueue.concurrentPerform(iterations: 64) { index in
      for turn in 0..<10 {
        let start = (index * 1009 + turn * 101) % 90_000
        let bytes = try? store.read("a", .range(offset: start, count: 1000), limit: 1000)
        if bytes != Array(Served.content[start..<start + 1000]) { wrong.withLock { $0 += 1 } }
      }
    }
    #expect(wrong.withLock { $0 } == 0)
    #expect(server.requests.count == 640 && server.mostConnections <= 8)
  }

  /// Tasks that block all threads that tasks share: looking up the name and everything else happens elsewhere.
  @Test func everySharedThreadWaits() async throws {
    let server = try served.server()
    let store = try served.store("http://localhost:\(server.port)")
    let right = try await withThrowingTaskGroup(of: Bool.self) { group in
      for index in 0..<64 {
        group.addTask {
          try store.read("a", .range(offset: index, count: 9), limit: 9) == Array(Served.content[index..<index + 9])
        }
      }
      return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(right == 64)
  }
}
