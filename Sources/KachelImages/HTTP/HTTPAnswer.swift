// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Which bytes of an entry a request asks for (RFC 9110, section 14).
enum HTTPRange: Sendable, Hashable {
  case bytes(ClosedRange<Int>)
  case last(Int)

  /// The value of the header `Range`.
  var header: String {
    switch self {
    case .bytes(let range): "bytes=\(range.lowerBound)-\(range.upperBound)"
    case .last(let count): "bytes=-\(count)"
    }
  }
}

/// What a server says before an answer's content.
struct HTTPHead: Sendable {
  var status = 0
  /// The content's length in bytes, where the server tells it.
  var length: Int?
  var contentRange: HTTPContentRange?
  var contentEncoding: String?
  var location: String?
  /// How long the server asks to wait.
  var retryAfter: Duration?

  /// The value of `Retry-After`: seconds, or a date.
  static func retryAfter(_ text: String, now: Date = Date()) -> Duration? {
    if let seconds = Int(text), seconds >= 0 { return .seconds(min(seconds, 1_000_000_000)) }
    let format = DateFormatter()
    format.locale = Locale(identifier: "en_US_POSIX")
    format.timeZone = TimeZone(secondsFromGMT: 0)
    format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
    return format.date(from: text).map { .seconds(max(0, min($0.timeIntervalSince(now), 1e9))) }
  }
}

/// The value of `Content-Range`: `bytes 0-99/1234`, or `bytes 0-99/*` where the whole length is not told.
struct HTTPContentRange: Sendable, Hashable {
  var bytes: ClosedRange<Int>
  var total: Int?

  init?(_ text: String) {
    let parts = text.split(separator: " ", omittingEmptySubsequences: true)
    guard parts.count == 2, parts[0].lowercased() == "bytes" else { return nil }
    let halves = parts[1].split(separator: "/", omittingEmptySubsequences: false)
    guard halves.count == 2 else { return nil }
    let ends = halves[0].split(separator: "-", omittingEmptySubsequences: false).map { Self.number($0) }
    guard ends.count == 2, let first = ends[0], let last = ends[1], first <= last, last < .max else { return nil }
    bytes = first...last
    if halves[1] != "*" {
      guard let total = Self.number(halves[1]), last < total else { return nil }
      self.total = total
    }
  }

  private static func number(_ text: Substring) -> Int? {
    text.utf8.allSatisfy { (48...57).contains($0) } ? Int(text) : nil
  }
}

/// An answer with as much of its content as is wanted.
struct HTTPAnswer: Sendable {
  var head: HTTPHead
  var bytes: [UInt8]
}

/// What of an answer's content is wanted.
struct HTTPContent: Sendable {
  /// How many bytes there are, where that is known.
  var count: Int?
  /// The most to take.
  var limit: Int
  /// What is thrown where there are more.
  var overflow: HTTPFault
}

/// Why a request got no answer that is of use.
struct HTTPFault: Error {
  enum Kind: Sendable {
    /// The server could not be reached.
    case unreachable
    /// It failed in a way that may pass, at the earliest after the time that it tells.
    case temporary(after: Duration?)
    /// Asking again would not help.
    case lasting(ImageError.Kind)
    /// The task that asked was cancelled.
    case cancelled
  }

  var kind: Kind
  var reason: String

  init(_ kind: Kind, _ reason: String) {
    self.kind = kind
    self.reason = reason
  }
}
