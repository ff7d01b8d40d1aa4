// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelModels
import KachelPixels

/// Checks that run the network.
struct RunningChecks {
  let probe: NetworkProbe
  /// What the output means; `nil` where it is numbers of any kind.
  let kind: ModelKind?
  /// What the package declares.
  let border: Size?
  /// What the graph needs, where that is known: it can be less than a pixel's influence, as tiles lie on the stride.
  let needed: Size?
  let stride: Size
  /// Operations that see the whole tile.
  let globalOperations: [String: Int]
  /// What the network is fed, in the range that the package declares: real pixels, or a drawing.
  let picture: Picture
  /// What the picture is called in texts.
  let pictureName: String
  /// By how much the values of the other range differ, where there is one.
  let otherRange: (factor: Float, name: String)?

  /// Scores may be off by this much through rounding.
  private static let rounding: Float = 1e-4

  func run() -> [Check] {
    let output: Picture
    do { output = try probe.run(tile) } catch {
      return [Check("run", .failed, "the network cannot be run: \(error)")]
    }
    return [outputCheck(output), rangeCheck(output), influenceCheck(), tilesCheck()].compactMap { $0 }
  }

  /// The size of a tile: the network's own, or one with much room between its borders.
  private var tileSize: Size {
    func side(_ fixed: Int?, _ border: Int?, _ stride: Int, _ most: Int) -> Int {
      fixed ?? min(AxisGrid.roundUp(max(256, 4 * (border ?? 0)), to: stride), max(stride, most / stride * stride))
    }
    return Size(
      width: side(probe.fixed.width, border?.width, stride.width, picture.width),
      height: side(probe.fixed.height, border?.height, stride.height, picture.height))
  }

  private var tile: Picture { part(at: (0, 0), tileSize) }

  /// A part of the picture, which is repeated by reflection where it is too small.
  private func part(at origin: (y: Int, x: Int), _ size: Size) -> Picture {
    if origin.y + size.height <= picture.height, origin.x + size.width <= picture.width {
      return picture.part(y: origin.y, x: origin.x, height: size.height, width: size.width)
    }
    func reflected(_ index: Int, _ length: Int) -> Int {
      let period = 2 * length
      return index % period < length ? index % period : period - 1 - index % period
    }
    var values: [Float] = []
    values.reserveCapacity(size.area * picture.channels)
    for y in origin.y..<origin.y + size.height {
      for x in origin.x..<origin.x + size.width {
        let start =
          (reflected(y, picture.height) * picture.width + reflected(x, picture.width)) * picture.channels
        values += picture.values[start..<start + picture.channels]
      }
    }
    return Picture(height: size.height, width: size.width, channels: picture.channels, values: values)
  }

  // MARK: Output

  private func outputCheck(_ output: Picture) -> Check {
    func check(_ status: Check.Status, _ text: String) -> Check { Check("output", status, "on \(pictureName) " + text) }
    let broken = output.values.count { !$0.isFinite }
    guard broken == 0 else {
      return check(
        .failed,
        "\(broken) of \(output.values.count) values are infinite or no numbers: the weights are damaged, or "
          + "the network overflows")
    }
    let (low, high) = output.range
    let text = "the values lie between \(low.short) and \(high.short)"
    guard let kind, kind.isSemanticSegmentation else {
      if kind == .regression, low < -1 || high > 2 {
        return check(.warning, text + ", but an image is expected between 0 and 1: put a scale behind the network")
      }
      return check(.passed, text)
    }
    guard low >= -Self.rounding, high <= 1 + Self.rounding else {
      return check(.failed, text + ", which are no probabilities: put a softmax behind the network")
    }
    var worst: Float = 0
    for pixel in 0..<output.height * output.width {
      let sum = output.values[pixel * output.channels..<(pixel + 1) * output.channels].reduce(0, +)
      worst = max(worst, abs(sum - 1))
    }
    if worst <= 1e-3 { return check(.passed, "every pixel's probabilities sum up to 1") }
    if kind == .multiClassSemanticSegmentation {
      return check(.passed, "the classes' probabilities lie between 0 and 1, and may overlap")
    }
    return check(
      .failed,
      "a pixel's probabilities sum up to \((1 + worst).short) or differ from 1 as much: put a softmax behind "
        + "the network, or declare the type MultiClassSemanticSegmentation")
  }

  // MARK: Input range

  /// Runs the network on the other range too. A network that was made for it hardly sees the picture in its own.
  private func rangeCheck(_ output: Picture) -> Check? {
    // A regression's values follow those that it is fed.
    guard kind?.isSemanticSegmentation == true, let otherRange,
      let other = try? probe.run(tile.multiplied(by: otherRange.factor))
    else { return nil }
    func check(_ status: Check.Status, _ text: String) -> Check { Check("input range run", status, text) }
    let advice = "tells parts apart when it is fed \(otherRange.name): it seems to be made for those"
    if output.spread < 0.05 * other.spread, other.spread > 0.05 {
      return check(.warning, "on \(pictureName) the network gives almost the same everywhere, but \(advice)")
    }
    // Numbers far larger than those that a network has learned make it entirely certain of everything.
    if output.certainty > 0.8, other.certainty < 0.4, other.spread > 0.05 {
      let percent = Int(100 * output.certainty)
      return check(
        .warning,
        "on \(pictureName) the network is entirely certain of \(percent) % of the pixels, as if its numbers were "
          + "too large; it is less so when it is fed \(otherRange.name), and seems to be made for those")
    }
    return check(.passed, "the network tells parts of \(pictureName) apart in its declared range")
  }

  // MARK: Border

  private func whole(_ name: String) -> Check? {
    guard !globalOperations.isEmpty else { return nil }
    let names = globalOperations.keys.sorted().prefix(4).joined(separator: ", ")
    return Check(
      name, .skipped, "every pixel sees its whole tile (\(names)), so that no border makes tiles agree entirely")
  }

  /// Changes single pixels, and looks how far away the output changes.
  private func influenceCheck() -> Check {
    if let check = whole("border needed") { return check }
    let size = tileSize
    var reach = (y: 0, x: 0)
    do {
      let base = try probe.run(tile)
      let (low, high) = picture.range
      // Different places on the grid of the stride see differently far.
      let phases = [(0, 0), (stride.height - 1, stride.width - 1), (stride.height / 2, 0), (0, stride.width / 2)]
      for (index, phase) in phases.enumerated() {
        let y = min(size.height - 1, size.height / 2 / stride.height * stride.height + phase.0)
        let x = min(size.width - 1, size.width / 2 / stride.width * stride.width + phase.1)
        var changed = tile
        for channel in 0..<changed.channels {
          changed.values[(y * size.width + x) * changed.channels + channel] +=
            (index % 2 == 0 ? 10 : -10) * max(1e-3, high - low)
        }
        let output = try probe.run(changed)
        for (place, pair) in zip(base.values, output.values).enumerated() where pair.0 != pair.1 {
          let pixel = place / base.channels
          reach.y = max(reach.y, abs(pixel / size.width - y))
          reach.x = max(reach.x, abs(pixel % size.width - x))
        }
      }
    } catch { return Check("border needed", .skipped, "the network cannot be run: \(error)") }
    let furthest = max(reach.y, reach.x)
    let needed =
      needed.map { max($0.width, $0.height) } ?? AxisGrid.roundUp(furthest, to: max(stride.width, stride.height))
    let text = "a pixel changes the result up to \(furthest) pixels away"
    guard let border else { return Check("border needed", .warning, text + ": declare \(needed)") }
    // Those who tile round a border up to the stride.
    let declared = Size(
      width: AxisGrid.roundUp(border.width, to: stride.width),
      height: AxisGrid.roundUp(border.height, to: stride.height))
    guard declared.width >= min(reach.x, needed), declared.height >= min(reach.y, needed) else {
      return Check(
        "border needed", .warning,
        text + ", but the package declares a border of \(border.text): declare \(needed), or tiles show in ZEN")
    }
    return Check("border needed", .passed, text + "; the border of \(border.text) is enough")
  }

  /// Compares tiles with a run over the whole, or, where the network takes one size only, with each other.
  private func tilesCheck() -> Check {
    let name = "tiles agree"
    if let check = whole(name) { return check }
    let halo = border ?? Size(width: 64, height: 64)
    do {
      guard
        let difference = try probe.fixed.height == nil && probe.fixed.width == nil
          ? tilesAgainstWhole(halo) : tileAgainstTile(halo)
      else {
        return Check(
          name, .skipped, "the network's tiles of \(tileSize) pixels are too small to overlap by two borders")
      }
      if difference.largest == 0 {
        return Check(
          name, .passed, "tiles with the border of \(halo.text) give exactly the same as \(difference.reference)")
      }
      let amount =
        "tiles with the border of \(halo.text) differ from \(difference.reference) by up to \(difference.largest.short)"
      if difference.largest <= Self.rounding { return Check(name, .passed, amount) }
      let flips =
        kind?.isSemanticSegmentation == true ? "; \(difference.flipped) of a million pixels change their class" : ""
      return Check(name, .warning, amount + flips + ": declare a larger border")
    } catch { return Check(name, .skipped, "the network cannot be run: \(error)") }
  }

  private struct Difference {
    /// As a part of the output's range.
    var largest: Float = 0
    /// Pixels of a million with another winner.
    var flipped = 0
    var reference: String
    init(_ one: Picture, _ other: Picture, _ reference: String) {
      self.reference = reference
      let scale = max(1, other.range.high - other.range.low)
      for (a, b) in zip(one.values, other.values) { largest = max(largest, abs(a - b) / scale) }
      let changed = zip(one.winners, other.winners).count { $0 != $1 }
      flipped = changed * 1_000_000 / max(1, one.height * one.width)
    }
  }

  /// Three tiles a side, so that one has neighbours all around.
  private func tilesAgainstWhole(_ halo: Size) throws -> Difference? {
    let tile = tileSize
    func axis(_ tile: Int, _ halo: Int, _ stride: Int) -> AxisGrid? {
      let halo = AxisGrid.roundUp(halo, to: stride)
      return AxisGrid(length: max(tile, 3 * tile - 4 * halo), tile: tile, halo: halo, stride: stride)
    }
    guard let y = axis(tile.height, halo.height, stride.height), let x = axis(tile.width, halo.width, stride.width),
      y.count > 1, x.count > 1
    else { return nil }
    let whole = try probe.run(part(at: (0, 0), Size(width: x.length, height: y.length)))
    var tiled = whole
    for row in 0..<y.count {
      for column in 0..<x.count {
        let (top, left) = (y.origin(row), x.origin(column))
        let scores = try probe.run(part(at: (top, left), tile))
        for line in y.core(row) {
          let core = x.core(column)
          let from = ((line - top) * tile.width + core.lowerBound - left) * scores.channels
          let to = (line * x.length + core.lowerBound) * scores.channels
          tiled.values.replaceSubrange(
            to..<to + core.count * scores.channels, with: scores.values[from..<from + core.count * scores.channels])
        }
      }
    }
    return Difference(tiled, whole, "the untiled run")
  }

  private func tileAgainstTile(_ halo: Size) throws -> Difference? {
    let tile = tileSize
    func shift(_ tile: Int, _ halo: Int, _ stride: Int) -> Int? {
      let room = tile - 2 * AxisGrid.roundUp(halo, to: stride)
      let shift = max(stride, room / 2 / stride * stride)
      return shift < room ? shift : nil
    }
    guard let down = shift(tile.height, halo.height, stride.height),
      let right = shift(tile.width, halo.width, stride.width)
    else { return nil }
    let one = try probe.run(part(at: (0, 0), tile)), other = try probe.run(part(at: (down, right), tile))
    let height = tile.height - down - 2 * halo.height, width = tile.width - right - 2 * halo.width
    return Difference(
      one.part(y: down + halo.height, x: right + halo.width, height: height, width: width),
      other.part(y: halo.height, x: halo.width, height: height, width: width), "each other")
  }
}

extension Float {
  /// With as many digits as a line of text bears.
  var short: String {
    if self == 0 { return "0" }
    if abs(self) < 1e-3 || abs(self) >= 1e6 {
      let exponent = Int(log10(Double(abs(self))).rounded(.down))
      return "\((Double(self) / pow(10, Double(exponent)) * 10).rounded() / 10)e\(exponent)"
    }
    return "\((Double(self) * 1000).rounded() / 1000)"
  }
}

extension Size {
  fileprivate var text: String { width == height ? "\(width)" : "\(width) x \(height)" }
}
