// SPDX-License-Identifier: Apache-2.0
private import Foundation
import KachelEngines
import KachelImages
import KachelModels
import KachelPixels

/// A run whose tiles are chosen and whose network is read.
struct PreparedRun: Sendable {
  let network: any Network
  let tileNetwork: TileNetwork
  let mapping: InputMapping
  let plan: TilePlan
  let streams: Int
  let threads: Int
  let layout: ResultLayout
  var certificate: Certificate
  var warnings: [String]
  /// What more memory would buy; see ``Planner/Decision``.
  let advice: String?
  /// By scene and plane, the tiles that are run.
  let work: [[[PlaneGrid.Tile]]]
  /// By scene and plane, where the image shows something, where only that is run.
  let signals: [[SignalMap]]?
  /// What the network's input is standardised with, once that is measured.
  var measured: MeasuredStatistics?
  let summary: String
  /// What a journal keeps of the plan.
  let record: PlanRecord
  private let segmentation: Segmentation
  var runNetwork: RunNetwork { segmentation.runNetwork }
  private let engine: Provenance.EngineVersion

  /// The tiles that one run may have, more than a year of work; they take eight bytes each.
  private static let mostTiles = 10_000_000

  var tiles: Int { work.reduce(0) { $0 + $1.reduce(0) { $0 + $1.count } } }

  /// Whether all of these are tiles of the scene that are run.
  func has(_ tiles: Set<RunJournal.Place>, scene: Int) -> Bool {
    guard !tiles.isEmpty else { return true }
    return work[scene].enumerated().reduce(0) { count, plane in
      count + plane.element.count { tiles.contains(.init(plane: plane.offset, tile: $0)) }
    } == tiles.count
  }

  /// Adds what the user should know.
  mutating func warn(_ text: String) { warnings.append(text) }

  init(
    segmentation: Segmentation, engine: any Engine, network: any Network, mapping: InputMapping,
    decision: Planner.Decision, signals: [[SignalMap]]?, threads: Int, cacheBytes: Int, wantsConfidence: Bool
  ) throws {
    self.segmentation = segmentation
    self.network = network
    self.mapping = mapping
    self.threads = threads
    self.engine = Provenance.EngineVersion(
      name: engine.name, version: engine.version, device: "\(engine.device)", precision: engine.precision,
      streams: decision.streams, threads: threads)
    record = PlanRecord(decision, threads: threads)
    plan = decision.plan
    advice = decision.advice
    streams = decision.streams
    self.signals = signals
    certificate = decision.certificate.skipping(segmentation.options.background, signals)
    let (package, image, selection) = (segmentation.package, segmentation.image, segmentation.selection)
    var warnings = mapping.warnings + decision.warnings
    if package.metadata.kind == .multiClassSemanticSegmentation {
      warnings.append("the model's classes may overlap; every pixel gets its most probable class")
    }
    if !segmentation.runNetwork.facts.globalOperations.isEmpty {
      warnings.append(
        """
        the network has operations that see the whole tile (\
        \(segmentation.runNetwork.facts.globalOperations.keys.sorted().joined(separator: ", "))), so that its answer \
        depends on the tile's size; that follows from the package and the image, never from memory or threads
        """)
    }
    self.warnings = warnings
    layout = try Self.layout(
      segmentation, outputChannels: decision.outputChannels, mapping: mapping, cacheBytes: cacheBytes,
      wantsConfidence: wantsConfidence)
    tileNetwork = try TileNetwork(
      network, of: segmentation, engine: engine, mapping: mapping, kind: layout.kind,
      wantsScores: layout.needsProbabilities)
    let (plan, sources) = (decision.plan, mapping.sources)
    var left = Self.mostTiles
    work = try selection.scenes.indices.map { scene in
      let piece = image.description.scenes[selection.scenes[scene]].levels.first?.tile
      return try selection.planes(scene: scene).enumerated().map { number, plane in
        let signal = signals?[scene][number]
        let tiles = plan.grids[scene].tiles(deciding: selection.regions[scene], piece: piece, limit: left) { region in
          guard signal?.hasSignal(in: region) ?? true else { return false }
          return sources.contains { source in
            var place = plane
            place.channel = source.channel
            return image.hasPixels(in: region, of: place)
          }
        }
        guard let tiles else {
          throw SegmentationError(
            .memory, file: image.path, "has more than \(Self.mostTiles) tiles; choose a --region or fewer planes")
        }
        left -= tiles.count
        return tiles
      }
    }
    summary = Self.summary(decision, certificate, ownSize: segmentation.runNetwork.ownSize, work: work)
  }

  private static func summary(
    _ decision: Planner.Decision, _ certificate: Certificate, ownSize: Size?, work: [[[PlaneGrid.Tile]]]
  ) -> String {
    let tiles = work.reduce(0) { $0 + $1.reduce(0) { $0 + $1.count } }
    let planes = work.reduce(0) { $0 + $1.count }
    let sizes = Set(decision.plan.grids.map { "\($0.x.tile) x \($0.y.tile)" }).sorted()
    let rules = decision.plan.rules
    let halo = rules.halo.width == rules.halo.height ? "\(rules.halo.width)" : "\(rules.halo)"
    let stride = rules.stride.width == rules.stride.height ? "\(rules.stride.width)" : "\(rules.stride)"
    return """
      \(tiles) tile\(tiles == 1 ? "" : "s") of \(sizes.joined(separator: ", ")) pixels in \(planes) \
      plane\(planes == 1 ? "" : "s")\(rules.tiling == .zen ? " as ZEN cuts them" : ""), halo \(halo), stride \(stride), \(decision.streams) at a time\
      \(ownSize.map { ", the network made for \($0) set to that size" } ?? ""); \
      \(certificate.promise.rawValue)\(certificate.background.map { ", \($0)" } ?? "")
      """
  }

  private static func layout(
    _ segmentation: Segmentation, outputChannels: Int, mapping: InputMapping, cacheBytes: Int, wantsConfidence: Bool
  ) throws(SegmentationError) -> ResultLayout {
    let metadata = segmentation.package.metadata
    let kind: ResultLayout.Kind
    if segmentation.isRegression {
      kind = .regression(channels: outputChannels)
    } else {
      guard outputChannels == metadata.classes.count else {
        throw SegmentationError(
          .mismatch, file: segmentation.package.path,
          "the package names \(metadata.classes.count) classes, but the network gives \(outputChannels) scores a pixel")
      }
      let values = metadata.classes.map(\.labelValue)
      guard let highest = values.max(), highest <= 65535, values.allSatisfy({ $0 > 0 }) else {
        throw SegmentationError(.mismatch, file: segmentation.package.path, "label values must be 1 to 65535")
      }
      let argMax = ArgMax(
        labels: values.map { UInt16($0) }, minimumScore: segmentation.options.minimumConfidence ?? -.infinity,
        areLogits: segmentation.runNetwork.givesLogits)
      kind = .labels(
        argMax, highest <= 255 ? .uint8 : .uint16,
        classes: metadata.classes.map { LabelDescription(value: $0.labelValue, name: $0.name, color: $0.color) })
    }
    return ResultLayout(
      kind: kind, name: metadata.name, image: segmentation.image.description, selection: segmentation.selection,
      mapping: mapping, cacheBytes: cacheBytes, modelFile: segmentation.package.path,
      needsProbabilities: wantsConfidence || segmentation.options.minimumConfidence != nil)
  }

  /// - Parameter scene: position among the chosen scenes.
  func provenance(_ scene: Int, _ command: [String]?) -> Provenance {
    let (package, image, selection) = (segmentation.package, segmentation.image, segmentation.selection)
    let description = image.description, region = selection.regions[scene], grid = plan.grids[scene]
    let isMonochrome = mapping.sources.contains { source in
      source.mixes.contains { if case .luminance = $0 { true } else { false } }
    }
    return Provenance(
      version: kachelVersion,
      model: .init(
        file: URL(filePath: package.path).lastPathComponent, name: package.metadata.name, id: package.metadata.id,
        format: package.format.description, sha256: package.sha256),
      image: .init(
        file: RemoteAddress.isAddress(image.path) ? image.path : URL(filePath: image.path).lastPathComponent,
        format: description.format,
        scene: description.scenes[selection.scenes[scene]].index,
        channels: mapping.sources.map { description.channels[$0.channel].name }, times: selection.times,
        depths: selection.depths, further: selection.further, region: [region.x, region.y, region.width, region.height]),
      certificate: certificate,
      tiles: .init(
        plan: plan.identifier, tiling: plan.rules.tiling, count: work[scene].reduce(0) { $0 + $1.count },
        size: [grid.x.tile, grid.y.tile],
        halo: [plan.rules.halo.width, plan.rules.halo.height],
        stride: [plan.rules.stride.width, plan.rules.stride.height], edgeExtension: "reflection, right and bottom",
        globalOperations: segmentation.runNetwork.facts.globalOperations),
      engine: engine, statistics: measured?.record(scene: scene, of: selection),
      minimumConfidence: segmentation.options.minimumConfidence,
      colorConversion: isMonochrome ? "ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B" : nil, warnings: warnings,
      command: command)
  }
}
