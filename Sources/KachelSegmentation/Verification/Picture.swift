// SPDX-License-Identifier: Apache-2.0

/// What a network is fed, or gives: float32 numbers by row, column and channel, channels running fastest.
struct Picture: Sendable {
  let height: Int
  let width: Int
  let channels: Int
  var values: [Float]

  init(height: Int, width: Int, channels: Int, values: [Float]) {
    (self.height, self.width, self.channels, self.values) = (height, width, channels, values)
  }

  /// Bright round cells on a dark, noisy background, in 0 to 1; the same at every call.
  init(cells height: Int, _ width: Int, channels: Int) {
    var state: UInt64 = 1
    func random() -> Float {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(state >> 40) / Float(1 << 24)
    }
    let spacing = 40
    var cells: [(y: Float, x: Float, radius: Float, light: Float)] = []
    for y in 0...height / spacing {
      for x in 0...width / spacing {
        cells.append(
          (
            Float(y * spacing) + 24 * random(), Float(x * spacing) + 24 * random(), 6 + 8 * random(),
            0.35 + 0.5 * random()
          ))
      }
    }
    var light = (0..<height * width).map { _ in 0.06 + 0.04 * random() }
    for cell in cells {
      let reach = Int(cell.radius) + 2
      let rows = (Int(cell.y) - reach..<Int(cell.y) + reach).clamped(to: 0..<height)
      let columns = (Int(cell.x) - reach..<Int(cell.x) + reach).clamped(to: 0..<width)
      for y in rows {
        for x in columns {
          let (dy, dx) = (Float(y) - cell.y, Float(x) - cell.x)
          let inside = cell.radius - (dy * dy + dx * dx).squareRoot()
          light[y * width + x] += cell.light * max(0, min(1, (inside + 1) / 2))
        }
      }
    }
    var values: [Float] = []
    values.reserveCapacity(light.count * channels)
    for light in light {
      for channel in 0..<channels {
        // Whole steps, as of an 8-bit image.
        values.append((min(1, light * (1 - 0.2 * Float(channel) / Float(channels))) * 255).rounded() / 255)
      }
    }
    self.init(height: height, width: width, channels: channels, values: values)
  }

  func multiplied(by factor: Float) -> Picture {
    var picture = self
    for index in values.indices { picture.values[index] *= factor }
    return picture
  }

  func part(y: Int, x: Int, height: Int, width: Int) -> Picture {
    var part: [Float] = []
    part.reserveCapacity(height * width * channels)
    for row in y..<y + height {
      part += values[(row * self.width + x) * channels..<(row * self.width + x + width) * channels]
    }
    return Picture(height: height, width: width, channels: channels, values: part)
  }

  /// The channel with the largest value, by pixel.
  var winners: [Int] {
    (0..<height * width).map { pixel in
      let start = pixel * channels
      return (1..<max(1, channels)).reduce(0) { values[start + $1] > values[start + $0] ? $1 : $0 }
    }
  }

  /// The deviation of the values from the mean of their channel.
  var spread: Double {
    let count = Double(height * width)
    var sum = 0.0
    for channel in 0..<channels {
      let own = stride(from: channel, to: values.count, by: channels).map { Double(values[$0]) }
      let mean = own.reduce(0, +) / count
      sum += own.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
    }
    return (sum / Double(max(1, channels))).squareRoot()
  }

  /// The part of the pixels of which one channel is almost 1.
  var certainty: Double {
    let certain = (0..<height * width).count { pixel in
      values[pixel * channels..<(pixel + 1) * channels].contains { $0 > 0.999 }
    }
    return Double(certain) / Double(max(1, height * width))
  }

  var range: (low: Float, high: Float) { (values.min() ?? 0, values.max() ?? 0) }
}
