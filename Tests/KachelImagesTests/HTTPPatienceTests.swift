// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelTesting
import Testing

@testable import KachelImages

/// When a server is asked again, and when not any more.
@Suite struct HTTPPatienceTests {
  private let served: Served
  init() throws { served = try Served() }

  static let passing: [FolderServer.Behavior] = [
    .answer(500), .answer(502), .answer(503), .answer(504), .answer(429), .answer(408), .closesEarly,
    .answer(200, ["Content-Length": "100000"], [1, 2, 3]),
    .answer(200, ["Transfer-Encoding": "chunked", "Content-Length": ""], [1, 2, 3]),
    .answer(200, ["Content-Length": "-5"]), .answer(200, ["Content-Length": "5, 7"], [1, 2, 3]),
  ]

  @Test(arguments: passing) func failuresPass(behavior: FolderServer.Behavior) throws {
    for part in [ZarrBytePart.all, .range(offset: 5, count: 10), .last(10)] {
      let served = try Served()
      let server = try served.server { $0.number <= 3 ? behavior : .good }
      let store = try served.store(server.address)
      let local = LocalZarrStore(folder: served.folder.path)
      #expect(store.outcome("a", part, limit: 100_000) == local.outcome("a", part, limit: 100_000))
      // A whole entry where its end is asked for, as some of these are, is no failure.
      if case .last = part {} else { #expect(server.requests.count == 4 && served.waits.all.count == 3) }
      // Growing, but never the same for all who wait.
      for (wait, delay) in zip(served.waits.all, HTTPPatience().delays) {
        #expect(wait >= delay * 0.75 && wait <= delay * 1.25)
      }
    }
  }

  @Test func patienceEnds() throws {
    let server = try served.server { _ in .answer(503) }
    let error = try served.store(server.address + "/x.zarr").failure("0/0")
    #expect(error?.kind == .unreachable && error?.file == server.address + "/x.zarr/0/0")
    #expect(error?.reason == "the server answers 503 (6 attempts); try again later")
    #expect(server.requests.count == 6)
  }

  @Test func theServerSaysWhenToComeBack() throws {
    let server = try served.server { request in
      switch request.number {
      case 1: .answer(429, ["Retry-After": "7"])
      case 2: .answer(503, ["Retry-After": "0"])
      case 3: .answer(503, ["Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"])
      case 4: .answer(503, ["Retry-After": "tomorrow"])
      default: .good
      }
    }
    #expect(try served.store(server.address).read("a", .all, limit: 100_000) == Served.content)
    #expect(served.waits.all.count == 4 && served.waits.all.first == .seconds(7))
  }

  @Test func hoursAreNotWaited() throws {
    let server = try served.server { _ in .answer(429, ["Retry-After": "3600"]) }
    let error = try served.store(server.address).failure("a")
    #expect(error?.reason == "the server answers 429; it asks to wait 3600 s; try again then")
    #expect(error?.kind == .unreachable && server.requests.count == 1 && served.waits.all.isEmpty)
  }

  @Test func retryAfter() {
    #expect(HTTPHead.retryAfter("120") == .seconds(120))
    #expect(HTTPHead.retryAfter("-1") == nil && HTTPHead.retryAfter("soon") == nil)
    #expect(HTTPHead.retryAfter("99999999999999999999") == nil)
    #expect((HTTPHead.retryAfter("\(Int.max)") ?? .zero) > .seconds(1 << 29))
    let now = Date(timeIntervalSince1970: 784_111_777)
    #expect(HTTPHead.retryAfter("Sun, 06 Nov 1994 08:50:37 GMT", now: now) == .seconds(60))
    #expect(HTTPHead.retryAfter("Sun, 06 Nov 1994 08:40:37 GMT", now: now) == .zero)
  }

  /// A name may be mistyped: nobody should wait long to hear that.
  @Test func serversThatAreNotThere() throws {
    let server = try served.server()
    server.stop()
    let error = try served.store(server.address).failure("a")
    #expect(error?.kind == .unreachable)
    #expect(
      error?.reason
        == "the server cannot be reached: Connection refused (3 attempts); check the address and the network, "
        + "and try again")
    #expect(served.waits.all.count == 2)
    let other = try served.store("http://localhost:\(server.port)").failure("a")
    #expect(other?.reason.contains("cannot be reached: Connection refused (3 attempts)") == true)
    let unknown = try served.store("http://no.such.host.invalid").failure("a")
    #expect(
      unknown?.kind == .unreachable && unknown?.reason.contains("no host of the name no.such.host.invalid") == true)
  }

  @Test func serversThatGoAway() throws {
    let server = try served.server()
    let store = try served.store(server.address)
    #expect(try store.read("a", .all, limit: 100_000) == Served.content)
    server.stop()
    #expect(store.failure("a")?.kind == .unreachable)
    #expect(served.waits.all.count == 5)
  }

  @Test func silenceIsNotHeardForLong() throws {
    let server = try served.server { _ in .silent }
    var patience = served.waits.patience
    patience.delays = [.zero]
    patience.silence = .milliseconds(100)
    let error = HTTPZarrStore(try RemoteAddress(server.address), patience: patience).failure("a")
    #expect(error?.kind == .unreachable && server.requests.count == 2)
    #expect(error?.reason == "the server stopped answering (2 attempts); try again later")
    patience.silence = .seconds(100)
    patience.whole = .milliseconds(100)
    #expect(HTTPZarrStore(try RemoteAddress(server.address), patience: patience).failure("a")?.kind == .unreachable)
    #expect(server.requests.count == 3)
  }

  /// A run that is stopped does not wait for a server.
  @Test(arguments: [FolderServer.Behavior.silent, .answer(429, ["Retry-After": "50"])])
  func cancelledTasksDoNotWait(behavior: FolderServer.Behavior) async throws {
    let server = try served.server { _ in behavior }
    let store = HTTPZarrStore(try RemoteAddress(server.address), patience: HTTPPatience())
    let error = await Task.detached {
      // By itself: all threads that could do it may be waiting.
      withUnsafeCurrentTask { $0?.cancel() }
      return store.failure("a")
    }.value
    #expect(error?.reason == "was stopped" && server.requests.count <= 1)
  }
}
