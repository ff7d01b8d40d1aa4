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
    EngineLibrary(environment: environment, executable: executable)
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

  /// A library that loads but is another one: here the engine's own core, which lacks the C functions.
  @Test func aLibraryThatIsAnother() throws {
    let found = URL(filePath: try EngineLibrary.ofThisProcess.find()).deletingLastPathComponent()
    let other = try #require(
      FileManager.default.contentsOfDirectory(atPath: found.path).first { $0.hasPrefix("libtbb.") })
    let error = try #require(engineError { _ = try OpenVINO(library: found.appending(path: other).path) })
    #expect(error.kind == .missing)
    #expect(error.reason.contains("lacks the function ov_"))
  }

  @Test func loadedOnce() throws {
    let engine = try OpenVINO.load()
    #expect(try OpenVINO.load() === engine)
    #expect(engine.name == "OpenVINO")
    #expect(engine.version.contains("2026.4.1"))
  }
}
