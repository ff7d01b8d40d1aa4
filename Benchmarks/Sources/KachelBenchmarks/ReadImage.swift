// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Kachel

struct ReadImage: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Open an image and read its first plane, again and again.",
    discussion: """
      Prints JSON: what opening and reading took, what memory they needed, and the pixels' SHA-256. Every repetition \
      opens the image anew; one before them is not measured, so that the file is in the system's memory.
      """)

  @Argument(help: "The image to read.") var image: String
  @Option(help: "How often it is measured.") var times = 1
  @Option(help: "Reads only the middle of the plane, so many pixels wide and high.") var side: Int?

  struct Report: Encodable {
    /// Seconds of every repetition: for opening alone, and for opening and reading.
    var opening: [Double] = []
    var seconds: [Double] = []
    /// What the processors worked meanwhile.
    var processorSeconds: [Double] = []
    /// By how much opening, and opening and reading, made the process grow at most, in bytes.
    var openingBytes = 0
    var bytes = 0
    var size: [Int] = []
    var sha256 = ""
  }

  func validate() throws {
    guard times >= 1, side ?? 1 >= 1 else { throw ValidationError("--times and --side are at least 1") }
  }

  func run() throws {
    var report = Report()
    for time in 0...times {
      // A buffer of its own for every repetition, as the reference readers return a new array.
      let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
      ProcessMemory.resetPeak()
      let (before, stopwatch) = (ProcessMemory.resident ?? 0, Stopwatch())
      let source = try Image(at: image)
      let opening = stopwatch.seconds
      report.openingBytes = max(report.openingBytes, (ProcessMemory.peak ?? 0) - before)
      try source.read(region(of: source), of: PlaneIndex(), into: pixels)
      let (seconds, processorSeconds) = (stopwatch.seconds, stopwatch.processorSeconds)
      report.bytes = max(report.bytes, (ProcessMemory.peak ?? 0) - before)
      guard time > 0 else { continue }
      report.opening.append(opening)
      report.seconds.append(seconds)
      report.processorSeconds.append(processorSeconds)
      report.size = [pixels.height, pixels.width]
      if time == times { report.sha256 = SHA256.hex(of: UnsafeRawBufferPointer(pixels.bytes)) }
    }
    try printJSON(report)
  }

  private func region(of image: Image) -> Region {
    let size = image.description.scenes[0].size
    guard let side else { return Region(size) }
    let (width, height) = (min(side, size.width), min(side, size.height))
    return Region(x: (size.width - width) / 2, y: (size.height - height) / 2, width: width, height: height)
  }
}
