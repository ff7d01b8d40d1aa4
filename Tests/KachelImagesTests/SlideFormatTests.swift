// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// Which files are whole slides, what is said of those that cannot be read, and where OpenSlide is looked for.
@Suite struct SlideFormatTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  static func text(_ text: String) -> (type: Int, values: [UInt64]) { (2, (Array(text.utf8) + [0]).map { UInt64($0) }) }

  static func slide(_ tags: [Int: String], isTiled: Bool = true) -> [UInt8] {
    let size = Size(width: 64, height: 64)
    var page = SlideFixture.page(size, pixels: [UInt8](repeating: 1, count: size.area * 3))
    if !isTiled { page.tile = nil }
    for (tag, text) in tags { page.tags[tag] = Self.text(text) }
    return TIFFFixture([page]).bytes
  }

  static let ndpi = slide([65420: "1"])
  /// As in a file of more than 4 GiB, where the first page is found by 64 bits.
  static let largeNDPI =
    Array("II*\0".utf8) + [16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] + [
      3, 0, 0, 1, 4, 0, 1, 0, 0, 0, 8, 0, 0, 0, 1, 1, 4, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0x8C, 0xFF, 4, 0, 1, 0, 0, 0, 1, 0,
      0,
      0, 0, 0, 0, 0,
    ]
  static let leica = #"<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">"#
  static let philips = #"<?xml version="1.0"?><DataObject ObjectType="DPUfsImport">"#

  static let files: [(bytes: [UInt8], name: String, format: SlideFormat?)] = [
    (slide([270: "Aperio Image Library"]), "a", .aperio), (slide([270: "Aperio Image"], isTiled: false), "a", nil),
    (slide([270: "An Aperio Image"]), "a.svs", nil), (ndpi, "a.tif", .hamamatsuNDPI), (largeNDPI, "a", .hamamatsuNDPI),
    (slide([270: leica]), "a", .leica), (slide([270: leica.replacing("2010", with: "2011")]), "a", nil),
    (slide([270: philips, 305: "Philips DP v1.0"]), "a", .philips), (slide([270: philips]), "a", nil),
    (slide([270: "x", 305: "MedScan 1"]), "a", .trestle), (slide([305: "MedScan 1"]), "a", nil),
    (slide([700: "<iScan Magnification='40'>"]), "a.bif", .ventana), (slide([700: "<x>"]), "a", nil),
    (slide([:]), "a.mrxs", nil), (Array("II*\0".utf8), "a", nil),
    ([UInt8](repeating: 0, count: 128) + Array("DICM\0\0\0\0".utf8), "a", .dicom),
    (Array("SQLite format 3\0".utf8), "a", .sakura),
    (Array("\r\n[Virtual Microscope Specimen]".utf8), "a", .hamamatsuVMS),
    (Array("[Uncompressed Virtual Microscope Specimen]".utf8), "a", .hamamatsuVMS), ([1, 2, 3], "a.mrxs", .mirax),
    ([0xFF, 0xD8, 0xFF, 0xE0], "a.mrxs", .mirax), ([0xFF, 0xD8, 0xFF, 0xE0], "a", nil),
    ([0x89] + Array("PNG\r\n\u{1A}\n".utf8), "a.mrxs", nil), ([], "a", nil),
    (Array("PK\u{3}\u{4}[Virtual Microscope Specimen]".utf8), "a", nil),
  ]

  @Test(arguments: files.indices) func contentTells(_ index: Int) throws {
    let file = Self.files[index]
    let source = try ByteSource(path: folder.write(file.bytes, to: file.name))
    let start = try source.read(at: 0, count: min(4096, source.count))
    #expect(SlideFormat(source, start: start) == file.format)
  }

  /// Every format says the same one thing where OpenSlide is missing, whatever else may be wrong with the file.
  @Test(arguments: files.indices) func withoutOpenSlide(_ index: Int) throws {
    let file = Self.files[index]
    guard let format = file.format else { return }
    let source = try ByteSource(path: folder.write(file.bytes, to: file.name))
    let library = Result { () throws(OpenSlideLibrary.Missing) in
      try OpenSlideLibrary(candidates: ["/nowhere/libopenslide.so.0"])
    }
    let error = #expect(throws: ImageError.self) { try WholeSlideImage(source, format, library) }
    #expect(error?.kind == .missingLibrary && error?.file == source.path)
    for part in ["OpenSlide was not found", "/nowhere/", "apt-get install libopenslide0", "KACHEL_OPENSLIDE_PATH"] {
      #expect(error?.reason.contains(part) == true)
    }
  }

  static let refused: [(bytes: [UInt8], name: String, words: String)] = [
    ([UInt8](repeating: 0, count: 128) + Array("DICM\0\0\0\0".utf8), "a.dcm", "OpenSlide 4.0 or later"),
    (Array("SQLite format 3\0".utf8), "a.svslide", "other databases"),
    ([0xFF, 0xD8, 0xFF, 0xE0], "a.mrxs", "in the folder of the same name beside it"),
    (Array("[Virtual Microscope Specimen]\nNoLayers=1\n".utf8), "a.vms", "beside it"),
  ]

  @Test(arguments: refused.indices) func whatOpenSlideDoesNotTake(_ index: Int) throws {
    let file = Self.refused[index]
    let path = try folder.write(file.bytes, to: file.name)
    let error = #expect(throws: ImageError.self) { try Image(at: path) }
    #expect(error?.kind == .unsupported && error?.file == path)
    #expect(error?.reason.contains("does not recognise it") == true && error?.reason.contains(file.words) == true)
  }

  /// What is segmented of a folder.
  @Test func imagesOfAFolder() throws {
    for (bytes, name) in [
      (Self.slide([270: "Aperio"]), "a.svs"), (Array("[Virtual Microscope Specimen]".utf8), "b.vms"), ([1], "c.mrxs"),
      (Array("SQLite format 3\0".utf8), "objects.db"), ([UInt8](repeating: 0, count: 128) + Array("DICM0".utf8), "d"),
    ] { _ = try folder.write(bytes, to: name) }
    #expect(try ImageBatch([folder.path]).images == ["a.svs", "b.vms", "c.mrxs"].map(folder.file))
  }

  /// A list of pages that does no good is refused before OpenSlide sees it.
  @Test func damagedPages() throws {
    let size = Size(width: 64, height: 64)
    var fixture = SlideFixture.aperio([SlideFixture.page(size, pixels: [UInt8](repeating: 1, count: size.area * 3))])
    fixture.lastNext = fixture.firstOffset
    let error = #expect(throws: ImageError.self) { try Image(at: folder.write(fixture.bytes, to: "circle.svs")) }
    #expect(error?.kind == .damaged && error?.reason.contains("circle") == true)
  }

  // MARK: The library

  @Test func placesOfTheLibrary() throws {
    let usual = OpenSlideLibrary.candidates(environment: [:])
    #expect(usual.count >= 2 && usual.allSatisfy { $0.contains("libopenslide.") })
    #expect(OpenSlideLibrary.candidates(environment: ["KACHEL_OPENSLIDE_PATH": ""]) == usual)
    #expect(OpenSlideLibrary.candidates(environment: ["KACHEL_OPENSLIDE_PATH": "/some/file.so"]) == ["/some/file.so"])
    #expect(OpenSlideLibrary.candidates(environment: ["KACHEL_OPENSLIDE_PATH": "file.so"]) == ["./file.so"])
    let inFolder = OpenSlideLibrary.candidates(environment: ["KACHEL_OPENSLIDE_PATH": folder.path])
    #expect(inFolder.allSatisfy { $0.hasPrefix(folder.path + "/libopenslide.") } && !inFolder.isEmpty)
  }

  @Test func librariesThatAreNone() throws {
    let file = try folder.write(Array("not a library".utf8), to: "libopenslide.so.0")
    let unusable = #expect(throws: OpenSlideLibrary.Missing.self) { try OpenSlideLibrary(candidates: [file]) }
    #expect(unusable?.reason.contains(file) == true)
    #if os(Linux)
      let other = #expect(throws: OpenSlideLibrary.Missing.self) { try OpenSlideLibrary(candidates: ["libz.so.1"]) }
      #expect(other?.reason.contains("lacks the function openslide_open") == true)
    #endif
  }

  /// The tests need OpenSlide, which `scripts/bootstrap` installs.
  @Test func isInstalled() throws {
    #expect(try OpenSlideLibrary.ofThisProcess.get().version.contains("."))
  }
}
