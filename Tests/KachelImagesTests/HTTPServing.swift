// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelTesting
import Synchronization

@testable import KachelImages

/// Notes how long was to be waited, and does not wait.
final class Waits: Sendable {
  private let noted = Mutex<[Duration]>([])
  var all: [Duration] { noted.withLock { $0 } }

  var patience: HTTPPatience {
    var patience = HTTPPatience()
    patience.pause = { duration in self.noted.withLock { $0.append(duration) } }
    return patience
  }
}

/// A folder with a few entries and what serves it.
struct Served {
  /// Of the entry `a`.
  static let content = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* $0 &>> 3) }

  let folder: ScratchFolder
  let waits = Waits()

  init() throws {
    folder = try ScratchFolder()
    _ = try folder.write(Self.content, to: "a")
    _ = try folder.write("{}".utf8, to: "zarr.json")
  }

  func server(
    _ behavior: @escaping @Sendable (FolderServer.Request) -> FolderServer.Behavior = { _ in .good }
  ) throws -> FolderServer {
    try FolderServer(folder.path, behavior: behavior)
  }

  func store(_ address: String) throws -> HTTPZarrStore {
    HTTPZarrStore(try RemoteAddress(address), patience: waits.patience)
  }
}

extension ZarrStore {
  /// What a read gives, or which kind of error.
  func outcome(_ key: String, _ part: ZarrBytePart, limit: Int) -> String {
    do throws(ImageError) {
      return try read(key, part, limit: limit).map { "\($0.count) bytes, \(sha256Hex($0))" } ?? "none"
    } catch {
      return "\(error.kind)"
    }
  }

  /// The error of a read that must fail.
  func failure(_ key: String, _ part: ZarrBytePart = .all, limit: Int = 1 << 20) -> ImageError? {
    do throws(ImageError) {
      _ = try read(key, part, limit: limit)
      return nil
    } catch {
      return error
    }
  }
}
