// SPDX-License-Identifier: Apache-2.0

/// The colours in which labels are drawn.
public struct LabelColors: Sendable {
  private let known: [Int: RGB]

  /// - Parameter known: the colours of some labels. 0, which means no label, is black, and the others have colours of
  ///   their own, unless they are among these.
  public init(_ known: [Int: RGB] = [:]) { self.known = known }

  public func color(of label: Int) -> RGB { known[label] ?? Self.distinct(label) }

  /// Colours of which those of neighbouring numbers are far apart: hues a golden section of the circle from each other,
  /// in turn strong, pale and dark.
  private static func distinct(_ label: Int) -> RGB {
    guard label != 0 else { return RGB(red: 0, green: 0, blue: 0) }
    let turn = Double(label.magnitude % 1_000_003) * 0.618033988749895
    let hue = 6 * (turn - turn.rounded(.down))
    let (saturation, value) = [(0.9, 1.0), (0.55, 1.0), (0.9, 0.7)][Int(label.magnitude % 3)]
    func channel(_ shift: Double) -> UInt8 {
      let place = (hue + shift).truncatingRemainder(dividingBy: 6)
      let share = max(0, min(1, min(place, 4 - place)))
      return UInt8((255 * value * (1 - saturation * share)).rounded())
    }
    return RGB(red: channel(5), green: channel(3), blue: channel(1))
  }

  /// Draws labels: red, green and blue in 8 bits.
  ///
  /// - Parameter pixels: reshaped to the labels' size.
  public func draw(_ labels: PixelBuffer, into pixels: PixelBuffer) {
    precondition(labels.samples == 1)
    pixels.reshape(width: labels.width, height: labels.height, samples: 3, type: .uint8)
    labels.type.apply(Draw(colors: self, labels: labels, pixels: pixels))
  }

  private struct Draw: SampleOperation {
    let colors: LabelColors
    let labels: PixelBuffer
    let pixels: PixelBuffer

    func run<S: Sample>(_: S.Type) {
      let output = pixels.values(as: UInt8.self)
      // Labels come in runs.
      var (last, color): (S?, RGB) = (nil, RGB(red: 0, green: 0, blue: 0))
      for (index, label) in labels.values(as: S.self).enumerated() {
        if label != last { (last, color) = (label, colors.color(of: label.asInt)) }
        (output[3 * index], output[3 * index + 1], output[3 * index + 2]) = (color.red, color.green, color.blue)
      }
    }
  }
}
