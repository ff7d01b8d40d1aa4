// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes
internal import KachelPixels

/// The metadata of `.czmodel` and `.czseg` packages: XML with the root `Model`, versions 1, 3.0, 3.1 and 3.2.
///
/// The czmodel tools write 3.0.0 and 3.1.0 on one line; ZEN writes a byte order mark, CRLF, and in 3.2.0 further
/// elements. Nothing here depends on the order of elements or attributes.
enum XMLMetadata {
  /// Versions by their first two numbers; the third only ever stands for corrections.
  static let versions: Set = ["1", "3.0", "3.1", "3.2"]

  /// The root of a document.
  static func root(_ bytes: [UInt8], file: String, member: String) throws(ModelError) -> XMLTree.Element {
    var limits = XMLTree.Limits()
    limits.bytes = PackageLimits.metadata
    limits.elements = 200_000
    do throws(BytesError) {
      return try XMLTree(bytes, file: file, limits: limits).root
    } catch {
      throw ModelError(error, file: file, member: member)
    }
  }

  static func read(_ root: XMLTree.Element, file: String, member: String, fallbackName: String) throws(ModelError)
    -> ModelMetadata
  {
    try Reader(file: file, member: member, root: root).metadata(fallbackName: fallbackName)
  }

  private struct Reader {
    let file: String
    let member: String
    let root: XMLTree.Element

    func damaged(_ reason: String) -> ModelError { ModelError(.damaged, file: file, member: member, reason) }

    func metadata(fallbackName: String) throws(ModelError) -> ModelMetadata {
      guard root.name == "Model" else {
        throw ModelError(
          .notAPackage, file: file, member: member, "the XML's root is \(root.name.prefix(40)), not Model")
      }
      guard let version = root.attributes["Version"] else { throw damaged("Model has no attribute Version") }
      guard isKnown(version) else {
        throw ModelError(
          .unsupported, file: file, member: member,
          "the format version \(version.prefix(40)) is not known; versions 1 and 3.0 to 3.2 are read")
      }
      let id = text("Id") ?? ""
      guard !id.isEmpty, id.utf8.count <= 1024 else { throw damaged("Id is missing or not usable") }
      let channels = try channels()
      let tileHeight = try number("TotalTileHeight", 1...1 << 20)
      let tileWidth = try number("TotalTileWidth", 1...1 << 20)
      let border = try number("BorderSize", 0...1 << 16)
      let name = text("ModelName") ?? ""
      return ModelMetadata(
        id: id, name: name.isEmpty ? fallbackName : name, description: text("Description"), schemaVersion: version,
        kind: .singleClassSemanticSegmentation, classes: try classes(), colorHandling: try colorHandling(),
        channels: channels, channelCount: channels.reduce(0) { $0 + $1.samples },
        border: border.map { AxisPair(y: $0, x: $0) },
        tileSize: tileWidth.flatMap { width in tileHeight.map { Size(width: width, height: $0) } },
        // Before 3.2.0 networks take raw values; from then on the element says.
        scalesInputByBitDepth: try flag("ScaleInputsByBitdepth") ?? false, postprocessing: text("Postprocessing"),
        featureExtractor: text("FeatureExtractor"))
    }

    private func isKnown(_ version: String) -> Bool {
      let parts = version.split(separator: ".", omittingEmptySubsequences: false)
      guard parts.count == 1 || parts.count == 3, parts.allSatisfy({ Int($0) != nil }) else { return false }
      return XMLMetadata.versions.contains(parts.prefix(2).joined(separator: "."))
    }

    /// An element's text; `nil` where the element is missing or empty.
    private func text(_ name: String) -> String? {
      root.child(name).flatMap { $0.text.isEmpty ? nil : $0.text }
    }

    private func number(_ name: String, _ range: ClosedRange<Int>) throws(ModelError) -> Int? {
      guard let text = text(name) else { return nil }
      guard let value = Int(text), range.contains(value) else {
        throw damaged("\(name) is \(text.prefix(40)), not a number from \(range.lowerBound) to \(range.upperBound)")
      }
      return value
    }

    private func flag(_ name: String) throws(ModelError) -> Bool? {
      guard let text = text(name) else { return nil }
      switch text.lowercased() {
      case "true", "1": return true
      case "false", "0": return false
      default: throw damaged("\(name) is \(text.prefix(40)), not true or false")
      }
    }

    private func colorHandling() throws(ModelError) -> ColorHandling? {
      guard let text = text("ColorHandling") else { return nil }
      guard let value = ColorHandling(rawValue: text) else {
        throw ModelError(
          .unsupported, file: file, member: member,
          "the colour handling \(text.prefix(40)) is not known; known are ConvertToMonochrome and SplitRgb")
      }
      return value
    }

    private func classes() throws(ModelError) -> [SegmentationClass] {
      let items = root.child("TrainingClasses")?.children("Item") ?? []
      guard !items.isEmpty else { throw damaged("TrainingClasses is missing or has no Item") }
      guard items.count <= PackageLimits.classes else {
        throw damaged("TrainingClasses has \(items.count) classes; at most \(PackageLimits.classes) are read")
      }
      var labels: Set<Int> = []
      var classes: [SegmentationClass] = []
      for (index, item) in items.enumerated() {
        guard let name = item.attributes["Name"] else { throw damaged("class \(index + 1) has no Name") }
        let label = try attribute("LabelValue", of: item, 1...65535) ?? index + 1
        guard labels.insert(label).inserted else { throw damaged("two classes have the LabelValue \(label)") }
        var color = ClassColors.color(at: index)
        if let red = try attribute("colR", of: item, 0...255), let green = try attribute("colG", of: item, 0...255),
          let blue = try attribute("colB", of: item, 0...255)
        {
          color = RGB(red: UInt8(red), green: UInt8(green), blue: UInt8(blue))
        }
        classes.append(SegmentationClass(labelValue: label, name: name, color: color))
      }
      return classes
    }

    private func attribute(
      _ name: String, of item: XMLTree.Element, _ range: ClosedRange<Int>
    ) throws(ModelError) -> Int? {
      guard let text = item.attributes[name] else { return nil }
      guard let value = Int(text), range.contains(value) else {
        throw damaged(
          "\(name) of a class is \(text.prefix(40)), not a number from \(range.lowerBound) to \(range.upperBound)")
      }
      return value
    }

    private func channels() throws(ModelError) -> [ModelChannel] {
      let items = root.child("Channels")?.children("Item") ?? []
      guard !items.isEmpty else { throw damaged("Channels is missing or has no Item") }
      guard items.count <= PackageLimits.channels else {
        throw damaged("Channels has \(items.count) channels; at most \(PackageLimits.channels) are read")
      }
      var channels: [ModelChannel] = []
      for item in items {
        guard let text = item.attributes["PixelType"] else { throw damaged("a channel has no PixelType") }
        channels += try Self.channels(text, damaged: damaged)
      }
      return channels
    }

    /// `Gray8`; `Gray8 Gray16` for one channel of either type, as ZEN writes it; `['Gray8', 'Bgr24']` for two channels,
    /// the text of a Python list, which czmodel before 1.2 writes where its specification names several.
    private static func channels(
      _ text: String, damaged: (String) -> ModelError
    ) throws(ModelError) -> [ModelChannel] {
      let isList = text.hasPrefix("[") && text.hasSuffix("]")
      let names = text.split { " ,\t[]'\"".contains($0) }.map(String.init)
      var types: [ModelPixelType] = []
      for name in names {
        guard let type = ModelPixelType(rawValue: name) else {
          throw damaged("the pixel type \(name.prefix(40)) is not known")
        }
        types.append(type)
      }
      guard !types.isEmpty, types.count <= PackageLimits.channels else {
        throw damaged("the pixel type \(text.prefix(40)) is not understood")
      }
      if isList { return types.map { ModelChannel(pixelTypes: [$0]) } }
      guard Set(types.map(\.samples)).count == 1 else {
        throw damaged("one channel accepts the pixel types \(text.prefix(80)), which differ in their number of samples")
      }
      return [ModelChannel(pixelTypes: types)]
    }
  }
}
