// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// Where OME-XML says that planes are. Every plane has one value, which tells it from the others.
@Suite struct OMEXMLTests {
  let folder: ScratchFolder
  let size = Size(width: 4, height: 3)

  init() throws { folder = try ScratchFolder() }

  func pages(_ values: [Int], _ document: String) -> [TIFFFixture.Page] {
    var pages = values.map { TIFFFixture.Page(size, filledWith: UInt8($0)) }
    pages[0].description = document
    return pages
  }

  func write(_ values: [Int], _ document: String, to name: String = "image.ome.tif") throws -> String {
    try folder.write(TIFFFixture(pages(values, document)).bytes, to: name)
  }

  func ome(_ content: String, uuid: String? = nil) -> String {
    "<?xml version=\"1.0\"?><OME xmlns=\"http://www.openmicroscopy.org/Schemas/OME/2016-06\""
      + (uuid.map { " UUID=\"\($0)\"" } ?? "") + ">\(content)</OME>"
  }

  func image(
    _ order: String = "XYCZT", _ c: Int = 1, _ z: Int = 1, _ t: Int = 1, attributes: String = "", _ data: String
  ) -> String {
    "<Image ID=\"Image:0\" Name=\"n\"><Pixels ID=\"Pixels:0\" DimensionOrder=\"\(order)\" Type=\"uint8\" SizeX=\"4\" "
      + "SizeY=\"3\" SizeC=\"\(c)\" SizeZ=\"\(z)\" SizeT=\"\(t)\" \(attributes)>\(data)</Pixels></Image>"
  }

  func value(_ image: Image, _ plane: PlaneIndex) throws -> Int {
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    try image.read(Region(x: 1, y: 1, width: 1, height: 1), of: plane, into: pixels)
    return pixels.integer(at: 0)
  }

  @Test(arguments: ["XYCZT", "XYCTZ", "XYZCT", "XYZTC", "XYTCZ", "XYTZC"]) func everyOrder(_ order: String) throws {
    let counts: [Character: Int] = ["C": 2, "Z": 3, "T": 4]
    // One element for all planes, or none, or one for every plane.
    let single = (0..<24).map {
      "<TiffData IFD=\"\($0)\" FirstC=\"\($0 % 2)\" FirstZ=\"\($0 / 2 % 3)\" FirstT=\"\($0 / 6)\"/>"
    }
    for data in ["<TiffData/>", "<TiffData IFD=\"0\" PlaneCount=\"24\"/>", "", single.joined()] {
      let source = try Image(at: write(Array(1...24), ome(image(order, 2, 3, 4, data))))
      #expect(source.description.channels.count == 2 && source.description.depth == 3 && source.description.times == 4)
      for t in 0..<4 {
        for z in 0..<3 {
          for c in 0..<2 {
            var (index, step) = (0, 1)
            for dimension in data.contains("FirstC") ? "CZT" : order.dropFirst(2) {
              index += (dimension == "C" ? c : dimension == "Z" ? z : t) * step
              step *= counts[dimension] ?? 1
            }
            #expect(try value(source, .init(channel: c, z: z, time: t)) == 1 + index)
          }
        }
      }
    }
  }

  @Test func partsOfPlanes() throws {
    let data = "<TiffData IFD=\"2\" FirstZ=\"1\" PlaneCount=\"2\"/><TiffData IFD=\"0\" PlaneCount=\"1\"/>"
    let source = try Image(at: write([1, 2, 3, 4], ome(image("XYZCT", 1, 4, 1, data))))
    #expect(try (0..<4).map { try value(source, .init(z: $0)) } == [1, 3, 4, 0])
    #expect(!source.hasPixels(in: Region(size), of: .init(z: 3)) && source.hasPixels(in: Region(size), of: .init(z: 2)))
    // A page that does not exist fails where it is read.
    let beyond = try Image(at: write([1, 2], ome(image("XYZCT", 1, 3, 1, "<TiffData IFD=\"0\" PlaneCount=\"3\"/>"))))
    #expect(try value(beyond, .init(z: 1)) == 2)
    #expect(throws: ImageError.self) { try value(beyond, .init(z: 2)) }
  }

  @Test func severalImagesAreScenes() throws {
    let document = ome(
      image("XYCZT", 1, 2, 1, "<TiffData IFD=\"0\" PlaneCount=\"2\"/>")
        + image("XYCZT", 1, 1, 1, "<TiffData IFD=\"2\"/>")
        // Its channels differ from the first's.
        + image("XYCZT", 2, 1, 1, "<TiffData IFD=\"0\" PlaneCount=\"2\"/>")
        + image("XYCZT", 1, 1, 1, "<TiffData IFD=\"3\"/>"))
    let source = try Image(at: write([1, 2, 3, 4], document))
    #expect(source.description.scenes.map(\.index) == [0, 1, 3])
    #expect(try (0..<3).map { try value(source, .init(scene: $0)) } == [1, 3, 4])
  }

  @Test func setsOfFiles() throws {
    func data(_ names: [String], uuids: [String]) -> String {
      names.indices.map {
        "<TiffData IFD=\"0\" FirstZ=\"\($0)\" PlaneCount=\"1\"><UUID FileName=\"\(names[$0])\">\(uuids[$0])</UUID></TiffData>"
      }.joined()
    }
    let planes = data(["a.tif", "b.tif", "gone.tif"], uuids: ["urn:a", "urn:b", "urn:c"])
    // The file has another name now; its UUID tells which it is.
    let path = try write([1], ome(image("XYZCT", 1, 3, 1, planes), uuid: "urn:a"), to: "renamed.tif")
    _ = try write(
      [2], ome("<BinaryOnly MetadataFile=\"all.companion.ome\" UUID=\"urn:x\"/>", uuid: "urn:b"), to: "b.tif")
    let source = try Image(at: path)
    #expect(try (0..<2).map { try value(source, .init(z: $0)) } == [1, 2])
    let error = #expect(throws: ImageError.self) { try value(source, .init(z: 2)) }
    #expect(error?.file.hasSuffix("/gone.tif") == true && error?.reason.contains("several files") == true)
    // Without its companion, a part is not the image.
    let part = #expect(throws: ImageError.self) { try Image(at: folder.file("b.tif")) }
    #expect(part?.reason.contains("all.companion.ome") == true)
    let companion = ome(image("XYZCT", 1, 2, 1, data(["b.tif", "renamed.tif"], uuids: ["urn:b", "urn:a"])))
    let whole = try folder.write(companion.utf8, to: "all.companion.ome")
    for path in [whole, folder.file("b.tif")] {
      let source = try Image(at: path)
      #expect(try (0..<2).map { try value(source, .init(z: $0)) } == [2, 1])
    }
  }

  @Test(arguments: ["../secret.tif", "/etc/passwd", "sub/x.tif", "..", "a\\\\b.tif", "&#10;x"])
  func namesStayInTheFolder(_ name: String) throws {
    let data = ["own.tif", name].enumerated().map {
      "<TiffData IFD=\"0\" FirstZ=\"\($0.offset)\" PlaneCount=\"1\"><UUID FileName=\"\($0.element)\"/></TiffData>"
    }.joined()
    let error = #expect(throws: ImageError.self) {
      try Image(at: write([1], ome(image("XYZCT", 1, 2, 1, data)), to: "own.tif"))
    }
    #expect(error?.kind == .unsupported && error?.reason.contains("same folder") == true)
    let binary = #expect(throws: ImageError.self) {
      try Image(at: write([1], ome("<BinaryOnly MetadataFile=\"\(name)\"/>")))
    }
    #expect(binary?.kind == .unsupported)
  }

  @Test func unitsNamesAndColors() throws {
    let sizes = [
      ("1", "", 1.0), ("250", "nm", 0.25), ("2", "\u{3BC}m", 2), ("2", "&#181;m", 2), ("0.5", "mm", 500),
      ("5000", "\u{C5}", 0.5), ("1e-6", "m", 1), ("1", "inch", 25_400),
    ]
    for (value, unit, expected) in sizes {
      let attributes = "PhysicalSizeX=\"\(value)\"" + (unit.isEmpty ? "" : " PhysicalSizeXUnit=\"\(unit)\"")
      let found = try Image(at: write([1], ome(image(attributes: attributes, "<TiffData/>")))).description.physicalSize
      #expect(found.x.map { abs($0 - expected) < 1e-9 * expected } == true && found.y == nil)
    }
    let none = "PhysicalSizeX=\"3\" PhysicalSizeXUnit=\"pixel\" PhysicalSizeY=\"0\" PhysicalSizeZ=\"-1\""
    #expect(try Image(at: write([1], ome(image(attributes: none, "")))).description.physicalSize == .init())
    let channels =
      "<Channel ID=\"0\" Name=\"DAPI\" Color=\"65535\"/><Channel ID=\"1\" Color=\"-16776961\"/><TiffData/>"
    let found = try Image(at: write([1, 2], ome(image("XYCZT", 2, 1, 1, channels)))).description.channels
    #expect(found.map(\.name) == ["DAPI", "Channel 2"])
    #expect(found.map(\.color) == [RGB(red: 0, green: 0, blue: 255), RGB(red: 255, green: 0, blue: 0)])
  }

  @Test func wrongDocuments() throws {
    let data = "<TiffData IFD=\"0\" PlaneCount=\"1\"/>"
    let wrong = [
      image("XYCZX", 1, 1, 1, data), image("CZTXY", 1, 1, 1, data), image("XYCZT", 0, 1, 1, data),
      image("XYCZT", -1, 1, 1, data),
      image("XYCZT", 1, 1 << 40, 1 << 40, data), image("XYCZT", 1, 1 << 21, 4, data),
      image("XYCZT", 1, 1, 1, "<TiffData FirstZ=\"7\"/>"),
      image("XYCZT", 1, 2, 1, String(repeating: "<TiffData/>", count: 20)),
      "<Image>",
    ]
    for document in wrong { #expect(throws: ImageError.self) { try Image(at: write([1, 2], ome(document))) } }
    // Numbers beyond all bounds.
    let huge = "<TiffData IFD=\"9223372036854775807\" PlaneCount=\"9223372036854775807\" FirstC=\"0\"/>"
    #expect(throws: ImageError.self) { try Image(at: write([1, 2], ome(image("XYCZT", 1, 2, 1, huge)))) }
  }
}
