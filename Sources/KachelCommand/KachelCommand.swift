// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

@main
struct KachelCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kachel",
    abstract: "Trained segmentation networks on microscope images of any size.",
    version: kachelVersion,
    subcommands: [
      Segment.self, Convert.self, Inspect.self, Verify.self, Compare.self, Prove.self, Package.self, Unpack.self,
    ])

  static func main() async {
    ProcessMemory.shareAmongThreads()
    do {
      var command = try parseAsRoot()
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
      end(0)
    } catch {
      // Everything is said already.
      if let code = error as? ExitCode { end(code.rawValue) }
      if Self.exitCode(for: error) != .failure { exit(withError: error) }
      let code = ExitStatus(error)
      let isNothingKept = error is CancellationError
      Console.error(
        isNothingKept ? "stopped; nothing was written" : code == .cancelled ? "stopped; \(error)" : "\(error)")
      end(code.rawValue)
    }
  }

  /// Ends the process at once, when everything is written and released. An ordinary exit runs the clean-up of the C++
  /// libraries; the engine's unloads code that its threads may still be in, and one run in about a hundred crashed.
  private static func end(_ code: Int32) -> Never {
    fflush(nil)
    _exit(code)
  }
}

/// What the process ends with, after sysexits.h.
enum ExitStatus: Int32 {
  case badInput = 65
  case libraryMissing = 69
  case internalError = 70
  case cannotWrite = 73
  case tryAgain = 75
  case usage = 64
  case cancelled = 130

  /// What an error means that is none of the argument parser's.
  init(_ error: any Error) {
    switch error {
    case is CancellationError: self = .cancelled
    case let error as UnfinishedRun:
      self = error.isCancellation ? .cancelled : error.mayPass ? .tryAgain : ExitStatus(error.cause)
    case let error as SegmentationError:
      switch error.kind {
      case .option, .memory: self = .usage
      case .mismatch, .badScores: self = .badInput
      }
    case let error as ImageError:
      switch error.kind {
      case .missingLibrary: self = .libraryMissing
      case .unreachable: self = .tryAgain
      case .cannotWrite: self = .cannotWrite
      case .notAnImage, .unsupported, .damaged, .outOfRange: self = .badInput
      }
    case let error as ModelError:
      switch error.kind {
      case .cannotWrite: self = .cannotWrite
      case .option: self = .usage
      case .cannotRead, .notAPackage, .damaged, .unsupported, .mismatch: self = .badInput
      }
    case let error as BytesError: self = error.kind == .cannotWrite ? .cannotWrite : .badInput
    case let error as EngineError:
      switch error.kind {
      case .missing: self = .libraryMissing
      case .refused: self = .badInput
      case .unsuitable: self = .usage
      case .failed: self = .internalError
      }
    default: self = .internalError
    }
  }
}
