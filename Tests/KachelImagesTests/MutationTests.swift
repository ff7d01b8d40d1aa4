// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// Files of every format that are damaged at random, a few thousand in all: what comes of each is pixels or an error that
/// says why. `Fuzz/run` does the same for as long as one likes.
@Suite struct MutationTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  /// How many regions could be read of the mutations, and how many errors there were.
  struct Outcome {
    var read = 0
    var refused = 0
    var isBoth: Bool { read > 0 && refused > 0 }
  }

  /// Opens what `write` makes of every mutation.
  func probe(_ mutations: Mutations, _ write: ([UInt8]) throws -> String) throws -> Outcome {
    var outcome = Outcome()
    for bytes in mutations {
      let probe = try DamageProbe.open(write(bytes), cacheBytes: 1 << 16)
      outcome.read += probe.read
      outcome.refused += probe.refusals.count
    }
    return outcome
  }

  static let fixtures: [CZIFixture] = {
    var fixture = CZIDamageTests.small
    fixture.attachments = [
      .init("JPG", "Thumbnail", [1, 2, 3]), .init("CZTIMS", "TimeStamps", [24, 0, 0, 0, 1, 0, 0, 0] + Array(0..<8)),
    ]
    return [fixture, CZILevelTests.masked]
  }()

  @Test(arguments: fixtures.indices, 0..<3) func czi(index: Int, seed: UInt64) throws {
    let mutations = Mutations(of: Self.fixtures[index].bytes, count: 400, seed: seed)
    #expect(try probe(mutations) { try folder.write($0, to: "a.czi") }.isBoth)
  }

  @Test(arguments: ["raw_jpeg_gray8_bgr24", "raw_lzw_gray8_gray16", "raw_entry_mismatch", "raw_gray64float"])
  func cziOfOthers(name: String) throws {
    let bytes = try Array(SharedData.data("czi/synthetic/\(name).czi"))
    let mutations = Mutations(of: bytes, count: 150, seed: 1)
    #expect(try probe(mutations) { try folder.write($0, to: "a.czi") }.isBoth)
  }

  @Test(arguments: TIFFDamageTests.files) func tiff(name: String) throws {
    let bytes = try Array(SharedData.data("ometiff/\(name)"))
    let mutations = Mutations(of: bytes, count: 120, seed: 3)
    #expect(try probe(mutations) { try folder.write($0, to: "a.tif") }.isBoth)
  }

  @Test(arguments: [
    "<?xml version=\"1.0\"?><OME UUID=\"urn:uuid:1\"><Image Name=\"a\"><Pixels SizeX=\"5\" SizeY=\"4\" SizeC=\"2\" SizeZ=\"3\" "
      + "SizeT=\"1\" DimensionOrder=\"XYCZT\" PhysicalSizeX=\"0.5\"><Channel Name=\"x\" Color=\"-16776961\"/>"
      + "<TiffData IFD=\"0\" FirstZ=\"1\" PlaneCount=\"4\"><UUID FileName=\"a.tif\">urn:uuid:1</UUID></TiffData>"
      + "</Pixels></Image></OME>",
    "ImageJ=1.53\nimages=6\nchannels=2\nslices=3\nunit=micron\nspacing=0.3\n",
  ]) func descriptionsOfTIFF(text: String) throws {
    var fixture = TIFFFixture((0..<6).map { .init(Size(width: 5, height: 4), filledWith: $0) })
    let outcome = try probe(Mutations(of: Array(text.utf8), count: 400, seed: 2)) { bytes in
      fixture.pages[0].description = String(decoding: bytes, as: UTF8.self)
      return try folder.write(fixture.bytes, to: "a.tif")
    }
    // What ImageJ writes is a hint and never refused.
    #expect(outcome.read > 0 && (outcome.refused > 0) == text.hasPrefix("<"))
  }

  @Test(arguments: ["gray1.png", "palette.png", "rgb16.png", "gray.jpg", "rgb420.jpg", "rgb_prog.jpg"])
  func rasters(name: String) throws {
    let bytes = try Array(SharedData.data("ometiff/png_jpeg/\(name)"))
    let mutations = Mutations(of: bytes, count: 150, seed: 5)
    #expect(try probe(mutations) { try folder.write($0, to: name) }.isBoth)
  }

  static let arrays = [
    "shard_v3.zarr", "v2_codecs/blosc_lz4_sh1.zarr", "v2_codecs/blosc_lz4_bit.zarr", "v2_codecs/blosc_zstd_sh1.zarr",
    "v2_codecs/blosc_zlib_sh0.zarr", "v2_codecs/blosc_lz4hc_sh1.zarr", "v2_codecs/blosc_blosclz_sh1.zarr",
    "v2_codecs/zlib.zarr", "v2_codecs/gzip.zarr", "v2_codecs/lz4.zarr", "v2_codecs/zstd.zarr", "v3_codecs/blosc.zarr",
    "v3_codecs/gzip.zarr", "v3_codecs/transpose.zarr",
  ]

  /// The metadata and two chunks of arrays, one after the other.
  @Test(arguments: arrays) func zarr(name: String) throws {
    let path = folder.file("a.zarr")
    try FileManager.default.copyItem(atPath: SharedData.path("omezarr/ref/" + name), toPath: path)
    let files = try FileManager.default.subpathsOfDirectory(atPath: path).sorted().map { path + "/" + $0 }
      .filter { FileManager.default.contents(atPath: $0) != nil }
    let isMetadata = { (file: String) in file.hasSuffix("zarray") || file.hasSuffix("json") }
    var all = Outcome()
    for file in files.filter(isMetadata) + files.filter({ !isMetadata($0) && !$0.hasSuffix(".zattrs") }).prefix(2) {
      let original = try Data(contentsOf: URL(filePath: file))
      let outcome = try probe(Mutations(of: Array(original), count: 60, seed: 7)) { bytes in
        try Data(bytes).write(to: URL(filePath: file))
        return path
      }
      all.read += outcome.read
      all.refused += outcome.refused
      try original.write(to: URL(filePath: file))
    }
    #expect(all.isBoth)
  }

  @Test(arguments: ["v05.ome.zarr/zarr.json", "v04.ome.zarr/.zattrs"]) func attributesOfOMEZarr(name: String) throws {
    let path = folder.file("a.zarr"), parts = name.split(separator: "/")
    try FileManager.default.copyItem(atPath: SharedData.path("omezarr/ref/\(parts[0])"), toPath: path)
    let original = try Array(SharedData.data("omezarr/ref/" + name))
    let mutations = Mutations(of: original, count: 200, seed: 3)
    let outcome = try probe(mutations) { bytes in
      _ = try folder.write(bytes, to: "a.zarr/\(parts[1])")
      return path
    }
    #expect(outcome.isBoth)
  }
}
