// SPDX-License-Identifier: Apache-2.0
public import KachelImages
private import KachelPixels

/// How well one label of a result covers a true mask.
public struct LabelComparison: Sendable, Hashable {
  public let intersection: Int
  public let union: Int
  /// 0 to 1; 1 where neither has a pixel.
  public var intersectionOverUnion: Double { union == 0 ? 1 : Double(intersection) / Double(union) }

  /// Compares the first planes of two images.
  ///
  /// - Parameters:
  ///   - labels: a gray image of labels.
  ///   - truth: a gray image of the same size; every pixel that is not 0 belongs to the mask.
  ///   - label: the label's value.
  /// - Throws: ``ImageError``; ``SegmentationError`` where the sizes differ.
  public init(labels: any ImageSource, truth: any ImageSource, label: Int) throws {
    let size = truth.description.scenes[0].size, labelSize = labels.description.scenes[0].size
    guard size == labelSize else {
      throw SegmentationError(.mismatch, file: truth.path, "has \(size) pixels, but the labels have \(labelSize)")
    }
    for image in [labels, truth] where image.description.channels[0].layout != .gray {
      throw SegmentationError(.mismatch, file: image.path, "is no gray image of labels")
    }
    let ours = PixelBuffer(width: 0, height: 0, type: .uint8), theirs = PixelBuffer(width: 0, height: 0, type: .uint8)
    var (intersection, union) = (0, 0)
    for top in stride(from: 0, to: size.height, by: 256) {
      let strip = Region(x: 0, y: top, width: size.width, height: min(256, size.height - top))
      try labels.read(strip, of: PlaneIndex(), into: ours)
      try truth.read(strip, of: PlaneIndex(), into: theirs)
      for index in 0..<strip.area {
        let (isOurs, isTheirs) = (ours.integer(at: index) == label, theirs.integer(at: index) != 0)
        if isOurs && isTheirs { intersection += 1 }
        if isOurs || isTheirs { union += 1 }
      }
    }
    self.intersection = intersection
    self.union = union
  }
}
