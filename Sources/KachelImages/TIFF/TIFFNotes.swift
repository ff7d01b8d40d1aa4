// SPDX-License-Identifier: Apache-2.0

extension TIFFArrangement {
  /// The page that holds the first plane that is anywhere.
  private func firstPage() throws(ImageError) -> (file: TIFFFile, page: TIFFDirectory)? {
    guard let place = scenes.lazy.flatMap(\.places).first(where: { $0 != .none }) else { return nil }
    let file = try files.file(Int(place.file))
    return file.pages.indices.contains(Int(place.page)) ? (file, file.pages[Int(place.page)]) : nil
  }

  /// How the pixels lie in the file, in words.
  func storage() throws(ImageError) -> String? {
    guard let (file, page) = try firstPage(), let grid = TIFFGrid(page) else { return nil }
    var parts = [file.isBigTIFF ? "BigTIFF" : "TIFF"]
    if file.isBigEndian { parts.append("big-endian") }
    parts.append("\(file.pages.count) page\(file.pages.count == 1 ? "" : "s")")
    if files.names.count > 1 { parts.append("\(files.names.count) files") }
    parts.append(
      page.isTiled
        ? "tiles of \(grid.blockWidth) x \(grid.blockHeight)"
        : "strips of \(grid.blockHeight) row\(grid.blockHeight == 1 ? "" : "s")")
    if page.isPlanar && page.samples > 1 { parts.append("samples in planes") }
    return parts.joined(separator: ", ")
  }

  /// What is unusual, in words.
  ///
  /// - Parameter leftOut: the images of the file that are no scenes, and why.
  func notes(_ sampling: TIFFSampling, leftOut: [(scene: Scene, reason: String)]) throws(ImageError) -> [String] {
    guard let (file, page) = try firstPage() else { return [] }
    var notes: [String] = []
    for (scene, reason) in leftOut.prefix(8) {
      notes.append("image \(scene.index)\(scene.name.map { " \"\($0)\"" } ?? "") is left out: \(reason)")
    }
    if leftOut.count > 8 { notes.append("\(leftOut.count - 8) more images are left out") }
    let total = scenes.reduce(0) { $0 + $1.places.count }
    let missing = scenes.reduce(0) { $0 + $1.places.count { $0 == .none } }
    if missing > 0 { notes.append("\(missing) of \(total) planes are in no page; they read as 0") }
    switch sampling.treatment {
    case .direct: break
    case .inverted: notes.append("white is 0 in the file; the values are turned round")
    case .palette: notes.append("its pixels are numbers of colours in a palette; they are read as RGB")
    }
    if page.bits < 8, sampling.treatment != .palette {
      notes.append("its samples have \(page.bits) bits; they are read as 8")
    }
    if scenes.contains(where: { $0.places.contains { $0.slice > 0 } }) {
      notes.append("its planes follow each other behind the pixels of one page")
    }
    if format == "TIFF" {
      let pages = file.pages.count { !$0.isReduced && !$0.isMask }
      if pages > total {
        notes.append("\(pages - total) of \(pages) pages are left out: they are of another kind than the first")
      }
      if physicalSize.x == nil, page.resolutionUnit != 1, try file.pixelSize(page.xResolution, unit: 1) != nil {
        notes.append("its resolution is one of paper or screen; the pixel size is unknown")
      }
    }
    return notes
  }
}
