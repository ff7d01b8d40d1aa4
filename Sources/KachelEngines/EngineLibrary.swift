// SPDX-License-Identifier: Apache-2.0
private import Foundation

/// Finds the engine's library on this machine.
///
/// It looks, in this order, into
/// 1. `KACHEL_ENGINE_PATH`: the library's file, or the folder that holds it. If this is set, nothing else is tried, so
///    that a wrong setting is noticed.
/// 2. `../lib/kachel` beside the executable, where an installed Kachel keeps it,
/// 3. the user's data folder, where `scripts/bootstrap` puts it.
public struct EngineLibrary: Sendable {
  /// The version that `scripts/bootstrap` provides.
  static let version = "openvino-2026.4.1"
  #if os(macOS)
    static let file = "libopenvino_c.*dylib"
    private static let pieces = (start: "libopenvino_c.", end: "dylib")
  #else
    static let file = "libopenvino_c.so*"
    private static let pieces = (start: "libopenvino_c.so", end: "")
  #endif

  private let given: String?
  private let folders: [String]

  /// - Parameters:
  ///   - environment: The process's environment variables.
  ///   - executable: The path of the running program, nil where unknown.
  public init(environment: [String: String], executable: String?) {
    /// An empty variable counts as one that is not set.
    func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    var folders: [String] = []
    if let executable {
      let installed = URL(filePath: executable).deletingLastPathComponent().appending(path: "../lib/kachel")
      folders.append(installed.standardizedFileURL.path)
    }
    if let data = variable("XDG_DATA_HOME") ?? variable("HOME").map({ $0 + "/.local/share" }) {
      folders.append("\(data)/kachel/engines/\(Self.version)")
    }
    given = variable("KACHEL_ENGINE_PATH")
    self.folders = folders
  }

  /// The search as this process does it.
  public static var ofThisProcess: EngineLibrary {
    EngineLibrary(environment: ProcessInfo.processInfo.environment, executable: executable)
  }

  /// The path of the library.
  ///
  /// - Throws: `missing`, with the places that were tried and the remedy.
  public func find() throws(EngineError) -> String {
    if let given {
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: given, isDirectory: &isFolder) else {
        throw missing("KACHEL_ENGINE_PATH is set to \(given), which does not exist")
      }
      if !isFolder.boolValue { return given }
      if let path = Self.library(in: given) { return path }
      throw missing("KACHEL_ENGINE_PATH is set to \(given), which holds no \(Self.file)")
    }
    for folder in folders {
      if let path = Self.library(in: folder) { return path }
    }
    throw missing("no \(Self.file) in \(folders.joined(separator: ", nor in "))")
  }

  private func missing(_ what: String) -> EngineError {
    EngineError(
      .missing, name: "OpenVINO",
      """
      the engine that runs networks was not found: \(what). Run scripts/bootstrap, which gets it, or set \
      KACHEL_ENGINE_PATH to the folder of an OpenVINO of your own.
      """)
  }

  /// The library in a folder; of several versions the one that sorts last, so that the choice is always the same.
  private static func library(in folder: String) -> String? {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return files.filter { $0.hasPrefix(pieces.start) && $0.hasSuffix(pieces.end) }
      .max { $0.compare($1, options: .numeric) == .orderedAscending }
      .map { "\(folder)/\($0)" }
  }

  /// The running program's file, with links to it followed.
  private static var executable: String? {
    #if os(Linux)
      return try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    #else
      return Bundle.main.executableURL?.resolvingSymlinksInPath().path
    #endif
  }
}
