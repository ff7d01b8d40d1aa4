// SPDX-License-Identifier: Apache-2.0
import KachelPixels

/// Reads the pixels under some cells of a picture and takes their means.
struct OverviewReader: Sendable {
  private let image: any ImageSource
  private let plane: PlaneIndex
  private let columns: CellAxis
  private let rows: CellAxis
  /// Which samples of a pixel are drawn: red, green and blue, or gray.
  private let order: [Int]
  /// The most pixels that are read at once.
  private let most: Size
  /// How labels are drawn, of a label image.
  private let labels: LabelColors?

  var samples: Int { order.count }

  init(_ image: any ImageSource, plane: PlaneIndex, columns: CellAxis, rows: CellAxis, most: Size) {
    self.image = image
    self.plane = plane
    self.columns = columns
    self.rows = rows
    self.most = most
    let channel = image.description.channels[plane.channel]
    labels = image.description.labels.map { known in
      LabelColors(Dictionary(known.map { ($0.value, $0.color) }, uniquingKeysWith: { first, _ in first }))
    }
    order =
      switch channel.layout {
      case .gray, .grayAlpha: labels == nil ? [0] : [0, 1, 2]
      case .rgb, .rgba: [0, 1, 2]
      case .bgr, .bgra: [2, 1, 0]
      }
  }

  /// Memory that is used again from block to block.
  final class Buffers: Sendable {
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    let colors = PixelBuffer(width: 0, height: 0, type: .uint8)
    let mask = PixelBuffer(width: 0, height: 0, type: .uint8)
  }

  func means(of cells: Region, _ buffers: Buffers) throws -> CellMeans {
    var means = CellMeans(columns: columns, rows: rows, cells: cells, samples: samples)
    try add(means.region, to: &means, buffers)
    return means
  }

  private func add(_ region: Region, to means: inout CellMeans, _ buffers: Buffers) throws {
    guard image.hasPixels(in: region, of: plane) else { return }
    if region.width > most.width || region.height > most.height {
      // One cell may stand for more pixels than can be read at once. Parts without pixels are found soon.
      try Task.checkCancellation()
      for part in parts(of: region) { try add(part, to: &means, buffers) }
      return
    }
    let covered = image.coveredRegions(in: region, of: plane)
    let place = covered.reduce(Region(x: 0, y: 0, width: 0, height: 0)) { $0.union($1) }
    guard !place.isEmpty else { return }
    let (pixels, mask) = (buffers.pixels, buffers.mask)
    try image.read(place, of: plane, into: pixels)
    var isFull = covered.contains { $0.contains(place) }
    if !isFull {
      mask.reshape(width: place.width, height: place.height, samples: 1, type: .uint8)
      mask.fill(byte: 1)
      mask.clear(outside: covered, of: place)
      isFull = mask.isFilled(with: 1)
    }
    if let labels {
      labels.draw(pixels, into: buffers.colors)
      means.add(buffers.colors, at: place, order: order, mask: isFull ? nil : mask)
    } else if isFull && pixels.isZero {
      means.addZeros(at: place)
    } else {
      means.add(pixels, at: place, order: order, mask: isFull ? nil : mask)
    }
  }

  /// A region cut in two at a multiple of what is read at once.
  private func parts(of region: Region) -> [Region] {
    func half(_ length: Int, _ most: Int) -> Int { (length / most + 1) / 2 * most }
    var (first, second) = (region, region)
    if Double(region.width) / Double(most.width) > Double(region.height) / Double(most.height) {
      first.width = half(region.width, most.width)
      (second.x, second.width) = (region.x + first.width, region.width - first.width)
    } else {
      first.height = half(region.height, most.height)
      (second.y, second.height) = (region.y + first.height, region.height - first.height)
    }
    return [first, second]
  }
}
