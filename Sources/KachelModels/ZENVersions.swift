// SPDX-License-Identifier: Apache-2.0

/// The oldest versions of ZEISS' programs that open a package.
public struct ZENVersions: Sendable, Hashable {
  public var blue: String
  public var core: String
}

extension PackageFormat {
  /// Which ZEN opens packages of the format, by the table that czmodel 6.2.0 publishes. `nil` for formats that are not in
  /// it, as the one that ZEN itself writes.
  public var openedBy: ZENVersions? {
    func isVersion(_ version: String, _ prefixes: String...) -> Bool { prefixes.contains { version.hasPrefix($0) } }
    switch self {
    case .czmodel(let version) where isVersion(version, "3.0."): return ZENVersions(blue: "3.2", core: "3.1")
    case .czmodel(let version) where isVersion(version, "3.1."): return ZENVersions(blue: "3.4", core: "3.3")
    case .czann(let version) where isVersion(version, "1.0.", "1.1."): return ZENVersions(blue: "3.5", core: "3.4")
    case .czann(let version) where isVersion(version, "2.0.", "2.1."): return ZENVersions(blue: "3.13", core: "3.13")
    default: return nil
    }
  }
}
