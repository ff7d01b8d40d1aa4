// SPDX-License-Identifier: Apache-2.0
import KachelPixels
import Testing

@Suite struct ToneTests {
  @Test func brightnessRunsFromBlackToWhite() {
    let tone = Tone(100...300)
    #expect([-5, 100, 150, 200, 300, 1e9].map(tone.brightness) == [0, 0, 0.25, 0.5, 1, 1])
    #expect(tone.brightness(.nan) == 0 && tone.brightness(.infinity) == 1)
    #expect(abs(Tone(100...300, gamma: 0.5).brightness(150) - 0.5) < 1e-6)
    #expect(abs(Tone(100...300, gamma: 2).brightness(200) - 0.25) < 1e-6)
    #expect(Tone(7...7).brightness(7) == 0)
    let all = -Float.greatestFiniteMagnitude...Float.greatestFiniteMagnitude
    #expect(Tone(all).brightness(0) == 0.5)
  }

  @Test func stretchingCutsOffTheRarest() {
    let values = (1...10_000).map { Float($0) }
    let tone = Tone(stretching: [values], cutting: 0.01)
    #expect(abs(tone.range.lowerBound - 100) < 5 && abs(tone.range.upperBound - 9900) < 5)
    // 0 and what is no number do not count.
    let gaps = [Float](repeating: 0, count: 90_000) + [.nan, .infinity, -.infinity]
    #expect(Tone(stretching: [gaps, values], cutting: 0.01) == tone)
    #expect(Tone(stretching: [gaps], cutting: 0.01).range == 0...0)
    #expect(Tone(stretching: [[]], cutting: 0.01).range == 0...0)
  }

  /// One hot pixel must not leave all others in one bin.
  @Test func aFewValuesFarAwayDoNotMatter() {
    let values = (1...10_000).map { Float($0) / 1e4 }
    let tone = Tone(stretching: [values + [1e30, -1e30, 1e7, 1e7]], cutting: 0.01)
    #expect(abs(tone.range.lowerBound - 0.01) < 0.001 && abs(tone.range.upperBound - 0.99) < 0.001)
  }

  @Test func littleThatDiffersIsStillSeen() {
    // Fewer spots than are cut off, on a background that is all the same.
    let spots = [Float](repeating: 5, count: 10_000) + [80, 90]
    #expect(Tone(stretching: [spots], cutting: 0.01).range == 5...90)
    #expect(Tone(stretching: [[255, 0, 255]], cutting: 0.01).range == 0...255)
    #expect(Tone(stretching: [[-3, -3]], cutting: 0.01).range == -3...0)
  }

  @Test func lightsAddUp() {
    let size = Size(width: 4, height: 1)
    var picture = LightPicture(size)
    picture.add([0, 50, 100, .nan], Tone(0...100), color: RGB(red: 255, green: 128, blue: 0))
    picture.add([100, 100, 100, .nan], Tone(0...100), color: RGB(red: 51, green: 0, blue: 255))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    picture.write(to: pixels)
    #expect(pixels.samples == 3 && pixels.size == size)
    #expect(Array(pixels.bytes) == [51, 0, 255, 179, 64, 255, 255, 128, 255, 0, 0, 0])
    var colors = LightPicture(size)
    colors.add(colors: [[0, 1, 2, 3], [4, 5, 6, 7], [251, 252, 253, .nan]], Tone(0...255))
    colors.write(to: pixels)
    #expect(Array(pixels.bytes) == [0, 4, 251, 1, 5, 252, 2, 6, 253, 3, 7, 0])
    LightPicture.write([0, 1, 2, .nan], size, Tone(0...2), to: pixels)
    #expect(pixels.samples == 1 && Array(pixels.bytes) == [0, 128, 255, 0])
  }

  @Test func labelsHaveColors() {
    let known = [3: RGB(red: 1, green: 2, blue: 3), 0: RGB(red: 9, green: 9, blue: 9)]
    let colors = LabelColors(known)
    #expect(colors.color(of: 3) == known[3] && colors.color(of: 0) == known[0])
    #expect(LabelColors().color(of: 0) == RGB(red: 0, green: 0, blue: 0))
    // Neighbouring numbers, as neighbours in an image often have, are told apart; and none is nearly black.
    for label in 1...2000 {
      let (color, next) = (LabelColors().color(of: label), LabelColors().color(of: label + 1))
      let distance =
        abs(Int(color.red) - Int(next.red)) + abs(Int(color.green) - Int(next.green))
        + abs(Int(color.blue) - Int(next.blue))
      #expect(distance > 150, "\(label): \(color) \(next)")
      #expect(max(color.red, color.green, color.blue) > 150)
    }
    #expect(LabelColors().color(of: .min) != LabelColors().color(of: 0))
    for type in PixelType.allCases {
      let labels = PixelBuffer(width: 5, height: 1, type: type)
      let numbers = [0, 3, 3, 4, 0]
      for (index, number) in numbers.enumerated() { type.apply(Store(labels: labels, index: index, number: number)) }
      let drawn = PixelBuffer(width: 0, height: 0, type: .uint8)
      colors.draw(labels, into: drawn)
      let expected = numbers.map(colors.color).flatMap { [$0.red, $0.green, $0.blue] }
      #expect(Array(drawn.bytes) == expected)
    }
  }

  private struct Store: SampleOperation {
    let labels: PixelBuffer
    let index: Int
    let number: Int
    func run<S: Sample>(_: S.Type) {
      switch S.pixelType {
      case .float32: labels.values(as: Float.self)[index] = Float(number)
      case .float64: labels.values(as: Double.self)[index] = Double(number)
      default:
        withUnsafeBytes(of: number.littleEndian) { bytes in
          for byte in 0..<MemoryLayout<S>.size { labels.bytes[index * MemoryLayout<S>.size + byte] = bytes[byte] }
        }
      }
    }
  }

  @Test func colorsFromText() {
    #expect(RGB(hex: "FF8001") == RGB(red: 255, green: 128, blue: 1) && RGB(hex: "#ff8001") == RGB(hex: "FF8001"))
    for wrong in ["", "#", "FF80", "FF80011", "GG0000", "+F8001", "##FF8001"] { #expect(RGB(hex: wrong) == nil) }
  }
}
