// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// Tiles as the package cztile computes them, and results of programs that cut images so.
@Suite struct ZenTilingTests {
  struct Golden: Decodable {
    struct Axis: Decodable {
      struct Tile: Decodable {
        let center_x, center_w, left, right, roi_x, roi_w: Int
      }
      let image, tile, min_border: Int
      let tiles: [Tile]?
    }
    struct Plane: Decodable {
      struct Tile: Decodable {
        let center, border, roi: [Int]
      }
      let region: [Int]
      let tile_w, tile_h, border_w, border_h: Int
      let tiles: [Tile]
    }
    struct Volume: Decodable {
      struct Tile: Decodable {
        let center, roi: [Int]
      }
      let region, width, height, depth: [Int]
      let tiles: [Tile]
    }
    struct Rounding: Decodable {
      struct Example: Decodable {
        let image, tile, min_border: Int
        /// Start and length of cores, and the borders before and behind them.
        let package_float: [[Int]]
      }
      let mismatch_examples: [Example]
    }
    let one_d: [Axis]
    let two_d: [Plane]
    let three_d: [Volume]
    let float_rounding: Rounding
  }

  static let golden = Result { try JSONDecoder().decode(Golden.self, from: SharedData.data("cztile_golden.json")) }

  @Test func axes() throws {
    var refused = 0
    for golden in try Self.golden.get().one_d {
      let axis = ZenAxis(length: golden.image, tile: golden.tile, border: golden.min_border)
      guard let tiles = golden.tiles else {
        refused += 1
        #expect(axis == nil)
        continue
      }
      let cut = try #require(axis)
      #expect(cut.count == tiles.count)
      for (index, tile) in tiles.enumerated() {
        let core = cut.core(index), origin = cut.origin(index)
        #expect(core == tile.center_x..<tile.center_x + tile.center_w)
        #expect(origin == tile.roi_x && core.lowerBound - origin == tile.left && tile.roi_w == cut.tile)
        #expect(origin + cut.tile - core.upperBound == tile.right)
      }
    }
    #expect(refused == 2)
  }

  @Test func planesAndVolumes() throws {
    let golden = try Self.golden.get()
    for plane in golden.two_d {
      let x = try #require(ZenAxis(length: plane.region[2], tile: plane.tile_w, border: plane.border_w))
      let y = try #require(ZenAxis(length: plane.region[3], tile: plane.tile_h, border: plane.border_h))
      #expect(x.count * y.count == plane.tiles.count)
      for (index, tile) in plane.tiles.enumerated() {
        let (column, row) = (index / y.count, index % y.count), start = plane.region
        let (across, down) = (x.core(column), y.core(row))
        #expect(tile.center == [start[0] + across.lowerBound, start[1] + down.lowerBound, across.count, down.count])
        #expect(tile.roi == [start[0] + x.origin(column), start[1] + y.origin(row), x.tile, y.tile])
      }
    }
    for volume in golden.three_d {
      let axes = try zip(volume.region[3...], [volume.width, volume.height, volume.depth]).map {
        try #require(ZenAxis(length: $0, tile: $1[0], border: $1[1]))
      }
      for (index, tile) in volume.tiles.enumerated() {
        let (y, z) = (axes[1].count, axes[2].count)
        let place = [index / (y * z), index / z % y, index % z]
        let cores = zip(axes, place).map { $0.core($1) }
        #expect(tile.center == zip(volume.region, cores).map { $0 + $1.lowerBound } + cores.map(\.count))
        #expect(tile.roi == zip(volume.region, zip(axes, place)).map { $0 + $1.0.origin($1.1) } + axes.map(\.tile))
      }
    }
  }

  /// Exact arithmetic gives other cores here.
  @Test func roundingIsThePackages() throws {
    let examples = try Self.golden.get().float_rounding.mismatch_examples
    #expect(!examples.isEmpty)
    for example in examples {
      let axis = try #require(ZenAxis(length: example.image, tile: example.tile, border: example.min_border))
      let tiles = (0..<axis.count).map { index in
        let core = axis.core(index)
        return [
          core.lowerBound, core.count, core.lowerBound - axis.origin(index),
          axis.origin(index) + axis.tile - core.upperBound,
        ]
      }
      #expect(tiles == example.package_float)
    }
  }

  @Test(arguments: [1, 7, 8, 9, 100, 257, 5000]) func everyPixelIsDecidedOnce(_ length: Int) throws {
    let grid = AxisGrid(zen: try #require(ZenAxis(length: length, tile: 64, border: 5)))
    var next = 0
    for index in 0..<grid.count {
      let core = grid.core(index)
      #expect(core.lowerBound == next && grid.origin(index) >= 0 && grid.origin(index) + 64 <= max(length, 64))
      for pixel in core { #expect(grid.indices(deciding: pixel..<pixel + 1) == index..<index + 1) }
      next = core.upperBound
    }
    #expect(next == length)
  }

  /// Labels that napari-czann-segment and TensorFlow with cztile gave; the second network standardises each tile.
  @Test(arguments: [
    ("torch/torch_unet_nuclei.czann", "seg_auto_out", nil), ("torch/torch_unet_nuclei.czann", "seg_border8_out", 8),
    ("tf/seed_nuclei/simple_nuclei_segmodel.czmodel", "seed_tiled_labels", nil as Int?),
  ])
  func matches(model: String, labels: String, border: Int?) async throws {
    let input = try NumPyArray(shared: "models/tiled/img_300x420_u8.npy")
    let image = ArrayImage(input.bytes, size: Size(width: 420, height: 300), type: .uint8)
    let package = try ModelPackage(at: SharedData.path("models/" + model))
    let stored = try await segment(image, package) {
      ($0.tiling, $0.halo) = (.zen, border.map { .pixels($0) } ?? .automatic)
    }
    let expected = try NumPyArray(shared: "models/tiled/\(labels).npy").bytes.map(Float.init)
    #expect(stored.values.count == expected.count)
    #expect(zip(stored.values, expected).count { $0 != $1 } * 10_000 <= expected.count)
  }

  @Test func tilesOfUnknownSizeMustBeNamed() async throws {
    let image = try Example.image()
    let package = try ModelPackage(at: SharedData.path("models/tf/v120/seed_onnx12_dynamic.czmodel"))
    await #expect(throws: SegmentationError.self) {
      _ = try await segment(image, package) { $0.tiling = .zen }.values.count
    }
    let stored = try await segment(image, package) {
      $0.tiling = .zen
      $0.tileSide = 512
      $0.planes.region = Region(x: 100, y: 100, width: 300, height: 300)
    }
    #expect(stored.values.count == 90_000 && stored.values.allSatisfy { $0 == 1 || $0 == 2 })
  }
}
