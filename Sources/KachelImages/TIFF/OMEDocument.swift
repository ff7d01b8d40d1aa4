// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
import KachelPixels

/// The OME-XML (version 2016-06) of an image that is written into one TIFF file: an `Image` per scene, whose planes are
/// the file's pages one after the other, z fastest and time slowest.
///
/// Of a label image, the names of labels are a map from value to name (annotation namespace `kachel/labels`), their
/// colours one from value to `#RRGGBB` (`kachel/label-colors`).
struct OMEDocument {
  static let labelNames = "kachel/labels"
  static let labelColors = "kachel/label-colors"

  private let image: OutputImage
  /// What is annotated of all scenes; `nil` where pixels are no labels.
  private let labels: [LabelDescription]?
  /// Further annotations of each scene: text under a namespace.
  private let comments: [[(namespace: String, text: String)]]

  /// - Parameter comments: for every scene.
  init(_ image: OutputImage, comments: [[(namespace: String, text: String)]]) {
    self.image = image
    self.comments = comments
    if case .labels(let labels) = image.content { self.labels = labels } else { labels = nil }
  }

  /// OME's name of a type of pixels; `nil` where it has none.
  static func name(of type: PixelType) -> String? {
    switch type {
    case .uint8, .uint16, .uint32, .int8, .int16, .int32: type.rawValue
    case .float32: "float"
    case .float64: "double"
    case .uint64, .int64: nil
    }
  }

  var text: String {
    let schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    var xml = XMLWriter()
    xml.element(
      "OME",
      [
        "xmlns": schema, "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
        "xsi:schemaLocation": "\(schema) \(schema)/ome.xsd", "Creator": "Kachel",
      ]
    ) { xml in
      let shared = 0..<(labels == nil ? 0 : 2)
      var next = shared.upperBound
      for scene in image.scenes.indices {
        let own = next..<next + comments[scene].count
        next = own.upperBound
        write(scene, annotations: Array(shared) + own, to: &xml)
      }
      if next > 0 { writeAnnotations(to: &xml) }
    }
    return xml.text
  }

  private func write(_ index: Int, annotations: [Int], to xml: inout XMLWriter) {
    let scene = image.scenes[index]
    let name = scene.name ?? (image.scenes.count > 1 ? "Scene \(scene.index)" : image.name)
    xml.element("Image", ["ID": "Image:\(index)", "Name": name]) { xml in
      let (x, y) = (length(image.pixelSize.x), length(image.pixelSize.y))
      let z = image.depths.unit == "micrometer" ? length(image.depths.step) : nil
      let step = image.times.unit == "second" ? length(image.times.step) : nil
      xml.element(
        "Pixels",
        [
          "ID": "Pixels:\(index)", "DimensionOrder": "XYZCT", "Type": Self.name(of: image.pixelType),
          "BigEndian": "false",
          "SizeX": "\(scene.size.width)", "SizeY": "\(scene.size.height)", "SizeZ": "\(image.depths.count)",
          "SizeC": "\(image.channels.count * image.layout.samples)", "SizeT": "\(image.times.count)",
          "PhysicalSizeX": x, "PhysicalSizeXUnit": x.map { _ in "µm" },
          "PhysicalSizeY": y, "PhysicalSizeYUnit": y.map { _ in "µm" },
          "PhysicalSizeZ": z, "PhysicalSizeZUnit": z.map { _ in "µm" },
          "TimeIncrement": step, "TimeIncrementUnit": step.map { _ in "s" },
        ]
      ) { xml in
        for (number, channel) in image.channels.enumerated() {
          xml.element(
            "Channel",
            [
              "ID": "Channel:\(index):\(number)", "Name": channel.name.isEmpty ? nil : channel.name,
              "SamplesPerPixel": "\(channel.layout.samples)", "Color": channel.color.map(color),
            ])
        }
        xml.element("TiffData", ["IFD": "\(index * image.planes)", "PlaneCount": "\(image.planes)"])
        let (left, top) = (scene.originX + scene.x, scene.originY + scene.y)
        if (left, top) != (0, 0) {
          // Where the scene lies among others, or the region in its scene. It is a place in the image, not on the stage.
          xml.element(
            "Plane",
            [
              "TheZ": "0", "TheT": "0", "TheC": "0", "PositionX": "\(left)", "PositionXUnit": "pixel",
              "PositionY": "\(top)", "PositionYUnit": "pixel",
            ])
        }
      }
      for number in annotations { xml.element("AnnotationRef", ["ID": "Annotation:\(number)"]) }
    }
  }

  private func writeAnnotations(to xml: inout XMLWriter) {
    xml.element("StructuredAnnotations") { xml in
      var next = 0
      func attributes(_ namespace: String) -> KeyValuePairs<String, String?> {
        defer { next += 1 }
        return ["ID": "Annotation:\(next)", "Namespace": namespace]
      }
      func map(_ labels: [LabelDescription], _ namespace: String, _ value: (LabelDescription) -> String) {
        xml.element("MapAnnotation", attributes(namespace)) { xml in
          xml.element("Value") { xml in
            for label in labels { xml.element("M", ["K": "\(label.value)"], text: value(label)) }
          }
        }
      }
      if let labels {
        map(labels, Self.labelNames) { $0.name }
        map(labels, Self.labelColors) { "#\($0.color.hex)" }
      }
      for comment in comments.joined() {
        xml.element("CommentAnnotation", attributes(comment.namespace)) { $0.element("Value", text: comment.text) }
      }
    }
  }

  private func length(_ value: Double?) -> String? { value.flatMap { $0.isFinite && $0 > 0 ? "\($0)" : nil } }

  /// Red, green, blue and alpha in a signed number of 32 bits.
  private func color(_ color: RGB) -> String {
    let bits = UInt32(color.red) << 24 | UInt32(color.green) << 16 | UInt32(color.blue) << 8 | 255
    return "\(Int32(bitPattern: bits))"
  }
}
