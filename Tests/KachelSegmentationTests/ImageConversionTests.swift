// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelImages
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// Every golden image, copied into every format, reads back bit for bit or is refused for what the format cannot hold.
@Suite struct ImageConversionTests {
  /// Images of every kind that is read.
  private static func sources() throws -> [String] {
    var names: [String] = []
    for folder in ["czi/real", "czi/synthetic", "ometiff/syn", "ometiff/qupath", "ometiff/png_jpeg"] {
      names += try FileManager.default.contentsOfDirectory(atPath: SharedData.path(folder)).sorted()
        .filter { !$0.hasSuffix(".json") }.map { folder + "/" + $0 }
    }
    return names + ["omezarr/ref/v04.ome.zarr", "omezarr/ref/v05.ome.zarr", "ometiff/multifile.companion.ome"]
  }

  /// What a format says it cannot hold.
  private static let refusals = [
    "PNG holds one plane", "PNG holds uint8 and uint16", "cannot be written into one image; choose channels", "CZI",
  ]

  @Test(arguments: ["ome.zarr", "ome.tiff", "czi", "png"])
  func everyGoldenReadsBack(format: String) async throws {
    let folder = try ScratchFolder()
    var converted = 0, refused = 0
    for name in try Self.sources() {
      let image = try Image(at: SharedData.path(name))
      var options = ImageConversionOptions()
      for dimension in image.description.furtherDimensions {
        options.planes.further[dimension.name] = dimension.count - 1
      }
      let conversion = try ImageConversion(of: image, options: options)
      let path = folder.file("\(converted + refused).\(format)")
      do {
        try await conversion.write(to: path)
      } catch let error as ImageError {
        #expect(Self.refusals.contains { error.reason.contains($0) }, "\(name): \(error)")
        #expect(!FileManager.default.fileExists(atPath: path))
        refused += 1
        continue
      }
      converted += 1
      let copy = try Image(at: path)
      try Self.expectEqual(copy, image, conversion, name)
      try FileManager.default.removeItem(atPath: path)
    }
    print("\(format): \(converted) converted, \(refused) refused")
    #expect(converted > (format == "png" ? 30 : 50))
  }

  private static func expectEqual(
    _ copy: Image, _ image: Image, _ conversion: ImageConversion, _ name: String
  ) throws {
    let (new, old) = (copy.description, image.description)
    #expect(new.scenes.map(\.size) == old.scenes.map(\.size), "\(name)")
    #expect(new.times == old.times && new.depth == old.depth, "\(name)")
    if new.format != "PNG" {
      #expect(new.physicalSize.x == old.physicalSize.x && new.physicalSize.y == old.physicalSize.y, "\(name)")
      #expect(new.physicalSize.z == old.physicalSize.z || old.depth == 1, "\(name)")
    }
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8), copied = PixelBuffer(width: 0, height: 0, type: .uint8)
    let one = PixelBuffer(width: 0, height: 0, type: .uint8), other = PixelBuffer(width: 0, height: 0, type: .uint8)
    for (scene, size) in old.scenes.map(\.size).enumerated() {
      for (channel, layout) in old.channels.map(\.layout).enumerated() {
        for (z, time) in [(0, 0), (old.depth - 1, old.times - 1)] {
          for y in stride(from: 0, to: size.height, by: 2048) {
            for x in stride(from: 0, to: size.width, by: 2048) {
              let region = Region(x: x, y: y, width: 2048, height: 2048).intersection(Region(size))
              var plane = PlaneIndex(
                scene: scene, channel: channel, z: z, time: time, further: conversion.selection.further)
              guard image.hasPixels(in: region, of: plane) else { continue }
              try image.read(region, of: plane, into: pixels)
              plane.further = [:]
              for color in 0..<layout.samples {
                one.fill(fromSample: layout.colorOrder[color], of: pixels)
                // As channels of their own, or as samples.
                let isSplit = new.channels.count > old.channels.count
                if isSplit { plane.channel = channel * layout.samples + color }
                try copy.read(region, of: plane, into: copied)
                let order = new.channels[plane.channel].layout.colorOrder
                other.fill(fromSample: isSplit ? 0 : order[color], of: copied)
                #expect(one.isSame(as: other), "\(name) \(plane) \(region)")
              }
            }
          }
        }
      }
    }
  }

  @Test func choicesAreCopied() async throws {
    let folder = try ScratchFolder()
    let image = try Image(at: SharedData.path("czi/real/S3_1Pos_2Mosaic_T2Z3_CH2_sm.czi"))
    var options = ImageConversionOptions()
    (options.planes.scenes, options.planes.times, options.planes.depths) = (
      Selection("2"), Selection("1"), Selection("2")
    )
    (options.channels, options.planes.region) = (["EGFP"], Region(x: 30, y: 20, width: 100, height: 80))
    try await ImageConversion(of: image, options: options).write(to: folder.file("a.png"))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8), copied = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(
      Region(x: 30, y: 20, width: 100, height: 80), of: PlaneIndex(scene: 2, channel: 1, z: 2, time: 1), into: pixels)
    try Image(at: folder.file("a.png")).read(Region(x: 0, y: 0, width: 100, height: 80), of: PlaneIndex(), into: copied)
    #expect(copied.type == .uint16 && copied.isSame(as: pixels) && !pixels.isZero)
  }

  /// Labels that are averaged would be other labels.
  @Test func labelsAreNotAveraged() async throws {
    let folder = try ScratchFolder()
    let image = try Image(at: SharedData.path("example/nuclei-mosaic-truth.png"))
    var options = ImageConversionOptions()
    options.isLabels = true
    try await ImageConversion(of: image, options: options).write(to: folder.file("a.ome.zarr"))
    let copy = try Image(at: folder.file("a.ome.zarr"))
    #expect(copy.description.scenes[0].levels.count == 4)
    let above = PixelBuffer(width: 0, height: 0, type: .uint8), below = PixelBuffer(width: 0, height: 0, type: .uint8)
    let expected = PixelBuffer(width: 0, height: 0, type: .uint8)
    for level in 1..<4 {
      let sizes = copy.description.scenes[0].levels.map(\.size)
      try copy.read(Region(sizes[level - 1]), of: PlaneIndex(level: level - 1), into: above)
      Downsample.mode(above, into: expected)
      try copy.read(Region(sizes[level]), of: PlaneIndex(level: level), into: below)
      #expect(below.isSame(as: expected))
    }
  }

  /// Images that say that they are labels need not be told so, and keep the names.
  @Test func labelImagesStayLabelImages() async throws {
    let folder = try ScratchFolder()
    let size = Size(width: 700, height: 60)
    let labels = [3, 70_000].map { LabelDescription(value: $0, name: "n\($0)", color: RGB(red: 9, green: 8, blue: 7)) }
    let image = OutputImage(
      name: "a", content: .labels(labels), scenes: [.init(size: size)],
      channels: [.init(name: "a", pixelType: .uint32)])
    let pixels = PixelBuffer(width: size.width, height: size.height, type: .uint32)
    for index in 0..<size.area { pixels.values(as: UInt32.self)[index] = [0, 3, 70_000, 70_000][index * 7 / 5 % 4] }
    let output = try PendingOutput(path: folder.file("0.ome.tiff"), overwrite: false)
    let writer = try ImageWriter(image, to: output, as: .omeTIFF)
    try writer.write(pixels, at: Region(size), of: PlaneIndex())
    try writer.finish(scene: 0)
    try writer.finish()
    try output.commit()
    let read = PixelBuffer(width: 0, height: 0, type: .uint8), half = PixelBuffer(width: 0, height: 0, type: .uint8)
    Downsample.mode(pixels, into: half)
    for (from, to) in [("0.ome.tiff", "1.ome.zarr"), ("1.ome.zarr", "2.ome.tiff")] {
      try await ImageConversion(of: Image(at: folder.file(from))).write(to: folder.file(to))
      let copy = try Image(at: folder.file(to))
      #expect(copy.description.labels == labels)
      try copy.read(Region(half.size), of: PlaneIndex(level: 1), into: read)
      #expect(read.isSame(as: half))
    }
  }

  @Test func shards() async throws {
    let folder = try ScratchFolder()
    let image = try Image(at: SharedData.path("example/nuclei-mosaic.czi"))
    var options = ImageConversionOptions()
    options.omeZarr = OMEZarrOptions(version: .v05, chunkSide: 256, shardSide: 1024)
    let conversion = try ImageConversion(of: image, options: options)
    try await conversion.write(to: folder.file("a.ome.zarr"))
    let copy = try Image(at: folder.file("a.ome.zarr"))
    try Self.expectEqual(copy, image, conversion, "shards")
    // 3480 x 1040 pixels are 4 x 2 shards.
    let files = try FileManager.default.subpathsOfDirectory(atPath: folder.file("a.ome.zarr/0/c"))
    #expect(
      files.filter { $0.split(separator: "/").count == files.map { $0.split(separator: "/").count }.max() }.count == 8)
    await #expect(throws: SegmentationError.self) { try await conversion.write(to: folder.file("a.png")) }
    options.omeZarr.version = .v04
    await #expect(throws: SegmentationError.self) {
      try await ImageConversion(of: image, options: options).write(to: folder.file("b.ome.zarr"))
    }
  }

  @Test func refused() async throws {
    let folder = try ScratchFolder()
    let path = try SharedData.path("czi/synthetic/pixeltypes_x_compression.czi")
    let conversion = try ImageConversion(of: Image(at: path))
    await #expect(throws: SegmentationError.self) { try await conversion.write(to: folder.file("a.bmp")) }
    await #expect(throws: SegmentationError.self) { try await conversion.write(to: path, overwrite: true) }
    await #expect(throws: ImageError.self) { try await conversion.write(to: folder.file("a.png")) }
    let existing = try folder.write([1], to: "there.zarr")
    await #expect(throws: BytesError.self) { try await conversion.write(to: existing) }
    var options = ImageConversionOptions()
    options.channels = ["none"]
    #expect(throws: SegmentationError.self) { try ImageConversion(of: Image(at: path), options: options) }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["there.zarr"])
  }
}
