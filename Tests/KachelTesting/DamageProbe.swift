// SPDX-License-Identifier: Apache-2.0
private import Foundation
public import KachelImages
private import KachelPixels

/// Reads parts of an image that may be damaged, and checks what holds whatever its file says: errors name the file and a
/// reason, a region has the same pixels read as a whole and in parts, and pixels lie only where the image says.
public struct DamageProbe {
  /// What the image promised and did not do.
  public struct Broken: Error, CustomStringConvertible {
    public let description: String
  }

  /// How many regions could be read.
  public private(set) var read = 0
  /// Why the others could not.
  public private(set) var refusals: [ImageError] = []

  /// No more regions are read after so many that could not be.
  private static let mostRefusals = 12
  private let folder: String
  private let whole = PixelBuffer(width: 0, height: 0, type: .uint8)
  private let part = PixelBuffer(width: 0, height: 0, type: .uint8)

  /// Opens the image at `path` and reads parts of it.
  ///
  /// - Parameter isOver: asked before every region; true ends the reading.
  public static func open(
    _ path: String, cacheBytes: Int = 1 << 20, isOver: () -> Bool = { false }
  ) throws(Broken) -> DamageProbe {
    var probe = DamageProbe(path)
    do {
      let image = try Image(at: path, cacheBytes: cacheBytes)
      try probe.read(image, isOver)
    } catch let error as Broken {
      throw error
    } catch {
      try probe.refused(error)
    }
    return probe
  }

  private init(_ path: String) {
    folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
  }

  private mutating func refused(_ error: any Error) throws(Broken) {
    guard let error = error as? ImageError else { throw Broken(description: "not an ImageError: \(error)") }
    guard !error.reason.isEmpty, error.file.hasPrefix(folder), error.offset ?? 0 >= 0 else {
      throw Broken(description: "an error that says too little: \(error)")
    }
    refusals.append(error)
  }

  private mutating func read(_ image: Image, _ isOver: () -> Bool) throws(Broken) {
    let description = image.description
    guard !description.scenes.isEmpty, !description.channels.isEmpty else {
      throw Broken(description: "an image without scenes or channels")
    }
    for attachment in description.attachments.indices.prefix(3) {
      do { _ = try image.attachment(attachment) } catch { try refused(error) }
    }
    for scene in description.scenes.indices.prefix(3) {
      for (level, size) in description.scenes[scene].levels.map(\.size).enumerated().prefix(5) {
        for channel in description.channels.indices.prefix(3) {
          for isLast in [false, true] {
            let plane = PlaneIndex(
              scene: scene, channel: channel, z: isLast ? description.depth - 1 : 0,
              time: isLast ? description.times - 1 : 0, level: level)
            for region in Self.regions(of: size) {
              guard refusals.count < Self.mostRefusals, !isOver() else { return }
              try check(region, of: plane, in: image)
            }
          }
        }
      }
    }
  }

  /// The corners, one of which reaches out of the image, and the middle.
  private static func regions(of size: Size) -> [Region] {
    [
      Region(x: -3, y: -2, width: 36, height: 33),
      Region(x: size.width / 2, y: size.height / 2, width: 19, height: 23),
      Region(x: max(0, size.width - 21), y: max(0, size.height - 17), width: 25, height: 17),
    ]
  }

  private mutating func check(_ region: Region, of plane: PlaneIndex, in image: Image) throws(Broken) {
    let covered = image.coveredRegions(in: region, of: plane)
    guard covered.allSatisfy({ !$0.isEmpty && region.contains($0) }),
      image.hasPixels(in: region, of: plane) != covered.isEmpty
    else { throw Broken(description: "\(region) of \(plane) is covered by \(covered)") }
    do {
      try image.read(region, of: plane, into: whole)
      read += 1
    } catch {
      return try refused(error)
    }
    guard whole.size == region.size else { throw Broken(description: "\(region) became \(whole.size) pixels") }
    let left = region.width * 2 / 5, top = region.height / 3
    for inner in [
      Region(x: region.x, y: region.y + top, width: left, height: region.height - top),
      Region(x: region.x + left, y: region.y, width: region.width - left, height: top),
    ] {
      do {
        try image.read(inner, of: plane, into: part)
      } catch {
        throw Broken(description: "\(region) of \(plane) can be read, but \(inner) of it cannot: \(error)")
      }
      guard isPartEqual(at: inner, of: region) else {
        throw Broken(description: "\(region) of \(plane) has other pixels than \(inner) of it")
      }
    }
  }

  private func isPartEqual(at inner: Region, of region: Region) -> Bool {
    guard part.size == inner.size, part.bytesPerPixel == whole.bytesPerPixel else { return false }
    return (0..<inner.height).allSatisfy { row in
      let start = (inner.y - region.y + row) * whole.bytesPerRow + (inner.x - region.x) * whole.bytesPerPixel
      guard let expected = whole.bytes.baseAddress, let found = part.bytes.baseAddress else { return false }
      return memcmp(expected + start, found + row * part.bytesPerRow, part.bytesPerRow) == 0
    }
  }
}
