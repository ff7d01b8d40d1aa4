// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// What is promised of a network that sees its whole tile: regions and threads change no pixel.
@Suite struct CanonicalTests {
  /// A real network with global pooling, on the image that it was made for.
  @Test func regionsAndThreadsChangeNothing() async throws {
    let package = try ModelPackage(at: SharedData.path("models_large/PGC_20X_nucleus_detector.czseg"))
    let image = try Image(at: SharedData.path("napari_czann_segment/PGC_20X.czi"))
    // Tiles are 1024 x 1024, with borders of 64: four of them.
    let whole = Region(x: 700, y: 500, width: 600, height: 900)
    let reference = try await segment(image, package) { $0.planes.region = whole }
    #expect(Set(reference.values) == [1, 2])
    for (region, threads) in [(whole, 1), (Region(x: 903, y: 871, width: 301, height: 211), nil)] {
      let result = try await segment(image, package) { ($0.planes.region, $0.threads) = (region, threads) }
      let inside = region.offsetBy(x: -whole.x, y: -whole.y)
      let expected = (inside.y..<inside.maxY).flatMap { y in
        reference.values[y * whole.width + inside.x..<y * whole.width + inside.maxX]
      }
      #expect(result.values == expected)
    }
  }
}
