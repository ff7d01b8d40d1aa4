// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel
import Synchronization

/// Shows how far a run is: a bar with rate and time left on a terminal, a line for every tenth otherwise.
final class ProgressLine: Sendable {
  private struct State {
    var start = ContinuousClock.now
    var lastDrawn: ContinuousClock.Instant?
    var tenth = 0
    var isOpen = false
    var isDone = false
  }

  private let state = Mutex(State())

  /// Shows an event; those that say nothing new to the user are passed over.
  func show(_ event: SegmentationProgress) {
    state.withLock { state in
      switch event {
      case .planned(let text):
        close(&state)
        Console.note(text)
        state.start = .now
      case .note(let text):
        close(&state)
        Console.note(text)
      case .warning(let text):
        close(&state)
        Console.warning(text)
      case .measuring(let blocks):
        if blocks.done == blocks.total {
          // The tiles' rate and time are their own.
          close(&state)
          (state.start, state.tenth) = (.now, 0)
        } else if ContinuousClock.now - state.start > .seconds(2) {
          advance(to: blocks.done, of: blocks.total, "blocks: measures the image", &state)
        }
      case .tile(let tiles) where tiles.done == tiles.kept:
        // Nothing is decided by this run yet.
        state.start = .now
        state.tenth = tiles.done * 10 / max(1, tiles.total)
        state.isDone = tiles.done == tiles.total
        if Console.isTerminal { advance(to: tiles.done, of: tiles.total, "tiles", &state) }
      case .tile(let tiles):
        let seconds = max(1e-3, (ContinuousClock.now - state.start) / .seconds(1))
        let rate = String(format: "%.1f Mpx/s", Double(tiles.pixels) / seconds / 1e6)
        advance(to: tiles.done, of: tiles.total, since: tiles.kept, "tiles, \(rate)", &state)
      case .finishing:
        // Once, not for each of a plate's hundreds of scenes.
        guard state.isDone else { return }
        close(&state)
        if !Console.isTerminal { Console.note("making smaller resolutions") }
      }
    }
  }

  /// Shows how many parts of some work are done, if it takes more than a moment.
  func show(_ done: Int, of total: Int, _ what: String) {
    state.withLock { state in
      guard ContinuousClock.now - state.start > .seconds(2) else { return }
      advance(to: done, of: total, what, &state)
    }
  }

  /// Ends an unfinished line.
  func close() { state.withLock { close(&$0) } }

  private func close(_ state: inout State) {
    if state.isOpen { Console.write("\n") }
    state.isOpen = false
  }

  /// - Parameters:
  ///   - kept: how many were done before the start.
  ///   - what: what is counted, and how fast it goes.
  private func advance(to done: Int, of total: Int, since kept: Int = 0, _ what: String, _ state: inout State) {
    let now = ContinuousClock.now
    let seconds = max(1e-3, (now - state.start) / .seconds(1))
    let share = Double(done) / Double(max(1, total)), own = Double(done - kept) / Double(max(1, total - kept))
    state.isDone = done == total
    let rest =
      state.isDone
      ? "in \(Self.duration(seconds))" : "\(Self.duration(seconds / max(own, 1e-9) * (1 - own))) left"
    if Console.isTerminal {
      if let last = state.lastDrawn, now - last < .milliseconds(100), !state.isDone { return }
      state.lastDrawn = now
      state.isOpen = true
      let width = 30, filled = Int(share * Double(width))
      let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
      Console.write("\r[\(bar)] \(done)/\(total) \(what), \(rest)\u{1B}[K")
    } else if Int(share * 10) > state.tenth {
      state.tenth = Int(share * 10)
      Console.note("\(state.tenth * 10) %: \(done) of \(total) \(what), \(rest)")
    }
  }

  private static func duration(_ seconds: Double) -> String {
    let seconds = Int(min(seconds, 1e8).rounded(.up))
    if seconds < 60 { return "\(seconds) s" }
    if seconds < 3600 { return "\(seconds / 60) min \(seconds % 60) s" }
    return "\(seconds / 3600) h \(seconds % 3600 / 60) min"
  }
}
