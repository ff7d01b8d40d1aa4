// SPDX-License-Identifier: Apache-2.0
private import Foundation
public import KachelImages
public import KachelModels
import KachelPixels

/// A part of an image run through a network in several ways, and how the results differ.
///
/// What a ``Certificate`` promises is tried out: a network that is exact must give the same for one tile as large as the
/// part and for small ones, bit for bit; any network must give the same for a region of the part, with other threads, and when
/// it was stopped and resumed.
public struct Proof: Codable, Sendable {
  /// One way to run the network, compared with the first.
  public struct Row: Codable, Sendable {
    public var name: String
    /// Width and height of tiles, and how many there were.
    public var tile: [Int]
    public var halo: [Int]
    public var tiles: Int
    /// Whether the result is promised to be the same.
    public var isPromised: Bool
    /// How many pixels were compared, and how many have another class (or value, of a regression).
    public var pixels: Int
    public var differing: Int
    /// The largest difference between two scores of one pixel.
    public var largestDifference: Float

    public var isEqual: Bool { differing == 0 && largestDifference == 0 }
  }

  public var certificate: Certificate
  /// x, y, width, height of the part, from the scene's top-left corner.
  public var region: [Int]
  /// How the result was made that all others are compared with.
  public var reference: String
  public var rows: [Row]

  /// Whether all is as promised.
  public var holds: Bool { rows.allSatisfy { $0.isEqual || !$0.isPromised } }

  /// Runs the network in all the ways.
  ///
  /// - Parameters:
  ///   - options: what to run; of the planes that are chosen the first is taken, and of it the region, or as much of its
  ///     middle as several tiles need.
  ///   - picture: a PNG for the way whose result differs most, where one does; pixels of another class are white.
  ///   - progress: told of every way.
  /// - Throws: as ``Segmentation/write(to:engine:progress:)``.
  public init(
    of image: any ImageSource, with package: ModelPackage, options: SegmentationOptions, picture: String? = nil,
    overwrite: Bool = false, progress: @escaping @Sendable (String) -> Void = { _ in }
  ) async throws {
    var trial = try Trial(of: image, with: package, options: options)
    let part = ImagePart(of: image, plane: trial.plane, region: trial.region)
    guard part.hasPixels(in: Region(trial.region.size), of: PlaneIndex(channel: 0)) else {
      throw SegmentationError(
        .option, file: image.path, "holds no pixels in \(trial.region); name a part that does with --region")
    }
    progress(trial.reference.name)
    var reference = try await trial.scores(part, trial.reference)
    if trial.isInOneTile, reference.provenance.certificate.promise != .exact {
      // It is the engine that does not give the same for tiles of any size.
      trial.takesTilesOfARun()
      progress(trial.reference.name)
      reference = try await trial.scores(part, trial.reference)
    }
    certificate = reference.provenance.certificate
    region = [trial.region.x, trial.region.y, trial.region.width, trial.region.height]
    let tile = reference.provenance.tiles
    self.reference = "\(trial.reference.name) (\(tile.count) of \(tile.size[0]) x \(tile.size[1]))"
    rows = []
    var worst: (difference: ScoreMap.Difference, size: Size)?
    for way in trial.ways(certificate) {
      progress(way.name)
      let scores = try await trial.scores(part, way)
      let inside = way.region ?? Region(trial.region.size)
      let difference = reference.difference(from: scores, in: inside, isClasses: trial.isClasses)
      let tiles = scores.provenance.tiles
      rows.append(
        Row(
          name: way.name, tile: tiles.size, halo: tiles.halo, tiles: tiles.count, isPromised: way.isPromised,
          pixels: difference.pixels, differing: difference.differing, largestDifference: difference.largest))
      if difference.largest > 0, difference.differing >= worst?.difference.differing ?? 0 {
        worst = (difference, inside.size)
      }
    }
    if let picture, let worst { try Self.draw(worst.difference.picture, worst.size, picture, overwrite) }
  }

  private static func draw(_ bytes: [UInt8], _ size: Size, _ path: String, _ overwrite: Bool) throws {
    let writer = try PNGWriter(path: path, size: size, layout: .gray, pixelType: .uint8, overwrite: overwrite)
    let rows = PixelBuffer(width: size.width, height: size.height, type: .uint8)
    rows.bytes.copyBytes(from: bytes)
    try writer.write(rows: rows)
    try writer.finish()
  }
}

/// What is run.
private struct Trial {
  struct Way {
    var name: String
    var isPromised: Bool
    var region: Region?
    /// Whether the run is stopped halfway, and then resumed.
    var isStopped = false
    var change: @Sendable (inout SegmentationOptions) -> Void
  }

  let package: ModelPackage
  let options: SegmentationOptions
  let plane: PlaneIndex
  let region: Region
  private(set) var reference: Way
  private(set) var isInOneTile: Bool
  let isClasses: Bool
  /// Sides of small tiles that the network takes; none where its tiles have one size.
  private let sides: [Int]
  private let facts: GraphFacts
  /// Whether the network would standardise every tile with its own statistics.
  private let isStandardized: Bool
  /// Whether the network takes tiles of one size only where it is run as it is.
  private let isOfOneSize: Bool

  init(of image: any ImageSource, with package: ModelPackage, options: SegmentationOptions) throws {
    self.package = package
    let network = try RunNetwork(of: package, options)
    let facts = network.facts
    let selection = try PlaneSelection(of: image.description, at: image.path, options.planes)
    plane = PlaneIndex(
      scene: selection.scenes[0], z: selection.depths[0], time: selection.times[0], further: selection.further)
    isClasses = package.metadata.kind.isSemanticSegmentation
    let shape = facts.inputs.first?.shape ?? []
    let isFree = network.ownSize != nil || (shape.count == 4 && shape[1] == nil && shape[2] == nil)
    (self.facts, isStandardized) = (facts, network.standardization != nil)
    isOfOneSize = network.ownSize != nil
    let stride = facts.stride.map { max($0.x, $0.y) } ?? 32
    let halo = facts.neededBorder.map { max($0.x, $0.y) } ?? 64
    sides =
      isFree ? [max(128, 5 * halo + stride), max(208, 8 * halo + stride)].map { AxisGrid.roundUp($0, to: stride) } : []
    let tile = isFree ? sides[1] : max(shape.count == 4 ? shape[1] ?? 0 : 0, shape.count == 4 ? shape[2] ?? 0 : 0)
    let whole = selection.regions[0]
    var region = whole
    if options.planes.region == nil {
      // Two tiles and a half along each axis.
      let side = max(768, tile * 5 / 2)
      region.width = min(whole.width, side)
      region.height = min(whole.height, side)
      region.x += (whole.width - region.width) / 2
      region.y += (whole.height - region.height) / 2
    }
    self.region = region
    var plain = options
    plain.planes = PlaneChoice()
    (plain.minimumConfidence, plain.requirement) = (nil, nil)
    self.options = plain
    let longest = AxisGrid.roundUp(max(region.width, region.height), to: stride)
    isInOneTile = isFree && facts.exactness == .exact
    reference = Way(name: "one tile", isPromised: true) { $0.tileSide = longest }
    if !isInOneTile { takesTilesOfARun() }
  }

  /// Compares with the tiles that a run has, not with one tile.
  mutating func takesTilesOfARun() {
    (reference, isInOneTile) = (Way(name: "the tiles of a run", isPromised: true) { _ in }, false)
  }

  func scores(_ part: ImagePart, _ way: Way) async throws -> ScoreMap {
    var options = options
    way.change(&options)
    options.planes.region = way.region
    return try await ScoreMap(of: part, with: package, options: options, isStopped: way.isStopped) { _ in }
  }

  func ways(_ certificate: Certificate) -> [Way] {
    let isExact = certificate.promise == .exact
    var ways: [Way] = []
    for side in sides { ways.append(Way(name: "tiles of \(side)", isPromised: isExact) { $0.tileSide = side }) }
    // Tiles of a size that keeps the result, small where that may be.
    let small = isExact ? sides.first : nil
    let inner = Region(
      x: region.width / 5 + 3, y: region.height / 7 + 1, width: max(1, region.width / 2),
      height: max(1, region.height / 2)
    ).intersection(Region(region.size))
    ways.append(Way(name: "a region", isPromised: true, region: inner) { if let small { $0.tileSide = small } })
    ways.append(
      Way(name: "one thread", isPromised: true) {
        $0.threads = 1
        if let small { $0.tileSide = small }
      })
    ways.append(
      Way(name: "stopped and resumed", isPromised: true, isStopped: true) { if let small { $0.tileSide = small } })
    let ownSide = isOfOneSize ? nil : sides.first
    if let border = package.metadata.border, let side = sides.first, 2 * max(border.x, border.y) < side {
      let declared = isEnough(border) && isExact
      ways.append(
        Way(name: "the package's border", isPromised: declared) { ($0.tileSide, $0.halo) = (side, .package) })
      ways.append(
        Way(name: "ZEN's tiles", isPromised: false) {
          ($0.tileSide, $0.tiling, $0.statistics) = (ownSide, .zen, nil)
        })
    }
    if isStandardized {
      ways.append(
        Way(name: "statistics of every tile", isPromised: false) { ($0.tileSide, $0.statistics) = (ownSide, .tile) })
    }
    return ways
  }

  private func isEnough(_ border: AxisPair) -> Bool {
    guard let stride = facts.stride, let needed = facts.neededBorder else {
      return false
    }
    // Halos are rounded up to the stride.
    return AxisGrid.roundUp(border.x, to: stride.x) >= needed.x && AxisGrid.roundUp(border.y, to: stride.y) >= needed.y
  }
}
