// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// What is promised of a network that sees its whole tile: regions, threads and memory change no pixel.
@Suite struct CanonicalTests {
  /// A real network with global pooling, on the image that it was made for.
  @Test func regionsThreadsAndMemoryChangeNothing() async throws {
    let package = try ModelPackage(at: SharedData.path("models_large/PGC_20X_nucleus_detector.czseg"))
    let image = try Image(at: SharedData.path("napari_czann_segment/PGC_20X.czi"))
    // Tiles are 1024 x 1024, with borders of 64: four of them.
    let whole = Region(x: 700, y: 500, width: 600, height: 900)
    let part = Region(x: 903, y: 871, width: 301, height: 211)
    let reference = try await segment(image, package) { $0.planes.region = whole }
    #expect(Set(reference.values) == [1, 2])
    let ways: [(SegmentationOptions) -> SegmentationOptions] = [
      { options in
        var options = options
        (options.threads, options.memory) = (1, .gigabytes(2))
        return options
      },
      { options in
        var options = options
        options.planes.region = part
        return options
      },
    ]
    for way in ways {
      var region = whole
      let result = try await segment(image, package) { options in
        options.planes.region = whole
        options = way(options)
        region = options.planes.region ?? whole
      }
      let inside = region.offsetBy(x: -whole.x, y: -whole.y)
      let expected = (inside.y..<inside.maxY).flatMap { y in
        reference.values[y * whole.width + inside.x..<y * whole.width + inside.maxX]
      }
      #expect(result.values == expected)
    }
  }
}
