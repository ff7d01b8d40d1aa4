// SPDX-License-Identifier: Apache-2.0
public import Foundation
public import KachelPixels

/// What a package says of its network, in one form for all formats.
public struct ModelMetadata: Sendable, Hashable {
  /// The identifier that other files refer to; a UUID in lower case as a rule, but nothing enforces that.
  public var id: String
  /// The model's name; the file's name without its extension where the package has none.
  public var name: String
  public var description: String?
  /// The version of the metadata's format, as in `3.1.0`.
  public var schemaVersion: String
  public var kind: ModelKind
  /// The classes in the order of the network's output channels. Empty where the output is an image.
  public var classes: [SegmentationClass]
  /// `nil` in formats that do not say.
  public var colorHandling: ColorHandling?
  /// What the network is fed, in the order of its input channels. Empty in formats that only say how many channels.
  public var channels: [ModelChannel]
  /// How many channels the network takes: gray counts 1, BGR 3, BGRA 4.
  public var channelCount: Int
  /// By how many pixels tiles overlap their neighbours on each side; `nil` where the package does not say.
  public var border: AxisPair?
  /// The sizes that the package declares, without a batch: height, width, channels (with depth in front for 3-D).
  public var inputShape: [Int]?
  public var outputShape: [Int]?
  /// The whole tile that the network is meant to see, border included.
  public var tileSize: Size?
  /// The pixel size for which the network was made.
  public var pixelSize: ModelPixelSize?
  /// Whether integer pixels are divided by the largest value of their type (255, 65535) before the network sees them.
  /// Otherwise the network takes raw values.
  public var scalesInputByBitDepth: Bool
  /// What the package wants done with the result, as `None` or the name of a post-processing.
  public var postprocessing: String?
  /// `DeepNeuralNetwork`, or the features of a classical classifier.
  public var featureExtractor: String?
  /// The name of the package's licence file.
  public var licenseName: String?
  /// The licence to pack; `nil` where the package has it already, or there is none.
  public var licenseFile: URL?
}

extension ModelMetadata {
  /// What a segmentation network that takes raw pixel values is for, as `.czmodel` packages say it.
  ///
  /// - Parameters:
  ///   - classes: the names in the order of the network's output channels. They get the label values 1, 2 ... and the
  ///     colours that the czmodel tools give; see ``ClassColors``.
  ///   - pixelTypes: of the image channels that the network is fed, in their order.
  ///   - borderSize: by how many pixels tiles must overlap on each side for their middle not to show where they end.
  ///   - licenseFile: read when a ``ModelPackage`` is made of this.
  ///   - id: a fresh UUID where none is given.
  public init(
    name: String, classes: [String], pixelTypes: [ModelPixelType], colorHandling: ColorHandling, borderSize: Int,
    licenseFile: URL? = nil, id: String? = nil
  ) {
    let channels = pixelTypes.map { ModelChannel(pixelTypes: [$0]) }
    self.init(
      id: id ?? Self.freshID(), name: name, schemaVersion: "", kind: .singleClassSemanticSegmentation,
      classes: Self.classes(named: classes), colorHandling: colorHandling, channels: channels,
      channelCount: channels.reduce(0) { $0 + $1.samples }, border: AxisPair(y: borderSize, x: borderSize),
      scalesInputByBitDepth: false, licenseFile: licenseFile)
  }

  /// Names the classes anew. As many as there were keep their label values and colours; otherwise they are numbered and
  /// coloured anew.
  public mutating func nameClasses(_ names: [String]) {
    if names.count == classes.count {
      for (index, name) in names.enumerated() { classes[index].name = name }
    } else {
      classes = Self.classes(named: names)
    }
  }

  /// Says what the network is fed, in the order of its channels.
  public mutating func setPixelTypes(_ types: [ModelPixelType]) {
    channels = types.map { ModelChannel(pixelTypes: [$0]) }
    channelCount = channels.reduce(0) { $0 + $1.samples }
  }

  /// A random UUID, in lower case as packages have them.
  public static func freshID() -> String { UUID().uuidString.lowercased() }

  /// Classes with the label values 1, 2 ... in the colours of the czmodel tools.
  static func classes(named names: [String]) -> [SegmentationClass] {
    names.enumerated().map { index, name in
      SegmentationClass(labelValue: index + 1, name: name, color: ClassColors.color(at: index))
    }
  }
}

/// A number for each of the two axes of a plane, in pixels.
public struct AxisPair: Sendable, Hashable {
  public var y: Int
  public var x: Int

  public init(y: Int, x: Int) {
    self.y = y
    self.x = x
  }
}

/// A pixel's size in micrometres.
public struct ModelPixelSize: Sendable, Hashable {
  public var x: Double
  public var y: Double
  public var z: Double?

  public init(x: Double, y: Double, z: Double? = nil) {
    self.x = x
    self.y = y
    self.z = z
  }
}

/// What a network's output means. The names are those of the `.czann` format.
public enum ModelKind: String, Sendable, Hashable, CaseIterable {
  case singleClassInstanceSegmentation = "SingleClassInstanceSegmentation"
  case multiClassInstanceSegmentation = "MultiClassInstanceSegmentation"
  /// Every pixel has one class.
  case singleClassSemanticSegmentation = "SingleClassSemanticSegmentation"
  /// A pixel may have several classes.
  case multiClassSemanticSegmentation = "MultiClassSemanticSegmentation"
  case singleClassClassification = "SingleClassClassification"
  case multiClassClassification = "MultiClassClassification"
  case objectDetection = "ObjectDetection"
  /// The output is an image.
  case regression = "Regression"

  public var isSemanticSegmentation: Bool {
    self == .singleClassSemanticSegmentation || self == .multiClassSemanticSegmentation
  }
}

/// What happens to a colour image before a network sees it.
public enum ColorHandling: String, Sendable, Hashable, CaseIterable {
  case convertToMonochrome = "ConvertToMonochrome"
  case splitRGB = "SplitRgb"
}

/// A class that pixels are given.
public struct SegmentationClass: Sendable, Hashable {
  /// The value of the class's pixels in a label image, 1 or more.
  public var labelValue: Int
  public var name: String
  public var color: RGB

  public init(labelValue: Int, name: String, color: RGB) {
    self.labelValue = labelValue
    self.name = name
    self.color = color
  }
}

/// One image channel that a network takes, with the pixel types that it accepts there.
public struct ModelChannel: Sendable, Hashable {
  /// At least one; all have the same number of samples.
  public var pixelTypes: [ModelPixelType]

  public init(pixelTypes: [ModelPixelType]) { self.pixelTypes = pixelTypes }

  /// How many of the network's input channels this channel fills.
  public var samples: Int { pixelTypes.first?.samples ?? 1 }
}

/// The pixel types that packages name.
public enum ModelPixelType: String, Sendable, Hashable, CaseIterable {
  case gray8 = "Gray8"
  case gray16 = "Gray16"
  case gray32Float = "Gray32Float"
  case bgr24 = "Bgr24"
  case bgr48 = "Bgr48"
  case bgr96Float = "Bgr96Float"
  case bgra32 = "Bgra32"
  case gray64ComplexFloat = "Gray64ComplexFloat"
  case bgr192ComplexFloat = "Bgr192ComplexFloat"

  /// Numbers per pixel.
  public var samples: Int {
    switch self {
    case .gray8, .gray16, .gray32Float: 1
    case .gray64ComplexFloat: 2
    case .bgr24, .bgr48, .bgr96Float: 3
    case .bgra32: 4
    case .bgr192ComplexFloat: 6
    }
  }
}
