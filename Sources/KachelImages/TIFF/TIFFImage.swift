// SPDX-License-Identifier: Apache-2.0
package import KachelBytes
package import KachelPixels

/// A TIFF, ImageJ or OME-TIFF image, of one file or several.
///
/// Several images of an OME-TIFF are scenes. Those whose channels differ from the first one's (as a label picture's
/// may), or that are of a kind that is not read, are left out, as scenes share their channels.
package final class TIFFImage: ImageSource {
  /// Where one channel of the description is: which plane along the channels, and which of its page's channels.
  private struct ChannelPlace: Sendable {
    let plane: Int
    let part: Int
    let sampling: TIFFSampling
  }

  package let path: String
  package let description: ImageDescription
  package var files: [String] { [path] + arrangement.files.names.map { arrangement.files.folder + $0 } }
  package var cacheBytes: Int { decoder.cacheBytes }
  private let arrangement: TIFFArrangement
  private let channels: [ChannelPlace]
  private let decoder: TIFFDecoder

  /// Opens a TIFF file.
  package convenience init(_ source: ByteSource, cacheBytes: Int) throws(ImageError) {
    try self.init(TIFFArrangement(TIFFFile(source)), path: source.path, cacheBytes: cacheBytes)
  }

  /// Opens the companion file of a set of OME-TIFF files, which has their metadata.
  package convenience init(companion source: ByteSource, cacheBytes: Int) throws(ImageError) {
    let document = try OMEXML(TIFFArrangement.text(source), file: source.path)
    guard !document.images.isEmpty else {
      throw ImageError(.damaged, file: source.path, "the OME-XML describes no image")
    }
    try self.init(
      TIFFArrangement(document, file: source.path, own: nil, isOwnDocument: false), path: source.path,
      cacheBytes: cacheBytes)
  }

  private init(_ arrangement: TIFFArrangement, path: String, cacheBytes: Int) throws(ImageError) {
    var arrangement = arrangement
    var (scenes, kept): ([ImageDescription.Scene], [TIFFArrangement.Scene]) = ([], [])
    var channels: [ChannelPlace] = []
    var compressions: Set<String> = []
    var leftOut: [(scene: TIFFArrangement.Scene, reason: String)] = []
    for scene in arrangement.scenes {
      let found: [(page: FoundPage, channels: [ChannelPlace])]
      do throws(ImageError) {
        found = try Self.channels(of: scene, arrangement)
      } catch {
        // As a slide's label may be, beside the slide itself.
        guard error.kind == .unsupported, !kept.isEmpty else { throw error }
        leftOut.append((scene, error.reason))
        continue
      }
      guard let firstPage = found.first?.page else {
        if scene.index == 0 { throw ImageError(.damaged, file: path, "the file holds no planes of its first image") }
        leftOut.append((scene, "the file holds none of its planes"))
        continue
      }
      let places = found.flatMap(\.channels)
      if kept.isEmpty { channels = places }
      guard places.map(\.sampling) == channels.map(\.sampling), places.map(\.part) == channels.map(\.part) else {
        leftOut.append((scene, "its channels are not those of the first image"))
        continue
      }
      let (file, index, isSlice) = firstPage
      let page = file.pages[index]
      let smaller = try isSlice ? [] : file.levels(ofPage: index)
      for directory in [page] + smaller {
        compressions.insert(TIFFCompression.name(of: directory.compression))
      }
      scenes.append(
        .init(
          index: scene.index, name: scene.name, box: Region(page.size).offsetBy(x: scene.x, y: scene.y),
          levels: ([page] + smaller).map {
            .init(size: $0.size, reducedFrom: page.size, tile: TIFFGrid($0)?.block)
          }))
      kept.append(scene)
      // Files that have more only say so.
      guard kept.count <= Self.mostChannelsOfScenes / max(1, channels.count) else {
        throw ImageError(
          .unsupported, file: path, "the file has more than \(kept.count) images of \(channels.count) channels")
      }
    }
    arrangement.scenes = kept
    (self.path, self.arrangement, self.channels) = (path, arrangement, channels)
    decoder = TIFFDecoder(cacheBytes: cacheBytes)
    let (depth, times) = (kept.map(\.sizeZ).max() ?? 1, kept.map(\.sizeT).max() ?? 1)
    description = ImageDescription(
      format: arrangement.format, scenes: scenes, channels: Self.described(channels, arrangement.channels),
      depth: depth, times: times,
      // TIFF has no dimensions, and OME-XML always all: those that are more than one plane count.
      axes: Set([("c", channels.count), ("z", depth), ("t", times)].filter { $0.1 > 1 }.map { Character($0.0) }),
      physicalSize: arrangement.physicalSize, compressions: compressions.sorted(),
      timeStamps: arrangement.timeStep.map { step in (0..<times).map { Double($0) * step } } ?? [],
      labels: channels.allSatisfy { $0.sampling.layout == .gray && !$0.sampling.pixelType.isFloatingPoint }
        ? arrangement.labels : nil,
      storage: try arrangement.storage(), notes: try arrangement.notes(channels[0].sampling, leftOut: leftOut))
  }

  /// The most channels of all scenes together.
  private static let mostChannelsOfScenes = 1 << 22

  private typealias FoundPage = (file: TIFFFile, index: Int, isSlice: Bool)

  /// Looks at the first plane of every channel.
  private static func channels(
    of scene: TIFFArrangement.Scene, _ arrangement: TIFFArrangement
  ) throws(ImageError) -> [(page: FoundPage, channels: [ChannelPlace])] {
    var result: [(page: FoundPage, channels: [ChannelPlace])] = []
    let isSliced = scene.places.contains { $0.slice > 0 }
    for c in 0..<scene.sizeC {
      // A channel may be missing from some z and times; without any plane it is like its neighbour.
      var place: TIFFArrangement.Place?
      search: for t in 0..<scene.sizeT {
        for z in 0..<scene.sizeZ {
          place = scene.place(c: c, z: z, t: t)
          if place != nil { break search }
        }
      }
      guard let place else {
        if let last = result.last {
          result.append((last.page, last.channels.map { .init(plane: c, part: $0.part, sampling: $0.sampling) }))
        }
        continue
      }
      let file = try arrangement.files.file(Int(place.file))
      guard file.pages.indices.contains(Int(place.page)) else {
        throw ImageError(
          .damaged, file: file.path, "the file has \(file.pages.count) pages, not \(Int(place.page) + 1)")
      }
      let page = file.pages[Int(place.page)]
      let sampling = try TIFFSampling(page, keepsIndices: arrangement.keepsIndices, file: file.path)
      guard result.count + sampling.channels <= 4096 else {
        throw ImageError(.unsupported, file: file.path, "the image has more than 4096 channels")
      }
      result.append(
        (
          (file, Int(place.page), isSliced),
          (0..<sampling.channels).map { .init(plane: c, part: $0, sampling: sampling) }
        ))
    }
    return result
  }

  private static func described(
    _ places: [ChannelPlace], _ known: [OMEXML.Channel]
  ) -> [ImageDescription.Channel] {
    let isEach = known.count == places.count
    return places.enumerated().map { index, place in
      let number = isEach ? index : place.plane
      let channel = known.indices.contains(number) ? known[number] : nil
      let layout = place.sampling.layout
      return .init(
        name: channel?.name ?? (places.count > 1 ? "Channel \(index + 1)" : layout.samples < 3 ? "Gray" : "RGB"),
        color: layout.samples < 3 ? channel?.color : nil, pixelType: place.sampling.pixelType, layout: layout)
    }
  }

  // MARK: Reading

  private func level(of plane: PlaneIndex) -> ImageDescription.Level? {
    guard plane.further.isEmpty, arrangement.scenes.indices.contains(plane.scene),
      channels.indices.contains(plane.channel),
      0..<description.depth ~= plane.z, 0..<description.times ~= plane.time,
      description.scenes[plane.scene].levels.indices.contains(plane.level)
    else { return nil }
    return description.scenes[plane.scene].levels[plane.level]
  }

  /// `nil` where the image does not hold the plane.
  private func place(of plane: PlaneIndex) -> TIFFArrangement.Place? {
    arrangement.scenes[plane.scene].place(c: channels[plane.channel].plane, z: plane.z, t: plane.time)
  }

  package func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws {
    guard let level = level(of: plane) else {
      throw ImageError(
        .outOfRange, file: path,
        "there is no plane at \(plane), level \(plane.level); the file has \(description.scenes.count) scenes, "
          + "\(description.times) times, \(description.depth) z, \(channels.count) channels")
    }
    let channel = channels[plane.channel]
    let sampling = channel.sampling
    try region.checkReadable(bytesPerPixel: sampling.layout.samples * sampling.pixelType.size, file: path)
    pixels.reshape(
      width: region.width, height: region.height, samples: sampling.layout.samples, type: sampling.pixelType)
    pixels.fill(byte: 0)
    let part = region.intersection(Region(level.size))
    guard !part.isEmpty, let place = place(of: plane) else { return }
    let page = try page(at: place, level: plane.level)
    guard page.directory.size == level.size,
      try TIFFSampling(page.directory, keepsIndices: arrangement.keepsIndices, file: page.file.path) == sampling
    else {
      throw ImageError(
        .unsupported, file: page.file.path, offset: Int(clamping: page.directory.offset),
        "the plane at \(plane) has \(page.directory.size) pixels of another kind than the image")
    }
    guard let target = pixels.bytes.baseAddress else { return }
    let start = (part.y - region.y) * pixels.bytesPerRow + (part.x - region.x) * pixels.bytesPerPixel
    try decoder.read(
      part, channel: channel.part, of: page, sampling, into: target + start, stride: pixels.bytesPerRow)
  }

  private func page(at place: TIFFArrangement.Place, level: Int) throws(ImageError) -> TIFFDecoder.Page {
    let (number, index) = (Int(place.file), Int(place.page))
    let file = try arrangement.files.file(number)
    guard file.pages.indices.contains(index) else {
      throw ImageError(.damaged, file: file.path, "the file has \(file.pages.count) pages, not \(index + 1)")
    }
    guard level > 0 else {
      let page = file.pages[index]
      let row = (page.width * page.samples).multipliedReportingOverflow(by: page.height)
      let bytes = row.partialValue.multipliedReportingOverflow(by: page.bits / 8)
      let skip = bytes.partialValue.multipliedReportingOverflow(by: Int(place.slice))
      guard place.slice == 0 || !row.overflow && !bytes.overflow && !skip.overflow else {
        throw ImageError(.damaged, file: file.path, "the planes stand behind the file's end")
      }
      return .init(file: file, number: number, directory: page, skip: place.slice == 0 ? 0 : skip.partialValue)
    }
    let levels = try file.levels(ofPage: index)
    guard level <= levels.count else {
      throw ImageError(
        .damaged, file: file.path, offset: Int(clamping: file.pages[index].offset),
        "the page has \(levels.count) smaller levels, not \(level)")
    }
    return .init(file: file, number: number, directory: levels[level - 1], skip: 0)
  }

  package func hasPixels(in region: Region, of plane: PlaneIndex) -> Bool {
    guard let level = level(of: plane), place(of: plane) != nil else { return false }
    return region.isBounded && region.intersects(Region(level.size))
  }

  package func coveredRegions(in region: Region, of plane: PlaneIndex) -> [Region] {
    guard hasPixels(in: region, of: plane), let level = level(of: plane) else { return [] }
    return [region.intersection(Region(level.size))]
  }
}
