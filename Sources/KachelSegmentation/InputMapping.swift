// SPDX-License-Identifier: Apache-2.0
public import KachelImages
public import KachelModels
public import KachelPixels

/// Which of an image's channels and samples become which channels of a network's input.
public struct InputMapping: Sendable, Hashable {
  /// One image channel and what the network takes from it.
  public struct Source: Sendable, Hashable {
    /// Index into ``ImageDescription/channels``.
    public let channel: Int
    /// One for each network channel that comes from it, in order.
    public let mixes: [SampleMix]
    /// What its values are divided by.
    public let divisor: Float
  }

  public let sources: [Source]
  /// Channels of the network's input.
  public var channels: Int { sources.reduce(0) { $0 + $1.mixes.count } }
  /// What the user should know though it does not stop the run.
  public let warnings: [String]

  /// - Parameters:
  ///   - names: the channels to use, by name or index; all if `nil`.
  ///   - wanted: how many channels the network takes.
  public init(
    of image: ImageDescription, at path: String, names: [String]?, for metadata: ModelMetadata, wanted: Int
  ) throws(SegmentationError) {
    let chosen = try image.channels(named: names, at: path)
    // Some packages ask for gray but hold a network that takes colours; the network knows best.
    let colors = chosen.reduce(0) { $0 + image.channels[$1].layout.colors }
    let isMonochrome = metadata.colorHandling == .convertToMonochrome && colors != wanted
    sources = chosen.map { index in
      let channel = image.channels[index]
      let divisor = metadata.scalesInputByBitDepth ? Float(channel.pixelType.integerMaximum ?? 1) : 1
      let mixes = Self.mixes(channel.layout, isMonochrome: isMonochrome, withAlpha: chosen.count == 1 && wanted == 4)
      return Source(channel: index, mixes: mixes, divisor: divisor)
    }
    let got = sources.reduce(0) { $0 + $1.mixes.count }
    guard got == wanted else {
      let has = image.channels.enumerated().map { index, channel in
        "\(index) \"\(channel.name)\" (\(channel.layout.rawValue), \(channel.pixelType.rawValue))"
      }
      let isColor = chosen.contains { image.channels[$0].layout.samples > 2 }
      let remedy =
        image.channels.count > 1
        ? "Choose with --channel, once for each channel in the model's order"
        : isColor
          ? "A colour channel counts once for each colour, and the package does not say to turn colours into gray"
          : "The model needs another image"
      throw SegmentationError(
        .mismatch, file: path,
        """
        the model \"\(metadata.name)\" takes \(wanted) channel\(wanted == 1 ? "" : "s")\
        \(metadata.channels.isEmpty ? "" : " (\(Self.summary(metadata)))"), but \
        \(names == nil ? "the image has" : "the chosen channels give") \(got): \(has.joined(separator: ", ")). \(remedy)
        """)
    }
    warnings = Self.typeWarnings(sources.map { image.channels[$0.channel] }, metadata)
  }

  /// Colours in the order blue, green, red, alpha, which is what packages expect.
  private static func mixes(_ layout: SampleLayout, isMonochrome: Bool, withAlpha: Bool) -> [SampleMix] {
    switch layout {
    case .gray, .grayAlpha: [.sample(0)]
    case .bgr: isMonochrome ? [.luminance(red: 2, green: 1, blue: 0)] : [.sample(0), .sample(1), .sample(2)]
    case .rgb: isMonochrome ? [.luminance(red: 0, green: 1, blue: 2)] : [.sample(2), .sample(1), .sample(0)]
    case .rgba:
      isMonochrome
        ? [.luminance(red: 0, green: 1, blue: 2)]
        : [.sample(2), .sample(1), .sample(0)] + (withAlpha ? [.sample(3)] : [])
    case .bgra:
      isMonochrome
        ? [.luminance(red: 2, green: 1, blue: 0)]
        : [.sample(0), .sample(1), .sample(2)] + (withAlpha ? [.sample(3)] : [])
    }
  }

  private static func typeWarnings(_ channels: [ImageDescription.Channel], _ metadata: ModelMetadata) -> [String] {
    var warnings: [String] = []
    if metadata.scalesInputByBitDepth {
      for channel in channels where channel.pixelType.isFloatingPoint {
        warnings.append(
          "channel \"\(channel.name)\" holds floating-point values, which the model gets as they are; it expects 0 to 1"
        )
      }
    } else {
      for (channel, accepted) in zip(channels, metadata.channels)
      where !accepted.pixelTypes.contains(where: { $0.sampleType == channel.pixelType }) {
        warnings.append(
          """
          channel \"\(channel.name)\" holds \(channel.pixelType.rawValue) values, which the model gets as they are; \
          it was made for \(accepted.pixelTypes.map(\.rawValue).joined(separator: " or "))
          """)
      }
    }
    return warnings
  }

  private static func summary(_ metadata: ModelMetadata) -> String {
    metadata.channels.map { $0.pixelTypes.map(\.rawValue).joined(separator: " or ") }.joined(separator: ", ")
  }
}

extension ModelPixelType {
  /// The type of its numbers, where images can have it.
  fileprivate var sampleType: PixelType? {
    switch self {
    case .gray8, .bgr24, .bgra32: .uint8
    case .gray16, .bgr48: .uint16
    case .gray32Float, .bgr96Float: .float32
    case .gray64ComplexFloat, .bgr192ComplexFloat: nil
    }
  }
}

extension SampleLayout {
  /// Samples without alpha.
  fileprivate var colors: Int {
    switch self {
    case .gray, .grayAlpha: 1
    case .bgr, .rgb, .rgba, .bgra: 3
    }
  }
}
