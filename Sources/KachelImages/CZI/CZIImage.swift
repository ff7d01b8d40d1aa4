// SPDX-License-Identifier: Apache-2.0
package import KachelBytes
package import KachelPixels

/// A CZI file of any size, with the resolutions of its pyramid.
package final class CZIImage: ImageSource {
  package let path: String
  package let description: ImageDescription
  package var cacheBytes: Int { compositor.cache.limit }
  package let compositor: CZICompositor
  /// The scenes' indices in the file, in the order of the description; `missing` where the file has none.
  private let scenes: [Int32]
  /// The resolutions of every scene.
  private let grids: [[CZIGrid]]
  private let channelTypes: [CZIPixelType]
  private let attachments: [CZIAttachments.Entry]

  package init(_ source: ByteSource, cacheBytes: Int) throws(ImageError) {
    path = source.path
    let header = try CZIHeader(source)
    let directory = try CZIDirectory(source, at: header.directoryPosition)
    if !directory.obstacles.isEmpty {
      throw ImageError(.unsupported, file: source.path, directory.obstacles.joined(separator: "; "))
    }
    let metadata = try CZIMetadata(source, at: header.metadataPosition)
    var scenes = try Self.scenes(of: directory, metadata: metadata.scenes, file: source.path)
    self.scenes = scenes.map(\.code)
    channelTypes = try Self.channelTypes(of: directory, file: source.path)
    compositor = CZICompositor(source, directory: directory, cacheBytes: cacheBytes)
    let otherTypes = Self.factorsOfOtherTypes(directory, channelTypes)
    let tiles = Self.largestTiles(directory)
    var grids: [[CZIGrid]] = []
    for index in scenes.indices {
      let levels = compositor.levels(of: scenes[index].code, box: scenes[index].scene.box, excluding: otherTypes)
      scenes[index].scene.levels = levels.map {
        .init(size: $0.size, downsampling: Double($0.grid.factor), tile: tiles[Int32($0.grid.factor)])
      }
      grids.append(levels.map(\.grid))
    }
    self.grids = grids
    let attachments = CZIAttachments(source, at: header.attachmentPosition)
    self.attachments = attachments.entries
    let dimensions = directory.dimensions
    var description = ImageDescription(
      format: "CZI", scenes: scenes.map(\.scene),
      channels: channelTypes.enumerated().map { index, type in
        let channel = index < metadata.channels.count ? metadata.channels[index] : nil
        return .init(
          name: channel?.name ?? "Channel \(index + 1)", color: channel?.color, pixelType: type.sample,
          layout: type.layout,
          validBits: channel?.validBits.flatMap {
            $0 <= 8 * type.sample.size && !type.sample.isFloatingPoint ? $0 : nil
          }, display: type.sample.isFloatingPoint ? nil : channel?.display, isShown: channel?.isShown ?? true)
      },
      depth: dimensions[1].count, times: dimensions[2].count,
      axes: Set(zip("czt", dimensions).filter(\.1.exists).map(\.0)),
      furtherDimensions: dimensions.dropFirst(3).filter(\.exists).map { .init(name: $0.name, count: $0.count) },
      physicalSize: metadata.physicalSize,
      compressions: Set(directory.subBlocks.lazy.filter(\.isLayer0).map(\.compression)).sorted()
        .map(CZICompression.name(of:)),
      timeStamps: attachments.timeStamps,
      attachments: attachments.entries.map { .init(name: $0.name, type: $0.type, byteCount: $0.content.count) })
    let survey = CZISurvey(
      directory: directory, metadata: metadata, compositor: compositor, scenes: scenes.map(\.scene), codes: self.scenes,
      channelTypes: channelTypes, largest: tiles[1] ?? Size(width: 0, height: 0))
    description.storage = survey.storage
    description.notes = survey.notes
    if header.isUpdatePending {
      description.notes.append("the file says that a program was changing it and did not come to the end")
    }
    if ![0, 1, description.times].contains(attachments.timeStamps.count) {
      description.notes.append(
        "it has \(attachments.timeStamps.count) time stamps for \(description.times) time points")
    }
    self.description = description
  }

  /// The resolutions with sub-blocks of another pixel type than their channel has at full resolution.
  private static func factorsOfOtherTypes(_ directory: CZIDirectory, _ types: [CZIPixelType]) -> Set<Int32> {
    var factors: Set<Int32> = []
    for block in directory.subBlocks where block.factor > 1 {
      if types[directory.position(of: block.plane, along: 0)].rawValue != block.pixelType {
        factors.insert(block.factor)
      }
    }
    return factors
  }

  /// The largest sub-block of every resolution, by its factor.
  private static func largestTiles(_ directory: CZIDirectory) -> [Int32: Size] {
    var tiles: [Int32: Size] = [:]
    for block in directory.subBlocks {
      let known = tiles[block.factor]
      if let known, known.width >= block.storedWidth, known.height >= block.storedHeight { continue }
      tiles[block.factor] = Size(
        width: max(known?.width ?? 0, Int(block.storedWidth)), height: max(known?.height ?? 0, Int(block.storedHeight)))
    }
    return tiles
  }

  private static func scenes(
    of directory: CZIDirectory, metadata: [Int: CZIMetadata.Scene], file: String
  ) throws(ImageError) -> [(code: Int32, scene: ImageDescription.Scene)] {
    var boxes: [Int32: Region] = [:]
    for block in directory.subBlocks where block.isLayer0 {
      boxes[block.scene] = boxes[block.scene]?.union(block.region) ?? block.region
    }
    guard !boxes.isEmpty else { throw ImageError(.damaged, file: file, "the file holds no pixels") }
    if boxes.values.contains(where: { $0.width > 1 << 31 || $0.height > 1 << 31 }) {
      throw ImageError(.damaged, file: file, "a scene is wider or higher than 2^31 pixels")
    }
    // Sub-blocks without scene belong to every scene, and make one where there is no other.
    if boxes.count > 1 { boxes[CZISubBlock.missing] = nil }
    return boxes.sorted { $0.key < $1.key }.map { code, box in
      let index = code == CZISubBlock.missing ? 0 : Int(code)
      let known = metadata[index]
      return (code, .init(index: index, name: known?.name, box: box, center: known?.center, well: known?.well))
    }
  }

  private static func channelTypes(of directory: CZIDirectory, file: String) throws(ImageError) -> [CZIPixelType] {
    let count = directory.dimensions[0].count
    guard count <= 4096 else { throw ImageError(.damaged, file: file, "the file has \(count) channels") }
    var types: [CZIPixelType?] = Array(repeating: nil, count: count)
    for block in directory.subBlocks where block.isLayer0 {
      let channel = directory.position(of: block.plane, along: 0)
      guard types[channel]?.rawValue != block.pixelType else { continue }
      guard types[channel] == nil else {
        throw ImageError(
          .unsupported, file: file,
          "channel \(channel) has sub-blocks of several pixel types, among them "
            + "\(CZIPixelType.name(of: types[channel]?.rawValue ?? -1)) and "
            + "\(CZIPixelType.name(of: block.pixelType)); save the channels one by one in ZEN")
      }
      types[channel] = CZIPixelType(rawValue: block.pixelType)
    }
    // A channel between others may have no sub-block at all in an acquisition that was broken off.
    let other = types.lazy.compactMap(\.self).first ?? .gray8
    return types.map { $0 ?? other }
  }

  private func place(of plane: PlaneIndex) throws(ImageError) -> (number: Int, scene: Int32, grid: CZIGrid) {
    var positions = plane.further
    for name in positions.keys where !description.furtherDimensions.contains(where: { $0.name == name }) {
      throw ImageError(.outOfRange, file: path, "there is no dimension \(name)")
    }
    (positions["C"], positions["Z"], positions["T"]) = (plane.channel, plane.z, plane.time)
    guard scenes.indices.contains(plane.scene), grids[plane.scene].indices.contains(plane.level),
      let number = compositor.directory.plane(at: positions)
    else {
      throw ImageError(
        .outOfRange, file: path,
        "there is no plane at \(plane)\(plane.level == 0 ? "" : ", level \(plane.level)"); the file has \(scenes.count) scenes, \(description.times) times, "
          + "\(description.depth) z, \(description.channels.count) channels")
    }
    return (number, scenes[plane.scene], grids[plane.scene][plane.level])
  }

  package func read(_ region: Region, of plane: PlaneIndex, into pixels: PixelBuffer) throws {
    let (number, scene, grid) = try place(of: plane)
    let type = channelTypes[plane.channel]
    try region.checkReadable(bytesPerPixel: type.bytesPerPixel, file: path)
    try compositor.compose(region, plane: number, scene: scene, type: type, grid: grid, into: pixels)
  }

  package func attachment(_ index: Int) throws -> [UInt8] {
    guard attachments.indices.contains(index) else {
      throw ImageError(.outOfRange, file: path, "there is no attachment \(index); the file has \(attachments.count)")
    }
    let content = attachments[index].content
    return try ImageError.wrapping { () throws(BytesError) in
      try compositor.decoder.source.read(at: content.lowerBound, count: content.count)
    }
  }

  package func hasPixels(in region: Region, of plane: PlaneIndex) -> Bool {
    guard !region.isEmpty, region.isBounded, let (number, scene, grid) = try? place(of: plane) else { return false }
    return compositor.isCovered(region, plane: number, scene: scene, grid: grid)
  }

  package func coveredRegions(in region: Region, of plane: PlaneIndex) -> [Region] {
    guard !region.isEmpty, region.isBounded, let (number, scene, grid) = try? place(of: plane) else { return [] }
    return compositor.coveredRegions(in: region, plane: number, scene: scene, grid: grid)
  }
}

extension Region {
  /// Whether sums of coordinates of this region and of any file's are far from overflow.
  var isBounded: Bool { [x, y, width, height].allSatisfy { -(1 << 40)...(1 << 40) ~= $0 } }

  /// Refuses regions that no machine holds in memory: beyond 64 GiB.
  func checkReadable(bytesPerPixel: Int, file: String) throws(ImageError) {
    let most = 64 << 30
    guard isBounded, width >= 0, height >= 0, width == 0 || height <= most / bytesPerPixel / width else {
      throw ImageError(
        .outOfRange, file: file, "the region \(self) (x, y, width, height) cannot be read at once; read it in parts")
    }
  }
}
