// SPDX-License-Identifier: Apache-2.0
internal import Foundation
internal import KachelEngines
internal import KachelTesting
internal import Testing

#if os(macOS)
  private let oldLibrary = "libopenvino_c.9.dylib"
  private let newLibrary = "libopenvino_c.2641.dylib"
#else
  private let oldLibrary = "libopenvino_c.so.9"
  private let newLibrary = "libopenvino_c.so.2641"
#endif

/// The engine is found where the documentation says, and its absence is explained.
struct EngineLibraryTests {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private func library(_ environment: [String: String], executable: String? = nil) -> EngineLibrary {
    EngineLibrary(.openVINO, environment: environment, executable: executable)
  }

  private func put(_ name: String) throws -> String {
    let path = folder.file(name)
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    return try folder.write([], to: name)
  }

  @Test func aFolderThatIsNamed() throws {
    let file = try put("own/\(newLibrary)")
    _ = try put("own/libopenvino.so.2641")
    #expect(try library(["KACHEL_ENGINE_PATH": folder.file("own")]).find() == file)
  }

  @Test func aFileThatIsNamed() throws {
    let file = try put("own/another-name.so")
    #expect(try library(["KACHEL_ENGINE_PATH": file]).find() == file)
  }

  @Test func theNewestOfSeveral() throws {
    _ = try put("own/\(oldLibrary)")
    let file = try put("own/\(newLibrary)")
    #expect(try library(["KACHEL_ENGINE_PATH": folder.file("own")]).find() == file)
  }

  @Test func besideTheExecutable() throws {
    let file = try put("lib/kachel/\(newLibrary)")
    let data = try put("data/kachel/engines/openvino-2026.4.1/\(newLibrary)")
    let environment = ["XDG_DATA_HOME": folder.file("data")]
    #expect(try library(environment, executable: folder.file("bin/kachel")).find() == file)
    #expect(try library(environment, executable: folder.file("elsewhere/bin/kachel")).find() == data)
  }

  @Test func inTheUsersDataFolder() throws {
    let file = try put("home/.local/share/kachel/engines/openvino-2026.4.1/\(newLibrary)")
    #expect(try library(["HOME": folder.file("home")]).find() == file)
    #expect(try library(["HOME": folder.file("home"), "XDG_DATA_HOME": "", "KACHEL_ENGINE_PATH": ""]).find() == file)
    #expect(throws: EngineError.self) {
      try library(["HOME": folder.file("home"), "XDG_DATA_HOME": folder.file("data")]).find()
    }
  }

  @Test func nowhere() throws {
    let error = try #require(
      engineError {
        _ = try library(["HOME": "/nowhere/home"], executable: "/nowhere/program/bin/kachel").find()
      })
    #expect(error.kind == .missing)
    for part in [
      "/nowhere/program/lib/kachel", "/nowhere/home/.local/share/kachel/engines/openvino-2026.4.1",
      "scripts/bootstrap", "KACHEL_ENGINE_PATH",
    ] { #expect(error.description.contains(part)) }
  }

  /// A setting that is wrong is not passed over for an engine that is found elsewhere.
  @Test func aSettingThatIsWrong() throws {
    _ = try put("lib/kachel/\(newLibrary)")
    for path in [folder.path, folder.file("absent")] {
      let error = try #require(
        engineError {
          _ = try library(["KACHEL_ENGINE_PATH": path], executable: folder.file("bin/kachel")).find()
        })
      #expect(error.kind == .missing)
      #expect(error.reason.contains("KACHEL_ENGINE_PATH is set to \(path)"))
      #expect(error.reason.contains("scripts/bootstrap"))
    }
  }

  @Test func aLibraryThatIsDamaged() throws {
    let file = try folder.write(Array("not a library".utf8), to: newLibrary)
    let error = try #require(engineError { _ = try OpenVINO(library: file) })
    #expect(error.kind == .missing)
    #expect(error.name == file)
    #expect(error.reason.contains("cannot be loaded") && error.reason.contains("scripts/bootstrap"))
    #expect(engineError { _ = try OpenVINO(library: folder.file("absent")) }?.kind == .missing)
  }

  /// A library that loads but is another one: here a part of another engine.
  @Test func aLibraryThatIsAnother() throws {
    let found = URL(filePath: try EngineLibrary.ofThisProcess(.openVINO).find()).deletingLastPathComponent()
    let other = try #require(
      FileManager.default.contentsOfDirectory(atPath: found.path).first { $0.hasPrefix("libtbb.") })
    let path = found.appending(path: other).path
    let error = try #require(engineError { _ = try OpenVINO(library: path) })
    #expect(error.kind == .missing && error.name == path)
    #expect(error.reason.contains("lacks the function ov_"))
    let second = try #require(engineError { _ = try ONNXRuntime(library: path) })
    #expect(second.kind == .missing && second.name == path)
    #expect(second.reason.contains("lacks the function OrtGetApiBase") && second.reason.contains("scripts/bootstrap"))
  }

  @Test func loadedOnce() throws {
    let engine = try OpenVINO.load()
    #expect(try OpenVINO.load() === engine)
    #expect(engine.name == "OpenVINO")
    #expect(engine.version.contains("2026.4.1"))
    #expect(engine.device == .cpu && engine.precision == .fp32)
    let other = try ONNXRuntime.load()
    #expect(try ONNXRuntime.load() === other)
    #expect(other.name == "ONNX Runtime")
    #expect(other.version == "1.32.0")
    #expect(other.device == .cpu && other.precision == .fp32)
  }

  // MARK: ONNX Runtime

  #if os(macOS)
    private let onnxRuntimeFile = "libonnxruntime.1.32.0.dylib"
  #else
    private let onnxRuntimeFile = "libonnxruntime.so.1.32.0"
  #endif

  @Test func onnxRuntimeHasPlacesOfItsOwn() throws {
    let home = ["HOME": folder.file("home")]
    func find(_ environment: [String: String]) throws -> String {
      try EngineLibrary(.onnxRuntime, environment: environment, executable: nil).find()
    }
    _ = try put("home/.local/share/kachel/engines/openvino-2026.4.1/\(newLibrary)")
    let error = try #require(engineError { _ = try find(home) })
    #expect(error.kind == .missing && error.name == "ONNX Runtime")
    for part in ["onnxruntime-1.32.0", "scripts/bootstrap", "KACHEL_ONNXRUNTIME_PATH"] {
      #expect(error.reason.contains(part))
    }
    let provided = try put("home/.local/share/kachel/engines/onnxruntime-1.32.0/\(onnxRuntimeFile)")
    #expect(try find(home) == provided)
    #expect(try find(home.merging(["KACHEL_ENGINE_PATH": "/nowhere"]) { $1 }) == provided)
    let own = try put("own/\(onnxRuntimeFile)")
    #expect(try find(home.merging(["KACHEL_ONNXRUNTIME_PATH": folder.file("own")]) { $1 }) == own)
  }

  /// The library for GPUs is one that has the CUDA part beside it.
  @Test func onnxRuntimeForCUDA() throws {
    let environment = ["HOME": folder.file("home")]
    func find(_ more: [String: String] = [:]) throws -> String {
      try EngineLibrary(
        .onnxRuntimeForCUDA, environment: environment.merging(more) { $1 }, executable: folder.file("bin/kachel")
      ).find()
    }
    let plain = try put("lib/kachel/\(onnxRuntimeFile)")
    let error = try #require(engineError { _ = try find() })
    #expect(error.kind == .missing)
    #expect(
      error.reason.contains("scripts/bootstrap --cuda") && error.reason.contains("libonnxruntime_providers_cuda.so"))
    #expect(engineError { _ = try find(["KACHEL_ONNXRUNTIME_PATH": plain]) }?.kind == .missing)
    let place = "home/.local/share/kachel/engines/onnxruntime-cuda-1.31.1"
    let library = try put("\(place)/\(onnxRuntimeFile)")
    _ = try put("\(place)/libonnxruntime_providers_cuda.so")
    #expect(try find() == library)
    #expect(try find(["KACHEL_ONNXRUNTIME_PATH": folder.file(place)]) == library)
  }
}
