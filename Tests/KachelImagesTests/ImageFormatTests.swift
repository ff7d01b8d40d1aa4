// SPDX-License-Identifier: Apache-2.0
import KachelImages
import KachelTesting
import Testing

@Suite struct ImageFormatTests {
  static let starts: [([UInt8], String)] = [
    ([], "empty"), ([1, 2, 3], "no known image format"), ([0x49, 0x49, 0xBC, 1], "a JPEG-XR"),
    (Array("PK\u{3}\u{4}xx".utf8), "a zip archive"), (Array("<?xml".utf8), "no known image format"),
  ]

  @Test(arguments: starts) func whatIsNoImageIsNamed(_ start: [UInt8], _ words: String) throws {
    let folder = try ScratchFolder()
    // The content decides, not the name.
    let path = try folder.write(start, to: "image.czi")
    let error = #expect(throws: ImageError.self) { try Image(at: path) }
    #expect(error?.kind == .notAnImage && error?.file == path)
    #expect(error?.reason.contains(words) == true)
    if !start.isEmpty { #expect(error?.reason.contains("CZI, TIFF, OME-TIFF, OME-Zarr, PNG and JPEG") == true) }
  }

  @Test func missingFilesAndFolders() throws {
    let folder = try ScratchFolder()
    for (path, words) in [(folder.file("none.czi"), "No such file"), (folder.path, "not a file")] {
      let error = #expect(throws: ImageError.self) { try Image(at: path) }
      #expect(error?.description.hasPrefix(path) == true && error?.reason.contains(words) == true)
    }
  }

  static let damaged: [[UInt8]] = [
    Array("II*\0".utf8), Array("MM\0*".utf8), Array("II+\0".utf8), [0xFF, 0xD8, 0xFF, 0xE0], Array("<OME>".utf8),
    Array("II*\0\0\0\0\0".utf8),
  ]

  @Test(arguments: damaged) func beginningsAreDamaged(_ start: [UInt8]) throws {
    let folder = try ScratchFolder()
    let kept = try folder.write(start, to: "image")
    let error = #expect(throws: ImageError.self) { try Image(at: kept) }
    #expect(error?.kind == .damaged && error?.file == kept)
  }
}
