// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

@Suite struct BackgroundTests {
  @Test(arguments: [("auto", BackgroundChoice.automatic), ("120", .upTo(120)), ("230.5+", .from(230.5))])
  func choicesAreRead(_ text: String, _ choice: BackgroundChoice) { #expect(BackgroundChoice(text) == choice) }

  @Test(arguments: ["", "+", "nan", "inf", "dark", "12-"]) func otherTextsAreNot(_ text: String) {
    #expect(BackgroundChoice(text) == nil)
  }

  /// A plane of noise around a level, and around another one where objects are.
  private func plane(
    _ size: Size, level: Float, value: Float, samples: Int,
    isObject: (Int, Int) -> Bool
  ) -> PixelBuffer {
    var random = SeededRandom(seed: 7)
    let pixels = PixelBuffer(width: size.width, height: size.height, samples: samples, type: .uint8)
    let values = pixels.values(as: UInt8.self)
    for y in 0..<size.height {
      for x in 0..<size.width {
        let center = isObject(x, y) ? value : level
        for sample in 0..<samples {
          values[(y * size.width + x) * samples + sample] = UInt8(
            center + Float.random(in: -4...4, using: &random))
        }
      }
    }
    return pixels
  }

  private func map(_ pixels: PixelBuffer, _ choice: BackgroundChoice) -> SignalMap {
    var extremes = BlockExtremes(of: pixels.size)
    let samples = pixels.samples
    // In pieces, as a run reads them.
    for y in stride(from: 0, to: pixels.height, by: 128) {
      let part = Region(x: 0, y: y, width: pixels.width, height: 128).intersection(Region(pixels.size))
      extremes.add(pixels, region: part, samples: 0..<samples, toX: 0, y: y)
    }
    return SignalMap([(extremes, samples == 3)], choice, region: Region(pixels.size))
  }

  /// Dark background under light objects, and bright glass around dark ones.
  @Test(arguments: [(Float(20), Float(120), 1), (20, 32, 1), (230, 150, 3), (20, 200, 3)])
  func objectsAreFound(_ level: Float, _ value: Float, _ samples: Int) {
    let size = Size(width: 1000, height: 900), disc = (x: 430, y: 310)
    let pixels = plane(size, level: level, value: value, samples: samples) { x, y in
      (x - disc.x) * (x - disc.x) + (y - disc.y) * (y - disc.y) < 400
    }
    let found = map(pixels, .automatic)
    #expect(found.hasSignal(in: Region(x: 429, y: 309, width: 1, height: 1)))
    // Everything within 64 pixels of the object, nothing two blocks away.
    #expect(
      found.regions(in: Region(size)).reduce(Region(x: 0, y: 0, width: 0, height: 0)) { $0.union($1) }.contains(
        Region(x: disc.x - 84, y: disc.y - 84, width: 168, height: 168)))
    #expect(!found.hasSignal(in: Region(x: 0, y: 0, width: 192, height: 900)))
    #expect(!found.hasSignal(in: Region(x: 640, y: 0, width: 360, height: 900)))
    #expect(found.blocks.all == 16 * 15)
    #expect(found.blocks.background > 200)
  }

  /// The darkest cells of an image that is full of them are not taken for background as a whole.
  @Test func fullImageStays() {
    let size = Size(width: 512, height: 512)
    let found = map(plane(size, level: 20, value: 120, samples: 1) { x, y in x % 32 < 24 && y % 32 < 24 }, .automatic)
    #expect(found.blocks.background == 0)
  }

  @Test func valuesCount() {
    let size = Size(width: 640, height: 640)
    let pixels = plane(size, level: 20, value: 60, samples: 1) { x, y in abs(x - 320) < 20 && abs(y - 320) < 20 }
    #expect(map(pixels, .upTo(100)).blocks.background == 100)
    #expect(map(pixels, .upTo(40)).blocks.background < 100)
    #expect(map(pixels, .upTo(10)).blocks.background == 0)
    #expect(map(pixels, .from(70)).blocks.background == 0)
    #expect(map(pixels, .from(5)).blocks.background == 100)
  }

  @Test func extremesAreThoseOfSpots() {
    let pixels = PixelBuffer(width: 130, height: 70, type: .uint16)
    let values = pixels.values(as: UInt16.self)
    for index in values.indices { values[index] = 100 }
    values[5 * 130 + 129] = 1700
    values[66 * 130 + 66] = 20
    var extremes = BlockExtremes(of: pixels.size)
    extremes.add(pixels, region: Region(pixels.size), samples: 0..<1, toX: 0, y: 0)
    #expect(extremes.columns == 3 && extremes.rows == 2)
    // The last column is a cell of 2 x 4 pixels.
    #expect(extremes.highest == [100, 100, 300, 100, 100, 100])
    #expect(extremes.lowest == [100, 100, 100, 100, 95, 100].map { Float($0) })
  }

  /// Labels where something is are those of a run over everything, and 0 elsewhere, however the image is cut.
  @Test func resultsDoNotDependOnTheCut() async throws {
    let image = try Example.image(), package = try Example.package("nuclei.czann")
    let whole = try await segment(image, package)
    var first: StoredPlanes?
    for side in [384, 512, 1024] {
      let part = try await segment(image, package) {
        $0.background = .upTo(60)
        $0.tileSide = side
      }
      var (kept, lost) = (0, 0)
      for (a, b) in zip(part.values, whole.values) {
        if a == b { kept += 1 } else if a == 0 { lost += 1 } else { Issue.record("\(a) in place of \(b)") }
      }
      #expect(kept > 0 && lost > 0)
      if let first { #expect(first.values == part.values) }
      first = first ?? part
    }
  }
}
