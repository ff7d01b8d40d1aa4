// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// What users ask for, and what they are told when there is no such thing.
@Suite struct SelectionTests {
  @Test func listsAreRead() {
    #expect(Selection("3")?.positions(below: 5) == [3])
    #expect(Selection("0-2,7,1")?.positions(below: 8) == [0, 1, 2, 7])
    #expect(Selection("0-2")?.positions(below: 2) == nil)
    #expect(Selection("0-9223372036854775807")?.positions(below: 2) == nil)
    for text in ["", "-1", "1-", "a", "2-1", "1,,2", "1-2-3", "0x1", "99999999999999999999"] {
      #expect(Selection(text) == nil)
    }
  }

  @Test func amountsOfMemoryAreRead() {
    #expect(MemoryLimit("2G") == .gigabytes(2))
    #expect(MemoryLimit("1.5g")?.bytes == 3 << 29)
    #expect(MemoryLimit("800M") == .megabytes(800) && MemoryLimit("800 MiB") == .megabytes(800))
    for text in ["", "2", "G", "-1G", "2X", "1e9G", "999999999999T"] { #expect(MemoryLimit(text) == nil) }
    #expect(MemoryLimit.gigabytes(2).description == "2.0 GB")
  }

  private static func image(
    _ layouts: [SampleLayout], type: PixelType = .uint8, further: [ImageDescription.FurtherDimension] = []
  ) -> ImageDescription {
    ImageDescription(
      format: "test", scenes: [.init(index: 4, box: Region(x: 0, y: 0, width: 10, height: 10))],
      channels: layouts.enumerated().map { .init(name: "c\($0)", pixelType: type, layout: $1) }, depth: 3, times: 2,
      furtherDimensions: further)
  }

  private static func map(
    _ image: ImageDescription, _ names: [String]? = nil, package: String, wanted: Int
  ) throws -> InputMapping {
    try InputMapping(
      of: image, at: "image", names: names, for: ModelPackage(at: SharedData.path(package)).metadata, wanted: wanted)
  }

  private static let gray = "example/nuclei.czann", raw = "example/nuclei.czmodel"

  @Test func channelsAreTakenInOrderOrAsNamed() throws {
    let image = Self.image([.gray, .gray, .gray])
    #expect(try Self.map(image, package: Self.gray, wanted: 3).sources.map(\.channel) == [0, 1, 2])
    #expect(try Self.map(image, ["c2", "0"], package: Self.gray, wanted: 2).sources.map(\.channel) == [2, 0])
    #expect(try Self.map(image, ["c1"], package: Self.gray, wanted: 1).sources.map(\.divisor) == [255])
    #expect(try Self.map(image, ["c1"], package: Self.raw, wanted: 1).sources.map(\.divisor) == [1])
    #expect(try Self.map(Self.image([.gray], type: .uint16), package: Self.gray, wanted: 1).sources[0].divisor == 65535)
  }

  @Test func aCountThatDoesNotFitListsBothSides() {
    #expect {
      _ = try Self.map(Self.image([.gray, .bgr]), package: Self.gray, wanted: 1)
    } throws: {
      let text = "\($0)"
      return ($0 as? SegmentationError)?.kind == .mismatch && text.contains("takes 1 channel")
        && text.contains("0 \"c0\"")
        && text.contains("1 \"c1\"") && text.contains("--channel")
    }
    #expect {
      _ = try Self.map(Self.image([.gray]), ["DAPI"], package: Self.gray, wanted: 1)
    } throws: {
      ($0 as? SegmentationError)?.kind == .option && "\($0)".contains("0 \"c0\"")
    }
  }

  @Test func coloursComeAsBlueGreenRed() throws {
    func mixes(_ layout: SampleLayout, _ wanted: Int, _ package: String = SelectionTests.gray) throws -> [SampleMix] {
      try Self.map(Self.image([layout]), package: package, wanted: wanted).sources.flatMap(\.mixes)
    }
    #expect(try mixes(.bgr, 3) == [.sample(0), .sample(1), .sample(2)])
    #expect(try mixes(.rgb, 3) == [.sample(2), .sample(1), .sample(0)])
    #expect(try mixes(.rgba, 3) == [.sample(2), .sample(1), .sample(0)])
    #expect(try mixes(.rgba, 4) == [.sample(2), .sample(1), .sample(0), .sample(3)])
    #expect(try mixes(.grayAlpha, 1) == [.sample(0)])
    // This package converts colours to gray.
    #expect(try mixes(.bgr, 1, Self.raw) == [.luminance(red: 2, green: 1, blue: 0)])
    #expect(try mixes(.rgb, 1, Self.raw) == [.luminance(red: 0, green: 1, blue: 2)])
  }

  @Test func anotherPixelTypeThanTheModelsIsSaid() throws {
    #expect(try Self.map(Self.image([.gray]), package: Self.raw, wanted: 1).warnings.isEmpty)
    let warnings = try Self.map(Self.image([.gray], type: .uint16), package: Self.raw, wanted: 1).warnings
    #expect(warnings.count == 1 && warnings[0].contains("Gray8"))
    #expect(try Self.map(Self.image([.gray], type: .float32), package: Self.gray, wanted: 1).warnings.count == 1)
  }

  @Test func planesAreChosenOrRefused() throws {
    func select(
      _ image: ImageDescription = Self.image([.gray]), _ change: (inout PlaneChoice) -> Void
    ) throws(SegmentationError) -> PlaneSelection {
      var choice = PlaneChoice()
      change(&choice)
      return try PlaneSelection(of: image, at: "image", choice)
    }
    let all = try select { _ in }
    #expect(all.scenes == [0] && all.times == [0, 1] && all.depths == [0, 1, 2])
    #expect(all.planes(scene: 0).map(\.z) == [0, 1, 2, 0, 1, 2])
    #expect(try select { $0.scenes = Selection("4") }.scenes == [0])
    #expect(
      try select { $0.region = Region(x: 1, y: 2, width: 9, height: 8) }.regions == [
        Region(x: 1, y: 2, width: 9, height: 8)
      ])
    let wrong: [@Sendable (inout PlaneChoice) -> Void] = [
      { $0.scenes = Selection("0") }, { $0.scenes = Selection("0-9999999999") }, { $0.times = Selection("2") },
      { $0.depths = Selection("3-4") }, { $0.region = Region(x: 0, y: 0, width: 11, height: 1) },
      { $0.region = Region(x: 0, y: 0, width: 0, height: 1) }, { $0.further = ["H": 0] },
    ]
    for change in wrong {
      #expect { _ = try select(Self.image([.gray]), change) } throws: { ($0 as? SegmentationError)?.kind == .option }
    }
    let phases = Self.image([.gray], further: [.init(name: "H", count: 5)])
    #expect(throws: SegmentationError.self) { _ = try select(phases) { _ in } }
    #expect(throws: SegmentationError.self) { _ = try select(phases) { $0.further = ["H": 5] } }
    #expect(try select(phases) { $0.further = ["H": 4] }.planes(scene: 0)[0].further == ["H": 4])
  }
}
