// SPDX-License-Identifier: Apache-2.0
import KachelEngines
import KachelImages
import KachelModels
import KachelPixels

/// Everything that one tile needs on its way through a run, used again for tile after tile.
///
/// `@unchecked Sendable`: a slot belongs to one tile, and a tile is in one stage at a time.
final class TileSlot: @unchecked Sendable {
  /// The pixels of every image channel that the network gets.
  let raw: [PixelBuffer]
  /// The plane's region that `raw` holds.
  var rawRegion = Region(x: 0, y: 0, width: 0, height: 0)
  /// The network's input, NHWC, and its output: scores, NHWC, or bytes that are classes, see ``GraphEnds``.
  var input: UnsafeMutableRawBufferPointer { buffers.input.bytes }
  var output: UnsafeMutableRawBufferPointer { buffers.output.bytes }
  let elements: ElementTypes
  let request: any InferenceRequest
  private let buffers: (input: TensorBuffer, output: TensorBuffer)
  /// The regions of the plane that hold pixels, no background if that is left out, as far as they meet the tile's core.
  var covered: [Region] = []

  init(sources: Int, network: any CompiledNetwork) throws(EngineError) {
    raw = (0..<sources).map { _ in PixelBuffer(width: 0, height: 0, type: .uint8) }
    buffers = try network.makeBuffers()
    elements = network.elements
    request = try network.makeRequest()
  }

  /// The first two stages' work: reads the tile's pixels and turns them into the network's input.
  ///
  /// - Parameters:
  ///   - tile: what the network sees, in the plane; where it reaches beyond the plane, that is reflected.
  ///   - core: what is decided.
  ///   - maps: what becomes of the image's values, by channel of the input, where they are standardised; they are not
  ///     divided then.
  func read(
    _ tile: Region, core: Region, of plane: PlaneIndex, mapping: InputMapping, image: any ImageSource, planeSize: Size,
    maps: [ChannelMap]?, signal: SignalMap?
  ) throws {
    let columns = ReflectedAxis(origin: tile.x, count: tile.width, length: planeSize.width)
    let rows = ReflectedAxis(origin: tile.y, count: tile.height, length: planeSize.height)
    rawRegion = Region(x: columns.pixels, y: rows.pixels)
    covered = []
    var channel = 0
    for (source, pixels) in zip(mapping.sources, raw) {
      var place = plane
      place.channel = source.channel
      try image.read(rawRegion, of: place, into: pixels)
      covered += image.coveredRegions(in: core, of: place)
      for mix in source.mixes {
        func tensor<Value>(_: Value.Type) -> TensorChannel<Value> {
          TensorChannel(
            values: input.assumingMemoryBound(to: Value.self).baseAddress!, channel: channel, channels: mapping.channels
          )
        }
        switch (elements.input, mix.place) {
        case (.uint8, let place?): tensor(UInt8.self).copy(sample: place, of: pixels, columns: columns, rows: rows)
        case (.uint16, let place?): tensor(UInt16.self).copy(sample: place, of: pixels, columns: columns, rows: rows)
        case (.float32, _):
          tensor(Float.self).fill(
            from: pixels, mix: mix, columns: columns, rows: rows, dividedBy: maps == nil ? source.divisor : 1)
          if let map = maps?[channel] {
            tensor(Float.self).standardize(count: columns.count * rows.count, scale: map.scale, center: map.center)
          }
        case (.uint8, nil), (.uint16, nil): preconditionFailure("a graph that takes pixels gets them as they are")
        }
        channel += 1
      }
    }
    if let signal {
      let parts = signal.regions(in: core)
      covered = covered.flatMap { region in parts.map(region.intersection).filter { !$0.isEmpty } }
    }
  }
}
