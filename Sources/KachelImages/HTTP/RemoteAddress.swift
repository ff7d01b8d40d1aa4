// SPDX-License-Identifier: Apache-2.0
private import Foundation

/// The address of a folder on a web server (`https://` or `http://`), and of the entries below it.
///
/// A query, as a signed address has one, belongs to every entry. User name and password become basic authentication.
package struct RemoteAddress: Sendable {
  /// The address without what may be secret: user name, password and query.
  package let name: String
  private let folder: String
  private let query: String
  /// The value of the header `Authorization`.
  let authorization: String?

  /// - Throws: `unsupported` for other schemes, `notAnImage` for what is no address.
  package init(_ text: String) throws(ImageError) {
    let scheme = Self.scheme(of: text)?.lowercased() ?? ""
    guard scheme == "https" || scheme == "http" else {
      throw ImageError(.unsupported, file: Self.withoutSecrets(text), Self.refusal(of: scheme))
    }
    guard let parts = URLComponents(string: text), let host = parts.encodedHost, !host.isEmpty,
      (1...65535).contains(parts.port ?? 80)
    else { throw ImageError(.notAnImage, file: "\(scheme)://", "what follows is no address of a server and a folder") }
    var folder = scheme + "://" + host + (parts.port.map { ":\($0)" } ?? "") + parts.percentEncodedPath
    while folder.hasSuffix("/") { folder.removeLast() }
    self.folder = folder
    name = folder
    query = parts.percentEncodedQuery.map { "?" + $0 } ?? ""
    authorization = parts.user.map { user in
      "Basic " + Data("\(user):\(parts.password ?? "")".utf8).base64EncodedString()
    }
  }

  private static func refusal(of scheme: String) -> String {
    switch scheme {
    case "file": "name the file or folder by its path, without file://"
    case "s3", "gs", "az", "abfs", "abfss":
      "addresses of \(scheme):// are not read; give the bucket's https:// address, a signed one where it is not public"
    default: "addresses of \(scheme):// are not read; OME-Zarr is read over https:// and http://"
    }
  }

  /// Where an entry lies.
  func url(of key: String) -> String {
    // What RFC 3986 leaves as it is in any place; some servers take a plus for a space.
    let plain = CharacterSet(charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/")
    return folder + "/" + (key.addingPercentEncoding(withAllowedCharacters: plain) ?? key) + query
  }

  /// Whether a text is the address of something on a network, of any scheme, and no path.
  package static func isAddress(_ text: String) -> Bool { scheme(of: text) != nil }

  private static func scheme(of text: String) -> String? {
    guard let end = text.range(of: "://")?.lowerBound, end > text.startIndex else { return nil }
    let scheme = text[..<end]
    guard scheme.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "+-.".contains($0)) }),
      scheme.first?.isLetter == true
    else { return nil }
    return String(scheme)
  }

  /// An address without user name, password and query; any other text as it is.
  package static func withoutSecrets(_ text: String) -> String {
    guard let scheme = scheme(of: text) else { return text }
    let rest = text.dropFirst(scheme.count + 3).prefix { $0 != "?" && $0 != "#" }
    let authority = rest.prefix { $0 != "/" }
    let host = authority.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
    return scheme + "://" + host + rest.dropFirst(authority.count)
  }

  /// The last part of a path or an address: what a file made from it may be called after.
  package static func fileName(of path: String) -> String {
    let last = URL(filePath: path).lastPathComponent
    guard isAddress(path), let name = last.removingPercentEncoding, TIFFFileSet.isPlain(name) else { return last }
    return name
  }
}
