// SPDX-License-Identifier: Apache-2.0
private import CKachelEngines
private import Dispatch
private import Foundation
private import Synchronization

/// One thread of the operating system that runs an actor's or a task's work, one piece after the other, in order.
///
/// Work on it may block, in an engine or in a file, for as long as it likes. On the threads that tasks share otherwise
/// (as many as the machine has cores) one blocking call holds up everything else.
///
/// ```swift
/// actor Inference {
///   private let thread = OwnThread(name: "inference")
///   nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }
///   …
/// }
/// ```
///
/// The thread sleeps while there is no work, and ends when the value is released and its work is done.
public final class OwnThread: SerialExecutor, TaskExecutor {
  public let name: String
  private let queue = Queue()

  /// - Parameter name: What debuggers and profilers show; Linux cuts it to 15 bytes.
  public init(name: String) {
    self.name = name
    let queue = queue
    // The thread knows the queue only: it must not keep this value, whose end is also its own, alive.
    let thread = Thread {
      // Not `Thread.name`: on Linux that does nothing until the thread that started this one has noted its handle.
      kachel_name_thread(name)
      queue.run()
    }
    // As the main thread has it; reading a deep graph recurses, and 512 kB (macOS) are soon used up.
    thread.stackSize = 8 << 20
    thread.start()
  }

  deinit { queue.close() }

  public func enqueue(_ job: consuming ExecutorJob) {
    queue.add(Entry(job: UnownedJob(job), thread: self))
  }

  public func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

  public func asUnownedTaskExecutor() -> UnownedTaskExecutor { UnownedTaskExecutor(ordinary: self) }

  /// A piece of work. It keeps its thread until it is done: what it is part of may be the last to know of it.
  private struct Entry {
    let job: UnownedJob
    let thread: OwnThread

    func run() {
      job.runSynchronously(
        isolatedTo: thread.asUnownedSerialExecutor(), taskExecutor: thread.asUnownedTaskExecutor())
    }
  }

  private final class Queue: Sendable {
    private struct State {
      var entries: [Entry] = []
      var isClosed = false
    }

    private let state = Mutex(State())
    private let changed = DispatchSemaphore(value: 0)

    func add(_ entry: Entry) {
      state.withLock { $0.entries.append(entry) }
      changed.signal()
    }

    func close() {
      state.withLock { $0.isClosed = true }
      changed.signal()
    }

    /// The thread's whole life.
    func run() {
      while true {
        changed.wait()
        let (entries, isClosed) = state.withLock { state in
          let entries = state.entries
          state.entries = []
          return (entries, state.isClosed)
        }
        for entry in entries { entry.run() }
        if isClosed { return }
      }
    }
  }
}
