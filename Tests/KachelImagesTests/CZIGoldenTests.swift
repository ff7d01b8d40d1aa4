// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// What the format's reference software reads from CZI files, as SHA-256 of the pixels.
struct CZIGolden: Decodable, Sendable {
  struct SubBlock: Decodable, Sendable {
    var i: Int
    var pixelType: String
    var compression: String
    var sha256: String?
  }

  struct Plane: Decodable, Sendable {
    var plane: [String: Int]
    var scene: Int?
    var roi: [Int]
    var maskAware: Bool?
    var background: [Int]?
    var sha256: String?
    var error: String?
    var region: Region { Region(x: roi[0], y: roi[1], width: roi[2], height: roi[3]) }
  }

  var subblocks: [SubBlock]
  var planes: [Plane]
  var rois: [Plane]
  var scenesNoPyramid: [String: [Int]]?

  enum CodingKeys: String, CodingKey {
    case subblocks, planes, rois
    case scenesNoPyramid = "scenes_no_pyramid"
  }

  init(_ file: String) throws {
    let name = "czi/goldens/" + file.replacing(".czi", with: ".json")
    self = try JSONDecoder().decode(CZIGolden.self, from: SharedData.data(name))
  }
}

/// All files of the manifest.
enum CZIFiles {
  struct Entry: Decodable, Sendable { var file: String }

  static let all: [String] = {
    let entries = try? JSONDecoder().decode([Entry].self, from: SharedData.data("czi/manifest.json"))
    return entries?.map(\.file) ?? []
  }()
  static func path(_ file: String) throws -> String { try SharedData.path("czi/" + file) }
}

/// Counts of goldens that were compared, so that a golden that is silently passed over fails a test.
struct Tally: Equatable, CustomStringConvertible {
  var matched = 0
  /// Of these, read with the masks of valid pixels.
  var maskAware = 0
  /// The reference software itself failed.
  var withoutHash = 0
  var description: String {
    "\(matched) matched, \(maskAware) mask-aware, \(withoutHash) without hash"
  }
}

@Suite struct CZIGoldenTests {
  func subBlocks(_ file: String, _ golden: CZIGolden) throws -> Tally {
    let compositor = try CZICompositor(at: CZIFiles.path(file))
    #expect(compositor.directory.subBlocks.count == golden.subblocks.count)
    var tally = Tally()
    for expected in golden.subblocks {
      let block = compositor.directory.subBlocks[expected.i]
      #expect(CZIPixelType.name(of: block.pixelType) == expected.pixelType)
      #expect(sha256Hex(try compositor.decoder.decode(block)) == expected.sha256, "\(file) sub-block \(expected.i)")
      tally.matched += 1
    }
    return tally
  }

  /// Compares planes and regions in the file's own coordinates, by the low level.
  func planes(_ file: String, _ goldens: [CZIGolden.Plane]) throws -> Tally {
    let compositor = try CZICompositor(at: CZIFiles.path(file), cacheBytes: 1 << 20)
    let directory = compositor.directory
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    var tally = Tally()
    for golden in goldens {
      guard let hash = golden.sha256 else {
        #expect(golden.error != nil)
        tally.withoutHash += 1
        continue
      }
      var positions: [String: Int] = [:]
      for (name, value) in golden.plane {
        guard let dimension = directory.dimensions.first(where: { $0.name == name && $0.exists }) else { continue }
        positions[name] = value - dimension.minimum
      }
      let number = try #require(directory.plane(at: positions))
      let block = try #require(directory.subBlocks.first { $0.isLayer0 && $0.plane == number })
      let type = try #require(CZIPixelType(rawValue: block.pixelType))
      try compositor.compose(
        golden.region, plane: number, scene: golden.scene.map(Int32.init), type: type,
        background: golden.background?.first == 1 ? white(type) : nil, usesMasks: golden.maskAware == true, into: pixels
      )
      #expect(
        sha256Hex(.init(pixels.bytes)) == hash, "\(file) \(golden.plane) scene \(String(describing: golden.scene))")
      tally.matched += 1
      if golden.maskAware == true { tally.maskAware += 1 }
    }
    return tally
  }

  func white(_ type: CZIPixelType) -> [UInt8] {
    type.sample == .float32
      ? (0..<type.layout.samples).flatMap { _ in withUnsafeBytes(of: Float(1)) { Array($0) } }
      : Array(repeating: 255, count: type.bytesPerPixel)
  }

  @Test func everyFileIsThere() {
    #expect(CZIFiles.all.count == 36)
  }

  @Test func everySubBlock() throws {
    var all = Tally()
    for file in CZIFiles.all {
      let tally = try subBlocks(file, CZIGolden(file))
      all.matched += tally.matched
    }
    #expect(all == Tally(matched: 798))
  }

  @Test func everyPlaneAndRegion() throws {
    var all = Tally()
    for file in CZIFiles.all {
      let golden = try CZIGolden(file)
      for tally in [try planes(file, golden.planes), try planes(file, golden.rois)] {
        all.matched += tally.matched
        all.maskAware += tally.maskAware
        all.withoutHash += tally.withoutHash
      }
    }
    #expect(all == Tally(matched: 639, maskAware: 2, withoutHash: 36))
  }
}
