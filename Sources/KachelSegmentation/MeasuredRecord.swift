// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelModels
import KachelPixels

/// What a run has measured in the whole image, as a journal keeps it, so that a resumed run need not read it again.
///
/// Numbers are kept by their bits. A journal may be damaged: what does not fit the run is refused.
struct MeasuredRecord: Codable, Sendable {
  struct Moments: Codable {
    var count: Int
    var mean: UInt64
    var variance: UInt64
  }

  struct Signal: Codable {
    /// A byte for every block, 1 where it has signal, compressed as a Zstandard frame.
    var blocks: Data
    /// The first and the last value of background in every channel.
    var background: [[UInt32]]
    var all: Int
    var ofBackground: Int
  }

  /// Of every plane that is measured, or of all together; `nil` where the network does without.
  private var statistics: [[Moments]]?
  /// By scene and plane; `nil` where all of the image counts.
  private var signals: [[Signal]]?
  private(set) var error: MeasuredError?

  /// The most numbers, blocks, and bytes of what is kept of these; what is more is measured again.
  private static let mostMoments = 200_000
  private static let mostBlocks = 1 << 28
  private static let mostBytes = 16 << 20

  init(of run: PreparedRun) {
    error = run.certificate.measuredError
    if let moments = run.measured?.moments, moments.reduce(0, { $0 + $1.count }) <= Self.mostMoments {
      statistics = moments.map { plane in
        plane.map { Moments(count: $0.count, mean: $0.mean.bitPattern, variance: $0.variance.bitPattern) }
      }
    }
    guard let maps = run.signals, maps.joined().reduce(0, { $0 + $1.hasSignal.count }) <= Self.mostBlocks else {
      return
    }
    let compressor = ZstandardCompressor(level: 1)
    let records = maps.map { planes in planes.map { $0.record(compressor) } }
    if records.joined().reduce(0, { $0 + $1.blocks.count + 100 }) <= Self.mostBytes { signals = records }
  }

  /// The moments of the channels of the network's input.
  ///
  /// - Parameters:
  ///   - planes: how many are measured.
  ///   - output: named in errors.
  /// - Returns: `nil` where there are none.
  func moments(planes: Int, channels: Int, of output: String) throws(SegmentationError) -> [[ChannelMoments]]? {
    guard let statistics else { return nil }
    guard statistics.count == planes else { throw Self.unfit(output) }
    var moments: [[ChannelMoments]] = []
    for plane in statistics {
      let values = plane.map {
        ChannelMoments(
          count: $0.count, mean: Double(bitPattern: $0.mean), variance: Double(bitPattern: $0.variance))
      }
      // The image may hold no pixel of a plane.
      guard values.isEmpty || values.count == channels,
        values.allSatisfy({ $0.count >= 0 && $0.mean.isFinite && $0.variance.isFinite && $0.variance >= 0 })
      else { throw Self.unfit(output) }
      moments.append(values)
    }
    return moments
  }

  /// By scene and plane, where the image shows something.
  ///
  /// - Parameters:
  ///   - planes: the sizes of the planes, by scene.
  ///   - channels: how many of the image's channels the network gets.
  ///   - output: named in errors.
  /// - Returns: `nil` where that was not looked for.
  func signals(planes: [[Size]], channels: Int, of output: String) throws(SegmentationError) -> [[SignalMap]]? {
    guard let signals else { return nil }
    guard signals.map(\.count) == planes.map(\.count),
      planes.joined().reduce(0, { $0 + min(BlockExtremes.blocks(of: $1), Self.mostBlocks + 1) }) <= Self.mostBlocks
    else { throw Self.unfit(output) }
    var maps: [[SignalMap]] = []
    for (signals, sizes) in zip(signals, planes) {
      var scene: [SignalMap] = []
      for (signal, size) in zip(signals, sizes) {
        guard let map = SignalMap(signal, size: size, channels: channels) else { throw Self.unfit(output) }
        scene.append(map)
      }
      maps.append(scene)
    }
    return maps
  }

  private static func unfit(_ output: String) -> SegmentationError {
    SegmentationError(
      .mismatch, file: output, "its unfinished run has measured another image; start anew without --resume")
  }
}

extension SignalMap {
  fileprivate func record(_ compressor: ZstandardCompressor) -> MeasuredRecord.Signal {
    .init(
      blocks: Data(hasSignal.withUnsafeBytes { compressor.compress($0) }),
      background: background.map { [$0.lowerBound.bitPattern, $0.upperBound.bitPattern] }, all: blocks.all,
      ofBackground: blocks.background)
  }

  /// - Returns: `nil` where the record is none of such a plane.
  fileprivate init?(_ record: MeasuredRecord.Signal, size: Size, channels: Int) {
    var bytes = [UInt8](repeating: 0, count: BlockExtremes.blocks(of: size))
    let problem = bytes.withUnsafeMutableBytes { bytes in
      record.blocks.withUnsafeBytes { Zstandard.decompress($0, into: bytes) }
    }
    var background: [ClosedRange<Float>] = []
    for bits in record.background {
      let ends = bits.map { Float(bitPattern: $0) }
      guard ends.count == 2, ends[0] <= ends[1] else { return nil }
      background.append(ends[0]...ends[1])
    }
    guard problem == nil, background.count <= channels, 0...bytes.count ~= record.all,
      0...record.all ~= record.ofBackground
    else { return nil }
    self.init(
      hasSignal: bytes.map { $0 != 0 }, size: size, background: background,
      blocks: (record.all, record.ofBackground))
  }
}
