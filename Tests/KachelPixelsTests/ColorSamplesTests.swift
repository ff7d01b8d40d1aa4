// SPDX-License-Identifier: Apache-2.0
import KachelPixels
import Testing

@Suite struct ColorSamplesTests {
  /// Samples whose bytes tell their place.
  private static func buffer(_ size: Size, samples: Int, type: PixelType) -> PixelBuffer {
    let pixels = PixelBuffer(width: size.width, height: size.height, samples: samples, type: type)
    for index in pixels.bytes.indices { pixels.bytes[index] = UInt8(truncatingIfNeeded: index &* 37 &+ index >> 8) }
    return pixels
  }

  private static func sample(_ pixels: PixelBuffer, _ index: Int) -> [UInt8] {
    Array(pixels.bytes[index * pixels.type.size..<(index + 1) * pixels.type.size])
  }

  @Test(arguments: [PixelType.uint8, .int16, .float32, .float64], [3, 4])
  func samplesAreTakenAndSwapped(type: PixelType, samples: Int) {
    let source = Self.buffer(Size(width: 7, height: 5), samples: samples, type: type)
    let swapped = PixelBuffer(width: 0, height: 0, type: .uint8), one = PixelBuffer(width: 0, height: 0, type: .uint8)
    swapped.fill(swappingRedAndBlueOf: source)
    #expect(swapped.size == source.size && swapped.samples == samples && swapped.type == type)
    for sample in 0..<samples {
      one.fill(fromSample: sample, of: source)
      #expect(one.size == source.size && one.samples == 1 && one.type == type)
      for pixel in 0..<source.size.area {
        #expect(Self.sample(one, pixel) == Self.sample(source, pixel * samples + sample))
        let place = sample < 3 ? 2 - sample : sample
        #expect(Self.sample(swapped, pixel * samples + place) == Self.sample(source, pixel * samples + sample))
      }
    }
  }

  /// Every sample of a colour image is downsampled as if it were an image of its own.
  @Test(arguments: [1, 2, 7, 8], [1, 3, 6])
  func colorsAreHalvedSampleBySample(width: Int, height: Int) {
    let source = Self.buffer(Size(width: width, height: height), samples: 3, type: .uint8)
    let whole = PixelBuffer(width: 0, height: 0, type: .uint8), one = PixelBuffer(width: 0, height: 0, type: .uint8)
    let half = PixelBuffer(width: 0, height: 0, type: .uint8), part = PixelBuffer(width: 0, height: 0, type: .uint8)
    for halve in [Downsample.mean, Downsample.mode] {
      halve(source, whole)
      for sample in 0..<3 {
        one.fill(fromSample: sample, of: source)
        halve(one, half)
        part.fill(fromSample: sample, of: whole)
        #expect(part.size == half.size && part.bytes.elementsEqual(half.bytes))
      }
    }
  }
}
