// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What has passed since it was made.
struct Stopwatch {
  private let start = ContinuousClock.now
  private let processorStart = Self.processor

  var seconds: Double { (ContinuousClock.now - start) / .seconds(1) }

  /// What all threads of this process have worked.
  var processorSeconds: Double { Self.processor - processorStart }

  private static var processor: Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}

/// Prints a value on a line.
func printJSON(_ value: some Encodable) throws {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys]
  print(String(decoding: try encoder.encode(value), as: UTF8.self))
}
