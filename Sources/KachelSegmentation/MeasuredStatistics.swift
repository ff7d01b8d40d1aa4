// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelModels
import KachelPixels

/// The statistics that a run standardises a network's input with, and what that does to the pixels.
struct MeasuredStatistics: Sendable {
  /// One plane, or all of them together.
  struct Measured: Sendable {
    let mean: [Double]
    let deviation: [Double]
    /// For each channel of the network's input, what becomes of the image's own values.
    let maps: [ChannelMap]
  }

  private let scope: StatisticsScope
  /// By scene and plane; `nil` for a plane of which nothing is run.
  private let planes: [[Measured?]]
  /// Of every plane that was measured, or of all together.
  let moments: [[ChannelMoments]]

  func maps(scene: Int, plane: Int) -> [ChannelMap]? { planes[scene][plane]?.maps }

  /// Reads and measures the planes.
  ///
  /// - Parameters:
  ///   - kept: what an unfinished run measured.
  ///   - output: named where that does not fit.
  /// - Returns: `nil` where the network does without.
  static func measure(
    _ run: PreparedRun, of image: any ImageSource, _ options: SegmentationOptions, kept: MeasuredRecord?,
    for output: String, progress: (SegmentationProgress.Tiles) -> Void
  ) async throws -> MeasuredStatistics? {
    guard let standardization = run.runNetwork.standardization, let scope = run.runNetwork.statistics else {
      return nil
    }
    let selection = run.layout.selection
    let all = selection.scenes.indices.flatMap { scene in
      selection.planes(scene: scene).enumerated().map { (scene: scene, place: $0.offset, plane: $0.element) }
    }
    // A plane of which nothing is run need not be read for itself.
    let wanted = all.filter { scope == .dataset || !run.work[$0.scene][$0.place].isEmpty }
    let channels = run.mapping.sources.reduce(0) { $0 + $1.mixes.count }
    let known = try kept?.moments(planes: scope == .dataset ? 1 : wanted.count, channels: channels, of: output)
    let moments: [[ChannelMoments]]
    if let known {
      moments = known
    } else {
      let statistics = ImageStatistics(image: image, mapping: run.mapping, threads: run.threads, limit: options.memory)
      let result = try await statistics.measure(wanted.map(\.plane), progress: progress)
      moments = scope == .dataset ? [result.ofAll] : result.ofEach
    }
    var planes: [[Measured?]] = selection.scenes.indices.map { scene in
      Array(repeating: nil, count: run.work[scene].count)
    }
    var shared: Measured?
    for (index, place) in wanted.enumerated() where !run.work[place.scene][place.place].isEmpty {
      if let shared {
        planes[place.scene][place.place] = shared
        continue
      }
      let measured = try measured(
        scope == .dataset ? moments[0] : moments[index], standardization, run.mapping, place.plane, scope, image)
      planes[place.scene][place.place] = measured
      if scope == .dataset { shared = measured }
    }
    return MeasuredStatistics(scope: scope, planes: planes, moments: moments)
  }

  private static func measured(
    _ raw: [ChannelMoments], _ standardization: InputStandardization, _ mapping: InputMapping, _ plane: PlaneIndex,
    _ scope: StatisticsScope, _ image: any ImageSource
  ) throws(SegmentationError) -> Measured {
    let divisors = mapping.sources.flatMap { source in source.mixes.map { _ in Double(source.divisor) } }
    guard let count = raw.first?.count, count > 0 else {
      // Nothing of it is kept.
      return Measured(mean: [], deviation: [], maps: divisors.map { ChannelMap(scale: 1 / $0) })
    }
    let scene = image.description.scenes[plane.scene].index
    let place = scope == .dataset ? "the chosen planes" : "scene \(scene), time \(plane.time), z \(plane.z)"
    guard raw.allSatisfy({ $0.mean.isFinite && $0.variance.isFinite }) else {
      throw SegmentationError(
        .mismatch, file: image.path,
        "there is no mean of \(place): some values are infinite or no numbers; pass --statistics tile")
    }
    let moments = zip(raw, divisors).map { raw, divisor in
      ChannelMoments(count: raw.count, mean: raw.mean / divisor, variance: raw.variance / (divisor * divisor))
    }
    guard let maps = standardization.maps(of: moments) else {
      throw SegmentationError(
        .mismatch, file: image.path,
        "all pixels of \(place) are equal, and the network divides by their deviation, 0; choose other planes")
    }
    let pooled = standardization.isPerChannel ? raw : [Self.pooled(raw)]
    return Measured(
      mean: pooled.map(\.mean), deviation: pooled.map { $0.variance.squareRoot() },
      maps: zip(maps, divisors).map { ChannelMap(scale: $0.scale / $1, center: $0.center * $1) })
  }

  /// Channels of equally many pixels, taken together.
  private static func pooled(_ moments: [ChannelMoments]) -> ChannelMoments {
    let channels = Double(moments.count), mean = moments.reduce(0) { $0 + $1.mean } / channels
    let variance = moments.reduce(0) { $0 + $1.variance + ($1.mean - mean) * ($1.mean - mean) } / channels
    return ChannelMoments(count: moments.reduce(0) { $0 + $1.count }, mean: mean, variance: variance)
  }

  /// What is told of a scene's planes with its result.
  func record(scene: Int, of selection: PlaneSelection) -> Provenance.InputStatistics {
    let all = zip(selection.planes(scene: scene), planes[scene]).compactMap { plane, measured in
      measured.map {
        Provenance.InputStatistics.Plane(time: plane.time, z: plane.z, mean: $0.mean, deviation: $0.deviation)
      }
    }
    guard scope == .dataset else { return .init(scope: scope, planes: all) }
    return .init(scope: scope, planes: all.prefix(1).map { .init(mean: $0.mean, deviation: $0.deviation) })
  }
}
