// SPDX-License-Identifier: Apache-2.0
private import Foundation

/// How long a server is waited for, and how often it is asked again.
struct HTTPPatience: Sendable {
  /// Until a connection is there.
  var connecting: Duration = .seconds(10)
  /// Between two pieces of an answer.
  var silence: Duration = .seconds(30)
  /// For an entry as a whole, with all attempts.
  var whole: Duration = .seconds(600)
  /// Before each further attempt; the server may ask for more.
  var delays: [Duration] = [.milliseconds(500), .seconds(1), .seconds(2), .seconds(4), .seconds(8)]
  /// The most that is waited where the server asks for it.
  var longestDelay: Duration = .seconds(60)
  /// Further attempts to reach a server that has never answered: its name may be mistyped.
  var firstAttempts = 2
  /// Waits.
  var pause: @Sendable (Duration) throws(HTTPFault) -> Void = Self.sleep

  /// Sleeps in short pieces, so that a cancelled run ends soon.
  private static func sleep(_ duration: Duration) throws(HTTPFault) {
    let end = ContinuousClock.now + duration
    while case let rest = end - .now, rest > .zero {
      if Task.isCancelled { throw HTTPFault(.cancelled, "was stopped") }
      Thread.sleep(forTimeInterval: min(0.1, rest / .seconds(1)))
    }
  }

  /// Asks until there is an answer, or it is plain that there will be none.
  ///
  /// - Parameters:
  ///   - isKnown: whether the server has answered before.
  ///   - ask: gets the time that is left.
  func answer(
    isKnown: Bool, _ ask: (Duration) throws(HTTPFault) -> HTTPAnswer
  ) throws(HTTPFault) -> HTTPAnswer {
    let end = ContinuousClock.now + whole
    var attempts = 1
    while true {
      let fault: HTTPFault
      do throws(HTTPFault) { return try ask(end - .now) } catch { fault = error }
      var asked = Duration.zero
      var mostDelays = delays.count
      switch fault.kind {
      case .lasting, .cancelled: throw fault
      case .unreachable: if !isKnown { mostDelays = min(mostDelays, firstAttempts) }
      case .temporary(let after): asked = after ?? .zero
      }
      guard attempts <= mostDelays, asked <= longestDelay else { throw Self.final(fault, attempts, asked) }
      // Threads that were refused together should not come back together.
      let delay = max(asked, delays[attempts - 1] * Double.random(in: 0.75...1.25))
      guard end - .now > delay else { throw Self.final(fault, attempts, asked) }
      try pause(delay)
      attempts += 1
    }
  }

  private static func final(_ fault: HTTPFault, _ attempts: Int, _ asked: Duration) -> HTTPFault {
    let remedy =
      if case .unreachable = fault.kind { "check the address and the network, and try again" } else {
        asked > .zero ? "it asks to wait \(asked.components.seconds) s; try again then" : "try again later"
      }
    return HTTPFault(
      .lasting(.unreachable), "\(fault.reason)\(attempts > 1 ? " (\(attempts) attempts)" : ""); \(remedy)")
  }
}
