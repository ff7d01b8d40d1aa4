// SPDX-License-Identifier: Apache-2.0
internal import Foundation
internal import KachelEngines
internal import Synchronization
internal import Testing

/// An actor that blocks its thread, as one that calls an engine does.
private actor Blocking {
  private let thread: OwnThread
  private(set) var threads: Set<ObjectIdentifier> = []
  private(set) var order: [Int] = []
  private var isRunning = false
  private(set) var overlaps = 0

  init(name: String = "blocking") { thread = OwnThread(name: name) }

  nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

  func note(_ number: Int) {
    if isRunning { overlaps += 1 }
    isRunning = true
    threads.insert(ObjectIdentifier(currentThread()))
    order.append(number)
    isRunning = false
  }

  /// Blocks until it is told that it may go on.
  func wait(for gate: DispatchSemaphore) -> String? {
    gate.wait()
    return currentThreadName()
  }

  func fail() throws { throw CancellationError() }
}

private func currentThread() -> Thread { Thread.current }

private func currentThreadName() -> String? {
  #if os(Linux)
    let name = try? String(contentsOfFile: "/proc/thread-self/comm", encoding: .utf8)
    return name?.trimmingCharacters(in: .whitespacesAndNewlines)
  #else
    return Thread.current.name
  #endif
}

@Suite(.timeLimit(.minutes(1)))
struct OwnThreadTests {
  /// More actors block than the machine has threads for tasks, and they go on only when other tasks have run: were the
  /// calls on the shared threads, this would never end.
  @Test func blockingCallsLeaveOtherTasksAlone() async throws {
    let count = ProcessInfo.processInfo.activeProcessorCount * 2 + 4
    let actors = (0..<count).map { Blocking(name: "blocking \($0)") }
    let gates = actors.map { _ in DispatchSemaphore(value: 0) }
    let names = await withTaskGroup(of: String?.self) { group in
      for (actor, gate) in zip(actors, gates) { group.addTask { await actor.wait(for: gate) } }
      await withTaskGroup(of: Void.self) { others in
        for gate in gates {
          others.addTask {
            await Task.yield()
            gate.signal()
          }
        }
      }
      return await group.reduce(into: Set<String?>()) { $0.insert($1) }
    }
    #expect(names == Set((0..<count).map { "blocking \($0)" }))
  }

  @Test func workRunsOneByOneOnOneThread() async {
    let actor = Blocking()
    for number in 0..<50 { await actor.note(number) }
    await withTaskGroup(of: Void.self) { group in
      for number in 50..<250 { group.addTask { await actor.note(number) } }
    }
    #expect(await actor.threads.count == 1)
    #expect(await actor.overlaps == 0)
    #expect(await Array(actor.order.prefix(50)) == Array(0..<50))
    #expect(await Set(actor.order) == Set(0..<250))
  }

  @Test func errorsReachTheCaller() async {
    let actor = Blocking()
    await #expect(throws: CancellationError.self) { try await actor.fail() }
    await actor.note(1)
    #expect(await actor.order == [1])
  }

  @Test func tasksMayPreferIt() async {
    let thread = OwnThread(name: "preferred")
    let name = await Task(executorPreference: thread) { currentThreadName() }.value
    #expect(name == "preferred")
    #expect(thread.name == "preferred")
  }

  /// The thread goes with the last reference, after the work that is left, even if that holds the last reference.
  @Test func theThreadEnds() async throws {
    weak var gone: OwnThread?
    do {
      let thread = OwnThread(name: "short-lived")
      gone = thread
      await Task(executorPreference: thread) {}.value
    }
    try await vanishes { gone == nil }

    #if os(Linux)
      try await vanishes { !threadNames().contains("short-lived") }
      for _ in 0..<8 {
        let actor = Blocking(name: "short-lived")
        Task { await actor.note(1) }
      }
      try await vanishes { !threadNames().contains("short-lived") }
    #endif
  }

  /// Waits until something is so; the suite's time limit ends the wait.
  private func vanishes(_ condition: () -> Bool) async throws {
    while !condition() { try await Task.sleep(for: .milliseconds(5)) }
  }

  /// The names of all threads of this process, as the kernel has them.
  private func threadNames() -> [String] {
    let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
    return tasks.compactMap { task in
      let name = try? String(contentsOfFile: "/proc/self/task/\(task)/comm", encoding: .utf8)
      return name?.trimmingCharacters(in: .whitespacesAndNewlines)
    }
  }
}
