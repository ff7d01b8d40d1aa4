// SPDX-License-Identifier: Apache-2.0
private import CTIFF
private import Foundation

#if canImport(Glibc)
  private import Glibc
#else
  private import Darwin
#endif

/// The functions of OpenSlide that Kachel uses, found in a library that is opened while the program runs. Nothing is
/// linked: a program without OpenSlide reads all other images.
///
/// The declarations follow `openslide.h` of the versions 3.4 and 4.0 (https://openslide.org/api/).
/// `@unchecked Sendable`: constant C functions of a library that stays for the life of the process; they may be called by
/// many threads.
package struct OpenSlideLibrary: @unchecked Sendable {
  typealias Slide = OpaquePointer

  /// Why there is no library, and what to do about it.
  package struct Missing: Error {
    package let reason: String
  }

  /// As the library names it, as in `3.4.1`.
  package let version: String

  let open: @convention(c) (_ path: UnsafePointer<CChar>) -> Slide?
  let close: @convention(c) (Slide) -> Void
  let error: @convention(c) (Slide) -> UnsafePointer<CChar>?
  let levelCount: @convention(c) (Slide) -> Int32
  let levelDimensions:
    @convention(c) (Slide, _ level: Int32, UnsafeMutablePointer<Int64>, UnsafeMutablePointer<Int64>) -> Void
  let levelDownsample: @convention(c) (Slide, _ level: Int32) -> Double
  let propertyValue: @convention(c) (Slide, _ name: UnsafePointer<CChar>) -> UnsafePointer<CChar>?
  let readRegion:
    @convention(c) (
      Slide, UnsafeMutablePointer<UInt32>, _ x: Int64, _ y: Int64, _ level: Int32, _ width: Int64, _ height: Int64
    ) -> Void

  #if os(macOS)
    private static let names = ["libopenslide.1.dylib", "libopenslide.0.dylib"]
    /// Where Homebrew puts libraries, which the system does not search.
    private static let folders = ["", "/opt/homebrew/lib/", "/usr/local/lib/"]
  #else
    private static let names = ["libopenslide.so.1", "libopenslide.so.0"]
    /// Only where the system looks for libraries.
    private static let folders = [""]
  #endif

  /// Where a library is looked for: in `KACHEL_OPENSLIDE_PATH`, which is its file or the folder that holds it, and if that
  /// is not set, where the system has its libraries. If it is set, nothing else is tried, so that a wrong setting is
  /// noticed.
  package static func candidates(environment: [String: String]) -> [String] {
    guard let given = environment["KACHEL_OPENSLIDE_PATH"], !given.isEmpty else {
      return folders.flatMap { folder in names.map { folder + $0 } }
    }
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: given, isDirectory: &isFolder), isFolder.boolValue else {
      // With a slash, or else the system would look for it among its libraries.
      return [given.contains("/") ? given : "./" + given]
    }
    return names.map { "\(given)/\($0)" }
  }

  /// The library as this process finds it, looked for once.
  package static let ofThisProcess = Result { () throws(Missing) in
    try OpenSlideLibrary(candidates: candidates(environment: ProcessInfo.processInfo.environment))
  }

  /// - Parameter candidates: files, or names that the system looks for among its libraries; the first that opens is taken.
  package init(candidates: [String]) throws(Missing) {
    var problems: [String] = []
    for path in candidates {
      // Local: its symbols must not meet those of other libraries in the process.
      guard let library = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
        problems.append(dlerror().map { String(cString: $0) } ?? "\(path) cannot be opened")
        continue
      }
      try self.init(library: library, path: path)
      return
    }
    throw Missing(
      reason: """
        OpenSlide was not found (\(problems.joined(separator: "; "))). Install it (Debian and Ubuntu: apt-get install \
        libopenslide0; macOS: brew install openslide), or set KACHEL_OPENSLIDE_PATH to the file of an OpenSlide of \
        your own.
        """)
  }

  private init(library: UnsafeMutableRawPointer, path: String) throws(Missing) {
    func function<Function>(_ name: String, as _: Function.Type = Function.self) throws(Missing) -> Function {
      guard let symbol = dlsym(library, "openslide_" + name) else {
        throw Missing(reason: "\(path) is no OpenSlide that Kachel can use: it lacks the function openslide_\(name)")
      }
      return unsafeBitCast(symbol, to: Function.self)
    }
    open = try function("open")
    close = try function("close")
    error = try function("get_error")
    levelCount = try function("get_level_count")
    levelDimensions = try function("get_level_dimensions")
    levelDownsample = try function("get_level_downsample")
    propertyValue = try function("get_property_value")
    readRegion = try function("read_region")
    let stated = try function("get_version", as: (@convention(c) () -> UnsafePointer<CChar>?).self)
    version = stated().map { String(cString: $0) } ?? "of unknown version"
    // OpenSlide lets libtiff print what is wrong with a file, and says it in its own errors too.
    TIFFSetErrorHandler(nil)
    TIFFSetWarningHandler(nil)
  }
}
