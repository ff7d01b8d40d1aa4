// SPDX-License-Identifier: Apache-2.0

extension PixelBuffer {
  /// Takes one channel of a region of float32 scores, channel fastest, as float32 pixels.
  public func fill(
    channel: Int, of channels: Int, fromScores scores: UnsafePointer<Float>, width: Int, region: Region
  ) {
    reshape(width: region.width, height: region.height, samples: 1, type: .float32)
    let output = values(as: Float.self)
    for y in 0..<region.height {
      let row = scores + ((region.y + y) * width + region.x) * channels + channel
      for x in 0..<region.width { output[y * region.width + x] = row[x * channels] }
    }
  }

  /// Sets the pixels to 0 that lie in none of the regions.
  ///
  /// - Parameters:
  ///   - regions: in the coordinates of `place`.
  ///   - place: where the buffer lies; of the buffer's size.
  public func clear(outside regions: [Region], of place: Region) {
    precondition(place.size == size)
    if regions.contains(where: { $0.contains(place) }) { return }
    let bytes = bytes, pixel = bytesPerPixel
    let columns = regions.map { $0.intersection(place) }.filter { !$0.isEmpty }
    for y in place.y..<place.maxY {
      // The covered stretches of the row from left to right; what lies between them is cleared.
      let covered = columns.filter { $0.y <= y && y < $0.maxY }.map { $0.x..<$0.maxX }
        .sorted { $0.lowerBound < $1.lowerBound }
      let row = (y - place.y) * bytesPerRow
      var next = place.x
      for range in covered + [place.maxX..<place.maxX] {
        if range.lowerBound > next {
          let gap = row + (next - place.x) * pixel..<row + (range.lowerBound - place.x) * pixel
          UnsafeMutableRawBufferPointer(rebasing: bytes[gap]).initializeMemory(as: UInt8.self, repeating: 0)
        }
        next = max(next, range.upperBound)
      }
    }
  }
}
