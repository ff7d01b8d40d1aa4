// SPDX-License-Identifier: Apache-2.0
private import Foundation

/// Finds an engine's library on this machine.
///
/// It looks, in this order, into
/// 1. what the library's variable names, as `KACHEL_ENGINE_PATH`: the library's file, or the folder that holds it. If
///    this is set, nothing else is tried, so that a wrong setting is noticed.
/// 2. `../lib/kachel` beside the executable, where an installed Kachel keeps it,
/// 3. the user's data folder, where `scripts/bootstrap` puts it.
public struct EngineLibrary: Sendable {
  /// What is looked for.
  public struct Wanted: Sendable {
    /// The engine that it is of.
    let engine: String
    /// The environment variable that names its place.
    let variable: String
    /// What its file is called before the suffix.
    let stem: String
    /// What must lie in the same folder besides.
    var companion: String?
    /// Where `scripts/bootstrap` puts it.
    let folder: String
    /// What gets it.
    let remedy: String

    public static let openVINO = Wanted(
      engine: "OpenVINO", variable: "KACHEL_ENGINE_PATH", stem: "libopenvino_c", folder: "openvino-2026.4.1",
      remedy: "scripts/bootstrap")
    public static let onnxRuntime = Wanted(
      engine: "ONNX Runtime", variable: "KACHEL_ONNXRUNTIME_PATH", stem: "libonnxruntime",
      folder: "onnxruntime-1.32.0", remedy: "scripts/bootstrap")
    /// ONNX Runtime for NVIDIA GPUs, which comes with the CUDA libraries.
    public static let onnxRuntimeForCUDA = Wanted(
      engine: "ONNX Runtime for CUDA", variable: "KACHEL_ONNXRUNTIME_PATH", stem: "libonnxruntime",
      companion: "libonnxruntime_providers_cuda.so", folder: "onnxruntime-cuda-1.31.1",
      remedy: "scripts/bootstrap --cuda")

    #if os(macOS)
      /// How its file's name begins and ends, around a version or nothing.
      var pieces: (start: String, end: String) { (stem + ".", "dylib") }
    #else
      var pieces: (start: String, end: String) { (stem + ".so", "") }
    #endif
    var file: String { "\(pieces.start)*\(pieces.end)" }
  }

  private let wanted: Wanted
  private let given: String?
  private let folders: [String]

  /// - Parameters:
  ///   - environment: The process's environment variables.
  ///   - executable: The path of the running program, nil where unknown.
  public init(_ wanted: Wanted, environment: [String: String], executable: String?) {
    /// An empty variable counts as one that is not set.
    func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    var folders: [String] = []
    if let executable {
      let installed = URL(filePath: executable).deletingLastPathComponent().appending(path: "../lib/kachel")
      folders.append(installed.standardizedFileURL.path)
    }
    if let data = variable("XDG_DATA_HOME") ?? variable("HOME").map({ $0 + "/.local/share" }) {
      folders.append("\(data)/kachel/engines/\(wanted.folder)")
    }
    self.wanted = wanted
    given = variable(wanted.variable)
    self.folders = folders
  }

  /// The search as this process does it.
  public static func ofThisProcess(_ wanted: Wanted) -> EngineLibrary {
    EngineLibrary(wanted, environment: ProcessInfo.processInfo.environment, executable: executable)
  }

  /// The path of the library.
  ///
  /// - Throws: `missing`, with the places that were tried and the remedy.
  public func find() throws(EngineError) -> String {
    if let given {
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: given, isDirectory: &isFolder) else {
        throw missing("\(wanted.variable) is set to \(given), which does not exist")
      }
      let folder = isFolder.boolValue ? given : URL(filePath: given).deletingLastPathComponent().path
      if let companion = wanted.companion, !Self.exists(companion, in: folder) {
        throw missing("\(wanted.variable) is set to \(given), beside which there is no \(companion)")
      }
      if !isFolder.boolValue { return given }
      if let path = library(in: given) { return path }
      throw missing("\(wanted.variable) is set to \(given), which holds no \(wanted.file)")
    }
    for folder in folders where wanted.companion.map({ Self.exists($0, in: folder) }) ?? true {
      if let path = library(in: folder) { return path }
    }
    throw missing("no \(wanted.companion ?? wanted.file) in \(folders.joined(separator: ", nor in "))")
  }

  private func missing(_ what: String) -> EngineError {
    EngineError(
      .missing, name: wanted.engine,
      """
      the engine that runs networks was not found: \(what). Run \(wanted.remedy), which gets it, or set \
      \(wanted.variable) to the folder of an \(wanted.engine) of your own.
      """)
  }

  private static func exists(_ file: String, in folder: String) -> Bool {
    FileManager.default.fileExists(atPath: "\(folder)/\(file)")
  }

  /// The library in a folder; of several versions the one that sorts last, so that the choice is always the same.
  private func library(in folder: String) -> String? {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    let (start, end) = wanted.pieces
    return files.filter { $0.hasPrefix(start) && $0.hasSuffix(end) }
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

extension EngineLibrary {
  /// Loads an engine's library.
  ///
  /// - Parameter open: gives the library's functions, or writes why it cannot into the text of that many bytes.
  /// - Throws: `missing`.
  static func functions<Table>(
    of engine: String, at path: String, _ open: (UnsafeMutablePointer<CChar>, Int) -> UnsafePointer<Table>?
  ) throws(EngineError) -> UnsafePointer<Table> {
    var table: UnsafePointer<Table>?
    let reason = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { buffer in
      buffer.initialize(repeating: 0)
      guard let start = buffer.baseAddress else { return "" }
      table = open(start, buffer.count)
      return String(cString: start)
    }
    guard let table else {
      throw EngineError(
        .missing, name: path,
        "cannot be loaded as the engine \(engine): \(reason). Run scripts/bootstrap, which gets a working one.")
    }
    return table
  }
}
