// SPDX-License-Identifier: Apache-2.0
public import KachelPixels

/// How a channel is drawn.
public struct ChannelView: Sendable, Hashable {
  /// Where the range of values comes from.
  public enum Source: String, Sendable {
    /// The image's own display settings.
    case display
    /// The darkest and the brightest of the pixels.
    case stretched
    /// The values are colours as they are.
    case stored
    /// The values are labels, drawn in their colours.
    case labels
  }

  /// Index into ``ImageDescription/channels``.
  public let index: Int
  /// The colour of the brightest pixels; white for a channel that has colours itself.
  public let color: RGB
  public let tone: Tone
  public let source: Source

  /// The share of the darkest and of the brightest pixels that may be cut off.
  private static let cut = 0.0035

  /// - Parameters:
  ///   - count: how many channels are drawn together.
  ///   - planes: the means of the channel's samples.
  init(_ index: Int, of image: ImageDescription, among count: Int, planes: [[Float]]) {
    let channel = image.channels[index]
    self.index = index
    let white = RGB(red: 255, green: 255, blue: 255)
    color = planes.count == 3 ? white : channel.color ?? (count == 1 ? white : Self.color(at: index))
    if image.labels != nil {
      (tone, source) = (Tone(0...255), .labels)
    } else if let tone = Self.displayed(channel) {
      (self.tone, source) = (tone, .display)
    } else if planes.count == 3 && channel.pixelType == .uint8 {
      (tone, source) = (Tone(0...255), .stored)
    } else {
      (tone, source) = (Tone(stretching: planes, cutting: Self.cut), .stretched)
    }
  }

  /// What the image's display settings say. More than 8 bits in their whole range would mostly be black: nobody has set
  /// that.
  private static func displayed(_ channel: ImageDescription.Channel) -> Tone? {
    guard let display = channel.display, let range = channel.displayRange else { return nil }
    if display.gamma == 1, channel.pixelType.size > 1, range.lowerBound <= 0,
      let largest = channel.pixelType.integerMaximum
    {
      let filled = channel.validBits.map { Double(sign: .plus, exponent: $0, significand: 1) - 1 } ?? largest
      if [largest, filled].contains(where: { abs(range.upperBound / $0 - 1) < 0.001 }) { return nil }
    }
    return Tone(Float(range.lowerBound)...Float(range.upperBound), gamma: Float(display.gamma))
  }

  /// The colours of channels that have none, in the order of Fiji's composite images.
  private static func color(at index: Int) -> RGB {
    let colors: [(UInt8, UInt8, UInt8)] = [
      (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 255, 255), (255, 0, 255), (255, 255, 0),
    ]
    let (red, green, blue) = colors[index % colors.count]
    return RGB(red: red, green: green, blue: blue)
  }
}
