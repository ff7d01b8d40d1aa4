// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelEngines
import KachelTesting

/// The built program, run as a user runs it: in a folder of its own, with its outputs and its exit code caught.
struct KachelProcess {
  /// How the process ended.
  struct Outcome {
    let status: Int32
    let output: String
    let errors: String

    var lines: [String] { output.split(separator: "\n").map(String.init) }
  }

  /// The folder that the process runs in. What a run writes under relative names ends up here, and nothing else is.
  let folder: ScratchFolder
  /// Files that a test gives to the process, and where the process's own outputs and temporary files go.
  let files: ScratchFolder

  init() throws {
    folder = try ScratchFolder()
    files = try ScratchFolder()
    try FileManager.default.createDirectory(atPath: temporary, withIntermediateDirectories: false)
  }

  /// The process's folder for temporary files.
  var temporary: String { files.file("tmp") }

  /// What lies in the folder of the process, hidden files included.
  var written: [String] { get throws { try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() } }

  /// What the process left in its folder for temporary files.
  var leftTemporary: [String] { get throws { try FileManager.default.contentsOfDirectory(atPath: temporary).sorted() } }

  /// Runs `kachel` and waits for its end.
  ///
  /// - Parameters:
  ///   - environment: variables to set beside those of the tests.
  ///   - during: gets the running process's id and a way to read what it said on standard error so far, on a thread of
  ///     its own: those that tests share may be busy for longer than the process runs.
  func run(
    _ arguments: [String], environment: [String: String] = [:],
    during: ((Int32, () -> String) throws -> Void)? = nil
  ) async throws -> Outcome {
    try await run(executable: Self.executable, arguments, environment: environment, during: during)
  }

  /// Runs a shell command in which `"$kachel"` is the program and `"$@"` its arguments.
  func run(shell command: String, _ arguments: [String]) async throws -> Outcome {
    try await run(
      executable: "/bin/bash", ["-c", command, "bash"] + arguments, environment: ["kachel": Self.executable],
      during: nil)
  }

  /// Waits until a running process has said something on standard error.
  ///
  /// - Throws: ``EndedEarly`` where it ends before that.
  static func wait(for text: String, from process: Int32, _ errors: () -> String) throws {
    while !errors().contains(text) {
      guard kill(process, 0) == 0 else { throw EndedEarly(text: text, errors: errors()) }
      Thread.sleep(forTimeInterval: 0.01)
    }
  }

  /// A process ended without having said what it was waited for.
  struct EndedEarly: Error {
    let text: String
    let errors: String
  }

  private func run(
    executable: String, _ arguments: [String], environment: [String: String],
    during: ((Int32, () -> String) throws -> Void)?
  ) async throws -> Outcome {
    // Files, not pipes: a pipe that nobody empties stops the process.
    let name = UUID().uuidString
    let (output, errors) = (files.file("\(name).out"), files.file("\(name).err"))
    func text(_ path: String) -> String {
      String(decoding: (try? Data(contentsOf: URL(filePath: path))) ?? Data(), as: UTF8.self)
    }

    await Gate.shared.enter()
    defer { Gate.shared.leave() }
    let process = Process()
    process.executableURL = URL(filePath: executable)
    process.arguments = arguments
    process.currentDirectoryURL = URL(filePath: folder.path)
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try Self.create(output)
    process.standardError = try Self.create(errors)
    var variables = ProcessInfo.processInfo.environment
    variables["COLUMNS"] = nil
    variables["TMPDIR"] = temporary
    process.environment = variables.merging(environment) { _, new in new }
    let (ended, end) = AsyncStream.makeStream(of: Void.self)
    process.terminationHandler = { _ in end.finish() }
    try process.run()
    let watchdog = Task {
      try await Task.sleep(for: .seconds(120))
      kill(process.processIdentifier, SIGKILL)
    }
    defer { watchdog.cancel() }
    do {
      if let during {
        let errors = { text(errors) }
        try await withTaskExecutorPreference(OwnThread(name: "watch")) { try during(process.processIdentifier, errors) }
      }
    } catch {
      kill(process.processIdentifier, SIGKILL)
      throw error
    }
    for await _ in ended {}
    // What a shell would say of a process that a signal ended.
    let status = process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
    return Outcome(status: status, output: text(output), errors: text(errors))
  }

  private static func create(_ path: String) throws -> FileHandle {
    guard FileManager.default.createFile(atPath: path, contents: nil), let file = FileHandle(forWritingAtPath: path)
    else { throw CocoaError(.fileWriteUnknown) }
    return file
  }

  /// The program that was built with these tests: it lies beside the test bundle, wherever that was built.
  static let executable: String = {
    #if canImport(Darwin)
      var info = Dl_info()
      guard dladdr(#dsohandle, &info) != 0, let name = info.dli_fname else { return "kachel" }
      var folder = URL(filePath: String(cString: name))
      // The bundle is a folder.
      while folder.path.contains(".xctest") { folder.deleteLastPathComponent() }
    #else
      // The bundle is the program that runs.
      let folder = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    #endif
    return folder.appending(path: "kachel").path
  }()
}

/// Lets two processes run at the same time: each takes all processors and much memory, and there are many tests.
actor Gate {
  static let shared = Gate(places: 2)

  private var free: Int
  private var waiting: [CheckedContinuation<Void, Never>] = []

  init(places: Int) { free = places }

  func enter() async {
    if free > 0 {
      free -= 1
    } else {
      await withCheckedContinuation { waiting.append($0) }
    }
  }

  nonisolated func leave() { Task { await release() } }

  private func release() {
    if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
  }
}
