// SPDX-License-Identifier: Apache-2.0
private import Foundation
private import KachelBytes
private import KachelEngines
public import KachelImages
public import KachelModels

/// A network to be run over many images, one after the other. An image that cannot be segmented does not stop the others.
///
/// ```swift
/// let batch = try SegmentationBatch(
///   ImageBatch(["plate/"]), with: ModelPackage(at: "nuclei.czann"), outputs: SegmentationBatchOutputs(folder: "results"))
/// for outcome in try await batch.write() { print(outcome.image) }
/// ```
public struct SegmentationBatch: Sendable {
  public let images: [String]
  private let package: ModelPackage
  private let options: SegmentationOptions
  private let outputs: [SegmentationOutputs]
  private let folders: [String]

  /// What became of an image.
  public struct Outcome: Sendable {
    public let image: String
    public let result: Result<SegmentationResult, any Error>
  }

  /// - Throws: ``SegmentationError`` where two images would have the same output, ``ModelError`` where the model cannot
  ///   be run, ``BytesError`` where outputs exist already and are not to be replaced.
  public init(
    _ batch: ImageBatch, with package: ModelPackage, options: SegmentationOptions = SegmentationOptions(),
    outputs: SegmentationBatchOutputs
  ) throws {
    self.package = package
    self.options = options
    images = batch.images
    try options.engine.check()
    try package.checkRunnable()
    _ = try OutputFormat(extension: outputs.extension)
    let names = Self.names(of: batch.images)
    let shown = batch.images.map(RemoteAddress.withoutSecrets)
    if let (name, paths) = Dictionary(grouping: zip(names, shown), by: \.0).first(where: { $0.value.count > 1 }) {
      throw SegmentationError(
        .option, file: paths[1].1,
        "has the name of \(paths[0].1), so that both results would be called \(name); segment them one after the other")
    }
    let kind = package.metadata.kind.resultName
    self.outputs = names.map { name in
      func path(_ folder: String, _ end: String) -> String { (folder.isEmpty ? "" : folder + "/") + name + end }
      var output = SegmentationOutputs(
        result: path(outputs.folder, ".\(kind).\(outputs.extension)"),
        confidence: outputs.confidenceFolder.map { path($0, ".confidence.\(outputs.extension)") },
        preview: outputs.previewFolder.map { path($0, ".png") }, overwrite: outputs.overwrite)
      output.command = outputs.command
      output.resume = outputs.resume
      output.omeZarr = outputs.omeZarr
      return output
    }
    folders = [outputs.folder, outputs.confidenceFolder, outputs.previewFolder].compactMap { $0 }.filter { !$0.isEmpty }
    // Of a batch that goes on, some are complete.
    guard !outputs.overwrite, !outputs.resume else { return }
    let existing = self.outputs.flatMap { [$0.result, $0.confidence, $0.preview].compactMap { $0 } }
      .filter { FileManager.default.fileExists(atPath: $0) }
    if let first = existing.first {
      let others = existing.count > 1 ? ", and \(existing.count - 1) other outputs exist too" : ""
      throw BytesError(
        .cannotWrite, file: first, "exists already\(others); name another folder or pass --overwrite")
    }
  }

  /// Whether no other image could be segmented either.
  private static func isWithoutEngine(_ error: any Error) -> Bool {
    [.missing, .unsuitable].contains((error as? EngineError)?.kind)
  }

  /// What the results are called after: the images' names without extension, or with it where they differ by nothing else.
  public static func names(of images: [String]) -> [String] {
    let urls = images.map { URL(filePath: RemoteAddress.fileName(of: RemoteAddress.withoutSecrets($0))) }
    let stems = urls.map(\.imageName)
    let counts = Dictionary(stems.map { ($0, 1) }, uniquingKeysWith: +)
    return zip(urls, stems).map { url, stem in counts[stem] == 1 ? stem : url.lastPathComponent }
  }

  /// Segments the images. Folders for the outputs are created where they are missing.
  ///
  /// - Parameters:
  ///   - beginning: called before each image with its place among all.
  ///   - progress: see ``Segmentation``.
  /// - Returns: what became of each image, in their order. Files that belong to an image before them, as those of an
  ///   OME-TIFF of several files, are passed over and left out.
  /// - Throws: ``EngineError`` where there is no engine, ``BytesError`` where a folder cannot be created,
  ///   `CancellationError` (in an ``UnfinishedRun`` where tiles are kept); the results that are complete by then stay.
  public func write(
    beginning: @Sendable (Int, String) -> Void = { _, _ in },
    progress: @escaping @Sendable (SegmentationProgress) -> Void = { _ in }
  ) async throws -> [Outcome] {
    for folder in folders {
      do {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      } catch {
        throw BytesError(.cannotWrite, file: folder, "the folder cannot be created: \(error.localizedDescription)")
      }
    }
    var outcomes: [Outcome] = []
    var done: Set<String> = []
    for (index, path) in images.enumerated() where !done.contains(path) {
      beginning(index, path)
      do {
        let image = try Image(at: path, cacheBytes: options.imageCacheBytes)
        // A companion file is no image of its own.
        guard done.isDisjoint(with: image.files.dropFirst()) else { continue }
        done.formUnion(image.files)
        let result = try await Segmentation(of: image, with: package, options: options)
          .write(to: outputs[index], progress: progress)
        outcomes.append(Outcome(image: path, result: .success(result)))
      } catch let error
        where error is CancellationError || (error as? UnfinishedRun)?.isCancellation == true
        || Self.isWithoutEngine(error)
      {
        throw error
      } catch {
        outcomes.append(Outcome(image: path, result: .failure(error)))
      }
    }
    return outcomes
  }
}

/// Where the results of many images go: each is called after its image.
public struct SegmentationBatchOutputs: Sendable {
  /// The folder for labels or values; the current one if empty.
  public var folder: String
  /// The extension of labels, values and confidences, which says their format; see ``OutputFormat``.
  public var `extension`: String
  public var confidenceFolder: String?
  public var previewFolder: String?
  /// How an OME-Zarr is stored.
  public var omeZarr: OMEZarrOptions
  public var overwrite: Bool
  /// Whether a batch that ended early goes on, see ``SegmentationOutputs/resume``: images that are complete are passed over.
  public var resume = false
  /// The command line to store in the provenance.
  public var command: [String]?

  public init(
    folder: String = "", extension: String = "ome.zarr", confidenceFolder: String? = nil, previewFolder: String? = nil,
    omeZarr: OMEZarrOptions = OMEZarrOptions(), overwrite: Bool = false, command: [String]? = nil
  ) {
    self.folder = folder
    self.extension = `extension`
    self.confidenceFolder = confidenceFolder
    self.previewFolder = previewFolder
    self.omeZarr = omeZarr
    self.overwrite = overwrite
    self.command = command
  }
}

extension ModelKind {
  /// What the results of such a model are called.
  public var resultName: String { self == .regression ? "values" : "labels" }
}

extension URL {
  /// The name without `.czi`, or without both of `.ome.tiff`.
  fileprivate var imageName: String {
    let stem = deletingPathExtension()
    return stem.pathExtension.lowercased() == "ome"
      ? stem.deletingPathExtension().lastPathComponent : stem.lastPathComponent
  }
}
