// SPDX-License-Identifier: Apache-2.0
package import KachelBytes
package import KachelPixels

/// What the metadata XML of a CZI file adds to its directory: names, colours and distances.
///
/// Sizes and pixel types are never taken from it, as real files say wrong ones there.
package struct CZIMetadata: Sendable {
  package struct Channel: Sendable {
    package var name: String?
    package var color: RGB?
    package var validBits: Int?
    package var display: ImageDescription.Display?
    /// Whether the channel was seen.
    package var isShown = true
    /// What the metadata call the pixels' type.
    var pixelType: String?
    /// The number in an identifier such as `Channel:2`.
    var number: Int?
  }

  package struct Scene: Sendable {
    package var name: String?
    package var center: ImageDescription.StagePosition?
    package var well: String?
  }

  package private(set) var physicalSize = ImageDescription.PhysicalSize()
  /// In the order of the file's channels. Their identifiers do not tell which is which: they may be GUIDs.
  package private(set) var channels: [Channel] = []
  /// By the scene's index.
  package private(set) var scenes: [Int: Scene] = [:]
  /// What the metadata say of the image's size along dimensions, by name; real files say wrong sizes here.
  private(set) var sizes: [String: Int] = [:]

  /// Metadata of a file without any.
  package init() {}

  /// - Parameter root: the element `ImageDocument`.
  package init(_ root: XMLTree.Element) {
    for distance in root.descendant("Metadata", "Scaling", "Items")?.children("Distance") ?? [] {
      let value = Self.micrometres(distance.child("Value")?.text)
      switch distance.attributes["Id"] {
      case "X": physicalSize.x = value
      case "Y": physicalSize.y = value
      case "Z": physicalSize.z = value
      default: break
      }
    }
    let image = root.descendant("Metadata", "Information", "Image"), dimensions = image?.child("Dimensions")
    for name in ["X", "Y", "C", "Z", "T"] { sizes[name] = image?.child("Size" + name).flatMap { Int($0.text) } }
    let inFile = dimensions?.child("Channels")?.children("Channel") ?? []
    let shown = root.descendant("Metadata", "DisplaySetting", "Channels")?.children("Channel") ?? []
    let shownByID = Dictionary(
      shown.compactMap { channel in channel.attributes["Id"].map { ($0, channel) } },
      uniquingKeysWith: { first, _ in first })
    channels = (0..<max(inFile.count, shown.count)).map { index in
      let channel = index < inFile.count ? inFile[index] : nil
      let display =
        channel?.attributes["Id"].flatMap { shownByID[$0] } ?? (index < shown.count ? shown[index] : nil)
      let elements = [channel, display].compactMap(\.self)
      return Channel(
        name: elements.lazy.compactMap { $0.attributes["Name"] }.first { !$0.isEmpty },
        color: elements.lazy.compactMap { Self.color($0.child("Color")?.text) }.first,
        validBits: [channel?.child("ComponentBitCount"), display?.child("BitCountRange")].lazy
          .compactMap { $0.flatMap { Int($0.text) } }.first { 1...64 ~= $0 },
        display: display.flatMap(Self.display), isShown: display?.child("IsSelected")?.text != "false",
        pixelType: channel?.child("PixelType")?.text,
        number: channel?.attributes["Id"].flatMap { $0.hasPrefix("Channel:") ? Int($0.dropFirst(8)) : nil })
    }
    for scene in dimensions?.descendant("S", "Scenes")?.children("Scene") ?? [] {
      guard let index = scene.attributes["Index"].flatMap({ Int($0) }) else { continue }
      scenes[index] = Scene(
        name: scene.attributes["Name"].flatMap { $0.isEmpty ? nil : $0 },
        center: Self.position(scene.child("CenterPosition")?.text),
        well: scene.child("Shape")?.attributes["Name"].flatMap { $0.isEmpty ? nil : $0 })
    }
  }

  /// The metadata at `position` of the file; empty where `position` is 0.
  package init(_ source: ByteSource, at position: Int64) throws(ImageError) {
    self.init()
    if let root = try Self.document(source, at: position) { self = CZIMetadata(root) }
  }

  /// The element `ImageDocument` at `position` of the file; `nil` where there is none.
  static func document(_ source: ByteSource, at position: Int64) throws(ImageError) -> XMLTree.Element? {
    guard position != 0 else { return nil }
    let segment = try CZISegment("ZISRAWMETADATA", at: position, of: source)
    return try ImageError.wrapping { () throws(BytesError) -> XMLTree.Element? in
      var reader = ByteReader(
        try source.read(at: segment.payload, count: 4), file: source.path, offset: segment.payload)
      let size = Int(try reader.int32())
      guard size != 0 else { return nil }
      return try XMLTree(try source.read(at: segment.payload + 256, count: size), file: source.path).root
    }
  }

  /// A length that the file gives in metres; `nil` where it says 0, which means unknown.
  ///
  /// The decimal point is moved in the text, so that 4E-07 m become 0.4 µm and not 0.39999999999999997.
  static func micrometres(_ text: String?) -> Double? {
    guard let text, let metres = Double(text), metres.isFinite, metres > 0 else { return nil }
    let parts = text.lowercased().split(separator: "e", maxSplits: 1)
    let exponent = parts.count == 2 ? Int(parts[1]) : 0
    guard let exponent, abs(exponent) < 1000 else { return metres * 1e6 }
    return Double("\(parts[0])e\(exponent + 6)") ?? metres * 1e6
  }

  /// `#AARRGGBB` or `#RRGGBB`. The alpha is ignored, as it is 0 in some files.
  static func color(_ text: String?) -> RGB? {
    guard let text, text.hasPrefix("#"), [7, 9].contains(text.utf8.count) else { return nil }
    return RGB(hex: String(text.suffix(6)))
  }

  /// What is missing has its usual value; `nil` where all is missing, or the range is none.
  private static func display(_ channel: XMLTree.Element) -> ImageDescription.Display? {
    func number(_ name: String) -> Double? {
      channel.child(name).flatMap { Double($0.text) }.flatMap { $0.isFinite ? $0 : nil }
    }
    let (low, high, gamma) = (number("Low"), number("High"), number("Gamma"))
    guard low != nil || high != nil || gamma != nil else { return nil }
    let display = ImageDescription.Display(low: low ?? 0, high: high ?? 1, gamma: gamma ?? 1)
    return 0...1 ~= display.low && 0...1 ~= display.high && display.low < display.high && display.gamma > 0
      ? display : nil
  }

  /// `x,y` in micrometres.
  private static func position(_ text: String?) -> ImageDescription.StagePosition? {
    let numbers = (text ?? "").split(separator: ",").map { Double($0) }
    guard numbers.count == 2, let x = numbers[0], let y = numbers[1], x.isFinite, y.isFinite else { return nil }
    return .init(x: x, y: y)
  }
}
