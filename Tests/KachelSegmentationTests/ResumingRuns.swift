// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelImages
import KachelModels
import KachelPixels
import KachelTesting
import Testing

@testable import KachelSegmentation

/// What tests of runs that are stopped and go on have in common.
protocol ResumingRuns {
  /// Where outputs go.
  var folder: ScratchFolder { get }
  var package: ModelPackage { get }
}

extension ResumingRuns {
  func options(_ change: (inout SegmentationOptions) -> Void = { _ in }) -> SegmentationOptions {
    var options = SegmentationOptions()
    options.tileSide = 128
    change(&options)
    return options
  }

  func outputs(
    _ name: String, confidence: Bool = false, preview: Bool = false, resume: Bool = false
  ) -> SegmentationOutputs {
    let ending = name.drop { $0 != "." }
    var outputs = SegmentationOutputs(
      result: folder.file(name), confidence: confidence ? folder.file("confidence\(ending)") : nil,
      preview: preview ? folder.file("preview.png") : nil)
    (outputs.resume, outputs.command) = (resume, ["kachel", "--threads", "2"])
    return outputs
  }

  /// Runs until so many tiles are done, and cancels.
  @discardableResult func stop(
    after count: Int, _ image: any ImageSource, _ options: SegmentationOptions, _ outputs: SegmentationOutputs,
    with package: ModelPackage? = nil
  ) async throws -> UnfinishedRun {
    let segmentation = try Segmentation(of: image, with: package ?? self.package, options: options)
    let task = Task {
      try await segmentation.write(to: outputs) { event in
        if case .tile(let tiles) = event, tiles.done == count { withUnsafeCurrentTask { $0?.cancel() } }
      }
    }
    let result = await task.result
    let error = try #require(throws: UnfinishedRun.self) { try result.get() }
    #expect(error.isCancellation && error.mayPass && error.tiles >= count && error.tiles <= error.total)
    return error
  }

  @discardableResult func run(
    _ image: any ImageSource, _ options: SegmentationOptions, _ outputs: SegmentationOutputs,
    with package: ModelPackage? = nil
  ) async throws -> SegmentationResult {
    try await Segmentation(of: image, with: package ?? self.package, options: options).write(to: outputs)
  }

  /// What lies in the folder: the bytes of every file by its path, hidden ones included; takes it all away.
  func takeFiles(keeping kept: String? = nil) throws -> [String: Data] {
    var files: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: folder.path) {
      var isFolder: ObjCBool = false
      _ = FileManager.default.fileExists(atPath: folder.file(name), isDirectory: &isFolder)
      if !isFolder.boolValue { files[name] = try Data(contentsOf: URL(filePath: folder.file(name))) }
    }
    for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) where name != kept {
      try FileManager.default.removeItem(atPath: folder.file(name))
    }
    return files
  }

  func check(_ resumed: [String: Data], _ undisturbed: [String: Data]) {
    #expect(resumed.keys.sorted() == undisturbed.keys.sorted())
    let others = resumed.filter { undisturbed[$0.key] != $0.value }.keys.sorted()
    #expect(others == [])
  }
}

extension Example {
  /// A part of the example as an OME-Zarr.
  ///
  /// - Returns: its path.
  static func omeZarr(
    in folder: ScratchFolder, _ options: OMEZarrOptions, name: String = "image.ome.zarr", scenes: Int = 1
  ) throws -> String {
    let output = try PendingOutput(path: folder.file(name), overwrite: false), size = Size(width: 300, height: 200)
    let writer = try ImageWriter(
      OutputImage(
        name: "cells", content: .intensities, scenes: (0..<scenes).map { .init(index: $0, size: size) },
        channels: [.init(name: "DAPI", pixelType: .uint8)], axes: ["c"], pixelSize: .init()),
      to: output, as: .omeZarr(options))
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    for scene in 0..<scenes {
      try image().read(Region(x: 900 + 100 * scene, y: 300, width: 300, height: 200), of: PlaneIndex(), into: pixels)
      try writer.write(pixels, at: Region(size), of: PlaneIndex(scene: scene))
      try writer.finish(scene: scene)
    }
    try writer.finish()
    try output.commit()
    return output.path
  }
}
