// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes

extension JSONMetadata {
  /// The text of `model.json`, as the czmodel tools write it.
  ///
  /// - Parameters:
  ///   - metadata: with both shapes.
  ///   - original: what was read. Members that say what the metadata say, and those that are not known, stay.
  static func write(_ metadata: ModelMetadata, version: String, original: OriginalMetadata?) -> [UInt8] {
    var json = JSONLine()
    func add<Value: Equatable>(_ key: String, _ property: KeyPath<ModelMetadata, Value>, _ value: JSONValue?) {
      if let original, let keys = original.keys, original.hasSame(property, as: metadata) {
        json.add(key, keys[key].flatMap { $0.isNull ? nil : $0 })
      } else {
        json.add(key, value)
      }
    }

    // Only 2.1 says its version.
    if version.hasPrefix("2.1.") { json.add("FormatVersion", .string(version)) }
    json.add("Id", .string(metadata.id))
    json.add("Type", .string(metadata.kind.rawValue))
    json.add("InputShape", metadata.inputShape.map { JSONValue($0) })
    json.add("OutputShape", metadata.outputShape.map { JSONValue($0) })
    // Of volumes, the overlap in depth stays what it was.
    let depth = metadata.inputShape?.count == 4 ? [original?.keys?["MinOverlap"]?.ints?.first ?? 0] : []
    add("MinOverlap", \.border, metadata.border.map { JSONValue(depth + [2 * $0.y, 2 * $0.x]) })
    add("Classes", \.classes, metadata.classes.isEmpty ? nil : JSONValue(metadata.classes.map(\.name)))
    add("ModelName", \.name, .string(metadata.name))
    // 1.0 has no scaling.
    if !version.hasPrefix("1.0.") {
      add(
        "Scaling", \.pixelSize,
        metadata.pixelSize.map { JSONValue(([$0.x, $0.y] + [$0.z].compactMap { $0 }).map(metres)) })
    }
    add("ModelDescription", \.description, metadata.description.map { .string($0) })
    for (key, value) in (original?.keys ?? [:]).sorted(by: { $0.key < $1.key }) where !known.contains(key) {
      json.add(key, value)
    }
    return Array(json.text.utf8)
  }

  static let known: Set = [
    "FormatVersion", "Id", "Type", "InputShape", "OutputShape", "MinOverlap", "Classes", "ModelName", "Scaling",
    "ModelDescription",
  ]

  /// The number that is `micrometres` when multiplied by a million, as reading does, and has the fewest digits.
  private static func metres(_ micrometres: Double) -> Double {
    let quotient = micrometres / 1e6
    let short = Double("\(micrometres)e-6") ?? quotient
    return short * 1e6 == micrometres ? short : quotient
  }
}
