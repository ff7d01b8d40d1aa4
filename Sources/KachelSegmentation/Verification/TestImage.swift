// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelEngines
import KachelImages
import KachelModels
import KachelPixels

extension VerificationSubject {
  /// Runs the network on the part of a real image that has most to see.
  func imageCheck(_ image: any ImageSource, channels: [String]?, _ engine: any Engine) throws -> Check {
    guard case .package(let package, let facts?) = self else {
      return Check(
        "test image", .skipped, "convert the package first; bioimage.io packages have test tensors of their own")
    }
    let network = try package.graph.network(engine, name: package.path)
    let metadata = package.metadata
    let probe = NetworkProbe(
      network, isChannelsFirst: false, channels: metadata.channelCount,
      threads: ProcessInfo.processInfo.activeProcessorCount)
    let mapping = try InputMapping(
      of: image.description, at: image.path, names: channels, for: metadata, wanted: probe.inputChannels)
    let stride = facts.tileStride
    let size = Size(
      width: probe.fixed.width ?? AxisGrid.roundUp(512, to: stride.width),
      height: probe.fixed.height ?? AxisGrid.roundUp(512, to: stride.height))
    let picture = try Picture(of: image, mapping, size)
    let output: Picture
    do { output = try probe.run(picture) } catch {
      return Check("test image", .failed, "the network cannot be run on it: \(error)")
    }
    let name = URL(filePath: image.path).lastPathComponent
    let warnings = mapping.warnings.map { "; \($0)" }.joined()
    guard output.values.allSatisfy(\.isFinite) else {
      return Check("test image", .failed, "on \(name) the network gives infinite values or no numbers")
    }
    guard metadata.kind.isSemanticSegmentation, output.channels == metadata.classes.count else {
      let (low, high) = output.range
      return Check("test image", .passed, "on \(name) the values lie between \(low.short) and \(high.short)" + warnings)
    }
    let winners = output.winners
    let shares = metadata.classes.enumerated().map { index, itsClass in
      (name: itsClass.name, percent: Double(winners.count { $0 == index }) * 100 / Double(winners.count))
    }
    let text = shares.map { "\($0.name) \(Float($0.percent).short) %" }.joined(separator: ", ")
    guard shares.count(where: { $0.percent > 0.05 }) > 1 else {
      return Check(
        "test image", .warning,
        "on \(name) every pixel gets the same class (\(text)): wrong channel, wrong range, or another kind of image"
          + warnings)
    }
    return Check("test image", warnings.isEmpty ? .passed : .warning, "on \(name): \(text)" + warnings)
  }
}

extension Picture {
  /// The part of the image's first plane with the most contrast among nine, as the network gets it.
  init(of image: any ImageSource, _ mapping: InputMapping, _ size: Size) throws {
    let plane = image.description.scenes[0].size
    func origins(_ length: Int, _ tile: Int) -> [Int] {
      let room = max(0, length - tile)
      return room == 0 ? [0] : [0, room / 2, room]
    }
    var best: (picture: Picture, spread: Double)?
    for y in origins(plane.height, size.height) {
      for x in origins(plane.width, size.width) {
        let picture = try Picture(of: image, mapping, size, x: x, y: y, plane)
        let spread = picture.spread
        if spread > best?.spread ?? -1 { best = (picture, spread) }
      }
    }
    self = best?.picture ?? Picture(height: 0, width: 0, channels: 0, values: [])
  }

  private init(
    of image: any ImageSource, _ mapping: InputMapping, _ size: Size, x: Int, y: Int, _ plane: Size
  ) throws {
    let columns = ReflectedAxis(origin: x, count: size.width, length: plane.width)
    let rows = ReflectedAxis(origin: y, count: size.height, length: plane.height)
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    let channels = mapping.channels
    var values = [Float](repeating: 0, count: size.area * channels)
    var place = PlaneIndex()
    place.scene = 0
    place.z = image.description.depth / 2
    for dimension in image.description.furtherDimensions { place.further[dimension.name] = 0 }
    try values.withUnsafeMutableBufferPointer { values in
      guard let start = values.baseAddress else { return }
      var channel = 0
      for source in mapping.sources {
        place.channel = source.channel
        try image.read(Region(x: columns.pixels, y: rows.pixels), of: place, into: pixels)
        for mix in source.mixes {
          TensorChannel(values: start, channel: channel, channels: channels)
            .fill(from: pixels, mix: mix, columns: columns, rows: rows, dividedBy: source.divisor)
          channel += 1
        }
      }
    }
    self.init(height: size.height, width: size.width, channels: channels, values: values)
  }
}
