// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import KachelPixels

/// Which page of which file holds each plane of a TIFF image.
struct TIFFArrangement: Sendable {
  /// A page of a file of the set, and which of the planes that follow each other from the page's pixels on.
  struct Place: Sendable, Hashable {
    var file: Int32
    var page: Int32
    var slice: Int32 = 0
    static let none = Place(file: -1, page: -1)
  }

  struct Scene: Sendable {
    var index: Int
    var name: String?
    /// Where the scene's corner lies in the file's own pixel coordinates.
    var x = 0
    var y = 0
    /// Planes along the channels; a page may hold several channels.
    var sizeC = 1
    var sizeZ = 1
    var sizeT = 1
    /// Channels fastest, then z.
    var places: [Place]

    func place(c: Int, z: Int, t: Int) -> Place? {
      guard 0..<sizeC ~= c, 0..<sizeZ ~= z, 0..<sizeT ~= t else { return nil }
      let place = places[(t * sizeZ + z) * sizeC + c]
      return place == .none ? nil : place
    }
  }

  let format: String
  let files: TIFFFileSet
  var scenes: [Scene]
  var channels: [OMEXML.Channel] = []
  var physicalSize = ImageDescription.PhysicalSize()
  /// Seconds from one time to the next.
  var timeStep: Double?
  var labels: [LabelDescription]?
  /// See ``TIFFSampling/init(_:keepsIndices:file:)``.
  var keepsIndices = false

  /// The arrangement of a TIFF file by what it says of itself.
  init(_ file: TIFFFile) throws(ImageError) {
    let text = try file.description(ofPage: 0) ?? []
    if OMEXML.isDocument(text) {
      var document = try OMEXML(text, file: file.path)
      var isOwn = true
      if let name = document.metadataFile, document.images.isEmpty {
        document = try Self.companion(name, of: file)
        isOwn = false
      }
      // Documents without images describe nothing; the file is a TIFF like others then.
      if !document.images.isEmpty {
        try self.init(document, file: file.path, own: file, isOwnDocument: isOwn)
        return
      }
    }
    if let description = ImageJDescription(text, pages: file.pages.count) {
      try self.init(description, file)
    } else {
      try self.init(plain: file)
    }
  }

  private static func companion(_ name: String, of file: TIFFFile) throws(ImageError) -> OMEXML {
    guard TIFFFileSet.isPlain(name) else {
      throw ImageError(.unsupported, file: file.path, "its metadata stands in \"\(name)\", which is no name of a file")
    }
    let path = TIFFFileSet.split(file.path).folder + name
    let source: ByteSource
    do throws(BytesError) {
      source = try ByteSource(path: path)
    } catch {
      throw ImageError(
        .damaged, file: file.path,
        "the metadata stands in the file \(name), which belongs beside it and cannot be read: \(error.reason)")
    }
    return try OMEXML(Self.text(source), file: path)
  }

  static func text(_ source: ByteSource) throws(ImageError) -> [UInt8] {
    try ImageError.wrapping { () throws(BytesError) in
      guard source.count <= OMEXML.mostBytes else {
        throw BytesError(.unsupported, file: source.path, "OME-XML of more than 64 MiB is not read")
      }
      return try source.read(at: 0, count: source.count)
    }
  }

  // MARK: OME-XML

  /// - Parameters:
  ///   - file: the path of the document or of the file that was opened; the others are in its folder.
  ///   - own: the TIFF file that was opened; `nil` where it is the document alone.
  ///   - isOwnDocument: whether the document stands in that file.
  init(_ document: OMEXML, file: String, own: TIFFFile?, isOwnDocument: Bool) throws(ImageError) {
    var set = FileNames(document, path: file, hasOwn: own != nil, isOwnDocument: isOwnDocument)
    var scenes: [Scene] = []
    for (index, image) in document.images.enumerated() {
      var data = image.data.isEmpty ? [OMEXML.TIFFData()] : image.data
      var numbers: [Int] = []
      for item in data { numbers.append(try set.number(of: item)) }
      // How many channels a page has tells how many pages the channels have.
      let known = own.flatMap { own in
        numbers.first == 0 && own.pages.indices.contains(data[0].page) ? own.pages[data[0].page].samples : nil
      }
      let channels = Self.planesOfChannels(image, samples: known)
      for place in data.indices where data[place].count == nil && numbers[place] == 0 {
        if let own { data[place].count = max(0, own.pages.count - data[place].page) }
      }
      scenes.append(
        Scene(
          index: index, name: image.name, x: image.x, y: image.y, sizeC: channels, sizeZ: image.sizeZ,
          sizeT: image.sizeT,
          places: try Self.places(image, data, numbers, channels: channels, file: file)))
    }
    format = "OME-TIFF"
    files = TIFFFileSet(folder: set.folder, names: set.names, opened: own.map { (0, $0) })
    self.scenes = scenes
    self.channels = document.images[0].channels
    physicalSize = document.images[0].physicalSize
    timeStep = document.images[0].timeStep
    labels = document.labels
    keepsIndices = document.images[0].channels.allSatisfy { $0.samples == 1 }
  }

  private static func planesOfChannels(_ image: OMEXML.Image, samples: Int?) -> Int {
    let total = image.channels.reduce(0) { $0 &+ $1.samples }
    if !image.channels.isEmpty, total == image.sizeC, samples == nil || samples == image.channels[0].samples {
      return image.channels.count
    }
    if let samples, samples > 0, image.sizeC % samples == 0 { return image.sizeC / samples }
    return image.sizeC
  }

  private static func places(
    _ image: OMEXML.Image, _ data: [OMEXML.TIFFData], _ numbers: [Int], channels: Int, file: String
  ) throws(ImageError) -> [Place] {
    let total = channels * image.sizeZ * image.sizeT
    var places = [Place](repeating: .none, count: total)
    // Documents name every plane once; one that names them over and over would take for ever.
    var budget = 4 * total
    for (item, number) in zip(data, numbers) {
      // Some writers count samples, not planes.
      let c = item.firstC < channels ? item.firstC : min(item.firstC, image.sizeC) * channels / image.sizeC
      guard c < channels, item.firstZ < image.sizeZ, item.firstT < image.sizeT else {
        throw ImageError(
          .damaged, file: file,
          "the OME-XML places a plane at channel \(item.firstC), z \(item.firstZ), time \(item.firstT), which do not exist"
        )
      }
      let start = image.linear(c: c, z: item.firstZ, t: item.firstT, channels: channels)
      let count = min(item.count ?? total, total - start)
      budget -= count
      guard budget >= 0 else { throw ImageError(.damaged, file: file, "the OME-XML places its planes many times") }
      for index in 0..<max(0, count) {
        let place = image.position(start + index, channels: channels)
        places[(place.t * image.sizeZ + place.z) * channels + place.c] = Place(
          file: Int32(number), page: Int32(clamping: item.page.addingReportingOverflow(index).partialValue))
      }
    }
    return places
  }

  // MARK: Other TIFF

  init(_ description: ImageJDescription, _ file: TIFFFile) throws(ImageError) {
    let page = file.pages[0]
    var scene = Scene(index: 0, places: [])
    (scene.sizeC, scene.sizeZ, scene.sizeT) = (description.channels, description.slices, description.frames)
    if file.pages.count >= description.images {
      scene.places = (0..<description.images).map { Place(file: 0, page: Int32($0)) }
    } else if file.pages.count == 1, page.compression == 1, TIFFGrid(page)?.count == 1, !page.isTiled {
      // Stacks of more than 4 GB have one page, behind whose pixels those of the others follow.
      scene.places = (0..<description.images).map { Place(file: 0, page: 0, slice: Int32($0)) }
    } else {
      (scene.sizeC, scene.sizeZ, scene.sizeT) = (1, file.pages.count, 1)
      scene.places = file.pages.indices.map { Place(file: 0, page: Int32($0)) }
    }
    (format, scenes, keepsIndices) = ("ImageJ TIFF", [scene], true)
    files = Self.only(file)
    if let unit = description.unit {
      physicalSize.x = try file.pixelSize(page.xResolution, unit: unit)
      physicalSize.y = try file.pixelSize(page.yResolution, unit: unit)
      physicalSize.z = description.spacing.map { $0 * unit }
    }
  }

  /// Pages of the same kind are planes along z. Where size changes, another scene begins.
  init(plain file: TIFFFile) throws(ImageError) {
    var pages = file.pages.indices.filter { !file.pages[$0].isReduced && !file.pages[$0].isMask }
    if pages.isEmpty { pages = [0] }
    let first = file.pages[pages[0]]
    var scenes: [Scene] = []
    var size: Size?
    for index in pages where file.pages[index].hasSameSamples(as: first) {
      if file.pages[index].size != size { scenes.append(Scene(index: scenes.count, sizeZ: 0, places: [])) }
      size = file.pages[index].size
      scenes[scenes.count - 1].places.append(Place(file: 0, page: Int32(index)))
      scenes[scenes.count - 1].sizeZ += 1
    }
    (format, self.scenes) = ("TIFF", scenes)
    files = Self.only(file)
    // Without unit (1) resolutions are ratios.
    guard let unit = first.resolutionUnit == 3 ? 1e4 : first.resolutionUnit == 2 ? 25_400 : nil else { return }
    let (x, y) = (
      try file.pixelSize(first.xResolution, unit: unit), try file.pixelSize(first.yResolution, unit: unit)
    )
    // Up to 600 dots per inch it is a size on paper or screen, put there by a program that knew no better.
    if let x, let y, x < 40, y < 40 { (physicalSize.x, physicalSize.y) = (x, y) }
  }

  private static func only(_ file: TIFFFile) -> TIFFFileSet {
    let (folder, name) = TIFFFileSet.split(file.path)
    return TIFFFileSet(folder: folder, names: [name], opened: (0, file))
  }
}

extension TIFFFile {
  /// The micrometres of a pixel, from pixels per unit.
  func pixelSize(_ resolution: Values?, unit: Double) throws(ImageError) -> Double? {
    guard let resolution, let value = try reader.real(resolution), value > 0, value.isFinite else { return nil }
    let size = unit / value
    return size.isFinite && size > 0 ? size : nil
  }
}

/// The names of the files of a set as a document gives them.
private struct FileNames {
  let folder: String
  private(set) var names: [String] = []
  private var numbers: [String: Int] = [:]
  private let path: String
  private let hasOwn: Bool
  private let ownUUID: String?
  /// Whether all planes are said to be in one file: if that does not exist, it is the one that was opened, renamed.
  private let isSingle: Bool

  init(_ document: OMEXML, path: String, hasOwn: Bool, isOwnDocument: Bool) {
    let name: String
    (folder, name) = TIFFFileSet.split(path)
    (self.path, self.hasOwn) = (path, hasOwn)
    ownUUID = isOwnDocument ? document.uuid : nil
    isSingle = hasOwn && Set(document.images.flatMap { $0.data.map(\.fileName) }.compactMap(\.self)).count <= 1
    if hasOwn { (names, numbers) = ([name], [name: 0]) }
  }

  mutating func number(of data: OMEXML.TIFFData) throws(ImageError) -> Int {
    guard let name = data.fileName else {
      if hasOwn { return 0 }
      throw ImageError(.damaged, file: path, "the OME-XML does not say in which file its planes are")
    }
    if hasOwn, let uuid = data.uuid, !uuid.isEmpty, uuid == ownUUID { return 0 }
    if let number = numbers[name] { return number }
    let isPlain = TIFFFileSet.isPlain(name)
    if isSingle, !isPlain || (try? ByteSource(path: folder + name)) == nil { return 0 }
    guard isPlain else {
      throw ImageError(
        .unsupported, file: path, "the OME-XML names the file \"\(name)\"; only files of the same folder are read")
    }
    guard names.count < TIFFFileSet.mostFiles else {
      throw ImageError(.unsupported, file: path, "the image is spread over more than \(names.count) files")
    }
    names.append(name)
    numbers[name] = names.count - 1
    return names.count - 1
  }
}
