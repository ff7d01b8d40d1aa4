// SPDX-License-Identifier: Apache-2.0
private import Synchronization

/// The entries below an address on a web server. Only as much of them is asked for as is needed, by range requests.
///
/// Not found (404, 410) is a missing entry. Stores like S3 answer 403 for what is missing to those who may not list what
/// is there; that counts as missing while another entry, that was read before, can still be read. So a signature that
/// runs out does not turn the rest of an image into nothing.
package final class HTTPZarrStore: ZarrStore {
  package let name: String
  package var isRemote: Bool { true }

  private struct Memory {
    /// Whether the server has ever answered.
    var isKnown = false
    /// An entry that was there.
    var found: String?
    /// Whether access was refused before any entry was found.
    var wasRefused = false
    /// Whether the server does not know ranges that are counted from the end.
    var lacksLast = false
  }

  /// How much is taken, for a part of it, from a server that ignores which part is asked for.
  static let mostWithoutRanges = 16 << 20

  private let address: RemoteAddress
  private let patience: HTTPPatience
  private let transport: HTTPTransport
  private let memory = Mutex(Memory())

  package convenience init(_ address: RemoteAddress) { self.init(address, patience: HTTPPatience()) }

  init(_ address: RemoteAddress, patience: HTTPPatience) {
    self.address = address
    self.patience = patience
    name = address.name
    transport = HTTPTransport(patience)
  }

  package var absence: String {
    memory.withLock(\.wasRefused)
      ? "access is refused (403 Forbidden), or nothing is there; check the address, and whether it must be a signed one"
      : "holds no OME-Zarr (no zarr.json, .zattrs or .zarray); other formats are not read over the network: "
        + "download the file and open that"
  }

  package func read(_ key: String, _ part: ZarrBytePart, limit: Int) throws(ImageError) -> [UInt8]? {
    switch part {
    case .all: return try answer(key, nil, limit: limit)?.bytes
    case .range(let offset, let count):
      let (end, overflow) = offset.addingReportingOverflow(count)
      guard offset >= 0, count >= 0, count <= limit, !overflow else {
        throw damaged(key, offset, "\(count) bytes are more than belong here (\(limit))")
      }
      // A request has at least one byte; any answer says that the entry is there.
      guard count > 0 else { return try answer(key, .bytes(0...0), limit: 1) == nil ? nil : [] }
      return try bytes(offset..<end, of: key)
    case .last(let count):
      guard count > 0, count <= limit else {
        throw damaged(key, nil, "\(count) bytes are more than belong here (\(limit))")
      }
      return try last(count, of: key)
    }
  }

  private func bytes(_ range: Range<Int>, of key: String) throws(ImageError) -> [UInt8]? {
    let asked = HTTPRange.bytes(range.lowerBound...range.upperBound - 1)
    guard let answer = try answer(key, asked, limit: range.count) else { return nil }
    var bytes = answer.bytes
    if answer.head.status == 200 {
      guard range.upperBound <= bytes.count else { throw truncated(key, range, bytes.count) }
      bytes = Array(bytes[range])
    }
    guard bytes.count == range.count else { throw truncated(key, range, answer.head.contentRange?.total) }
    return bytes
  }

  private func last(_ count: Int, of key: String) throws(ImageError) -> [UInt8]? {
    if !memory.withLock(\.lacksLast) {
      guard let answer = try answer(key, .last(count), limit: count) else { return nil }
      if answer.head.status == 206 {
        guard answer.bytes.count == count else { throw truncated(key, nil, answer.bytes.count) }
        return answer.bytes
      }
      // As Azure's.
      memory.withLock { $0.lacksLast = true }
    }
    guard let first = try answer(key, .bytes(0...0), limit: 1) else { return nil }
    switch first.head.status {
    case 200:
      guard first.bytes.count >= count else { throw truncated(key, nil, first.bytes.count) }
      return Array(first.bytes.suffix(count))
    case 206:
      guard let total = first.head.contentRange?.total else {
        throw ImageError(.unsupported, file: file(key), "the server does not tell how long the file is")
      }
      guard total >= count else { throw truncated(key, nil, total) }
      return try bytes(total - count..<total, of: key)
    default: throw truncated(key, nil, 0)
    }
  }

  private func damaged(_ key: String, _ offset: Int?, _ reason: String) -> ImageError {
    ImageError(.damaged, file: file(key), offset: offset, reason)
  }

  private func truncated(_ key: String, _ range: Range<Int>?, _ total: Int?) -> ImageError {
    damaged(
      key, range?.lowerBound,
      "\(range.map { "\($0.count)" } ?? "more") bytes are wanted, but the file has \(total.map { "\($0)" } ?? "fewer")")
  }

  // MARK: Requests

  /// The server's answer about an entry; `nil` where there is no such entry.
  private func answer(_ key: String, _ range: HTTPRange?, limit: Int) throws(ImageError) -> HTTPAnswer? {
    let answer = try ask(key, range, limit: limit)
    switch answer.head.status {
    case 404, 410: return nil
    case 403:
      let found = memory.withLock { memory in
        if memory.found == nil { memory.wasRefused = true }
        return memory.found
      }
      guard let found else { return nil }
      guard try ask(found, .bytes(0...0), limit: 1).head.status != 403 else {
        throw ImageError(
          .notAnImage, file: file(key),
          "access is refused now (403 Forbidden), though not before; a signature may have run out: get a new one")
      }
      return nil
    default:
      memory.withLock { memory in
        if memory.found == nil { memory.found = key }
      }
      return answer
    }
  }

  private func ask(_ key: String, _ range: HTTPRange?, limit: Int) throws(ImageError) -> HTTPAnswer {
    do throws(HTTPFault) {
      return try patience.answer(isKnown: memory.withLock(\.isKnown)) { (time) throws(HTTPFault) in
        try transport.get(
          address.url(of: key), authorization: address.authorization, range: range, timeout: time
        ) { [self] (head) throws(HTTPFault) in
          memory.withLock { $0.isKnown = true }
          return try Self.content(after: head, range: range, limit: limit)
        }
      }
    } catch {
      let kind: ImageError.Kind = if case .lasting(let kind) = error.kind { kind } else { .unreachable }
      throw ImageError(kind, file: file(key), error.reason)
    }
  }

  /// What of an answer's content is wanted, as its head tells; `nil` where it does not matter.
  static func content(after head: HTTPHead, range: HTTPRange?, limit: Int) throws(HTTPFault) -> HTTPContent? {
    let status = head.status
    switch (status, range) {
    case (200, .last): return nil
    case (200, _), (206, .some): break
    case (403, _), (404, _), (410, _), (416, .some): return nil
    // How servers say that they do not know ranges that are counted from the end.
    case (400, .last), (501, .last): return nil
    case (401, _):
      throw HTTPFault(
        .lasting(.notAnImage),
        "the server asks for a password (401 Unauthorized); use a signed address, or one as https://user:password@host/…"
      )
    case (408, _), (425, _), (429, _), (500...599, _):
      throw HTTPFault(.temporary(after: head.retryAfter), "the server answers \(status)")
    default: throw HTTPFault(.lasting(.notAnImage), "the server answers \(status)")
    }
    if let encoding = head.contentEncoding, encoding.lowercased() != "identity" {
      throw HTTPFault(
        .lasting(.unsupported), "the server compresses its answers (\(encoding.prefix(80))), though asked not to")
    }
    if status == 206 { return try part(head, range, limit: limit) }
    guard range != nil else {
      let overflow = HTTPFault(
        .lasting(.damaged), "\(head.length.map { "\($0) bytes" } ?? "its bytes") are more than belong here (\(limit))")
      guard head.length ?? 0 <= limit else { throw overflow }
      return HTTPContent(count: head.length, limit: limit, overflow: overflow)
    }
    let most = max(limit, mostWithoutRanges)
    let overflow = HTTPFault(
      .lasting(.unsupported),
      "the server sends a whole file of \(head.length.map { "\($0)" } ?? "more than \(most)") bytes where a part is asked "
        + "for; use a server that knows range requests, or download the folder")
    guard head.length ?? 0 <= most else { throw overflow }
    return HTTPContent(count: head.length, limit: most, overflow: overflow)
  }

  /// Checks that a part is the one that was asked for; it may be shorter, where the file is.
  private static func part(_ head: HTTPHead, _ range: HTTPRange?, limit: Int) throws(HTTPFault) -> HTTPContent {
    let overflow = HTTPFault(.lasting(.damaged), "the server sends other bytes than those that were asked for")
    guard let got = head.contentRange, head.length ?? got.bytes.count == got.bytes.count, got.bytes.count <= limit
    else { throw overflow }
    switch range {
    case .bytes(let asked):
      guard got.bytes.lowerBound == asked.lowerBound, got.bytes.upperBound <= asked.upperBound else { throw overflow }
    case .last(let count):
      guard let total = got.total, got.bytes == max(0, total - count)...total - 1 else { throw overflow }
    case nil: throw overflow
    }
    return HTTPContent(count: got.bytes.count, limit: got.bytes.count, overflow: overflow)
  }
}
