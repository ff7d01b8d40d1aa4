// SPDX-License-Identifier: Apache-2.0
import KachelPixels
import Testing

@Suite struct PremultipliedPixelsTests {
  /// All colours with all alphas, between pixels that must stay as they are.
  @Test func partlyTransparent() {
    let background = RGB(red: 255, green: 10, blue: 0)
    let buffer = PixelBuffer(width: 258, height: 258, samples: 3, type: .uint8)
    buffer.fill(byte: 7)
    // Rows of alpha, columns of red; green and blue go along with red. Every row ends with a number that is not read.
    let pixels = (0..<256).flatMap { alpha in
      (0..<257).map { red in
        let color = UInt32(min(red, alpha))
        return UInt32(alpha) << 24 | color << 16 | (color / 2) << 8 | color / 3
      }
    }
    pixels.withUnsafeBufferPointer {
      buffer.put(premultiplied: $0, stride: 257, over: background, into: Region(x: 1, y: 1, width: 256, height: 256))
    }
    var wrong: [String] = []
    for y in 0..<258 {
      for x in 0..<258 {
        let start = (y * 258 + x) * 3
        var expected = [7.0, 7, 7]
        if 1...256 ~= x, 1...256 ~= y {
          let (alpha, color) = (Double(y - 1), min(x, y) - 1)
          expected = zip([color, color / 2, color / 3], [255.0, 10, 0]).map {
            Double($0) + ($1 * (255 - alpha) / 255).rounded()
          }
        }
        let same = (0..<3).allSatisfy { Double(buffer.bytes[start + $0]) == expected[$0] }
        if !same { wrong.append("alpha \(y - 1), red \(x - 1)") }
      }
    }
    #expect(wrong.isEmpty, "\(wrong.prefix(5))")
  }

  @Test func colorsAsText() {
    #expect(RGB(hex: "FF8001") == RGB(red: 255, green: 128, blue: 1))
    #expect(RGB(hex: "#ff8001")?.hex == "FF8001")
    for text in ["", "FF800", "FF80010", "GG8001", "+F8001", "##F8001"] { #expect(RGB(hex: text) == nil) }
  }
}
