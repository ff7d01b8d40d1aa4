// SPDX-License-Identifier: Apache-2.0
public import KachelPixels

/// What an image to be written is: all that a file says beside its pixels.
public struct OutputImage: Sendable {
  public enum Content: Sendable {
    /// Labels: smaller resolutions have the mode of the pixels, and every value may have a name and a colour.
    case labels([LabelDescription])
    /// Intensities: smaller resolutions have the mean of the pixels.
    case intensities
  }

  public var name: String
  public var content: Content
  public var scenes: [Scene]
  /// All of one pixel type and layout; labels have one gray channel.
  public var channels: [Channel]
  public var times: Positions
  public var depths: Positions
  /// Which of `t`, `c`, `z` the output has as dimensions even where they have one position.
  public var axes: Set<Character>
  /// Distances of neighbouring pixels along x and y in micrometres; that along z is part of ``depths``.
  public var pixelSize: ImageDescription.PhysicalSize

  public init(
    name: String, content: Content, scenes: [Scene], channels: [Channel], times: Positions = Positions(),
    depths: Positions = Positions(), axes: Set<Character> = [],
    pixelSize: ImageDescription.PhysicalSize = ImageDescription.PhysicalSize()
  ) {
    self.name = name
    self.content = content
    self.scenes = scenes
    self.channels = channels
    self.times = times
    self.depths = depths
    self.axes = axes
    self.pixelSize = pixelSize
  }

  /// One area of the image with its own origin.
  public struct Scene: Sendable, Hashable {
    /// The scene's number in the image that it comes from.
    public var index: Int
    public var name: String?
    public var size: Size
    /// Where the top-left pixel lies, in pixels from the corner of the scene that it comes from; not 0 where a region of
    /// it is written.
    public var x: Int
    public var y: Int
    /// Where the corner of the scene that it comes from lies in its file's own pixel coordinates.
    public var originX: Int
    public var originY: Int

    public init(
      index: Int = 0, name: String? = nil, size: Size, x: Int = 0, y: Int = 0, originX: Int = 0, originY: Int = 0
    ) {
      self.index = index
      self.name = name
      self.size = size
      self.x = x
      self.y = y
      self.originX = originX
      self.originY = originY
    }
  }

  public struct Channel: Sendable, Hashable {
    public var name: String
    public var color: RGB?
    public var pixelType: PixelType
    public var layout: SampleLayout
    /// The values to show as black and as white.
    public var range: ClosedRange<Double>?

    public init(
      name: String, color: RGB? = nil, pixelType: PixelType, layout: SampleLayout = .gray,
      range: ClosedRange<Double>? = nil
    ) {
      self.name = name
      self.color = color
      self.pixelType = pixelType
      self.layout = layout
      self.range = range
    }
  }

  /// Positions along time or z.
  public struct Positions: Sendable, Hashable {
    public var count: Int
    /// The distance of neighbours in `unit`, or 1.
    public var step: Double
    /// Where the first one lies in `unit`.
    public var origin: Double
    /// `micrometer` or `second`; `nil` where it is unknown.
    public var unit: String?

    public init(count: Int = 1, step: Double = 1, origin: Double = 0, unit: String? = nil) {
      self.count = count
      self.step = step
      self.origin = origin
      self.unit = unit
    }
  }

  /// The type of all samples.
  public var pixelType: PixelType { channels[0].pixelType }
  /// What the samples of a pixel are, in all channels.
  public var layout: SampleLayout { channels[0].layout }
  /// Number of planes of a scene.
  public var planes: Int { times.count * channels.count * depths.count }

  /// A plane's number: planes of a scene stand in C order of time, channel and z.
  public func number(of plane: PlaneIndex) -> Int {
    (plane.time * channels.count + plane.channel) * depths.count + plane.z
  }
}

/// What a label value means.
public struct LabelDescription: Sendable, Hashable {
  public var value: Int
  public var name: String
  public var color: RGB

  public init(value: Int, name: String, color: RGB) {
    self.value = value
    self.name = name
    self.color = color
  }
}
