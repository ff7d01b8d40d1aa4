// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
import KachelPixels

/// What the OME-XML of an OME-TIFF file says of its images and of where their planes stand.
struct OMEXML: Sendable {
  /// The planes that one element of the document places into pages that follow each other.
  struct TIFFData: Sendable {
    var page = 0
    /// How many; `nil` for all that the file has.
    var count: Int?
    var firstC = 0
    var firstZ = 0
    var firstT = 0
    var fileName: String?
    var uuid: String?
  }

  struct Channel: Sendable {
    var name: String?
    var color: RGB?
    var samples: Int
  }

  struct Image: Sendable {
    var name: String?
    /// The dimensions from the fastest to the slowest without X and Y, as in `CZT`.
    var order: String
    var sizeC: Int
    var sizeZ: Int
    var sizeT: Int
    var channels: [Channel]
    var physicalSize: ImageDescription.PhysicalSize
    /// Where the image's corner lies, in pixels.
    var x = 0
    var y = 0
    /// Seconds from one time to the next.
    var timeStep: Double?
    var data: [TIFFData]
  }

  /// The most planes that are read of one document.
  static let mostPlanes = 1 << 22
  static let mostChannels = 4096
  /// The longest document that is read.
  static let mostBytes = 64 << 20

  let images: [Image]
  /// What the document says of labels, as ``OMEDocument`` writes it; `nil` where pixels are no labels.
  let labels: [LabelDescription]?
  let uuid: String?
  /// The file beside this one that has the document, where this one only says so.
  let metadataFile: String?

  /// Whether a text is such a document.
  static func isDocument(_ text: some Collection<UInt8>) -> Bool {
    guard text.first(where: { !(9...32 ~= $0) && $0 != 0xEF && $0 != 0xBB && $0 != 0xBF }) == UInt8(ascii: "<") else {
      return false
    }
    let start = String(decoding: text.prefix(4096), as: UTF8.self)
    return start.contains(/<([A-Za-z0-9_]+:)?OME[\s>]/)
  }

  init(_ text: [UInt8], file: String) throws(ImageError) {
    let root = try ImageError.wrapping { () throws(BytesError) in
      var limits = XMLTree.Limits()
      limits.bytes = Self.mostBytes
      return try XMLTree(text, file: file, limits: limits).root
    }
    guard root.name == "OME" else { throw ImageError(.damaged, file: file, "the XML is \(root.name), not OME") }
    uuid = root.attributes["UUID"]
    metadataFile = root.child("BinaryOnly")?.attributes["MetadataFile"]
    var images: [Image] = []
    for element in root.children("Image") {
      guard let pixels = element.child("Pixels") else { continue }
      images.append(try Self.image(element, pixels, file: file))
    }
    guard images.reduce(0, { $0 + $1.sizeC * $1.sizeZ * $1.sizeT }) <= Self.mostPlanes else {
      throw ImageError(.unsupported, file: file, "the OME-XML has more than \(Self.mostPlanes) planes")
    }
    self.images = images
    labels = Self.labels(root)
  }

  private static func labels(_ root: XMLTree.Element) -> [LabelDescription]? {
    let maps = root.child("StructuredAnnotations")?.children("MapAnnotation") ?? []
    func texts(_ namespace: String) -> [Int: String]? {
      guard let map = maps.first(where: { $0.attributes["Namespace"] == namespace }) else { return nil }
      let entries = (map.child("Value")?.children("M") ?? []).compactMap { entry in
        entry.attributes["K"].flatMap { Int($0) }.map { ($0, entry.text) }
      }
      return Dictionary(entries) { first, _ in first }
    }
    guard let names = texts(OMEDocument.labelNames) else { return nil }
    let colors = (texts(OMEDocument.labelColors) ?? [:]).compactMapValues { RGB(hex: $0) }
    return Set(names.keys).union(colors.keys).sorted().map { value in
      LabelDescription(value: value, name: names[value] ?? "", color: LabelColors(colors).color(of: value))
    }
  }

  private static func image(
    _ element: XMLTree.Element, _ pixels: XMLTree.Element, file: String
  ) throws(ImageError) -> Image {
    func size(_ name: String) throws(ImageError) -> Int {
      guard let size = pixels.attributes[name].flatMap({ Int($0) }), 1...mostPlanes ~= size else {
        throw ImageError(.damaged, file: file, "the OME-XML has \(name)=\"\(pixels.attributes[name] ?? "")\"")
      }
      return size
    }
    let (c, z, t) = (try size("SizeC"), try size("SizeZ"), try size("SizeT"))
    guard c <= mostChannels, z <= mostPlanes / c, t <= mostPlanes / c / z else {
      throw ImageError(.unsupported, file: file, "the OME-XML has \(c) channels, \(z) z and \(t) times")
    }
    let order = pixels.attributes["DimensionOrder"] ?? "XYCZT"
    guard order.hasPrefix("XY"), order.dropFirst(2).sorted() == ["C", "T", "Z"] else {
      throw ImageError(.damaged, file: file, "the OME-XML has the dimension order \(order)")
    }
    let channels = pixels.children("Channel").prefix(mostChannels).map { channel in
      Channel(
        name: channel.attributes["Name"].flatMap { $0.isEmpty ? nil : $0 },
        color: channel.attributes["Color"].flatMap { Self.color($0) },
        samples: max(1, channel.attributes["SamplesPerPixel"].flatMap { Int($0) } ?? 1))
    }
    let first = pixels.children("Plane").first { plane in
      ["TheZ", "TheC", "TheT"].allSatisfy { plane.attributes[$0] == "0" }
    }
    return Image(
      name: element.attributes["Name"].flatMap { $0.isEmpty ? nil : $0 }, order: String(order.dropFirst(2)),
      sizeC: c, sizeZ: z, sizeT: t, channels: Array(channels),
      physicalSize: .init(x: length("X", of: pixels), y: length("Y", of: pixels), z: length("Z", of: pixels)),
      x: first.flatMap { position("X", of: $0) } ?? 0, y: first.flatMap { position("Y", of: $0) } ?? 0,
      timeStep: timeStep(pixels),
      data: pixels.children("TiffData").map { Self.tiffData($0) })
  }

  private static func tiffData(_ element: XMLTree.Element) -> TIFFData {
    func number(_ name: String) -> Int? { element.attributes[name].flatMap { Int($0) }.map { max(0, $0) } }
    let (page, uuid) = (number("IFD"), element.child("UUID"))
    return TIFFData(
      page: page ?? 0,
      // A page without a count is one plane; neither means all of the file.
      count: number("PlaneCount") ?? number("NumPlanes") ?? (page == nil ? nil : 1),
      firstC: number("FirstC") ?? 0, firstZ: number("FirstZ") ?? 0, firstT: number("FirstT") ?? 0,
      fileName: uuid?.attributes["FileName"], uuid: uuid?.text)
  }

  /// Red, green, blue and alpha in a signed number of 32 bits; alpha is not used.
  private static func color(_ text: String) -> RGB? {
    guard let number = Int(text).flatMap({ Int32(exactly: $0) ?? UInt32(exactly: $0).map(Int32.init(bitPattern:)) })
    else { return nil }
    let bits = UInt32(bitPattern: number)
    return RGB(
      red: UInt8(bits >> 24), green: UInt8(bits >> 16 & 255), blue: UInt8(bits >> 8 & 255))
  }

  private static func length(_ axis: String, of pixels: XMLTree.Element) -> Double? {
    guard let value = pixels.attributes["PhysicalSize" + axis].flatMap({ Double($0) }), value > 0, value.isFinite,
      let factor = micrometres(in: pixels.attributes["PhysicalSize\(axis)Unit"] ?? "µm")
    else { return nil }
    return value * factor
  }

  private static func timeStep(_ pixels: XMLTree.Element) -> Double? {
    guard let value = pixels.attributes["TimeIncrement"].flatMap({ Double($0) }), value > 0, value.isFinite else {
      return nil
    }
    let units = ["s": 1, "ms": 1e-3, "\u{B5}s": 1e-6, "min": 60, "h": 3600, "d": 86_400]
    return units[pixels.attributes["TimeIncrementUnit"] ?? "s"].map { value * $0 }
  }

  /// A plane's position if that is one among pixels, as ``OMEDocument`` writes it; others are places on the stage.
  private static func position(_ axis: String, of plane: XMLTree.Element) -> Int? {
    guard plane.attributes["Position\(axis)Unit"] == "pixel" else { return nil }
    return plane.attributes["Position" + axis].flatMap { Double($0) }.flatMap { Int32(exactly: $0) }.map { Int($0) }
  }

  /// How many micrometres a unit of length has; `nil` for units that are no length, as pixels.
  static func micrometres(in unit: String) -> Double? {
    switch unit {
    case "m": 1e6
    case "dm": 1e5
    case "cm": 1e4
    case "mm": 1e3
    // The micro sign, the Greek letter, and how it is written without either.
    case "\u{B5}m", "\u{3BC}m", "um", "micron", "microns", "micrometer", "micrometre": 1
    case "nm": 1e-3
    case "\u{C5}", "\u{212B}", "A", "angstrom": 1e-4
    case "pm": 1e-6
    case "km": 1e9
    case "in", "inch", "inches": 25_400
    case "ft": 304_800
    case "thou", "mil": 25.4
    case "pt": 25_400 / 72
    default: nil
    }
  }
}

extension OMEXML.Image {
  /// The position among all planes in the document's order.
  func linear(c: Int, z: Int, t: Int, channels: Int) -> Int {
    var (result, step) = (0, 1)
    for dimension in order {
      let (position, count) = dimension == "C" ? (c, channels) : dimension == "Z" ? (z, sizeZ) : (t, sizeT)
      result += position * step
      step *= count
    }
    return result
  }

  func position(_ linear: Int, channels: Int) -> (c: Int, z: Int, t: Int) {
    var (rest, result) = (linear, (c: 0, z: 0, t: 0))
    for dimension in order {
      switch dimension {
      case "C": (result.c, rest) = (rest % channels, rest / channels)
      case "Z": (result.z, rest) = (rest % sizeZ, rest / sizeZ)
      default: (result.t, rest) = (rest % sizeT, rest / sizeT)
      }
    }
    return result
  }
}
