// SPDX-License-Identifier: Apache-2.0

/// What ImageJ writes into the ImageDescription of a TIFF file: lines of `name=value`.
struct ImageJDescription: Sendable {
  /// How many planes the file has.
  let images: Int
  /// How they are arranged, channels fastest and times slowest.
  let channels: Int
  let slices: Int
  let frames: Int
  /// Micrometres in the unit of lengths and resolutions.
  let unit: Double?
  /// The distance of slices, in the unit.
  let spacing: Double?

  /// `nil` for other descriptions.
  ///
  /// - Parameter pages: how many the file has; so many images it has where it does not say.
  init?(_ text: [UInt8], pages: Int) {
    guard text.starts(with: "ImageJ=".utf8) else { return nil }
    var values: [Substring: Substring] = [:]
    let string = String(decoding: text.prefix(1 << 16), as: UTF8.self)
    for line in string.split(whereSeparator: \.isNewline) {
      guard let sign = line.firstIndex(of: "=") else { continue }
      values[line[..<sign]] = line[line.index(after: sign)...]
    }
    func count(_ name: Substring) -> Int { max(1, values[name].flatMap { Int($0) } ?? 1) }
    images = values["images"] == nil ? pages : min(count("images"), TIFFFile.mostPages)
    let (c, z, t) = (count("channels"), count("slices"), count("frames"))
    let planes = c.multipliedReportingOverflow(by: z)
    let all = planes.partialValue.multipliedReportingOverflow(by: t)
    // A stack that says nothing of its dimensions is one along z.
    (channels, slices, frames) =
      !planes.overflow && !all.overflow && all.partialValue == images && c <= 4096 ? (c, z, t) : (1, images, 1)
    unit = values["unit"].flatMap {
      OMEXML.micrometres(in: String($0).replacing("\\u00B5", with: "\u{B5}").replacing("\\u00b5", with: "\u{B5}"))
    }
    spacing = values["spacing"].flatMap { Double($0) }.flatMap { $0.isFinite && $0 != 0 ? abs($0) : nil }
  }
}
