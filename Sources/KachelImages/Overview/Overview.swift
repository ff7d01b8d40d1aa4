// SPDX-License-Identifier: Apache-2.0
public import KachelPixels

/// Draws small pictures of an image's scenes, in the colours of its channels.
///
/// Every pixel of a picture is the mean of the pixels under it that the file holds, read from the smallest resolution
/// that is not smaller than the picture, block by block: memory does not grow with the image.
public struct Overview: Sendable {
  public let image: any ImageSource
  /// Indices of the channels that are drawn.
  public let channels: [Int]
  /// The longest side of a picture in pixels. Smaller scenes are not enlarged.
  public let longestSide: Int
  /// The time point and the z plane; of each scene the first and the middle one that hold pixels, where `nil`.
  public let time: Int?
  public let depth: Int?
  /// Positions along further dimensions, by name; 0 where there is none.
  public let further: [String: Int]

  /// The longest sides that can be drawn.
  public static let sides = 1...4096

  /// - Parameters:
  ///   - channels: indices; by default all that were shown last.
  ///   - longestSide: brought into ``sides``.
  /// - Throws: `outOfRange` where the image has no such channel, time point, z plane or position.
  public init(
    of image: any ImageSource, channels: [Int]? = nil, time: Int? = nil, depth: Int? = nil,
    further: [String: Int] = [:],
    longestSide: Int = 1024
  ) throws(ImageError) {
    let description = image.description
    let shown = description.channels.indices.filter { description.channels[$0].isShown }
    self.image = image
    self.channels = channels ?? (shown.isEmpty ? Array(description.channels.indices) : shown)
    self.longestSide = max(Self.sides.lowerBound, min(Self.sides.upperBound, longestSide))
    (self.time, self.depth, self.further) = (time, depth, further)
    guard self.channels.allSatisfy(description.channels.indices.contains),
      (0..<description.times).contains(time ?? 0), (0..<description.depth).contains(depth ?? 0),
      further.allSatisfy({ name, position in
        description.furtherDimensions.contains { $0.name == name && (0..<$0.count).contains(position) }
      })
    else {
      throw ImageError(
        .outOfRange, file: image.path,
        "has no such plane; there are \(description.channels.count) channels, \(description.times) time points and "
          + "\(description.depth) z planes")
    }
  }

  /// A picture of a scene.
  public struct Picture: Sendable {
    /// What was read, at which resolution; of its channel says ``channels`` more.
    public let plane: PlaneIndex
    public let channels: [ChannelView]
    /// Red, green and blue in 8 bits.
    public let pixels: PixelBuffer
  }

  /// Into how many blocks the work at a scene is cut.
  ///
  /// - Parameter scene: position in ``ImageDescription/scenes``.
  public func blockCount(of scene: Int) -> Int {
    let plan = OverviewPlan(self, scene: scene)
    return channels.reduce(0) { $0 + plan.blocks(of: $1).count }
  }

  /// Draws a scene.
  ///
  /// - Parameters:
  ///   - scene: position in ``ImageDescription/scenes``.
  ///   - each: gets every channel by itself, in gray (label images in their colours), when it has been read.
  ///   - progress: called after every block.
  /// - Throws: ``ImageError`` where the image cannot be read; `CancellationError` soon after the task was cancelled.
  public func draw(
    _ scene: Int, each: (ChannelView, PixelBuffer) throws -> Void = { _, _ in }, progress: () -> Void = {}
  ) async throws -> Picture {
    let plan = OverviewPlan(self, scene: scene)
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    var light = LightPicture(plan.size)
    var views: [ChannelView] = []
    for index in channels {
      let planes = try await plan.means(of: index, progress: progress)
      let view = ChannelView(index, of: image.description, among: channels.count, planes: planes)
      views.append(view)
      if planes.count == 3 {
        var alone = LightPicture(plan.size)
        light.add(colors: planes, view.tone)
        alone.add(colors: planes, view.tone)
        alone.write(to: pixels)
      } else {
        light.add(planes[0], view.tone, color: view.color)
        LightPicture.write(planes[0], plan.size, view.tone, to: pixels)
      }
      try each(view, pixels)
    }
    light.write(to: pixels)
    return Picture(plane: plan.plane, channels: views, pixels: pixels)
  }
}
