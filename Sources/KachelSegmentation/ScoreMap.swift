// SPDX-License-Identifier: Apache-2.0
private import Foundation
import KachelImages
import KachelModels
import KachelPixels

/// A network's output for an image of one plane, as it came from tiles.
struct ScoreMap {
  let size: Size
  /// One plane after the other.
  let channels: [[Float]]
  let provenance: Provenance

  /// Runs the network as a regression, whose output is stored as it is.
  ///
  /// - Parameter isStopped: whether the run is stopped halfway, and then resumed.
  init(
    of image: any ImageSource, with package: ModelPackage, options: SegmentationOptions, isStopped: Bool = false,
    progress: @escaping @Sendable (SegmentationProgress) -> Void
  ) async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "kachel-prove-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: folder) }
    // What is compared is the network that a run takes, whose scores for classes may be logits.
    let givesLogits = try RunNetwork(of: package, options).givesLogits
    var package = package
    if givesLogits, let graph = try GraphEditing(package.graph, file: package.path).removingFinalSoftmax() {
      package.graph = graph
    }
    package.metadata.kind = .regression
    let path = folder.appending(path: "scores.ome.zarr").path
    var outputs = SegmentationOutputs(result: path)
    outputs.isJournaled = isStopped
    let segmentation = try Segmentation(of: image, with: package, options: options)
    if isStopped {
      try await Self.stopHalfway(segmentation, outputs)
      outputs.resume = true
    }
    provenance = try await segmentation.write(to: outputs, progress: progress).provenance
    let stored = try Image(at: path, cacheBytes: 0)
    size = stored.description.scenes[0].size
    let pixels = PixelBuffer(width: 0, height: 0, type: .float32)
    var channels: [[Float]] = []
    for channel in stored.description.channels.indices {
      try stored.read(Region(size), of: PlaneIndex(channel: channel), into: pixels)
      channels.append(Array(pixels.values(as: Float.self)))
    }
    if givesLogits { Self.makeProbabilities(of: &channels) }
    self.channels = channels
  }

  private static func makeProbabilities(of channels: inout [[Float]]) {
    for pixel in channels[0].indices {
      let probabilities = ArgMax.probabilities(ofLogits: channels.map { $0[pixel] })
      for channel in channels.indices { channels[channel][pixel] = probabilities[channel] }
    }
  }

  /// Begins a run and stops it when half of its tiles are decided.
  private static func stopHalfway(_ segmentation: Segmentation, _ outputs: SegmentationOutputs) async throws {
    async let run = segmentation.write(to: outputs) { progress in
      if case .tile(let tiles) = progress, 2 * tiles.done >= tiles.total { withUnsafeCurrentTask { $0?.cancel() } }
    }
    do {
      _ = try await run
    } catch let error as UnfinishedRun where error.isCancellation {
      try Task.checkCancellation()
    }
  }

  /// How two outputs differ where they overlap.
  struct Difference {
    var pixels = 0
    /// Pixels whose class is another one; of a regression, whose value is.
    var differing = 0
    /// The largest difference between two scores of one pixel.
    var largest: Float = 0
    /// For each pixel 0 where nothing differs, 255 where the class does, between where scores do.
    var picture: [UInt8] = []
  }

  /// - Parameters:
  ///   - part: an output of a part of the image.
  ///   - region: where the part lies in this one.
  ///   - isClasses: whether channels are classes, of which the first of the largest wins.
  func difference(from part: ScoreMap, in region: Region, isClasses: Bool) -> Difference {
    var result = Difference()
    result.picture.reserveCapacity(region.area)
    for y in 0..<region.height {
      for x in 0..<region.width {
        let own = (region.y + y) * size.width + region.x + x, other = y * part.size.width + x
        var (largest, classes) = (Float(0), (own: 0, other: 0))
        for channel in channels.indices {
          let (a, b) = (channels[channel][own], part.channels[channel][other])
          // Two numbers that are none do not differ; one does from any number.
          if a != b, !(a.isNaN && b.isNaN) { largest = max(largest, a.isNaN || b.isNaN ? .infinity : abs(a - b)) }
          if a > channels[classes.own][own] { classes.own = channel }
          if b > part.channels[classes.other][other] { classes.other = channel }
        }
        let isOther = isClasses ? classes.own != classes.other : largest > 0
        result.pixels += 1
        result.differing += isOther ? 1 : 0
        result.largest = max(result.largest, largest)
        result.picture.append(isOther ? 255 : largest > 0 ? UInt8(min(180, 60 + 1000 * largest)) : 0)
      }
    }
    return result
  }
}
