// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes
internal import KachelPixels

extension XMLMetadata {
  /// The document for metadata: as the czmodel tools write it in versions 3.0 and 3.1, on one line, and as ZEN does in
  /// 3.2.
  ///
  /// - Parameter original: what was read, whose further elements and attributes are kept.
  static func write(_ metadata: ModelMetadata, version: String, original: OriginalMetadata?) -> [UInt8] {
    let isOfZEN = PackageFormat.czmodel(version: version).isOfZEN
    let root = original?.root
    var xml = XMLWriter(style: isOfZEN ? .zen : .czmodel)
    xml.element("Model", attributes: rootAttributes(version, root)) { xml in
      func text(_ name: String, _ value: String?) {
        if let value, !value.isEmpty { xml.element(name, text: value) } else { xml.element(name) }
      }
      text("Id", metadata.id)
      text("ModelName", metadata.name)
      if isOfZEN || metadata.description != nil { text("Description", metadata.description) }
      text("Status", root?.child("Status")?.text ?? "Trained")
      text("FeatureExtractor", metadata.featureExtractor ?? "DeepNeuralNetwork")
      text("Postprocessing", metadata.postprocessing ?? (isOfZEN ? "None" : nil))
      if let handling = metadata.colorHandling { text("ColorHandling", handling.rawValue) }
      channels(metadata, isOfZEN: isOfZEN, original, &xml)
      classes(metadata.classes, isOfZEN: isOfZEN, root?.child("TrainingClasses"), &xml)
      if let border = metadata.border { text("BorderSize", "\(max(border.y, border.x))") }
      if isOfZEN {
        text("ScaleInputsByBitdepth", "\(metadata.scalesInputByBitDepth)")
        if let tile = metadata.tileSize {
          text("TotalTileHeight", "\(tile.height)")
          text("TotalTileWidth", "\(tile.width)")
        }
      }
      for element in root?.children ?? [] where !known.contains(element.name) { xml.element(element) }
    }
    var text = xml.text
    while text.hasSuffix("\n") || text.hasSuffix("\r\n") { text.removeLast() }
    return Array(text.utf8)
  }

  private static let known: Set = [
    "Id", "ModelName", "Description", "Status", "FeatureExtractor", "Postprocessing", "ColorHandling", "Channels",
    "TrainingClasses", "BorderSize", "ScaleInputsByBitdepth", "TotalTileHeight", "TotalTileWidth",
  ]

  /// The version, and what else the original's root says.
  private static func rootAttributes(_ version: String, _ root: XMLTree.Element?) -> [(String, String?)] {
    let more = (root?.attributes ?? [:]).filter { $0.key != "Version" }.sorted { $0.key < $1.key }
    return [("Version", version)] + more.map { ($0.key, $0.value) }
  }

  private static func channels(
    _ metadata: ModelMetadata, isOfZEN: Bool, _ original: OriginalMetadata?, _ xml: inout XMLWriter
  ) {
    // Pixel types as they are after a conversion to gray: what 3.2 says in ZEN's own packages.
    var attributes = isOfZEN ? ["IsAfterColorHandling": "true"] : [:]
    if let element = original?.root?.child("Channels") {
      attributes = element.attributes
      if !isOfZEN { attributes["IsAfterColorHandling"] = nil }
    }
    xml.element("Channels", attributes: attributes.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }) { xml in
      for channel in metadata.channels {
        xml.element("Item", ["PixelType": channel.pixelTypes.map(\.rawValue).joined(separator: " ")])
      }
    }
  }

  private static func classes(
    _ classes: [SegmentationClass], isOfZEN: Bool, _ original: XMLTree.Element?, _ xml: inout XMLWriter
  ) {
    let known: Set = ["colB", "colG", "colR", "LabelValue", "Name"]
    let items = original?.children("Item") ?? []
    xml.element("TrainingClasses", attributes: original?.attributes.map { ($0.key, $0.value) } ?? []) { xml in
      for (index, item) in classes.enumerated() {
        let red = ("colR", "\(item.color.red)"), green = ("colG", "\(item.color.green)")
        let blue = ("colB", "\(item.color.blue)")
        let colors: [(String, String?)] = isOfZEN ? [red, green, blue] : [blue, green, red]
        let further = index < items.count ? items[index].attributes.filter { !known.contains($0.key) } : [:]
        xml.element(
          "Item",
          attributes: colors + [("LabelValue", "\(item.labelValue)"), ("Name", item.name)]
            + further.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
      }
    }
  }
}

extension XMLWriter.Style {
  /// As Python's ElementTree writes.
  fileprivate static var czmodel: Self {
    var style = Self()
    style.declaration = "<?xml version='1.0' encoding='utf-8'?>\n"
    (style.lineEnd, style.indent, style.emptyEnd) = ("", "", " />")
    style.tab = "&#09;"
    return style
  }

  /// As .NET's XmlWriter writes, which ZEN uses.
  fileprivate static var zen: Self {
    var style = Self()
    style.declaration = "\u{FEFF}<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n"
    (style.lineEnd, style.emptyEnd) = ("\r\n", " />")
    (style.tab, style.lineFeed) = ("&#x9;", "&#xA;")
    return style
  }
}
