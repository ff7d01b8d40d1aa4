// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// What files are said to be unusual in. Nothing of it is read from pixels.
@Suite struct NotesTests {
  private let files: ScratchFolder
  init() throws { files = try ScratchFolder() }

  // MARK: CZI

  private func czi(_ blocks: [CZIFixture.SubBlock], _ image: String = "", pending: Int32 = 0) throws -> ImageDescription
  {
    let xml =
      image.isEmpty
      ? nil : "<ImageDocument><Metadata><Information><Image>\(image)</Image></Information></Metadata></ImageDocument>"
    var bytes = CZIFixture(blocks, xml: xml).bytes
    bytes[32 + 68] = UInt8(pending)
    return try Image(at: files.write(bytes, to: "test.czi")).description
  }

  private func tile(
    _ x: Int, _ y: Int, _ width: Int, _ height: Int, _ positions: KeyValuePairs<String, Int32> = [:], type: Int32 = 0
  ) -> CZIFixture.SubBlock {
    let bytes = width * height * (type == 1 ? 2 : 1)
    return .init(
      Region(x: x, y: y, width: width, height: height), positions, pixelType: type,
      pixels: [UInt8](repeating: 1, count: bytes))
  }

  @Test func anOrdinaryFileHasNothingToNote() throws {
    let description = try czi(
      [tile(0, 0, 20, 10, ["C": 0]), tile(20, 0, 20, 10, ["C": 0])],
      "<SizeX>40</SizeX><SizeY>10</SizeY><SizeC>1</SizeC><Dimensions><Channels><Channel Id=\"Channel:0\"><PixelType>Gray8</PixelType></Channel></Channels></Dimensions>"
    )
    #expect(description.notes == [] && description.storage == "2 sub-blocks of at most 20 x 10")
    #expect(description.scenes[0].levels[0].tile == Size(width: 20, height: 10))
  }

  @Test func metadataThatContradictTheDirectory() throws {
    let notes = try czi(
      [tile(0, 0, 20, 10, ["C": 0, "T": 3], type: 1), tile(0, 0, 20, 10, ["C": 1, "T": 4])],
      "<SizeX>30</SizeX><SizeY>10</SizeY><SizeT>1</SizeT><Dimensions><Channels><Channel Id=\"Channel:1\"><PixelType>Gray8</PixelType></Channel><Channel Id=\"Channel:0\"><PixelType>Gray8</PixelType></Channel></Channels></Dimensions>",
      pending: 1
    ).notes
    #expect(
      notes == [
        "the metadata say 30 x 10 pixels, the sub-blocks cover 20 x 10",
        "the metadata say 1, the sub-blocks have 2 time points",
        "the metadata say Gray8 for channel 0, which is Gray16",
        "the metadata number the channels otherwise; they are taken in their order",
        "positions in the file begin with T at 3; here they are counted from 0",
        "2 of 4 planes hold no pixels",
        "the file says that a program was changing it and did not come to the end",
      ])
  }

  @Test func mosaics() throws {
    // A gap of a quarter, and an overlap of a tenth.
    #expect(try czi([tile(0, 0, 100, 50), tile(0, 50, 50, 50)]).notes == ["pixels fill 75 % of the scene's box"])
    #expect(
      try czi([tile(0, 0, 110, 10), tile(90, 0, 110, 10)]).notes
        == ["tiles overlap in 10 % of the pixels; the later one is seen"])
    #expect(
      try czi([tile(0, 0, 10, 10), tile(10_000, 10_000, 10, 10)]).notes == [
        "pixels fill less than 1 % of the scene's box"
      ])
    let scenes = [
      tile(0, 0, 100, 100, ["S": 0, "Z": 0]), tile(0, 0, 100, 100, ["S": 0, "Z": 1]),
      tile(500, 0, 100, 50, ["S": 1, "Z": 0]), tile(500, 50, 50, 50, ["S": 1, "Z": 0]), tile(7, 7, 5, 5, ["Z": 0]),
    ]
    let notes = try czi(scenes).notes
    #expect(notes.contains("0 to 1 of 2 planes of each scene hold no pixels"))
    #expect(notes.contains("some sub-blocks belong to no scene; they are part of each"))
    #expect(notes.contains("pixels fill 75 % to 100 % of the scenes' boxes"))
  }

  /// Counting how tiles lie must not take long, however they do.
  @Test func mosaicsThatAreNone() throws {
    func stack(_ count: Int) throws -> [String] {
      try czi((0..<count).map { tile(0, 0, 1, 1, ["M": Int32($0)]) }).notes
    }
    #expect(try stack(2) == ["tiles overlap in 100 % of the pixels; the later one is seen"])
    #expect(try stack(1500) == [])
  }

  @Test func pyramids() throws {
    let full = [tile(0, 0, 100, 100), tile(100, 0, 100, 100)]
    func reduced(_ x: Int, _ width: Int, _ stored: Int, height: Int = 50, type: Int32 = 0) -> CZIFixture.SubBlock {
      CZIFixture.reduced(
        Region(x: x, y: 0, width: width, height: 100), Size(width: stored, height: height), [:], pixelType: type,
        pixels: [UInt8](repeating: 1, count: stored * height * (type == 1 ? 2 : 1)))
    }
    let whole = try czi(full + [reduced(0, 200, 100)])
    #expect(whole.notes == [] && whole.storage == "2 sub-blocks of at most 100 x 100, 1 more in the pyramid")
    #expect(whole.scenes[0].levels.map(\.tile) == [Size(width: 100, height: 100), Size(width: 100, height: 50)])
    #expect(
      try czi(full + [reduced(0, 100, 50)]).notes
        == ["the pyramid's resolution 1/2 has gaps or another pixel type and is not used"])
    #expect(
      try czi(full + [reduced(0, 200, 100, type: 1), reduced(0, 200, 50, height: 25, type: 1)]).notes
        == ["the pyramid's resolutions 1/2, 1/4 have gaps or another pixel type and are not used"])
    #expect(
      try czi(full + [reduced(0, 200, 37, height: 31)]).notes
        == ["1 sub-block of the pyramid fits no resolution or no plane and is not used"])
  }

  // MARK: TIFF

  private func tiff(_ fixture: TIFFFixture) throws -> ImageDescription {
    try Image(at: files.write(fixture.bytes, to: "test.tif")).description
  }

  @Test func tiffs() throws {
    let size = Size(width: 8, height: 4)
    let plain = TIFFFixture.Page(size, filledWith: 1)
    let ordinary = try tiff(TIFFFixture([plain]))
    #expect(ordinary.notes == [] && ordinary.storage == "TIFF, 1 page, strips of 4 rows")
    #expect(ordinary.scenes[0].levels[0].tile == size)
    var fixture = TIFFFixture([plain, .init(size, samples: 3, pixels: [UInt8](repeating: 1, count: 96))])
    (fixture.isBigEndian, fixture.isBigTIFF) = (true, true)
    fixture.pages[0].photometric = 0
    let other = try tiff(fixture)
    #expect(other.storage == "BigTIFF, big-endian, 2 pages, strips of 4 rows")
    #expect(
      other.notes == [
        "white is 0 in the file; the values are turned round",
        "1 of 2 pages are left out: they are of another kind than the first",
      ])
    var bits = TIFFFixture.Page(size, pixels: [UInt8](repeating: 0xAA, count: 4))
    bits.bits = 1
    #expect(try tiff(TIFFFixture([bits])).notes == ["its samples have 1 bits; they are read as 8"])
    var paper = plain
    paper.tags[282] = (5, [72, 1])
    paper.tags[283] = (5, [72, 1])
    #expect(
      try tiff(TIFFFixture([paper])).notes
        == ["its resolution is one of paper or screen; the pixel size is unknown"])
    #expect(
      try Image(at: SharedData.path("ometiff/multifile.companion.ome")).description.storage
        == "TIFF, 1 page, 5 files, strips of 1 row")
  }

  @Test func imagesAndPlanesThatTIFFsLack() throws {
    let size = Size(width: 8, height: 4)
    var first = TIFFFixture.Page(size, filledWith: 1)
    first.description = """
      <OME><Image ID="Image:0" Name="a"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="8" SizeY="4" \
      SizeC="1" SizeZ="3" SizeT="1"><Channel ID="C:0" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="1"/></Pixels></Image>\
      <Image ID="Image:1" Name="label"><Pixels ID="Pixels:1" DimensionOrder="XYCZT" Type="uint8" SizeX="8" SizeY="4" \
      SizeC="3" SizeZ="1" SizeT="1"><Channel ID="C:1" SamplesPerPixel="3"/><TiffData IFD="1" PlaneCount="1"/></Pixels></Image>\
      </OME>
      """
    let color = TIFFFixture.Page(size, samples: 3, pixels: [UInt8](repeating: 1, count: 96))
    #expect(
      try tiff(TIFFFixture([first, color])).notes == [
        "image 1 \"label\" is left out: its channels are not those of the first image",
        "2 of 3 planes are in no page; they read as 0",
      ])
  }

  // MARK: OME-Zarr

  private func zarr(
    _ name: String, attributes: String, shapes: [[Int]] = [[6, 8]], fill: String = "0", shard: [Int]? = nil
  ) throws -> ImageDescription {
    let folder = files.file(name)
    for (level, shape) in shapes.enumerated() {
      var fixture = ZarrFixture(shape: shape, chunk: shape.map { min($0, 4) }) { _ in 1 }
      (fixture.fill, fixture.shard) = (fill, shard)
      try fixture.write(to: "\(folder)/\(level)")
    }
    let text = #"{"zarr_format":3,"node_type":"group","attributes":{"ome":\#(attributes)}}"#
    try Data(text.utf8).write(to: URL(filePath: folder + "/zarr.json"))
    return try Image(at: folder).description
  }

  private func multiscales(_ unit: String, scale: String, translation: String? = nil, levels: Int = 1) -> String {
    let moved = translation.map { #",{"type":"translation","translation":\#($0)}"# } ?? ""
    let datasets = (0..<levels).map {
      #"{"path":"\#($0)","coordinateTransformations":[{"type":"scale","scale":\#(scale)}\#(moved)]}"#
    }
    return
      #""version":"0.5","multiscales":[{"axes":[{"name":"y","type":"space"\#(unit)},{"name":"x","type":"space"\#(unit)}],"#
      + #""datasets":[\#(datasets.joined(separator: ","))]}]"#
  }

  @Test func omeZarrs() throws {
    let micrometers = #","unit":"micrometer""#
    let ordinary = try zarr("a", attributes: "{\(multiscales(micrometers, scale: "[0.5,0.5]"))}")
    #expect(ordinary.notes == [] && ordinary.storage == "version 0.5, chunks of 4 x 4" && ordinary.labels == nil)
    #expect(ordinary.scenes[0].levels[0].tile == Size(width: 4, height: 4))
    let other = try zarr(
      "b", attributes: "{\(multiscales("", scale: "[0.5,0.25]", translation: "[3,-4.5]", levels: 3))}",
      shapes: [[6, 8], [3, 4]], fill: "7", shard: [2, 1])
    #expect(other.storage == "version 0.5, chunks of 4 x 4, in shards of 8 x 4")
    #expect(
      other.notes == [
        "1 of its 3 resolutions are missing or do not fit the first, and are left out",
        "the x and y axes have a scale, but no unit; the pixel size is unknown",
        "its first pixel lies at x -4.5, y 3.0", "pixels that are not stored are not 0, but the fill value",
      ])
    let unitless = try zarr("c", attributes: "{\(multiscales("", scale: "[1,1]"))}")
    #expect(unitless.notes == [])
    #expect(
      try Image(at: SharedData.path("omezarr/ref/v05.ome.zarr")).description.notes
        == ["it has label images, in its folder labels: nuclei"])
    #expect(
      try Image(at: SharedData.path("omezarr/ref/v3_codecs/gzip.zarr")).description.notes
        == ["an array without metadata; which dimension is which follows from their number or names"])
  }

  @Test func labelsAndChannelsOfOMEZarr() throws {
    let labels = try zarr(
      "labels",
      attributes: """
        {\(multiscales("", scale: "[1,1]")),"image-label":{"colors":[{"label-value":2,"rgba":[10,20,30,255]},\
        {"label-value":5,"rgba":[200,100,0,51]},{"label-value":6,"rgba":[1,2]},{"label-value":7,"rgba":[256,0,0,255]}],\
        "properties":[{"label-value":2,"name":"nucleus"},{"label-value":9,"name":"dust"},{"label-value":5,"area":3}]}}
        """
    ).labels
    #expect(
      labels == [
        .init(value: 2, name: "nucleus", color: RGB(red: 10, green: 20, blue: 30)),
        .init(value: 5, name: "", color: RGB(red: 40, green: 20, blue: 0)),
        .init(value: 9, name: "dust", color: LabelColors().color(of: 9)),
      ])
    let channels = try zarr(
      "omero",
      attributes: """
        {\(multiscales("", scale: "[1,1]")),"omero":{"channels":[{"label":"DAPI","color":"0000FF","active":false,\
        "window":{"min":0,"max":65535,"start":100,"end":2000}}]}}
        """
    ).channels
    #expect(channels.map(\.displayRange) == [100...2000] && channels.map(\.isShown) == [false])
    #expect(channels.map(\.color) == [RGB(red: 0, green: 0, blue: 255)])
    for window in [#"{"start":5,"end":5}"#, #"{"start":"a","end":5}"#, #"{"end":5}"#, #"{"start":0,"end":NaN}"#, "3"] {
      let text = "{\(multiscales("", scale: "[1,1]")),\"omero\":{\"channels\":[{\"window\":\(window)}]}}"
      #expect(try zarr("window-\(window.hashValue)", attributes: text).channels[0].display == nil, "\(window)")
    }
  }

  /// Label images that disagree on a colour keep none for it.
  @Test func labelGroups() throws {
    func member(_ name: String, _ colors: String) throws {
      _ = try zarr(
        "group/labels/\(name)",
        attributes: #"{\#(multiscales("", scale: "[1,1]")),"image-label":{"colors":[\#(colors)]}}"#)
    }
    let (one, other) = (#"{"label-value":1,"rgba":[1,1,1,255]}"#, #"{"label-value":1,"rgba":[2,2,2,255]}"#)
    let two = #"{"label-value":2,"rgba":[9,9,9,255]}"#
    try member("a", "\(one),\(two)")
    try member("b", other)
    let text = #"{"zarr_format":3,"node_type":"group","attributes":{"ome":{"version":"0.5","labels":["a","b"]}}}"#
    try Data(text.utf8).write(to: URL(filePath: files.file("group/labels/zarr.json")))
    let description = try Image(at: files.file("group/labels")).description
    #expect(description.scenes.count == 2)
    #expect(description.labels == [.init(value: 2, name: "", color: RGB(red: 9, green: 9, blue: 9))])
  }
}
