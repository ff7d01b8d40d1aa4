// SPDX-License-Identifier: Apache-2.0
public import KachelPixels

/// TIFF files with the marks of whole-slide scanners, uncompressed.
public enum SlideFixture {
  /// An Aperio slide whose levels have the given pages' pixels.
  public static func aperio(_ levels: [TIFFFixture.Page]) -> TIFFFixture {
    marked(levels, description: "Aperio Image Library v11\r\n40x20|MPP = 0.25|AppMag = 40")
  }

  /// A Leica slide of scanned areas on a canvas, each with a level of half its size.
  ///
  /// - Parameter areas: where they are, in even numbers, and the pixels of both levels.
  public static func leica(
    _ canvas: Size, areas: [(place: Region, full: TIFFFixture.Page, half: TIFFFixture.Page)]
  ) -> TIFFFixture {
    func image(_ place: Region, _ levels: [(size: Size, page: Int)], objective: Int) -> String {
      let dimensions = levels.enumerated().map { number, level in
        #"<dimension sizeX="\#(level.size.width)" sizeY="\#(level.size.height)" ifd="\#(level.page)" r="\#(number)"/>"#
      }
      let view =
        #"sizeX="\#(place.width)" sizeY="\#(place.height)" offsetX="\#(place.x)" offsetY="\#(place.y)""#
      return #"<image><device model="m" version="1"/><pixels>\#(dimensions.joined())</pixels><view \#(view)/>"#
        + "<scanSettings><objectiveSettings><objective>\(objective)</objective></objectiveSettings>"
        + "<illuminationSettings><illuminationSource>brightfield</illuminationSource></illuminationSettings>"
        + "</scanSettings></image>"
    }
    // A picture of all of the canvas comes first.
    let overview = Size(width: canvas.width / 8, height: canvas.height / 8)
    var images = image(Region(canvas), [(overview, 0)], objective: 1)
    var pages = [page(overview, pixels: [UInt8](repeating: 200, count: overview.area * 3))]
    for area in areas {
      images += image(area.place, [(area.full.size, pages.count), (area.half.size, pages.count + 1)], objective: 20)
      pages += [area.full, area.half]
    }
    return marked(
      pages,
      description:
        #"<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection sizeX="\#(canvas.width)" "#
        + #"sizeY="\#(canvas.height)">\#(images)</collection></scn>"#)
  }

  /// A page of RGB tiles, as the pages of slides are. OpenSlide 3.4.1 reads no smaller tiles, and gives nonsense for
  /// uncompressed pages smaller than a tile.
  public static func page(_ size: Size, pixels: [UInt8]) -> TIFFFixture.Page {
    var page = TIFFFixture.Page(size, samples: 3, pixels: pixels)
    page.tile = Size(width: 64, height: 64)
    return page
  }

  private static func marked(_ pages: [TIFFFixture.Page], description: String) -> TIFFFixture {
    var fixture = TIFFFixture(pages)
    for index in pages.indices { fixture.pages[index].description = description }
    return fixture
  }
}
