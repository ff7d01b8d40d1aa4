// SPDX-License-Identifier: Apache-2.0
public import KachelPixels

/// What an image holds, known without reading its pixels.
public struct ImageDescription: Sendable, Hashable {
  /// The format's name, as in `CZI` or `PNG`.
  public var format: String
  public var scenes: [Scene]
  public var channels: [Channel]
  /// Number of planes along z and of time points; at least 1.
  public var depth: Int
  public var times: Int
  /// Which of `t`, `c`, `z` the file itself has as dimensions, whatever their size (`y` and `x` are always there).
  public var axes: Set<Character>
  /// Dimensions besides scene, channel, z, time, mosaic tile, y and x, by their letter in the file: how many positions.
  public var furtherDimensions: [FurtherDimension]
  public var physicalSize: PhysicalSize
  /// The compressions met in the file, by name.
  public var compressions: [String]
  /// When the time points were taken, in seconds from the acquisition's start; empty where the file does not say.
  public var timeStamps: [Double]
  /// What the file carries beside its pixels; ``ImageSource/attachment(_:)`` reads it.
  public var attachments: [Attachment]
  /// The labels that have a name or a colour, of a label image; `nil` where pixels are no labels.
  public var labels: [LabelDescription]?
  /// How the pixels lie in the file, in words.
  public var storage: String?
  /// What is unusual about the file, in words, as far as it is known without reading pixels.
  public var notes: [String]

  public init(
    format: String, scenes: [Scene], channels: [Channel], depth: Int = 1, times: Int = 1, axes: Set<Character> = [],
    furtherDimensions: [FurtherDimension] = [], physicalSize: PhysicalSize = PhysicalSize(),
    compressions: [String] = [],
    timeStamps: [Double] = [], attachments: [Attachment] = [], labels: [LabelDescription]? = nil,
    storage: String? = nil, notes: [String] = []
  ) {
    self.format = format
    self.scenes = scenes
    self.channels = channels
    self.depth = depth
    self.times = times
    self.axes = axes
    self.furtherDimensions = furtherDimensions
    self.physicalSize = physicalSize
    self.compressions = compressions
    self.timeStamps = timeStamps
    self.attachments = attachments
    self.labels = labels
    self.storage = storage
    self.notes = notes
  }

  /// Index into ``attachments`` of a small picture of the image, a JPEG file.
  public var thumbnail: Int? { attachments.firstIndex { $0.type == "JPG" && $0.name == "Thumbnail" } }

  /// A file inside the file.
  public struct Attachment: Sendable, Hashable {
    public var name: String
    /// The kind of content as the image's format names it, as in `JPG`.
    public var type: String
    public var byteCount: Int

    public init(name: String, type: String, byteCount: Int) {
      self.name = name
      self.type = type
      self.byteCount = byteCount
    }
  }

  /// One area of the image with its own origin. Files without scenes have one.
  public struct Scene: Sendable, Hashable {
    /// The scene's index in the file.
    public var index: Int
    public var name: String?
    /// The scene's bounding box at full resolution in the file's own pixel coordinates.
    public var box: Region
    public var size: Size { box.size }
    /// The resolutions that the file holds, the full one first, each smaller than the one before.
    public var levels: [Level]
    /// Where the scene's middle was on the microscope's stage.
    public var center: StagePosition?
    /// The well of the plate that the scene lies in, as in `B4`.
    public var well: String?

    /// - Parameter levels: only the full resolution if empty.
    public init(
      index: Int, name: String? = nil, box: Region, levels: [Level] = [], center: StagePosition? = nil,
      well: String? = nil
    ) {
      self.index = index
      self.name = name
      self.box = box
      self.levels = levels.isEmpty ? [Level(size: box.size, downsampling: 1)] : levels
      self.center = center
      self.well = well
    }
  }

  /// A place on the microscope's stage in micrometres.
  public struct StagePosition: Sendable, Hashable {
    public var x: Double
    public var y: Double

    public init(x: Double, y: Double) {
      self.x = x
      self.y = y
    }
  }

  /// One resolution of a scene.
  public struct Level: Sendable, Hashable {
    public var size: Size
    /// For how many pixels of full resolution one of its pixels stands on either axis.
    public var downsampling: Double
    /// The size of the largest piece that is decoded at once, where the file has pieces: a sub-block, chunk, strip or tile.
    public var tile: Size?

    public init(size: Size, downsampling: Double, tile: Size? = nil) {
      self.size = size
      self.downsampling = downsampling
      self.tile = tile
    }

    /// The level of a format that says no more than its size: a whole number where the sizes are those of one, rounded up
    /// or down.
    init(size: Size, reducedFrom full: Size, tile: Size? = nil) {
      let (across, down) = (Double(full.width) / Double(size.width), Double(full.height) / Double(size.height))
      // The shorter side may be a single pixel in both.
      let whole = max(1, Int((full.width >= full.height ? across : down).rounded()))
      let isWhole = [(full.width, size.width), (full.height, size.height)].allSatisfy {
        $0.0 / whole == $0.1 || ($0.0 + whole - 1) / whole == $0.1
      }
      self.init(size: size, downsampling: isWhole ? Double(whole) : (across + down) / 2, tile: tile)
    }
  }

  public struct Channel: Sendable, Hashable {
    public var name: String
    /// The colour in which the channel is shown, as red, green, blue.
    public var color: RGB?
    public var pixelType: PixelType
    /// What the samples of a pixel mean, in their order in memory.
    public var layout: SampleLayout
    /// How many of a sample's bits the camera filled, where that is less than or all that it has.
    public var validBits: Int?
    /// How the channel was shown last.
    public var display: Display?
    /// Whether the channel was seen when the image was shown last.
    public var isShown: Bool

    public init(
      name: String, color: RGB? = nil, pixelType: PixelType, layout: SampleLayout, validBits: Int? = nil,
      display: Display? = nil, isShown: Bool = true
    ) {
      self.name = name
      self.color = color
      self.pixelType = pixelType
      self.layout = layout
      self.validBits = validBits
      self.display = display
      self.isShown = isShown
    }

    /// The pixel values that were shown as black and as the channel's colour.
    public var displayRange: ClosedRange<Double>? {
      guard let display else { return nil }
      let (first, span) = pixelType.displaySpan
      let (low, high) = (first + display.low * span, first + display.high * span)
      return low < high ? low...high : nil
    }
  }

  /// Which values of a channel are shown as black and as its colour.
  public struct Display: Sendable, Hashable {
    /// Parts of an integer type's range: 0 is its smallest value, 1 its largest. Of floating point the values themselves.
    public var low: Double
    public var high: Double
    public var gamma: Double

    public init(low: Double = 0, high: Double = 1, gamma: Double = 1) {
      self.low = low
      self.high = high
      self.gamma = gamma
    }

    /// - Returns: `nil` where the range is none.
    init?(_ low: Double, _ high: Double, of type: PixelType) {
      let (first, span) = type.displaySpan
      guard low.isFinite, high.isFinite, low < high else { return nil }
      self.init(low: (low - first) / span, high: (high - first) / span)
    }
  }

  public struct FurtherDimension: Sendable, Hashable {
    public var name: String
    public var count: Int
    public init(name: String, count: Int) {
      self.name = name
      self.count = count
    }
  }

  /// Distances between neighbouring pixels in micrometres; `nil` where the file does not say.
  public struct PhysicalSize: Sendable, Hashable {
    public var x: Double?
    public var y: Double?
    public var z: Double?
    public init(x: Double? = nil, y: Double? = nil, z: Double? = nil) {
      self.x = x
      self.y = y
      self.z = z
    }
  }
}

extension PixelType {
  /// The value that ``ImageDescription/Display`` calls 0, and how far the one is that it calls 1.
  fileprivate var displaySpan: (first: Double, span: Double) {
    guard let largest = integerMaximum else { return (0, 1) }
    return isSigned ? (-largest - 1, 2 * largest + 1) : (0, largest)
  }
}

/// What the interleaved samples of a pixel are.
public enum SampleLayout: String, Sendable, Hashable {
  case gray, grayAlpha, bgr, rgb, rgba, bgra

  public var samples: Int {
    switch self {
    case .gray: 1
    case .grayAlpha: 2
    case .bgr, .rgb: 3
    case .rgba, .bgra: 4
    }
  }
}

/// One two-dimensional plane of an image: positions along every dimension but y and x, each counted from 0.
public struct PlaneIndex: Sendable, Hashable, CustomStringConvertible {
  /// Index into ``ImageDescription/scenes``.
  public var scene: Int
  public var channel: Int
  public var z: Int
  public var time: Int
  /// Positions along ``ImageDescription/furtherDimensions``, by name; a dimension that is not named is at 0.
  public var further: [String: Int]
  /// Index into ``ImageDescription/Scene/levels``: 0 is full resolution.
  public var level: Int

  public init(
    scene: Int = 0, channel: Int = 0, z: Int = 0, time: Int = 0, further: [String: Int] = [:], level: Int = 0
  ) {
    self.scene = scene
    self.channel = channel
    self.z = z
    self.time = time
    self.further = further
    self.level = level
  }

  public var description: String {
    (["scene \(scene)", "time \(time)", "z \(z)", "channel \(channel)"]
      + further.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }).joined(separator: ", ")
  }
}
