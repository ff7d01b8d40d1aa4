// SPDX-License-Identifier: Apache-2.0
import Dispatch
import Foundation

/// Ctrl-C, and the system's wish that the process ends.
enum Interruption {
  /// Does work that stops in good order when it is interrupted; at the second Ctrl-C the process ends at once.
  static func stopping<Result: Sendable>(_ work: @escaping @Sendable () async throws -> Result) async throws -> Result {
    let task = Task { try await work() }
    let signals = [SIGINT, SIGTERM].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        if task.isCancelled { _exit(ExitStatus.cancelled.rawValue) }
        task.cancel()
      }
      source.resume()
      return source
    }
    defer { signals.forEach { $0.cancel() } }
    return try await task.value
  }
}
