// SPDX-License-Identifier: Apache-2.0
private import CTIFF

#if canImport(Glibc)
  private import Glibc
#else
  private import Darwin
#endif

/// What libtiff reads from or writes to. It also hears libtiff's complaints, which would be printed otherwise.
class TIFFClient {
  private var problem: String?

  /// Opens a file with options by which libtiff complains here.
  ///
  /// - Parameters:
  ///   - mostBytes: the most that libtiff allocates at once.
  ///   - body: gets the options and this object as libtiff knows it; libtiff does not keep it alive.
  /// - Returns: what `body` returns; `nil` where there is no memory.
  final func openTIFF(
    mostBytes: Int? = nil, _ body: (_ options: OpaquePointer, _ user: UnsafeMutableRawPointer) -> OpaquePointer?
  ) -> OpaquePointer? {
    guard let options = TIFFOpenOptionsAlloc() else { return nil }
    defer { TIFFOpenOptionsFree(options) }
    let user = Unmanaged<TIFFClient>.passUnretained(self).toOpaque()
    if let mostBytes { TIFFOpenOptionsSetMaxSingleMemAlloc(options, tmsize_t(mostBytes)) }
    TIFFOpenOptionsSetErrorHandlerExtR(
      options,
      { _, user, _, format, arguments in
        if let user, let format {
          Unmanaged<TIFFClient>.fromOpaque(user).takeUnretainedValue().note(format, arguments)
        }
        return 1
      }, user)
    TIFFOpenOptionsSetWarningHandlerExtR(options, { _, _, _, _, _ in 1 }, nil)
    return body(options, user)
  }

  /// Keeps the first complaint, which is nearest to the cause.
  final func note(_ problem: String) { if self.problem == nil { self.problem = problem } }

  private func note(_ format: UnsafePointer<CChar>, _ arguments: CVaListPointer?) {
    guard problem == nil, let arguments else { return }
    var text = [CChar](repeating: 0, count: 500)
    vsnprintf(&text, text.count, format, arguments)
    problem = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  final func takeProblem() -> String? {
    defer { problem = nil }
    return problem
  }
}
