// SPDX-License-Identifier: Apache-2.0
public import KachelPixels

/// The colours that the czmodel tools give to classes in turn, for formats that hold no colours.
///
/// Pure hues at full saturation: the six main ones in an order of the tools' own, then hues between them. The tools
/// repeat the first colour, red, at the fourth place; so does this, as files written by either must agree.
public enum ClassColors {
  /// The colours of the first `count` classes.
  public static func colors(count: Int) -> [RGB] { (0..<max(0, count)).map(color(at:)) }

  /// The first `count` of them without those that were there before. Their hues are used up after some two hundred;
  /// further colours are spread over all that there are.
  public static func distinctColors(count: Int) -> [RGB] {
    var (colors, seen) = ([RGB](), Set<RGB>())
    func add(_ color: RGB) { if colors.count < count, seen.insert(color).inserted { colors.append(color) } }
    for index in 0..<6 * 64 { add(color(at: index)) }
    for index in 1..<1 << 24 {
      if colors.count >= count { break }
      // Multiplied by an odd number, no two numbers below a power of two are the same.
      let value = index &* 0x9E_3779 & 0xFF_FFFF
      add(RGB(red: UInt8(value >> 16), green: UInt8(value >> 8 & 0xFF), blue: UInt8(value & 0xFF)))
    }
    return colors
  }

  /// The colour of the class at `index`, counted from 0.
  public static func color(at index: Int) -> RGB {
    // The generator starts with red, then goes by a step that leaves out 1: 0, 2, 3, 4 ...
    guard index > 0 else { return RGB(red: 255, green: 0, blue: 0) }
    let step = index == 1 ? 0 : index
    // From red, yellow, green, cyan, blue, magenta to the next main hue, as the tools tabulate it.
    let successor = [2.0, 5, 4, 0, 1, 3]
    let round = Double(step / 6)
    // One turn too many, which rounds the hue: it decides whether a channel is truncated to 169 or 170.
    let hue = (successor[step % 6] + round / (round + 1)) / 6 + 1
    return rgb(hue: hue.truncatingRemainder(dividingBy: 1))
  }

  /// A hue (0 ..< 1) at half lightness and full saturation; channels are truncated, not rounded, as the tools do.
  private static func rgb(hue: Double) -> RGB {
    func channel(_ shift: Double) -> UInt8 {
      var position = (hue + shift).truncatingRemainder(dividingBy: 1)
      if position < 0 { position += 1 }
      let value: Double =
        if position < 1.0 / 6 { position * 6 } else if position < 0.5 { 1 } else if position < 2.0 / 3 {
          (2.0 / 3 - position) * 6
        } else { 0 }
      return UInt8(max(0, min(255, value * 255)))
    }
    return RGB(red: channel(1.0 / 3), green: channel(0), blue: channel(-1.0 / 3))
  }
}
