// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes
private import Foundation

/// A JSON file that says of which files a package is made, and what is said of the network.
///
/// Two kinds are read. The one that ZEN imports and the czmodel tools up to 1.2 take has `BorderSize`, `ColorHandling`,
/// `PixelType`, `Classes` and `ModelPath`, perhaps `LicenseFile` and `TestImageFile`: the network takes raw pixel values.
/// That of the czmodel tools from 2.0 on has `ModelMetadata`, with the keys of a `.czann`, beside `ModelPath` and
/// `LicenseFile`: the network takes values from 0 to 1. ``ModelPackage/unpack(to:)`` writes either, with the key
/// `MetadataFile` for the package's own metadata, which then count.
///
/// Paths may be of Windows. They are looked for in the folder of the JSON file first, then in the working directory.
public struct ModelSpecification: Sendable {
  public let path: String
  public var metadata: ModelMetadata
  /// Which family the metadata are of, and so what the network takes.
  public let format: PackageFormat
  public let modelPath: String
  public let licensePath: String?
  /// An image to try the model on.
  public let testImagePath: String?
  let attachments: [String]
  let original: OriginalMetadata?
  /// Where the files were found, for the user to read.
  public private(set) var places: [String] = []
  /// What is odd but not wrong, for the user to read.
  public private(set) var warnings: [String] = []

  /// - Throws: ``ModelError``: the file is missing, no such JSON, or names files that are not there.
  public init(at path: String) throws(ModelError) {
    self.path = path
    var bytes: [UInt8] = []
    do throws(BytesError) {
      let source = try ByteSource(path: path)
      guard source.count <= PackageLimits.metadata else { throw BytesError(.damaged, file: path, "is too large") }
      bytes = try source.read(at: 0, count: source.count)
    } catch {
      throw ModelError(error, file: path)
    }
    var reader = Reader(path: path, keys: try JSONMetadata.keys(bytes, file: path, member: ""))
    modelPath = try reader.file("ModelPath", isRequired: true) ?? ""
    licensePath = try reader.file("LicenseFile")
    testImagePath = try reader.optionalFile("TestImageFile")
    attachments = try reader.files("FurtherFiles")
    if let file = try reader.file("MetadataFile") {
      (original, metadata, format) = try reader.packaged(in: file)
      _ = reader.keys["ModelMetadata"] == nil ? try reader.legacy(modelPath: modelPath) : try reader.current()
    } else if reader.keys["ModelMetadata"] != nil {
      metadata = try reader.current()
      (original, format) = (nil, .czann(version: metadata.schemaVersion))
    } else {
      metadata = try reader.legacy(modelPath: modelPath)
      (original, format) = (nil, .czmodel(version: "3.0.0"))
    }
    reader.warnOfUnknown()
    (places, warnings) = (reader.places, reader.warnings)
  }

  private struct Reader {
    let path: String
    let keys: [String: JSONValue]
    var used: Set<String> = []
    var places: [String] = []
    var warnings: [String] = []

    init(path: String, keys: [String: JSONValue]) {
      self.path = path
      self.keys = keys
    }

    func damaged(_ reason: String) -> ModelError { ModelError(.damaged, file: path, reason) }

    mutating func value(_ key: String) -> JSONValue? {
      used.insert(key)
      return keys[key].flatMap { $0.isNull ? nil : $0 }
    }

    mutating func warnOfUnknown() {
      for key in keys.keys.sorted() where !used.contains(key) {
        warnings.append("\(path): the key \(key.prefix(60)) is not known; it is ignored")
      }
    }

    // MARK: Files

    mutating func text(_ key: String) throws(ModelError) -> String? {
      guard let value = value(key) else { return nil }
      guard let text = value.string, !text.isEmpty else { throw damaged("\(key) is not the path of a file") }
      return text
    }

    mutating func file(_ key: String, isRequired: Bool = false) throws(ModelError) -> String? {
      guard let name = try text(key) else {
        if isRequired { throw damaged("\(key) is missing: add the path of the file or folder") }
        return nil
      }
      return try found(name, key)
    }

    /// A file that is missed by nobody who only makes the package.
    mutating func optionalFile(_ key: String) throws(ModelError) -> String? {
      guard let name = try text(key) else { return nil }
      do throws(ModelError) { return try found(name, key) } catch {
        warnings.append(error.description)
        return nil
      }
    }

    mutating func files(_ key: String) throws(ModelError) -> [String] {
      guard let value = value(key) else { return [] }
      guard let names = value.strings else { throw damaged("\(key) is not a list of paths") }
      var files: [String] = []
      for name in names { files.append(try found(name, key)) }
      return files
    }

    private mutating func found(_ name: String, _ key: String) throws(ModelError) -> String {
      let folder = URL(filePath: path).deletingLastPathComponent().path
      let slashed = name.replacing("\\", with: "/")
      let isOfWindows = slashed.firstMatch(of: /^[A-Za-z]:\//) != nil
      var places: [(String, String)] = []
      for name in name == slashed ? [name] : [name, slashed] {
        if name.hasPrefix("/") {
          places.append((name, "as named"))
        } else if !isOfWindows {
          places.append((folder + "/" + name, "in the folder of the specification"))
          places.append((FileManager.default.currentDirectoryPath + "/" + name, "in the working directory"))
        }
      }
      // Of another machine: the file may have come along with the specification.
      if isOfWindows, let last = slashed.split(separator: "/").last {
        places.append((folder + "/" + last, "in the folder of the specification, as \(name) is a path of Windows"))
      }
      guard let place = places.first(where: { FileManager.default.fileExists(atPath: $0.0) }) else {
        let tried = places.map(\.0).joined(separator: " and ")
        throw ModelError(.cannotRead, file: path, "\(key) names \(name), which is not there; looked for \(tried)")
      }
      self.places.append("\(key): \(place.0) (\(place.1))")
      return place.0
    }

    // MARK: Metadata

    /// The metadata file of a package.
    mutating func packaged(in file: String) throws(ModelError) -> (OriginalMetadata, ModelMetadata, PackageFormat) {
      var bytes: [UInt8] = []
      do throws(BytesError) {
        let source = try ByteSource(path: file)
        guard source.count <= PackageLimits.metadata else { throw BytesError(.damaged, file: file, "is too large") }
        bytes = try source.read(at: 0, count: source.count)
      } catch {
        throw ModelError(error, file: file)
      }
      let name = URL(filePath: file).deletingPathExtension().lastPathComponent
      let isJSON = bytes.first { !" \r\n\t".utf8.contains($0) && $0 < 0x80 } == UInt8(ascii: "{")
      let original =
        try isJSON
        ? OriginalMetadata(json: bytes, file: file, member: "", fallbackName: name)
        : OriginalMetadata(xml: bytes, file: file, member: "", fallbackName: name)
      return (original, original.metadata, original.format)
    }

    /// What the czmodel tools from 2.0 on take.
    mutating func current() throws(ModelError) -> ModelMetadata {
      guard var keys = value("ModelMetadata")?.object else { throw damaged("ModelMetadata is not a JSON object") }
      if keys["Id"] ?? .null == .null { keys["Id"] = .string(ModelMetadata.freshID()) }
      // Says for which version of the tools the file was written, not what it holds.
      keys["FormatVersion"] = nil
      for key in keys.keys.sorted() where !JSONMetadata.known.contains(key) {
        warnings.append("\(path): the key \(key.prefix(60)) in ModelMetadata is not known; it is ignored")
      }
      return try JSONMetadata.read(keys, file: path, member: "ModelMetadata", fallbackName: "DNNModel")
    }

    /// What ZEN and the czmodel tools before 2.0 take.
    mutating func legacy(modelPath: String) throws(ModelError) -> ModelMetadata {
      var name = URL(filePath: modelPath).lastPathComponent
      if name.lowercased().hasSuffix(".onnx") { name.removeLast(5) }
      guard let border = try required("BorderSize").int, (0...1 << 16).contains(border) else {
        throw damaged("BorderSize is not a whole number of pixels; write it as 8, without quotes")
      }
      guard let classes = try required("Classes").strings else {
        throw damaged("Classes is not a list of names; write it as [\"Background\", \"Nucleus\"]")
      }
      guard classes.count <= PackageLimits.classes else { throw damaged("Classes has \(classes.count) names") }
      let colors = try required("ColorHandling")
      guard let handling = colors.string.flatMap(ColorHandling.init(rawValue:)) else {
        throw damaged("ColorHandling is not known; it is ConvertToMonochrome or SplitRgb")
      }
      let pixels = try required("PixelType")
      let names = pixels.string.map { [$0] } ?? pixels.strings ?? []
      let types = names.compactMap(ModelPixelType.init(rawValue:))
      guard types.count == names.count, (1...PackageLimits.channels).contains(types.count) else {
        let known = ModelPixelType.allCases.map(\.rawValue).joined(separator: ", ")
        throw damaged("PixelType is not known; it is one of \(known), or a list of them")
      }
      return ModelMetadata(
        name: name, classes: classes, pixelTypes: types, colorHandling: handling, borderSize: border)
    }

    private mutating func required(_ key: String) throws(ModelError) -> JSONValue {
      guard let value = value(key) else { throw damaged("\(key) is missing") }
      return value
    }
  }
}

extension ModelPackage {
  /// Makes the package that a JSON file describes.
  ///
  /// - Throws: ``ModelError``: the JSON file, or one that it names, is missing or not what it should be.
  public init(spec path: String) throws(ModelError) { try self.init(ModelSpecification(at: path)) }

  /// Makes the package that a specification describes.
  public init(_ specification: ModelSpecification) throws(ModelError) {
    let model = try ModelPackage(at: specification.modelPath)
    guard !model.format.isPackage else {
      throw ModelError(
        .mismatch, file: specification.path, "ModelPath names a package; it names an ONNX file or a SavedModel's folder"
      )
    }
    var license: AttachedFile?
    if let path = specification.licensePath { license = try AttachedFile(reading: path) }
    try self.init(graph: model.graph, metadata: specification.metadata, license: license, path: model.path)
    for path in specification.attachments { attachments.append(try AttachedFile(reading: path)) }
    (format, original) = (specification.format, specification.original)
  }
}
