// SPDX-License-Identifier: Apache-2.0
import KachelEngines

/// One stage of a run: its work blocks a thread of its own, never one of the cooperative pool.
actor Stage {
  private nonisolated let thread: OwnThread
  nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

  init(name: String) { thread = OwnThread(name: name) }

  /// Runs the work on the stage's thread, after everything that was handed to it before.
  func run<Result: Sendable>(_ work: @Sendable () throws -> Result) rethrows -> Result { try work() }

  /// The same for work that reads an image. Where a read that waits for a server ends because the task is cancelled, that
  /// is what is thrown.
  func read<Result: Sendable>(_ work: @Sendable () throws -> Result) throws -> Result {
    do { return try work() } catch {
      try Task.checkCancellation()
      throw error
    }
  }
}
