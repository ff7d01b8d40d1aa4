// SPDX-License-Identifier: Apache-2.0

/// One thing that was looked at in a package, and what came of it.
public struct Check: Sendable, Hashable, Encodable {
  /// The worst first.
  public enum Status: String, Sendable, Hashable, Encodable, CaseIterable {
    /// The package is wrong, or cannot be used.
    case failed
    /// The package can be used, but perhaps not everywhere, or not as its author thinks.
    case warning
    /// Not looked at; the text says why.
    case skipped
    case passed
  }

  /// What was looked at, as in `border`.
  public var name: String
  public var status: Status
  /// One line: what was found, and what to do about it.
  public var text: String

  public init(_ name: String, _ status: Status, _ text: String) {
    (self.name, self.status, self.text) = (name, status, text)
  }
}

/// What is wrong with one thing; nothing at first.
struct Findings {
  private var status = Check.Status.passed
  private var texts: [String] = []

  mutating func fail(_ text: String) {
    status = .failed
    texts.append(text)
  }

  mutating func warn(_ text: String) {
    if status != .failed { status = .warning }
    texts.append(text)
  }

  /// - Parameter good: the text where nothing is wrong.
  func check(_ name: String, _ good: String) -> Check {
    Check(name, status, texts.isEmpty ? good : texts.joined(separator: "; "))
  }
}

/// What came of all checks of a package.
public struct VerificationReport: Sendable, Hashable, Encodable {
  public let file: String
  /// What the file is, as in `czann (JSON 2.1.0)`.
  public let format: String?
  public let verdict: String
  /// The worst first.
  public let checks: [Check]

  public init(file: String, format: String?, checks: [Check]) {
    self.file = file
    self.format = format
    self.checks = Check.Status.allCases.flatMap { status in checks.filter { $0.status == status } }
    func count(_ status: Check.Status, _ one: String, _ several: String) -> String? {
      let count = checks.count { $0.status == status }
      return count == 0 ? nil : "\(count) \(count == 1 ? one : several)"
    }
    let failed = count(.failed, "check failed", "checks failed"), warnings = count(.warning, "warning", "warnings")
    let others = [
      failed, warnings, count(.skipped, "skipped", "skipped"), count(.passed, "passed", "passed"),
    ]
    let isSkipped = checks.contains { $0.status == .skipped }
    let head =
      failed != nil
      ? "do not use this package as it is"
      : warnings != nil ? "usable, with care" : isSkipped ? "nothing wrong was found" : "good"
    verdict = head + ": " + others.compactMap { $0 }.joined(separator: ", ")
  }

  /// Whether nothing failed.
  ///
  /// - Parameter strict: count warnings as failures.
  public func isGood(strict: Bool = false) -> Bool {
    !checks.contains { $0.status == .failed || strict && $0.status == .warning }
  }
}
