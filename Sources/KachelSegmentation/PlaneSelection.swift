// SPDX-License-Identifier: Apache-2.0
public import KachelImages
public import KachelPixels

/// What a user chooses of an image's scenes, planes and pixels; the defaults are all of it.
public struct PlaneChoice: Sendable {
  /// Scenes by their index in the file.
  public var scenes: Selection?
  /// Time points and z planes, counted from 0.
  public var times: Selection?
  public var depths: Selection?
  /// Positions along dimensions besides scene, channel, z and time, by their letter.
  public var further: [String: Int] = [:]
  /// A region of every plane, in pixels from the scene's top-left corner.
  public var region: Region?

  public init() {}
}

/// The planes of an image that a run visits, and the region of each.
public struct PlaneSelection: Sendable, Hashable {
  /// Positions in ``ImageDescription/scenes``.
  public let scenes: [Int]
  /// Time points and z planes, counted from 0, ascending.
  public let times: [Int]
  public let depths: [Int]
  /// Positions along further dimensions, by name.
  public let further: [String: Int]
  /// By position in ``scenes``: what is segmented, in pixels from the scene's top-left corner.
  public let regions: [Region]

  /// - Throws: `option` where the image has not what is chosen.
  public init(of image: ImageDescription, at path: String, _ choice: PlaneChoice) throws(SegmentationError) {
    scenes = try Self.scenes(choice.scenes, of: image, at: path)
    times = try Self.positions(choice.times, below: image.times, "time point", "--time", path)
    depths = try Self.positions(choice.depths, below: image.depth, "z plane", "--z", path)
    let (planes, overflow) = (times.count * depths.count).multipliedReportingOverflow(by: scenes.count)
    guard !overflow, planes <= Self.mostPlanes else {
      throw SegmentationError(
        .option, file: path, "more than \(Self.mostPlanes) planes are chosen; take fewer with --scene, --time or --z")
    }
    further = try Self.further(choice.further, of: image, at: path)
    var regions: [Region] = []
    for scene in scenes {
      let whole = Region(image.scenes[scene].size)
      guard let region = choice.region else {
        regions.append(whole)
        continue
      }
      guard !region.isEmpty, whole.contains(region) else {
        throw SegmentationError(
          .option, file: path,
          "the region \(region) is not inside scene \(image.scenes[scene].index), which is \(whole.size) pixels large")
      }
      regions.append(region)
    }
    self.regions = regions
  }

  /// The planes that one run may have.
  private static let mostPlanes = 10_000_000

  private static func scenes(
    _ selection: Selection?, of image: ImageDescription, at path: String
  ) throws(SegmentationError) -> [Int] {
    guard let selection else { return Array(image.scenes.indices) }
    let wanted = selection.ranges
    let chosen = image.scenes.indices.filter { position in
      wanted.contains { $0.contains(image.scenes[position].index) }
    }
    let known = Set(image.scenes.map(\.index))
    let all = wanted.allSatisfy { range in range.allSatisfy(known.contains) }
    guard all else {
      let has = image.scenes.map { "\($0.index)" }.joined(separator: ", ")
      throw SegmentationError(.option, file: path, "there is no scene \(selection); the image has \(has)")
    }
    return chosen
  }

  private static func positions(
    _ selection: Selection?, below count: Int, _ what: String, _ option: String, _ path: String
  ) throws(SegmentationError) -> [Int] {
    guard let selection else { return Array(0..<count) }
    guard let positions = selection.positions(below: count) else {
      throw SegmentationError(
        .option, file: path,
        "\(option) \(selection): the image has \(count) \(what)\(count == 1 ? "" : "s"), counted from 0")
    }
    return positions
  }

  private static func further(
    _ chosen: [String: Int], of image: ImageDescription, at path: String
  ) throws(SegmentationError) -> [String: Int] {
    for (name, position) in chosen {
      guard let dimension = image.furtherDimensions.first(where: { $0.name == name }) else {
        let has = image.furtherDimensions.map(\.name).joined(separator: ", ")
        throw SegmentationError(
          .option, file: path,
          "there is no dimension \(name); besides scene, channel, z and time the image has \(has.isEmpty ? "none" : has)"
        )
      }
      guard (0..<dimension.count).contains(position) else {
        throw SegmentationError(
          .option, file: path, "dimension \(name) has \(dimension.count) positions, counted from 0, not \(position)")
      }
    }
    for dimension in image.furtherDimensions where dimension.count > 1 && chosen[dimension.name] == nil {
      throw SegmentationError(
        .option, file: path,
        """
        the image has a dimension \(dimension.name) with \(dimension.count) positions; choose one of them with \
        --dimension \(dimension.name)=0
        """)
    }
    return chosen
  }

  /// The planes of a scene in the order in which they are stored, each with its place in C order of (t, z).
  public func planes(scene position: Int) -> [PlaneIndex] {
    times.flatMap { time in
      depths.map { PlaneIndex(scene: scenes[position], z: $0, time: time, further: further) }
    }
  }
}

extension PlaneSelection {
  /// An image to be written that has the chosen planes.
  ///
  /// - Parameters:
  ///   - image: where they are chosen.
  ///   - interval: the seconds from one of the chosen time points to the next, where they are known.
  func output(
    of image: ImageDescription, name: String, content: OutputImage.Content, channels: [OutputImage.Channel],
    interval: Double? = nil
  ) -> OutputImage {
    let physical = image.physicalSize
    /// Positions that were chosen unevenly have no one distance; the provenance lists them.
    func chosen(_ positions: [Int], _ step: Double?) -> OutputImage.Positions {
      let distances = Set(zip(positions, positions.dropFirst()).map { $1 - $0 })
      guard distances.count <= 1 else { return .init(count: positions.count) }
      return .init(
        count: positions.count, step: Double(distances.first ?? 1) * (step ?? 1),
        origin: Double(positions.first ?? 0) * (step ?? 1), unit: step == nil ? nil : "micrometer")
    }
    return OutputImage(
      name: name, content: content,
      scenes: zip(scenes, regions).map { position, region in
        let scene = image.scenes[position]
        return .init(
          index: scene.index, name: scene.name, size: region.size, x: region.x, y: region.y, originX: scene.box.x,
          originY: scene.box.y)
      },
      channels: channels,
      times: interval.map { .init(count: times.count, step: $0, unit: "second") } ?? chosen(times, nil),
      depths: chosen(depths, physical.z), axes: image.axes, pixelSize: .init(x: physical.x, y: physical.y))
  }
}

extension ImageDescription {
  /// Indices of channels that a user names or counts, in that order; all if `nil`.
  ///
  /// - Throws: `option` where the image has no such channel.
  public func channels(named names: [String]?, at path: String) throws(SegmentationError) -> [Int] {
    guard let names else { return Array(channels.indices) }
    var indices: [Int] = []
    for name in names {
      if let index = channels.firstIndex(where: { $0.name == name }) {
        indices.append(index)
      } else if let index = Int(name), channels.indices.contains(index) {
        indices.append(index)
      } else {
        let has = channels.enumerated().map { "\($0) \"\($1.name)\"" }.joined(separator: ", ")
        throw SegmentationError(.option, file: path, "there is no channel \"\(name)\"; the image has \(has)")
      }
    }
    return indices
  }
}
