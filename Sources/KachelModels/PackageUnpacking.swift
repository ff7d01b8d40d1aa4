// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes
private import Foundation

extension ModelPackage {
  /// Writes the parts of the package into a new folder: the network as `model.onnx` or as a SavedModel in `model`, the
  /// metadata, the licence and further files under their own names, and `spec.json`, a ``ModelSpecification`` of which
  /// the package can be made again.
  ///
  /// - Throws: ``ModelError``: this is no package, or the folder exists or cannot be written.
  public func unpack(to folder: String) throws(ModelError) {
    guard format.isPackage else { throw fail(.option, "is a network without a package; there is nothing to unpack") }
    do throws(BytesError) {
      let output = try PendingOutput(path: folder, overwrite: false)
      let scratch = output.temporaryPath
      try Self.createFolder(scratch)
      let network = try unpackNetwork(into: scratch)
      let metadataName = metadataBytesName
      try NewFile.write(metadataBytes, to: scratch + "/" + metadataName)
      for file in [license].compactMap({ $0 }) + attachments {
        let path = scratch + "/" + file.name
        try Self.createFolder(URL(filePath: path).deletingLastPathComponent().path)
        try NewFile.write(file.bytes, to: path)
      }
      if let network {
        let text = specification(network: network, metadata: metadataName)
        try NewFile.write(text, to: scratch + "/spec.json")
      }
      try output.commit()
    } catch {
      throw ModelError(error, file: error.kind == .cannotWrite ? folder : error.file)
    }
  }

  private static func createFolder(_ path: String) throws(BytesError) {
    do { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) } catch {
      throw BytesError(.cannotWrite, file: path, "cannot be created: \(error.localizedDescription)")
    }
  }

  private var metadataBytesName: String { if case .czann = format { "model.json" } else { metadata.id + ".xml" } }

  /// - Returns: what the network is called; `nil` where no package can be made of it.
  private func unpackNetwork(into folder: String) throws(BytesError) -> String? {
    switch graph {
    case .onnx(let bytes):
      try NewFile.write(bytes, to: folder + "/model.onnx")
      return "model.onnx"
    case .savedModel(let files):
      try Self.createFolder(folder + "/model")
      do throws(ModelError) { try files.extract(to: folder + "/model") } catch {
        throw BytesError(error.kind == .cannotWrite ? .cannotWrite : .damaged, file: error.file, error.reason)
      }
      return "model"
    case .classical:
      // Only copied: nothing in it is run.
      try Archive(path: path).extract(to: folder) { $0.name == graphMember ? "model.pkl" : nil }
      return nil
    }
  }

  private func specification(network: String, metadata name: String) -> [UInt8] {
    var keys: [String: JSONValue] = ["ModelPath": .string(network), "MetadataFile": .string(name)]
    if let license { keys["LicenseFile"] = .string(license.name) }
    if !attachments.isEmpty { keys["FurtherFiles"] = JSONValue(attachments.map(\.name)) }
    switch format {
    case .czann:
      keys["ModelMetadata"] = try? JSONValue(metadataBytes)
    default:
      // What ZEN's import reads.
      let types = metadata.channels.compactMap(\.pixelTypes.first?.rawValue)
      keys["BorderSize"] = .integer(metadata.border.map { max($0.x, $0.y) } ?? 0)
      keys["ColorHandling"] = .string((metadata.colorHandling ?? .splitRGB).rawValue)
      keys["PixelType"] = types.count == 1 ? .string(types[0]) : JSONValue(types)
      keys["Classes"] = JSONValue(metadata.classes.map(\.name))
    }
    return (try? JSONValue.object(keys).text()) ?? []
  }
}
