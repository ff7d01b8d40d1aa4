// SPDX-License-Identifier: Apache-2.0

/// A picture to which gray pictures are added in colours, as lights are.
public struct LightPicture {
  public let size: Size
  /// Red, green and blue of every pixel; 1 is the brightest that can be seen.
  private var light: [Float]

  /// A black picture.
  public init(_ size: Size) {
    self.size = size
    light = [Float](repeating: 0, count: 3 * size.area)
  }

  /// Adds a gray picture in a colour.
  public mutating func add(_ plane: [Float], _ tone: Tone, color: RGB) {
    precondition(plane.count == size.area)
    let color = SIMD3(Float(color.red), Float(color.green), Float(color.blue)) / 255
    for (index, value) in plane.enumerated() {
      let brightness = tone.brightness(value)
      for sample in 0..<3 { light[3 * index + sample] += brightness * color[sample] }
    }
  }

  /// Adds a colour picture.
  ///
  /// - Parameter planes: red, green and blue.
  public mutating func add(colors planes: [[Float]], _ tone: Tone) {
    precondition(planes.count == 3 && planes.allSatisfy { $0.count == size.area })
    for (sample, plane) in planes.enumerated() {
      for (index, value) in plane.enumerated() { light[3 * index + sample] += tone.brightness(value) }
    }
  }

  /// The picture in 8 bits.
  ///
  /// - Parameter pixels: reshaped to three samples.
  public func write(to pixels: PixelBuffer) {
    pixels.reshape(width: size.width, height: size.height, samples: 3, type: .uint8)
    Self.write(light, to: pixels) { max(0, min(1, $0)) }
  }

  /// A gray picture in 8 bits.
  ///
  /// - Parameter pixels: reshaped to one sample.
  public static func write(_ plane: [Float], _ size: Size, _ tone: Tone, to pixels: PixelBuffer) {
    precondition(plane.count == size.area)
    pixels.reshape(width: size.width, height: size.height, samples: 1, type: .uint8)
    write(plane, to: pixels, tone.brightness)
  }

  private static func write(_ values: [Float], to pixels: PixelBuffer, _ brightness: (Float) -> Float) {
    let output = pixels.values(as: UInt8.self)
    for (index, value) in values.enumerated() { output[index] = UInt8((255 * brightness(value)).rounded()) }
  }
}
